//! What is wrong with a configuration: a place, what was expected there, and what may have been meant.
//!
//! Invariants: a problem holds the text that it points into, so it can be shown long after the file has changed.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use policy::diagnostic::Severity;
use policy::diagnostic::{self, Excerpt};
pub use policy::span::SourceFile;

/// A stretch of a [`SourceFile`], in octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    source: Arc<SourceFile>,
    span: Range<usize>,
}

impl Place {
    /// The stretch `span` of `source`, cut to its text.
    #[must_use]
    pub fn new(source: &Arc<SourceFile>, span: Range<usize>) -> Self {
        let end = span.end.min(source.text.len());
        Self { source: Arc::clone(source), span: span.start.min(end)..end }
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line_and_column().0
    }

    /// The column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.line_and_column().1
    }

    /// The text there.
    pub(super) fn text(&self) -> &str {
        self.source.text.get(self.span.clone()).unwrap_or_default()
    }

    fn line_and_column(&self) -> (usize, usize) {
        self.source.line_and_column(u32::try_from(self.span.start).unwrap_or(u32::MAX))
    }

    fn order(&self) -> (&str, usize) {
        (&self.source.name, self.span.start)
    }
}

impl fmt::Display for Place {
    /// `file:line:column`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_and_column();
        write!(formatter, "{}:{line}:{column}", self.file())
    }
}

/// One finding in a configuration or a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    severity: Severity,
    title: String,
    place: Place,
    label: String,
    also: Option<(Place, String)>,
    help: Vec<String>,
}

impl Problem {
    /// A problem that refuses the configuration: `title` says what is wrong, `label` what was expected at `place`.
    #[must_use]
    pub fn error(title: impl Into<String>, place: Place, label: impl Into<String>) -> Self {
        Self::new(Severity::Error, title.into(), place, label.into())
    }

    /// A problem that leaves the configuration usable.
    #[must_use]
    pub fn warning(title: impl Into<String>, place: Place, label: impl Into<String>) -> Self {
        Self::new(Severity::Warning, title.into(), place, label.into())
    }

    /// The same, but the configuration stays usable.
    pub(super) fn into_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    fn new(severity: Severity, title: String, place: Place, label: String) -> Self {
        Self { severity, title, place, label, also: None, help: Vec::new() }
    }

    /// Adds a second place that explains the first.
    #[must_use]
    pub fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also = Some((place, label.into()));
        self
    }

    /// Adds advice, unless it is `None`.
    #[must_use]
    pub fn help(mut self, advice: impl Into<Option<String>>) -> Self {
        self.help.extend(advice.into());
        self
    }

    /// How grave it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The problem as a terminal shows it: title, `file:line:column`, the line, a caret and advice; coloured on demand.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let places: Vec<Excerpt<'_>> = std::iter::once((&self.place, &self.label))
            .chain(self.also.as_ref().map(|(place, label)| (place, label)))
            // Of a file that could not be read there is no text to point into.
            .filter(|(place, label)| !(label.is_empty() && place.source.text.is_empty()))
            .map(|(place, label)| Excerpt {
                name: &place.source.name,
                text: &place.source.text,
                range: place.span.clone(),
                label,
            })
            .collect();
        diagnostic::render((self.severity, &self.title), &places, &self.help, coloured)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

/// Sorts problems by file and place, and drops repetitions.
pub(super) fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|one, other| one.place.order().cmp(&other.place.order()));
    problems.dedup();
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Arc<SourceFile> {
        Arc::new(SourceFile { name: "site.toml".into(), text: "one = 1\nzwölf = 12\nthree = 3\n".into() })
    }

    #[test]
    fn a_place_counts_characters_from_one() {
        let place = Place::new(&source(), 17..19);
        assert_eq!(place.to_string(), "site.toml:2:9");
        assert_eq!(Place::new(&source(), 0..3).to_string(), "site.toml:1:1");
        assert_eq!(Place::new(&source(), 900..901).line(), 4);
    }

    #[test]
    fn a_rendering_has_the_place_the_line_the_caret_and_the_advice() {
        let problem = Problem::error("unknown key `zwölf`", Place::new(&source(), 8..14), "not a key here")
            .help("did you mean `zwo`?".to_owned());
        let text = problem.to_string();
        for part in ["site.toml:2:1", "zwölf = 12", "^^^^^ not a key here", "help: did you mean `zwo`?"] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(problem.render(true).contains('\u{1b}') && !text.contains('\u{1b}'));
    }
}
