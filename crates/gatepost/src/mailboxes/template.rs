//! Where a Maildir is: a path with places for the state directory, the domain and the local part.
//!
//! Invariants: what is put into a path is one component of it, never `.`, `..` or a way to another directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A path with `{state}`, `{domain}` and `{local_part}` in it; a relative one starts in the state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(String);

/// Names of the places in a template.
pub const PLACES: [&str; 3] = ["state", "domain", "local_part"];

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// There is no text.
    Empty,
    /// A brace has no partner.
    Brace,
    /// The name between braces is none of [`PLACES`].
    UnknownPlace(String),
    /// `{state}` stands elsewhere than at the start.
    StateInside,
}

impl PathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (_, brace) = rest.split_at_checked(open).ok_or(TemplateError::Brace)?;
            let (place, after) = brace
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .ok_or(TemplateError::Brace)?;
            if !PLACES.contains(&place) {
                return Err(TemplateError::UnknownPlace(place.to_owned()));
            }
            if place == "state" && (open > 0 || rest.len() < text.len()) {
                return Err(TemplateError::StateInside);
            }
            rest = after;
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether the path has a place of that name.
    #[must_use]
    pub fn names(&self, place: &str) -> bool {
        self.0.contains(&format!("{{{place}}}"))
    }

    /// The path for a mailbox.
    #[must_use]
    pub fn path(&self, state: &Path, domain: &str, local_part: &str) -> PathBuf {
        let relative = self.0.strip_prefix("{state}").map(|rest| rest.trim_start_matches('/'));
        let filled = relative
            .unwrap_or(&self.0)
            .replace("{domain}", &component(domain))
            .replace("{local_part}", &component(local_part));
        state.join(filled)
    }
}

/// `text` as one component of a path: what a file system or a shell could take for something else becomes `%XX`.
fn component(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for (offset, character) in text.char_indices() {
        let plain = character.is_alphanumeric()
            || matches!(character, '-' | '_' | '+' | '=' | '@' | '~')
            || (character == '.' && offset > 0);
        if plain {
            encoded.push(character);
        } else {
            let mut octets = [0_u8; 4];
            for octet in character.encode_utf8(&mut octets).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{octet:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, local_part: &str) -> String {
        let template = PathTemplate::parse(template).unwrap();
        template.path(Path::new("/state"), "example.org", local_part).to_string_lossy().into_owned()
    }

    #[test]
    fn the_places_are_filled() {
        assert_eq!(
            path("{state}/maildir/{domain}/{local_part}", "alice"),
            "/state/maildir/example.org/alice"
        );
        assert_eq!(path("mail/{local_part}", "alice"), "/state/mail/alice");
        assert_eq!(path("/home/{local_part}/Maildir", "alice.b"), "/home/alice.b/Maildir");
    }

    #[test]
    fn no_local_part_leaves_its_directory() {
        assert_eq!(path("m/{local_part}", "../../etc"), "/state/m/%2E.%2F..%2Fetc");
        assert_eq!(path("m/{local_part}", ".."), "/state/m/%2E.");
        assert_eq!(path("m/{local_part}", "a%2Fb c"), "/state/m/a%252Fb%20c");
        assert_eq!(path("m/{local_part}", "zoë"), "/state/m/zoë");
    }

    #[test]
    fn a_template_is_checked() {
        assert_eq!(PathTemplate::parse(""), Err(TemplateError::Empty));
        assert_eq!(PathTemplate::parse("a/{user}"), Err(TemplateError::UnknownPlace("user".into())));
        for text in ["a/{domain", "a/domain}", "{"] {
            assert_eq!(PathTemplate::parse(text), Err(TemplateError::Brace), "{text}");
        }
        assert_eq!(PathTemplate::parse("a/{state}"), Err(TemplateError::StateInside));
        assert_eq!(PathTemplate::parse("{domain}/{state}"), Err(TemplateError::StateInside));
    }
}
