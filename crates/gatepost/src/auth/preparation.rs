//! Names and passwords made comparable: SASLprep (RFC 4013), and case where mailboxes have none.
//!
//! Invariants: a password shows nothing of itself in `Debug`.

use std::borrow::Cow;

/// Longest name of a user, in octets (ours: the longest address, RFC 5321 §4.5.3.1).
pub(super) const NAME_OCTETS_MAX: usize = 320;

/// Longest password that is looked at, in octets (ours).
pub(super) const PASSWORD_OCTETS_MAX: usize = 1_024;

/// A user's name as names are compared: prepared, in lower case as mailboxes are; `None` for one that can't be one.
#[must_use]
pub fn prepared_name(name: &str) -> Option<String> {
    let prepared = stringprep::saslprep(name).ok()?;
    let is_name = !prepared.is_empty()
        && prepared.len() <= NAME_OCTETS_MAX
        && !prepared.contains(|character: char| character.is_control());
    is_name.then(|| prepared.to_lowercase())
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Password")
    }
}

impl Password {
    /// A password as a client sends it: UTF-8 without NUL, not empty; `None` for anything else.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?;
        let fits = !text.is_empty() && text.len() <= PASSWORD_OCTETS_MAX && !text.contains('\0');
        fits.then(|| Self(text.to_owned()))
    }

    /// As it was sent.
    #[must_use]
    pub fn as_sent(&self) -> &str {
        &self.0
    }

    /// Prepared, as this program hashes it; what SASLprep has no form for stays as it is.
    #[must_use]
    pub fn prepared(&self) -> Cow<'_, str> {
        stringprep::saslprep(&self.0).unwrap_or(Cow::Borrowed(&self.0))
    }

    /// Whether somebody can choose it: SASLprep has a form for it.
    #[must_use]
    pub fn can_be_chosen(&self) -> bool {
        stringprep::saslprep(&self.0).is_ok_and(|prepared| !prepared.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_prepared_and_without_case() {
        assert_eq!(prepared_name("Bob@Example.ORG").as_deref(), Some("bob@example.org"));
        assert_eq!(prepared_name("\u{2168}").as_deref(), Some("ix"));
        assert_eq!(prepared_name("I\u{AD}X").as_deref(), Some("ix"));
        for wrong in ["", "a\u{7}", "\u{627}1", &"a".repeat(NAME_OCTETS_MAX + 1)] {
            assert_eq!(prepared_name(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn passwords_are_prepared_where_they_can_be() {
        let password = |text: &str| Password::read(text.as_bytes());
        assert_eq!(password("a\u{A0}b").unwrap().prepared(), "a b");
        assert_eq!(password("a\tb").unwrap().prepared(), "a\tb");
        assert!(!password("a\tb").unwrap().can_be_chosen() && password("ü").unwrap().can_be_chosen());
        assert_eq!((password(""), password("a\0b"), password(&"a".repeat(1_025))), (None, None, None));
        assert_eq!(Password::read(b"\xFF"), None);
        assert_eq!(format!("{:?}", password("secret").unwrap()), "Password");
    }
}
