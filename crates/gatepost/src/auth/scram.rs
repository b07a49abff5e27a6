//! SCRAM-SHA-256 with and without channel binding, the server's side (RFC 5802, RFC 7677, RFC 9266).
//!
//! Invariants: pure, as the exchanges are; a user that isn't there goes through the same exchange with keys that nothing
//! fits.

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::exchange::{Channel, Step, acts_for_itself};
use super::preparation::{Password, prepared_name};

/// Iterations for new keys (ours: RFC 7677 §4 has at least 4096; clients that go by Cyrus SASL take up to 65536).
pub(super) const ITERATIONS: u32 = 60_000;

/// Most iterations of keys that are read: a client has to do as many (ours).
const ITERATIONS_MAX: u32 = 10_000_000;

/// Octets of a salt and of what SHA-256 gives.
const SALT_OCTETS: usize = 16;
const HASH_OCTETS: usize = digest::SHA256_OUTPUT_LEN;

/// How stored keys begin (RFC 5803 §3).
const SCHEME: &str = "SCRAM-SHA-256$";

/// What is stored of a password: it proves the password, and can't stand for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    iterations: u32,
    salt: Vec<u8>,
    stored: [u8; HASH_OCTETS],
    server: [u8; HASH_OCTETS],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keys")
    }
}

impl Keys {
    /// The keys of a password. Takes some hundredths of a second.
    #[must_use]
    pub fn of(password: &Password, salt: &[u8], iterations: u32) -> Self {
        let mut salted = [0; HASH_OCTETS];
        let count = std::num::NonZeroU32::new(iterations).unwrap_or(std::num::NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, salt, password.prepared().as_bytes(), &mut salted);
        Self {
            iterations: count.get(),
            salt: salt.to_vec(),
            stored: hashed(&mac(&salted, b"Client Key")),
            server: mac(&salted, b"Server Key"),
        }
    }

    /// Keys for a user that isn't there: always the same for a name, and none that a password fits.
    #[must_use]
    pub fn of_nobody(secret: &[u8], user: &str) -> Self {
        let piece = |what: &str| mac(secret, format!("{what} {user}").as_bytes());
        let salt = piece("salt").get(..SALT_OCTETS).unwrap_or_default().to_vec();
        Self { iterations: ITERATIONS, salt, stored: piece("stored"), server: piece("server") }
    }

    /// Whether they are the password's. Takes some hundredths of a second.
    #[must_use]
    pub fn fit(&self, password: &Password) -> bool {
        let tried = Self::of(password, &self.salt, self.iterations);
        constant_time::verify_slices_are_equal(&tried.stored, &self.stored).is_ok()
    }

    /// Reads `SCRAM-SHA-256$iterations:salt$stored:server` (RFC 5803 §3), with or without a scheme in braces.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix(SCHEME)?;
        let (work, keys) = text.split_once('$')?;
        let ((iterations, salt), (stored, server)) = (work.split_once(':')?, keys.split_once(':')?);
        let iterations = iterations.parse().ok().filter(|count| (1..=ITERATIONS_MAX).contains(count))?;
        let key = |text: &str| <[u8; HASH_OCTETS]>::try_from(STANDARD.decode(text).ok()?).ok();
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Self { iterations, salt, stored: key(stored)?, server: key(server)? })
    }

    /// As [`Keys::read`] reads them.
    #[must_use]
    pub fn to_text(&self) -> String {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored, &self.server].map(|octets| STANDARD.encode(octets));
        format!("{SCHEME}{}:{salt}${stored}:{server}", self.iterations)
    }
}

/// An exchange.
pub(crate) struct Scram {
    /// Whether the client chose the mechanism that binds to the channel.
    binds: bool,
    channel: Channel,
    nonce: String,
    state: State,
}

enum State {
    First,
    /// The user's keys are being found.
    Keys(Greeting),
    /// The proof is awaited.
    Final(Greeting, Keys, String),
    /// The client is to say that it has seen the signature; holds the user.
    Seen(String),
    Ended,
}

/// What the client began with.
struct Greeting {
    user: String,
    /// Whether it acts for somebody else.
    acts_for_another: bool,
    /// `client-first-message-bare`.
    bare: String,
    /// What `c=` must hold.
    binding: Vec<u8>,
    client_nonce: String,
}

impl Scram {
    pub(super) fn new(binds: bool, channel: Channel, nonce: String) -> Self {
        Self { binds, channel, nonce, state: State::First }
    }

    pub(super) fn respond(&mut self, response: &[u8]) -> Step {
        let Ok(text) = std::str::from_utf8(response) else { return Step::Malformed };
        match std::mem::replace(&mut self.state, State::Ended) {
            State::First => match self.greeting(text) {
                Ok(greeting) => {
                    let user = greeting.user.clone();
                    self.state = State::Keys(greeting);
                    Step::FindKeys(user)
                }
                Err(step) => step,
            },
            State::Final(greeting, keys, first) => self.proved(&greeting, &keys, &first, text),
            State::Seen(user) if text.is_empty() => Step::Accepted(user),
            State::Seen(_) | State::Keys(_) | State::Ended => Step::Malformed,
        }
    }

    pub(super) fn keys(&mut self, keys: Keys) -> Step {
        let State::Keys(greeting) = std::mem::replace(&mut self.state, State::Ended) else {
            return Step::Malformed;
        };
        let salt = STANDARD.encode(&keys.salt);
        let first = format!("r={}{},s={salt},i={}", greeting.client_nonce, self.nonce, keys.iterations);
        let challenge = first.clone().into_bytes();
        self.state = State::Final(greeting, keys, first);
        Step::Challenge(challenge)
    }

    /// Reads `client-first-message` (RFC 5802 §7).
    fn greeting(&self, text: &str) -> Result<Greeting, Step> {
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(acting), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Step::Malformed);
        };
        let mut binding = format!("{flag},{acting},").into_bytes();
        binding.extend(self.bound(flag)?);
        let acting = match acting.strip_prefix("a=") {
            Some(acting) => decoded_name(acting).ok_or(Step::Malformed)?,
            None if acting.is_empty() => String::new(),
            None => return Err(Step::Malformed),
        };
        let mut attributes = bare.split(',');
        // An `m=` in front would be an extension that must be understood.
        let name = attributes.next().and_then(|name| name.strip_prefix("n=")).ok_or(Step::Malformed)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or(Step::Malformed)?;
        if nonce.is_empty() || !nonce.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(Step::Malformed);
        }
        let name = decoded_name(name).ok_or(Step::Malformed)?;
        let user = prepared_name(&name).ok_or(Step::Rejected)?;
        Ok(Greeting {
            acts_for_another: !acts_for_itself(&acting, &user),
            user,
            bare: bare.to_owned(),
            binding,
            client_nonce: nonce.to_owned(),
        })
    }

    /// The data of the binding that the flag names: none without one.
    fn bound(&self, flag: &str) -> Result<Vec<u8>, Step> {
        let offers_binding = self.channel.exporter.is_some() || self.channel.server_end_point.is_some();
        let bound = match flag {
            "n" if !self.binds => return Ok(Vec::new()),
            // The client would bind and was not offered it: somebody in between took the offer away (RFC 5802 §6).
            "y" if !self.binds && offers_binding => return Err(Step::Rejected),
            "y" if !self.binds => return Ok(Vec::new()),
            "p=tls-exporter" if self.binds => &self.channel.exporter,
            "p=tls-server-end-point" if self.binds => &self.channel.server_end_point,
            _ => return Err(Step::Malformed),
        };
        bound.clone().ok_or(Step::Rejected)
    }

    /// Reads `client-final-message`, and answers with the server's signature.
    fn proved(&mut self, greeting: &Greeting, keys: &Keys, first: &str, text: &str) -> Step {
        let Some((without_proof, proof)) = text.rsplit_once(",p=") else { return Step::Malformed };
        let mut attributes = without_proof.split(',');
        let (Some(binding), Some(nonce)) = (
            attributes.next().and_then(|binding| binding.strip_prefix("c=")),
            attributes.next().and_then(|nonce| nonce.strip_prefix("r=")),
        ) else {
            return Step::Malformed;
        };
        let (Ok(binding), Ok(proof)) = (STANDARD.decode(binding), STANDARD.decode(proof)) else {
            return Step::Malformed;
        };
        let Ok(proof) = <[u8; HASH_OCTETS]>::try_from(proof) else { return Step::Malformed };
        let is_answer = binding == greeting.binding
            && nonce.strip_prefix(greeting.client_nonce.as_str()) == Some(self.nonce.as_str());
        let message = format!("{},{first},{without_proof}", greeting.bare);
        let signature = mac(&keys.stored, message.as_bytes());
        let mut client_key = proof;
        for (octet, signed) in client_key.iter_mut().zip(signature) {
            *octet ^= signed;
        }
        let proves = constant_time::verify_slices_are_equal(&hashed(&client_key), &keys.stored).is_ok();
        if !is_answer || !proves || greeting.acts_for_another {
            return Step::Rejected;
        }
        let signature = STANDARD.encode(mac(&keys.server, message.as_bytes()));
        self.state = State::Seen(greeting.user.clone());
        Step::Challenge(format!("v={signature}").into_bytes())
    }
}

/// A name in which `=2C` stands for a comma and `=3D` for an equals sign (RFC 5802 §5.1).
fn decoded_name(name: &str) -> Option<String> {
    let mut decoded = String::with_capacity(name.len());
    let mut pieces = name.split('=');
    decoded.push_str(pieces.next()?);
    for piece in pieces {
        let (sign, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        decoded.push(sign);
        decoded.push_str(rest);
    }
    (!decoded.contains('\0')).then_some(decoded)
}

fn mac(key: &[u8], message: &[u8]) -> [u8; HASH_OCTETS] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut octets = [0; HASH_OCTETS];
    octets.iter_mut().zip(tag.as_ref()).for_each(|(octet, signed)| *octet = *signed);
    octets
}

fn hashed(octets: &[u8]) -> [u8; HASH_OCTETS] {
    let hash = digest::digest(&digest::SHA256, octets);
    let mut copied = [0; HASH_OCTETS];
    copied.iter_mut().zip(hash.as_ref()).for_each(|(octet, hashed)| *octet = *hashed);
    copied
}

#[cfg(test)]
mod tests;
