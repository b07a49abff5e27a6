//! What a policy service answers: `action=` with one of the actions of access(5), and an empty line.

use crate::filters::milter::answer::enhanced;
use crate::filters::verdict::Verdict;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The first word of the action, in lower case.
    pub action: String,
    /// What it wants done.
    pub verdict: Verdict,
    /// A header field that it wants in front.
    pub prepend: Option<String>,
}

/// Octets of the answer in `wire` up to its empty line; `None` while it is not all there.
#[must_use]
pub fn end(wire: &[u8]) -> Option<usize> {
    memchr::memmem::find(wire, b"\n\n").map(|end| end + 2)
}

/// Reads an answer.
///
/// # Errors
/// It has no action, or one that is not known.
pub fn parse(wire: &[u8]) -> Result<Response, String> {
    let text = String::from_utf8_lossy(wire);
    let action = text.lines().find_map(|line| line.trim_end_matches('\r').strip_prefix("action="));
    let action = action.ok_or("it answers no action")?.trim();
    let (word, rest) = action.split_once([' ', '\t']).unwrap_or((action, ""));
    let (word, rest) = (word.to_ascii_lowercase(), rest.trim());
    let mut prepend = None;
    let refused = |word: &'static str, code: Option<u16>| {
        let (enhanced, text) = enhanced(rest);
        Verdict { code, enhanced, text: text.to_owned(), ..Verdict::of(word) }
    };
    let verdict = match word.as_str() {
        "ok" | "permit" => Verdict::of("accept"),
        "dunno" | "warn" | "info" => Verdict::of("continue"),
        "reject" => refused("reject", None),
        // As Postfix answers them (access(5)).
        "defer" | "defer_if_permit" | "defer_if_reject" => refused("tempfail", Some(450)),
        "discard" => Verdict::of("discard"),
        "hold" => Verdict { quarantine: Some(rest.to_owned()), ..Verdict::of("quarantine") },
        "prepend" if rest.contains(':') => {
            prepend = Some(rest.to_owned());
            Verdict::of("continue")
        }
        number if number.len() == 3 && matches!(number.as_bytes().first(), Some(b'4' | b'5')) => {
            let code = number.parse().map_err(|_| unknown(number))?;
            refused(if code >= 500 { "reject" } else { "tempfail" }, Some(code))
        }
        // All numeric: the client may go on.
        number if !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit()) => {
            Verdict::of("accept")
        }
        other => return Err(unknown(other)),
    };
    Ok(Response { action: word, verdict, prepend })
}

fn unknown(action: &str) -> String {
    format!("it answers an action that is not known: {}", action.escape_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(action: &str) -> Verdict {
        parse(format!("action={action}\n\n").as_bytes()).unwrap().verdict
    }

    #[test]
    fn actions_read() {
        assert_eq!(verdict("DUNNO").word, "continue");
        assert_eq!(verdict("OK").word, "accept");
        assert_eq!(verdict("12345").word, "accept");
        let greylisted = verdict("DEFER_IF_PERMIT Greylisted, see http://postgrey.example/");
        assert_eq!((greylisted.word, greylisted.code), ("tempfail", Some(450)));
        assert_eq!(greylisted.text, "Greylisted, see http://postgrey.example/");
        let refused = verdict("550 5.7.23 SPF fail");
        assert_eq!((refused.word, refused.code, refused.text.as_str()), ("reject", Some(550), "SPF fail"));
        assert_eq!(refused.enhanced.as_deref(), Some("5.7.23"));
        assert_eq!(verdict("HOLD why").quarantine.as_deref(), Some("why"));
        let response = parse(b"x=y\naction=PREPEND Received-SPF: pass\n\n").unwrap();
        assert_eq!(response.prepend.as_deref(), Some("Received-SPF: pass"));
        assert_eq!(response.action, "prepend");
    }

    #[test]
    fn what_is_no_action_is_no_answer() {
        for broken in
            ["", "\n\n", "reject\n\n", "action=\n\n", "action=FILTER smtp:x\n\n", "action=prepend x\n\n"]
        {
            assert!(parse(broken.as_bytes()).is_err(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(wire in proptest::collection::vec(any::<u8>(), 0..60), action in "\\PC{0,30}") {
            let _ = (end(&wire), parse(&wire));
            if let Ok(response) = parse(format!("action={action}\n\n").as_bytes()) {
                prop_assert!(!response.action.is_empty());
            }
        }
    }
}
