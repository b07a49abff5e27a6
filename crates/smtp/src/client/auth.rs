//! AUTH PLAIN and AUTH LOGIN as a client says them (RFC 4954 §4, RFC 4616, draft-murchison-sasl-login).
//!
//! Invariant: PLAIN is preferred, LOGIN serves where a server knows nothing else.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A user and password. Neither holds a NUL; `Debug` doesn't show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// The credentials, unless one of them is empty or holds a NUL, which PLAIN can't say (RFC 4616 §2).
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Option<Self> {
        let (user, password) = (user.into(), password.into());
        let sayable = |text: &str| !text.is_empty() && !text.contains('\0');
        (sayable(&user) && sayable(&password)).then_some(Self { user, password })
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The lines of the exchange, CRLF included: the command, and a response for each challenge. `None` when a server
    /// with these mechanisms takes neither PLAIN nor LOGIN.
    pub(super) fn lines(&self, mechanisms: &[String]) -> Option<Vec<Vec<u8>>> {
        let offers = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
        if offers("PLAIN") {
            return Some(alloc::vec![self.plain()]);
        }
        let response = |text: &str| {
            let mut line = Vec::new();
            append_base64(text.as_bytes(), &mut line);
            line.extend_from_slice(b"\r\n");
            line
        };
        let login =
            || alloc::vec![b"AUTH LOGIN\r\n".to_vec(), response(&self.user), response(&self.password)];
        offers("LOGIN").then(login)
    }

    /// The AUTH command with its initial response.
    fn plain(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.user.len() + self.password.len() + 2);
        for part in [&self.user, &self.password] {
            message.push(0);
            message.extend_from_slice(part.as_bytes());
        }
        let mut command = b"AUTH PLAIN ".to_vec();
        append_base64(&message, &mut command);
        command.extend_from_slice(b"\r\n");
        command
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Appends `octets` in base64 with padding (RFC 4648 §4).
fn append_base64(octets: &[u8], text: &mut Vec<u8>) {
    for group in octets.chunks(3) {
        let mut bits = [0_u8; 3];
        for (place, octet) in bits.iter_mut().zip(group) {
            *place = *octet;
        }
        let [first, second, third] = bits;
        let sextets = [first >> 2, first << 4 | second >> 4, second << 2 | third >> 6, third];
        for (index, sextet) in sextets.into_iter().enumerate() {
            text.push(if index <= group.len() { digit(sextet & 0x3f) } else { b'=' });
        }
    }
}

/// The base64 digit of a value below 64.
const fn digit(sextet: u8) -> u8 {
    match sextet {
        0..=25 => b'A' + sextet,
        26..=51 => b'a' + (sextet - 26),
        52..=61 => b'0' + (sextet - 52),
        62 => b'+',
        _ => b'/',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (octets, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut text = Vec::new();
            append_base64(octets.as_bytes(), &mut text);
            assert_eq!(text, expected.as_bytes());
        }
        let mut text = Vec::new();
        append_base64(&[0xfb, 0xff, 0xbf, 0x69, 0xb7, 0x1d], &mut text);
        assert_eq!(text, b"+/+/abcd");
    }

    #[test]
    fn plain_is_that_of_rfc_4616_and_login_stands_in_for_it() {
        let credentials = Credentials::new("tim", "tanstaaftanstaaf").unwrap();
        let lines = |mechanisms: &[&str]| {
            credentials.lines(&mechanisms.iter().map(|name| String::from(*name)).collect::<Vec<_>>())
        };
        let plain = b"AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n".to_vec();
        assert_eq!(lines(&["LOGIN", "PLAIN"]), Some(alloc::vec![plain]));
        let login = [&b"AUTH LOGIN\r\n"[..], b"dGlt\r\n", b"dGFuc3RhYWZ0YW5zdGFhZg==\r\n"];
        assert_eq!(lines(&["LOGIN"]), Some(login.map(<[u8]>::to_vec).to_vec()));
        assert_eq!(lines(&["CRAM-MD5"]), None);
    }

    #[test]
    fn what_plain_cannot_say_is_no_credential() {
        assert!(Credentials::new("a\0b", "x").is_none());
        assert!(Credentials::new("a", "x\0").is_none());
        assert!(Credentials::new("", "x").is_none());
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown = format!("{:?}", Credentials::new("tim", "tanstaaf").unwrap());
        assert!(shown.contains("tim") && !shown.contains("tanstaaf"));
    }
}
