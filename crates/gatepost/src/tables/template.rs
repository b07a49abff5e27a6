//! Texts with places for a key: queries of databases, and filters of LDAP.
//!
//! Invariants: a key never becomes part of a query's text; a place stands outside quotation marks, where it can be bound.

use std::borrow::Cow;

/// Names of places: the key, what stands before its last `@`, and what stands behind it.
pub const PLACEHOLDERS: [&str; 4] = ["address", "key", "local_part", "domain"];

/// What stands for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    Key,
    LocalPart,
    Domain,
}

impl Placeholder {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "address" | "key" => Self::Key,
            "local_part" => Self::LocalPart,
            "domain" => Self::Domain,
            _ => return None,
        })
    }

    /// What stands there for `key`. Of a key without an `@` every part is the whole.
    pub(super) fn value(self, key: &str) -> &str {
        match (self, key.rsplit_once('@')) {
            (Self::LocalPart, Some((local_part, _))) => local_part,
            (Self::Domain, Some((_, domain))) => domain,
            (Self::Key, _) | (Self::LocalPart | Self::Domain, None) => key,
        }
    }
}

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Placeholder),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The part that is wrong: octets of the text.
    pub span: std::ops::Range<usize>,
    /// What is wrong with it.
    pub mistake: TemplateMistake,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateMistake {
    /// No place has this name.
    Unknown(String),
    /// The place stands in quotation marks, where it would be text.
    Quoted(String),
    /// No place stands in it: every key would have the same answer.
    NoPlace,
}

impl Template {
    /// A query in SQL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn sql(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text, true)
    }

    /// A filter of LDAP.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn filter(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text, false)
    }

    fn parse(text: &str, has_quotes: bool) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut quote: Option<char> = None;
        let mut rest = text.char_indices();
        while let Some((start, character)) = rest.next() {
            if has_quotes && matches!(character, '\'' | '"' | '`') {
                quote = match quote {
                    None => Some(character),
                    Some(open) if open == character => None,
                    open => open,
                };
            }
            let name = (character == '{').then(|| place_name(text, start)).flatten();
            let Some(name) = name else {
                plain.push(character);
                continue;
            };
            let span = start..start + name.len() + 2;
            let placeholder = Placeholder::named(name);
            match (placeholder, quote) {
                (None, Some(_)) => plain.push(character),
                (None, None) => {
                    return Err(TemplateError { span, mistake: TemplateMistake::Unknown(name.to_owned()) });
                }
                (Some(_), Some(_)) => {
                    return Err(TemplateError { span, mistake: TemplateMistake::Quoted(name.to_owned()) });
                }
                (Some(placeholder), None) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Place(placeholder));
                    // The name and the closing brace.
                    let skipped = name.chars().count();
                    rest.nth(skipped);
                }
            }
        }
        if pieces.is_empty() {
            return Err(TemplateError { span: 0..text.len(), mistake: TemplateMistake::NoPlace });
        }
        pieces.push(Piece::Text(plain));
        Ok(Self { pieces })
    }

    /// The text with `mark` in each place, counted from 1, and what is bound there, in this order.
    pub(super) fn with_marks(&self, mark: impl Fn(usize) -> String) -> (String, Vec<Placeholder>) {
        let (mut text, mut bound) = (String::new(), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Place(placeholder) => {
                    bound.push(*placeholder);
                    text.push_str(&mark(bound.len()));
                }
            }
        }
        (text, bound)
    }

    /// The text for `key`, every value passed through `escape`.
    pub(super) fn filled(&self, key: &str, escape: impl Fn(&str) -> Cow<'_, str>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Place(placeholder) => text.push_str(&escape(placeholder.value(key))),
            }
        }
        text
    }
}

/// The name between the brace at `start` and the next closing one, when it looks like a name.
fn place_name(text: &str, start: usize) -> Option<&str> {
    let behind = text.get(start + 1..)?;
    let name = behind.get(..behind.find('}')?)?;
    let is_name = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    (!name.is_empty() && name.bytes().all(is_name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(text: &str) -> (String, Vec<Placeholder>) {
        Template::sql(text).unwrap().with_marks(|number| format!("${number}"))
    }

    #[test]
    fn a_query_has_marks_where_a_key_is_bound() {
        let (text, bound) = numbered(
            "SELECT a FROM t WHERE d = {domain} AND l={local_part} OR '{}' = k AND {key} = {address}",
        );
        assert_eq!(text, "SELECT a FROM t WHERE d = $1 AND l=$2 OR '{}' = k AND $3 = $4");
        let values: Vec<&str> = bound.iter().map(|place| place.value("a@b@x.example")).collect();
        assert_eq!(values, ["x.example", "a@b", "a@b@x.example", "a@b@x.example"]);
        assert!(bound.iter().all(|place| place.value("x.example") == "x.example"), "no part without an @");
    }

    #[test]
    fn a_place_that_can_not_be_bound_is_refused() {
        let mistake = |text: &str| {
            let error = Template::sql(text).unwrap_err();
            (text[error.span].to_owned(), error.mistake)
        };
        let quoted = |name: &str| TemplateMistake::Quoted(name.into());
        assert_eq!(mistake("SELECT '{address}'"), ("{address}".into(), quoted("address")));
        assert_eq!(mistake("SELECT 'it''s {key}'"), ("{key}".into(), quoted("key")));
        assert_eq!(mistake("SELECT \"{domain}\""), ("{domain}".into(), quoted("domain")));
        assert_eq!(
            mistake("SELECT {adress}"),
            ("{adress}".into(), TemplateMistake::Unknown("adress".into()))
        );
        assert_eq!(mistake("SELECT 1").1, TemplateMistake::NoPlace);
        assert_eq!(mistake("SELECT '{\"a\":1}'").1, TemplateMistake::NoPlace);
        assert!(Template::sql("SELECT 'it''s' || {key}").is_ok());
    }

    #[test]
    fn a_filter_is_filled_with_what_is_escaped() {
        let filter = Template::filter("(|(mail={address})(uid={local_part}))").unwrap();
        let filled = filter.filled("é*)(@x.example", |value| ldap3::ldap_escape(value));
        assert_eq!(filled, "(|(mail=é\\2a\\29\\28@x.example)(uid=é\\2a\\29\\28))");
    }
}
