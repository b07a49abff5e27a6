//! What the last answer of a dialogue is expected to be.

use std::fmt;
use std::str::FromStr;

use smtp::reply::{Reply, Severity};

/// What is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// A 2yz reply.
    Accept,
    /// This reply code, and this enhanced code if one is named.
    Code(u16, Option<String>),
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help =
            || format!("`{text}` is neither `accept` nor a reply code; 550, 451 and '550 5.7.1' are some");
        if text.eq_ignore_ascii_case("accept") {
            return Ok(Self::Accept);
        }
        let mut words = text.split_whitespace();
        let code =
            words.next().and_then(|code| code.parse::<u16>().ok()).filter(|code| (200..=599).contains(code));
        let (Some(code), enhanced, None) = (code, words.next(), words.next()) else { return Err(help()) };
        let is_enhanced = |enhanced: &str| {
            let parts: Vec<&str> = enhanced.split('.').collect();
            let number = |part: &&str| {
                (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit())
            };
            parts.len() == 3 && parts.iter().all(number)
        };
        match enhanced {
            Some(enhanced) if !is_enhanced(enhanced) => Err(help()),
            enhanced => Ok(Self::Code(code, enhanced.map(str::to_owned))),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => formatter.write_str("accept"),
            Self::Code(code, None) => write!(formatter, "{code}"),
            Self::Code(code, Some(enhanced)) => write!(formatter, "{code} {enhanced}"),
        }
    }
}

impl Expected {
    /// Whether the reply is what was expected.
    pub(super) fn is_met(&self, reply: &Reply) -> bool {
        match self {
            Self::Accept => reply.code().severity() == Severity::Completed,
            Self::Code(code, enhanced) => {
                reply.code().value() == *code
                    && enhanced.as_ref().is_none_or(|wanted| enhanced_of(reply).as_ref() == Some(wanted))
            }
        }
    }
}

/// The reply's enhanced code, with its class.
pub(super) fn enhanced_of(reply: &Reply) -> Option<String> {
    let (enhanced, class) = reply.enhanced().zip(reply.code().class())?;
    Some(format!("{class}.{}.{}", enhanced.subject, enhanced.detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::catalogue;

    #[test]
    fn expectations_are_read_and_met() {
        let read = |text: &str| text.parse::<Expected>();
        assert_eq!(read("accept"), Ok(Expected::Accept));
        assert_eq!(read("550"), Ok(Expected::Code(550, None)));
        assert_eq!(read("550 5.7.1"), Ok(Expected::Code(550, Some("5.7.1".into()))));
        for wrong in ["", "yes", "55", "999", "550 5.7", "550 x", "550 5.7.1 no"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let reply = catalogue::NO_SUCH_MAILBOX.reply();
        let met = |text: &str| read(text).unwrap().is_met(&reply);
        assert_eq!(
            (met("550"), met("550 5.1.1"), met("550 5.7.1"), met("551"), met("accept")),
            (true, true, false, false, false)
        );
    }
}
