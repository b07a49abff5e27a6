//! The stages at which a policy decides, in the order of a session.

/// A stage of a session (RFC 5321 §4.3.2), as policies name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Before the greeting.
    Connect,
    /// EHLO and HELO.
    Helo,
    /// After a successful AUTH exchange.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT, once for each recipient.
    Recipient,
    /// DATA, and the first BDAT.
    Data,
    /// The end of the mail data.
    Message,
    /// VRFY and EXPN.
    Verify,
}

impl Stage {
    /// Every stage, in the order of a session; VRFY and EXPN stand last.
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Helo,
        Self::Auth,
        Self::Mail,
        Self::Recipient,
        Self::Data,
        Self::Message,
        Self::Verify,
    ];

    /// The name in policies, logs and the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Recipient => "recipient",
            Self::Data => "data",
            Self::Message => "message",
            Self::Verify => "verify",
        }
    }

    /// The stage of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// The place in [`Stage::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether what is known from `self` on is known at `later`. VRFY and EXPN come after EHLO and know nothing of a
    /// transaction.
    #[must_use]
    pub const fn reaches(self, later: Self) -> bool {
        match (self, later) {
            (Self::Verify, Self::Verify) => true,
            (Self::Verify, _) => false,
            (_, Self::Verify) => (self as usize) < (Self::Mail as usize),
            _ => self as usize <= later as usize,
        }
    }
}
