//! The exchanges of AUTH: what the client sends, and what is to be found out or said next (RFC 4954, RFC 4616, RFC 5802).
//!
//! Invariants: nothing here asks anybody, reads a clock or takes chances; an exchange ends after at most three responses;
//! credentials stand in no `Debug`.

use super::preparation::{Password, prepared_name};
use super::scram::{Keys, Scram};

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS (RFC 7677).
    ScramSha256Plus,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN (draft-murchison-sasl-login).
    Login,
    /// EXTERNAL (RFC 4422 appendix A).
    External,
}

impl Mechanism {
    /// Every mechanism, the strongest first.
    pub const ALL: [Self; 5] =
        [Self::External, Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// Its registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::External => "EXTERNAL",
        }
    }

    /// The mechanism of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Whether the client says its password itself.
    #[must_use]
    pub const fn has_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }
}

/// What TLS knows of the channel (RFC 5929, RFC 9266); empty without TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Channel {
    /// `tls-exporter`.
    pub(crate) exporter: Option<Vec<u8>>,
    /// `tls-server-end-point`.
    pub(crate) server_end_point: Option<Vec<u8>>,
    /// The user that a verified client certificate names.
    pub(crate) certificate_user: Option<String>,
}

/// A user's name with the password that is to be checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The name, prepared.
    pub(crate) user: String,
    pub(crate) password: Password,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send this challenge.
    Challenge(Vec<u8>),
    /// Check the password: the exchange has ended.
    Check(Credentials),
    /// Find this user's keys, and hand them to [`Exchange::keys`].
    FindKeys(String),
    /// It is this user: the exchange has ended.
    Accepted(String),
    /// It is not proved who it is: the exchange has ended.
    Rejected,
    /// The response can't be read: the exchange has ended.
    Malformed,
}

/// An exchange under way.
pub(crate) enum Exchange {
    Plain,
    /// With the user's name once it is there.
    Login(Option<String>),
    Scram(Box<Scram>),
    External(Option<String>),
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "Plain",
            Self::Login(_) => "Login",
            Self::Scram(_) => "Scram",
            Self::External(_) => "External",
        })
    }
}

impl Exchange {
    /// Begins an exchange. `nonce` is the server's, printable and without commas.
    pub(crate) fn begin(mechanism: Mechanism, channel: Channel, nonce: String) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::Login(None),
            Mechanism::External => Self::External(channel.certificate_user),
            Mechanism::ScramSha256Plus => Self::Scram(Box::new(Scram::new(true, channel, nonce))),
            Mechanism::ScramSha256 => Self::Scram(Box::new(Scram::new(false, channel, nonce))),
        }
    }

    /// Takes what the client sent, decoded; `None` when AUTH came without an initial response.
    pub(crate) fn respond(&mut self, response: Option<&[u8]>) -> Step {
        match (&mut *self, response) {
            (Self::Plain | Self::Scram(_) | Self::External(_), None) => Step::Challenge(Vec::new()),
            (Self::Login(None), None) => Step::Challenge(b"Username:".to_vec()),
            (Self::Login(Some(_)), None) => Step::Malformed,
            (Self::Plain, Some(response)) => plain(response),
            (Self::Login(user @ None), Some(response)) => match std::str::from_utf8(response) {
                Ok(name) if !name.contains('\0') => {
                    *user = Some(name.to_owned());
                    Step::Challenge(b"Password:".to_vec())
                }
                _ => Step::Malformed,
            },
            (Self::Login(Some(user)), Some(response)) => {
                match (prepared_name(user), Password::read(response)) {
                    (_, None) => Step::Malformed,
                    (None, _) => Step::Rejected,
                    (Some(user), Some(password)) => Step::Check(Credentials { user, password }),
                }
            }
            (Self::Scram(scram), Some(response)) => scram.respond(response),
            (Self::External(user), Some(response)) => external(user.as_deref(), response),
        }
    }

    /// Takes the keys of the user that [`Step::FindKeys`] named.
    pub(crate) fn keys(&mut self, keys: Keys) -> Step {
        match self {
            Self::Scram(scram) => scram.keys(keys),
            _ => Step::Malformed,
        }
    }
}

/// `[authorization identity] NUL authentication identity NUL password` (RFC 4616 §2).
fn plain(response: &[u8]) -> Step {
    let mut parts = response.split(|octet| *octet == 0);
    let (Some(acting), Some(name), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Step::Malformed;
    };
    let (Ok(acting), Ok(name)) = (std::str::from_utf8(acting), std::str::from_utf8(name)) else {
        return Step::Malformed;
    };
    let Some(password) = Password::read(password) else { return Step::Malformed };
    match prepared_name(name) {
        // Nobody acts for somebody else here.
        Some(user) if acts_for_itself(acting, &user) => Step::Check(Credentials { user, password }),
        _ => Step::Rejected,
    }
}

/// Whether the authorization identity is none, or the user's own.
pub(super) fn acts_for_itself(acting: &str, user: &str) -> bool {
    acting.is_empty() || prepared_name(acting).as_deref() == Some(user)
}

/// The response is the authorization identity, empty for the certificate's own user.
fn external(user: Option<&str>, response: &[u8]) -> Step {
    match (user, std::str::from_utf8(response)) {
        (_, Err(_)) => Step::Malformed,
        (Some(user), Ok(acting)) if acts_for_itself(acting, user) => Step::Accepted(user.to_owned()),
        _ => Step::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(mechanism: Mechanism) -> Exchange {
        Exchange::begin(mechanism, Channel::default(), "nonce".into())
    }

    fn check(user: &str, password: &str) -> Step {
        let password = Password::read(password.as_bytes()).unwrap();
        Step::Check(Credentials { user: user.into(), password })
    }

    #[test]
    fn plain_has_three_parts_and_nobody_acts_for_another() {
        let mut exchange = begin(Mechanism::Plain);
        assert_eq!(exchange.respond(None), Step::Challenge(Vec::new()));
        for (response, step) in [
            (&b"\0bob\0secret"[..], check("bob", "secret")),
            (b"bob\0bob\0secret", check("bob", "secret")),
            (b"\0BOB@Example.ORG\0Secret", check("bob@example.org", "Secret")),
            (b"alice\0bob\0secret", Step::Rejected),
            (b"\0\0secret", Step::Rejected),
            (b"\0bob\0", Step::Malformed),
            (b"bob\0secret", Step::Malformed),
            (b"\0bob\0sec\0ret", Step::Malformed),
            (b"\0b\xFFb\0secret", Step::Malformed),
            (b"\0bob\0s\xFF", Step::Malformed),
            (b"", Step::Malformed),
        ] {
            assert_eq!(begin(Mechanism::Plain).respond(Some(response)), step, "{response:?}");
        }
    }

    #[test]
    fn login_asks_for_name_and_password() {
        let mut exchange = begin(Mechanism::Login);
        assert_eq!(exchange.respond(None), Step::Challenge(b"Username:".to_vec()));
        assert_eq!(exchange.respond(Some(b"bob")), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(exchange.respond(Some(b"secret")), check("bob", "secret"));
        let mut with_name = begin(Mechanism::Login);
        assert_eq!(with_name.respond(Some(b"")), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(with_name.respond(Some(b"secret")), Step::Rejected);
        assert_eq!(begin(Mechanism::Login).respond(Some(b"b\0b")), Step::Malformed);
    }

    #[test]
    fn external_goes_by_the_certificate() {
        let of = |user: Option<&str>| {
            let channel = Channel { certificate_user: user.map(Into::into), ..Channel::default() };
            Exchange::begin(Mechanism::External, channel, String::new())
        };
        assert_eq!(of(Some("bob")).respond(Some(b"")), Step::Accepted("bob".into()));
        assert_eq!(of(Some("bob")).respond(Some(b"bob")), Step::Accepted("bob".into()));
        assert_eq!(of(Some("bob")).respond(Some(b"alice")), Step::Rejected);
        assert_eq!(of(None).respond(Some(b"bob")), Step::Rejected);
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_answered_and_every_exchange_ends(
            mechanism in 0..Mechanism::ALL.len(),
            responses in proptest::collection::vec(response(), 4),
        ) {
            let mut exchange = begin(Mechanism::ALL[mechanism]);
            let mut challenges = 0;
            for response in &responses {
                let step = match exchange.respond(Some(response)) {
                    Step::FindKeys(user) => exchange.keys(Keys::of_nobody(b"secret", &user)),
                    step => step,
                };
                match step {
                    Step::Challenge(_) => challenges += 1,
                    step => {
                        // Nobody gets in by chance: only a password that is still to be checked, or nothing.
                        proptest::prop_assert!(!matches!(step, Step::Accepted(_) | Step::FindKeys(_)), "{step:?}");
                        break;
                    }
                }
            }
            proptest::prop_assert!(challenges <= 2);
        }
    }

    /// Octets that are like a response, or nothing like one.
    fn response() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
        use proptest::prelude::*;
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "[nyp=,a-z]{0,6},,n=[a-z=,23CD]{0,6},r=[!-~]{0,9}".prop_map(String::into_bytes),
            "c=[A-Za-z0-9+/=]{0,8},r=[!-~]{0,9},p=[A-Za-z0-9+/=]{0,44}".prop_map(String::into_bytes),
            "[a-z\u{0}]{0,12}".prop_map(String::into_bytes),
        ]
    }

    #[test]
    fn nothing_shows_credentials() {
        let mut exchange = begin(Mechanism::Plain);
        let step = exchange.respond(Some(b"\0bob\0secret"));
        assert!(!format!("{exchange:?} {step:?}").contains("secret"));
    }
}
