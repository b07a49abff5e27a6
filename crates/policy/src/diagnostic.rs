//! What is wrong with a policy: a place, what was expected there, and what may have been meant.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::span::{SourceFile, Span};

/// Whether a policy with the finding can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy works, but hardly as meant.
    Warning,
}

/// One finding in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: String,
    /// Where.
    pub span: Span,
    /// What was expected there.
    pub label: String,
    /// A second place that explains the first, and what it has to do with it.
    pub also: Option<(Span, String)>,
    /// Advice, and where the rule behind it is written.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// A finding that refuses the policy.
    #[must_use]
    pub fn error(title: impl Into<String>, span: Span, label: impl Into<String>) -> Self {
        Self::new(Severity::Error, title.into(), span, label.into())
    }

    /// A finding that leaves the policy usable.
    #[must_use]
    pub fn warning(title: impl Into<String>, span: Span, label: impl Into<String>) -> Self {
        Self::new(Severity::Warning, title.into(), span, label.into())
    }

    const fn new(severity: Severity, title: String, span: Span, label: String) -> Self {
        Self { severity, title, span, label, also: None, help: Vec::new() }
    }

    /// Adds a second place that explains the first.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    /// Adds advice, unless it is `None`.
    #[must_use]
    pub fn help(mut self, advice: impl Into<Option<String>>) -> Self {
        self.help.extend(advice.into());
        self
    }

    /// `file:line:column`.
    #[must_use]
    pub fn place(&self, files: &[SourceFile]) -> String {
        files.get(usize::from(self.span.file)).map_or_else(String::new, |file| {
            let (line, column) = file.line_and_column(self.span.start);
            format!("{}:{line}:{column}", file.name)
        })
    }

    /// The finding as a terminal shows it: title, `file:line:column`, the line, a caret and advice; coloured on demand.
    #[must_use]
    pub fn render(&self, files: &[SourceFile], coloured: bool) -> String {
        let also = self.also.as_ref().and_then(|(span, label)| excerpt(files, *span, label));
        let places: Vec<Excerpt<'_>> =
            excerpt(files, self.span, &self.label).into_iter().chain(also).collect();
        render((self.severity, &self.title), &places, &self.help, coloured)
    }
}

/// A stretch of a text, and what is to be said of it.
#[derive(Debug, Clone)]
pub struct Excerpt<'a> {
    /// The name of the text's file.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
    /// The stretch, in octets.
    pub range: Range<usize>,
    /// What is to be said of it.
    pub label: &'a str,
}

/// A finding as a terminal shows it. The first of `places` is where it is; a second one explains it.
#[must_use]
pub fn render(
    (severity, title): (Severity, &str),
    places: &[Excerpt<'_>],
    help: &[String],
    coloured: bool,
) -> String {
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut report = Group::with_title(level.primary_title(title));
    let snippet = |place: &Excerpt<'_>| Snippet::source(place.text.to_owned()).path(place.name.to_owned());
    let mark = |kind: AnnotationKind, place: &Excerpt<'_>| {
        let edge = |at: usize| place.text.floor_char_boundary(at);
        let start = edge(place.range.start);
        kind.span(start..edge(place.range.end).max(start)).label(place.label.to_owned())
    };
    if let Some(place) = places.first() {
        let mut first = snippet(place).annotation(mark(AnnotationKind::Primary, place));
        let mut elsewhere = None;
        if let Some(other) = places.get(1) {
            let context = mark(AnnotationKind::Context, other);
            if std::ptr::eq(other.text, place.text) {
                first = first.annotation(context);
            } else {
                elsewhere = Some(snippet(other).annotation(context));
            }
        }
        report = report.element(first);
        if let Some(elsewhere) = elsewhere {
            report = report.element(elsewhere);
        }
    }
    for advice in help {
        report = report.element(Level::HELP.message(advice.as_str()));
    }
    if coloured { Renderer::styled().render(&[report]) } else { Renderer::plain().render(&[report]) }
}

/// What stands at a span.
fn excerpt<'a>(files: &'a [SourceFile], span: Span, label: &'a str) -> Option<Excerpt<'a>> {
    let file = files.get(usize::from(span.file))?;
    Some(Excerpt { name: &file.name, text: &file.text, range: span.start as usize..span.end as usize, label })
}
