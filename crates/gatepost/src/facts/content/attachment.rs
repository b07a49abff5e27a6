//! Attachments: their names as people see them, and the endings that decide what opens them.
//!
//! Invariants: a name has no control characters and none that turn the direction of writing; an ending is in lower case.
//! Uuencoded text isn't an attachment (RFC 2045 doesn't know it).

use std::sync::Arc;

use mail_parser::ContentType;

use super::NAME_CHARACTERS_MAX;

/// Names that are noted of one attachment; more than two already say that somebody plays (ours).
const NAMES_MAX: usize = 8;

/// An attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    /// Every name that it is given: programs differ in which one they take.
    pub(super) names: Vec<Arc<str>>,
    /// Every ending that one of its names may be taken to have.
    pub(super) endings: Vec<Arc<str>>,
    /// The declared type, as `application/pdf`.
    pub(super) media_type: Arc<str>,
    /// Decoded.
    pub(super) size_octets: u64,
}

impl Attachment {
    /// An attachment of the type and with the names that its fields say.
    pub(super) fn new(media_type: &str, described: &[ContentType<'_>]) -> Self {
        let mut attachment =
            Self { names: Vec::new(), endings: Vec::new(), media_type: media_type.into(), size_octets: 0 };
        for name in raw_names(described).take(NAMES_MAX) {
            let name: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
            push(&mut attachment.names, visible(&name));
            endings(&name).for_each(|ending| push(&mut attachment.endings, ending));
        }
        attachment
    }
}

fn push(list: &mut Vec<Arc<str>>, text: String) {
    if !text.is_empty() && list.iter().all(|known| **known != *text) {
        list.push(text.into());
    }
}

/// Whether a part with these fields says a file's name.
pub(super) fn has_name(described: &[ContentType<'_>]) -> bool {
    raw_names(described).next().is_some()
}

fn raw_names<'d>(described: &'d [ContentType<'_>]) -> impl Iterator<Item = &'d str> {
    let is_name = |name: &str| {
        ["filename", "name"].into_iter().any(|known| {
            // What the parser leaves of a broken RFC 2231 parameter still names the file for some programs.
            name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('*'))
        })
    };
    let attributes = described.iter().filter_map(ContentType::attributes).flatten();
    attributes.filter(move |attribute| is_name(&attribute.name)).map(|attribute| &*attribute.value)
}

/// The name as it is shown: without what can't be seen or turns the rest around.
fn visible(name: &str) -> String {
    name.chars().filter(|character| !is_hidden(*character)).collect::<String>().trim().to_owned()
}

/// Control characters, and those of Unicode's formatting characters that have no picture (UAX #9, and zero widths).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The endings of a name: of all of it, and of what stands before a NUL, where some programs stop reading.
fn endings(name: &str) -> impl Iterator<Item = String> {
    let before_nul = name.split_once('\0').map(|(before, _)| before);
    [Some(name), before_nul].into_iter().flatten().filter_map(ending)
}

/// What stands behind the last dot of a file's name. Spaces and dots at its end are none of it: Windows drops them.
fn ending(name: &str) -> Option<String> {
    let name = visible(name);
    let file = name.rsplit(['/', '\\']).next()?;
    let file = file.trim_end_matches(|character: char| character == '.' || character.is_whitespace());
    let (_, ending) = file.rsplit_once('.')?;
    Some(ending.trim().to_lowercase()).filter(|ending| !ending.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endings_of(name: &str) -> Vec<String> {
        endings(name).collect()
    }

    #[test]
    fn an_ending_is_what_opens_the_file() {
        for (name, ending) in [
            ("invoice.pdf", "pdf"),
            ("invoice.pdf.exe ", "exe"),
            ("INVOICE.EXE...", "exe"),
            ("a.b/c.js", "js"),
            ("invoice\u{202e}fdp.exe", "exe"),
            ("x.e\u{200b}xe", "exe"),
            ("x. scr", "scr"),
            (".htaccess", "htaccess"),
        ] {
            assert_eq!(endings_of(name), [ending], "{name:?}");
        }
        for name in ["", "noending", "dir.d/file", "...", "  "] {
            assert_eq!(endings_of(name), [""; 0], "{name:?}");
        }
    }

    #[test]
    fn a_nul_gives_both_endings() {
        assert_eq!(endings_of("a.exe\0.pdf"), ["pdf", "exe"]);
    }

    #[test]
    fn a_name_shows_nothing_hidden() {
        assert_eq!(visible(" gepj.\u{202e}exe\0\r\n "), "gepj.exe");
    }
}
