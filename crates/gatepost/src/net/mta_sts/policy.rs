//! The text of an MTA-STS policy, and of the record that announces it (RFC 8461 §3.1, §3.2).

use std::fmt;
use std::time::Duration;

/// Longest life of a policy that counts (RFC 8461 §3.2: a year).
const MAX_AGE: Duration = Duration::from_secs(31_557_600);

/// Patterns of MX hosts that a policy may have (ours; a domain with more of them has more than anybody needs).
const MX_MAX: usize = 100;

/// Longest id (RFC 8461 §3.1).
const ID_OCTETS_MAX: usize = 32;

/// What a domain asks of those who send to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How much of it is asked.
    pub(crate) mode: Mode,
    /// The MX hosts that it has.
    pub(crate) mx: Vec<String>,
    /// How long it may be kept.
    pub(crate) max_age: Duration,
}

/// How much a policy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No mail to hosts that don't comply.
    Enforce,
    /// That failures are reported.
    Testing,
    /// Nothing any more.
    None,
}

/// Why a text is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPolicy {
    /// It doesn't begin with `version: STSv1`.
    Version,
    /// No mode, or an unknown one.
    Mode,
    /// No `max_age`, or no number.
    MaxAge,
    /// No MX host although hosts are asked for, a malformed one, or too many.
    Mx,
}

impl fmt::Display for NoPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Version => "it does not begin with `version: STSv1`",
            Self::Mode => "it has no mode that is known",
            Self::MaxAge => "it does not say how long it may be kept",
            Self::Mx => "it names no MX hosts, malformed ones or too many",
        })
    }
}

impl Policy {
    /// Reads the text of a policy. Of a key that may stand once the first one counts; unknown keys say nothing.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(text: &str) -> Result<Self, NoPolicy> {
        let pairs: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.trim(), value.trim()))
            .collect();
        let first = |wanted: &str| pairs.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        if pairs.first() != Some(&("version", "STSv1")) {
            return Err(NoPolicy::Version);
        }
        let mode = match first("mode") {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(NoPolicy::Mode),
        };
        let max_age =
            first("max_age").filter(|text| text.len() <= 10 && text.bytes().all(|c| c.is_ascii_digit()));
        let max_age = max_age.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let max_age = max_age.ok_or(NoPolicy::MaxAge)?.min(MAX_AGE);
        let named = pairs.iter().filter(|(key, _)| *key == "mx");
        let mx: Vec<String> =
            named.map(|(_, value)| value.trim_end_matches('.').to_ascii_lowercase()).collect();
        let is_pattern = |mx: &String| {
            let name = mx.strip_prefix("*.").unwrap_or(mx);
            !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c))
        };
        if !mx.iter().all(is_pattern) || mx.len() > MX_MAX || (mx.is_empty() && mode != Mode::None) {
            return Err(NoPolicy::Mx);
        }
        Ok(Self { mode, mx, max_age })
    }

    /// Whether it has this MX host; `*.` stands for one label (RFC 8461 §4.1).
    pub(crate) fn has(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            None => host.eq_ignore_ascii_case(pattern),
            Some(parent) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        })
    }

    /// Its lines, as a report has them (RFC 8460 §4.4).
    pub(crate) fn lines(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let mut lines = vec![String::from("version: STSv1"), format!("mode: {mode}")];
        lines.extend(self.mx.iter().map(|mx| format!("mx: {mx}")));
        lines.push(format!("max_age: {}", self.max_age.as_secs()));
        lines
    }
}

/// The id in a domain's record; `None` when there is no record, or more than one (RFC 8461 §3.1).
pub(crate) fn id_of(records: &[Vec<u8>]) -> Option<String> {
    let texts = records.iter().filter_map(|record| std::str::from_utf8(record).ok());
    let mut announced = texts
        .filter(|text| text.strip_prefix("v=STSv1").is_some_and(|rest| rest.trim_start().starts_with(';')));
    let text = announced.next().filter(|_| announced.next().is_none())?;
    let mut fields = text.split(';').filter_map(|field| field.split_once('='));
    let id = fields.find_map(|(key, value)| (key.trim() == "id").then(|| value.trim()))?;
    let is_id = (1..=ID_OCTETS_MAX).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n";

    #[test]
    fn the_policy_of_the_rfc_reads_back() {
        let policy = Policy::parse(TEXT).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, Duration::from_secs(604_800)));
        for host in ["mail.example.com", "MAIL.example.com.", "a.example.net", "backupmx.example.com"] {
            assert!(policy.has(host), "{host}");
        }
        for host in
            ["example.net", "a.b.example.net", ".example.net", "other.example.com", "mail.example.com.evil"]
        {
            assert!(!policy.has(host), "{host}");
        }
        assert_eq!(Policy::parse(&policy.lines().join("\n")), Ok(policy));
    }

    #[test]
    fn what_is_no_policy() {
        for (text, why) in [
            ("", NoPolicy::Version),
            ("mode: enforce\nversion: STSv1\nmx: a\nmax_age: 5\n", NoPolicy::Version),
            ("version: STSv2\nmode: enforce\nmx: a\nmax_age: 5\n", NoPolicy::Version),
            ("version: STSv1\nmx: a\nmax_age: 5\n", NoPolicy::Mode),
            ("version: STSv1\nmode: strict\nmx: a\nmax_age: 5\n", NoPolicy::Mode),
            ("version: STSv1\nmode: enforce\nmx: a\n", NoPolicy::MaxAge),
            ("version: STSv1\nmode: enforce\nmx: a\nmax_age: -5\n", NoPolicy::MaxAge),
            ("version: STSv1\nmode: enforce\nmax_age: 5\n", NoPolicy::Mx),
            ("version: STSv1\nmode: enforce\nmx: *\nmax_age: 5\n", NoPolicy::Mx),
            ("version: STSv1\nmode: enforce\nmx: a b\nmax_age: 5\n", NoPolicy::Mx),
        ] {
            assert_eq!(Policy::parse(text), Err(why), "{text}");
        }
        let none = Policy::parse("version: STSv1\nmode: none\nmax_age: 99999999999\n");
        assert_eq!(none, Err(NoPolicy::MaxAge), "not a number of seconds");
        let none = Policy::parse("version: STSv1\nmode: none\nunknown: x\nmax_age: 9999999999\n").unwrap();
        assert_eq!((none.mode, none.max_age), (Mode::None, MAX_AGE));
    }

    #[test]
    fn the_record_announces_one_id() {
        let id = |records: &[&str]| {
            id_of(&records.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>())
        };
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]), Some("20160831085700Z".into()));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1;id=a1"]), Some("a1".into()));
        assert_eq!(id(&["v=STSv1; id=a1", "v=STSv1; id=a2"]), None);
        for text in ["v=STSv1; id=", "v=STSv1", "v=STSv10; id=a", "v=STSv1; id=a-b", "id=a; v=STSv1"] {
            assert_eq!(id(&[text]), None, "{text}");
        }
    }
}
