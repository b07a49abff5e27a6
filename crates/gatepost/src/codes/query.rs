//! Reads what the user asks about: a code, an enhanced code, a reply, or a log line with a reply in it.
//!
//! Nothing here fails on odd input: whatever is not understood is left out, and a question without any code is
//! [`None`].

use serde::Serialize;
use smtp::catalogue::Stage;
use smtp::reply::Enhanced;

/// The first and the last basic code that SMTP could know (RFC 5321 §4.2.1).
const BASIC_CODES: std::ops::RangeInclusive<u16> = 200..=599;

/// The last subject of the enhanced codes (RFC 3463 §4).
const SUBJECT_MAX: u16 = 7;

/// Words before a bare number that make it something else than a reply code.
const NOT_A_CODE_AFTER: [&str; 10] =
    ["port", "size", "after", "in", "of", "over", "pid", "line", "delay", "within"];

/// Keys whose value is a reply code.
const CODE_KEYS: [&str; 6] = ["reply=", "code=", "response=", "status=", "stat=", "smtp="];

/// Words around a reply in a log, and the stage that they betray; the first that occurs decides.
const STAGE_WORDS: [(&str, Stage); 17] = [
    ("end of data", Stage::Message),
    ("end-of-message", Stage::Message),
    ("end-of-data", Stage::Message),
    ("after data", Stage::Message),
    ("rcpt", Stage::Recipient),
    ("mail from", Stage::Mail),
    ("reject: mail", Stage::Mail),
    ("data command", Stage::Data),
    ("reject: data", Stage::Data),
    ("auth command", Stage::Auth),
    ("starttls", Stage::StartTls),
    ("vrfy", Stage::Verify),
    ("ehlo", Stage::Hello),
    ("helo", Stage::Hello),
    ("refused to talk to me", Stage::Connect),
    ("initial connection", Stage::Connect),
    ("reject: connect", Stage::Connect),
];

/// An enhanced code as asked for; without class for `X.7.1` and `7.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedEnhanced {
    /// 2, 4 or 5.
    pub class: Option<u16>,
    /// Subject and detail.
    pub code: Enhanced,
}

impl std::fmt::Display for AskedEnhanced {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Enhanced { subject, detail } = self.code;
        match self.class {
            Some(class) => write!(formatter, "{class}.{subject}.{detail}"),
            None => write!(formatter, "X.{subject}.{detail}"),
        }
    }
}

impl Serialize for AskedEnhanced {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is asked about; at least one of the codes is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Query {
    /// The basic code.
    pub code: Option<u16>,
    /// The enhanced code.
    pub enhanced: Option<AskedEnhanced>,
    /// The text of the reply, in one line.
    pub text: Option<String>,
    /// The stage that the log line names.
    #[serde(serialize_with = "super::explain::stage_name")]
    pub stage: Option<Stage>,
}

impl Query {
    /// Reads `input`; [`None`] when it holds no code.
    #[must_use]
    pub fn parse(input: &str) -> Option<Self> {
        // Exim writes the line breaks of a reply as `\n`.
        let input = input.trim().replace("\\n", "\n");
        Self::read(&input).or_else(|| {
            // qmail writes the spaces of a reply as `_` and its line breaks as `/`.
            let (_, reply) = input.split_once("_said:_")?;
            Self::read(&reply.replace('_', " ").replace('/', "\n"))
        })
    }

    fn read(input: &str) -> Option<Self> {
        if let Some(code) = two_parts(input) {
            let enhanced = Some(AskedEnhanced { class: None, code });
            return Some(Self { code: None, enhanced, text: None, stage: None });
        }
        if let Some(found) = find_basic(input) {
            let before = input.get(..found.start).unwrap_or_default();
            let after = input.get(found.end..).unwrap_or_default();
            let (text, around) = reply_text(after, found.code, found.enhanced);
            return Some(Self {
                code: Some(found.code),
                enhanced: found.enhanced.or_else(|| find_enhanced(after).or_else(|| find_enhanced(before))),
                text,
                stage: stage_of(&format!("{before} {around}")),
            });
        }
        let enhanced = find_enhanced(input)?;
        Some(Self { code: None, enhanced: Some(enhanced), text: None, stage: stage_of(input) })
    }
}

/// A basic code in a text, with the enhanced code that follows it at once.
struct FoundBasic {
    start: usize,
    end: usize,
    code: u16,
    enhanced: Option<AskedEnhanced>,
    /// How likely it is a reply code; less is likelier.
    rank: u8,
}

/// The likeliest basic code in `text`; the first of equals.
fn find_basic(text: &str) -> Option<FoundBasic> {
    text.char_indices().filter_map(|(start, _)| basic_at(text, start)).min_by_key(|found| found.rank)
}

fn basic_at(text: &str, start: usize) -> Option<FoundBasic> {
    let rest = text.get(start..)?;
    let (digits, after) = rest.split_at_checked(3)?;
    if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let code = digits.parse().ok().filter(|code| BASIC_CODES.contains(code))?;
    let mut following = after.chars();
    let ends = match following.next() {
        None => true,
        Some('.') => !following.next().is_some_and(char::is_alphanumeric),
        Some(next) => next.is_whitespace() || "-\"'`),;:#/".contains(next),
    };
    if !ends {
        return None;
    }
    let reply = after.trim_start_matches([' ', '\t', '-', ',', ';', ':', '#', '(']);
    // A reply that Python prints is a tuple with octets in it.
    let reply = reply.strip_prefix("b'").or_else(|| reply.strip_prefix("b\"")).unwrap_or(reply);
    let gap = after.len() - reply.len();
    let enhanced = after.get(gap..).and_then(enhanced_at);
    let (enhanced, length) = enhanced.map_or((None, 0), |(enhanced, length)| (Some(enhanced), gap + length));
    let rank = rank(text.get(..start)?, enhanced.is_some())?;
    Some(FoundBasic { start, end: start + 3 + length, code, enhanced, rank })
}

/// How likely a number after `before` is a reply code; [`None`] when it is none.
fn rank(before: &str, has_enhanced: bool) -> Option<u8> {
    let Some(previous) = before.chars().next_back() else { return Some(u8::from(!has_enhanced)) };
    let lower = before.to_ascii_lowercase();
    let plain = match previous {
        '"' | '\'' | '`' | '(' | '[' | '#' | '<' | '\n' => 2,
        // A Diagnostic-Code without the space that most write (RFC 3464 §2.3.6).
        ';' if lower.ends_with("smtp;") => 2,
        '=' if CODE_KEYS.iter().any(|key| lower.ends_with(key)) => 2,
        _ if previous.is_whitespace() => {
            let lower = lower.trim_end();
            let word = lower.rsplit(char::is_whitespace).next().unwrap_or_default();
            if lower.ends_with([':', ';']) {
                2
            } else if NOT_A_CODE_AFTER.contains(&word) {
                return None;
            } else {
                3
            }
        }
        _ => return None,
    };
    Some(if has_enhanced { 0 } else { plain })
}

/// The likeliest enhanced code in `text`: one that a key names, else the first.
fn find_enhanced(text: &str) -> Option<AskedEnhanced> {
    text.char_indices()
        .filter_map(|(start, _)| {
            let before = text.get(..start)?;
            let previous = before.chars().next_back();
            if previous.is_some_and(|previous| previous.is_alphanumeric() || ".-_@/".contains(previous)) {
                return None;
            }
            let (enhanced, _) = enhanced_at(text.get(start..)?)?;
            let named = before.ends_with('#') || before.ends_with("dsn=") || before.ends_with("Status: ");
            // A subject that doesn't exist is a version number, unless it is all that was asked.
            let exists = enhanced.code.subject <= SUBJECT_MAX;
            (named || exists || start == 0).then_some((u8::from(!named), enhanced))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, enhanced)| enhanced)
}

/// The enhanced code at the start of `text`, and its length.
fn enhanced_at(text: &str) -> Option<(AskedEnhanced, usize)> {
    let class = match text.chars().next()? {
        'X' | 'x' => None,
        digit @ ('2' | '4' | '5') => digit.to_digit(10).and_then(|digit| u16::try_from(digit).ok()),
        _ => return None,
    };
    let (subject, rest) = number(text.get(1..)?.strip_prefix('.')?)?;
    let (detail, rest) = number(rest.strip_prefix('.')?)?;
    let mut following = rest.chars();
    let ends = match following.next() {
        Some('.') => !following.next().is_some_and(char::is_alphanumeric),
        next => !next.is_some_and(char::is_alphanumeric),
    };
    ends.then(|| (AskedEnhanced { class, code: Enhanced::new(subject, detail) }, text.len() - rest.len()))
}

/// A number of one to three digits, and what follows it (RFC 3463 §2).
fn number(text: &str) -> Option<(u16, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=3).contains(&length) {
        return None;
    }
    let (digits, rest) = text.split_at_checked(length)?;
    Some((digits.parse().ok()?, rest))
}

/// `7.1`, and nothing else.
fn two_parts(text: &str) -> Option<Enhanced> {
    let (subject, rest) = number(text)?;
    let (detail, rest) = number(rest.strip_prefix('.')?)?;
    rest.is_empty().then(|| Enhanced::new(subject, detail))
}

/// The text of the reply in what follows its codes, and what the log adds behind it.
fn reply_text(after: &str, code: u16, enhanced: Option<AskedEnhanced>) -> (Option<String>, &str) {
    let end = ["(in reply to", "; from=<", "; proto=", " (in reply"]
        .iter()
        .filter_map(|mark| after.find(mark))
        .min()
        .unwrap_or(after.len());
    let (text, around) = after.split_at_checked(end).unwrap_or((after, ""));
    let mut text = text.to_owned();
    if let Some(enhanced) = enhanced {
        for separator in ['-', ' '] {
            text = text.replace(&format!("{code}{separator}{enhanced}"), " ");
        }
    }
    text = text.replace(&format!("{code}-"), " ").replace(&format!("\n{code} "), " ");
    // A reply is a stranger's text: no control character of it may reach the terminal.
    let text = text.replace(char::is_control, " ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = text.trim_matches(['"', '\'', '`', '-', ' ', ':', ';', ',']);
    if text.starts_with("b'") || text.starts_with("b\"") {
        text = text.get(2..).unwrap_or(text);
    }
    for (opening, closing) in [('{', '}'), ('(', ')'), ('[', ']')] {
        while text.ends_with(closing) && text.matches(closing).count() > text.matches(opening).count() {
            text = text.strip_suffix(closing).unwrap_or(text).trim_end_matches(['"', '\'', ' ']);
        }
    }
    ((!text.is_empty()).then(|| text.to_owned()), around)
}

fn stage_of(around: &str) -> Option<Stage> {
    let around = around.to_ascii_lowercase();
    STAGE_WORDS.iter().find(|(words, _)| around.contains(words)).map(|(_, stage)| *stage)
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
