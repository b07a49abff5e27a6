//! What is wrong with a policy: a place, what was expected there, and what may have been meant.

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
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut report = Group::with_title(level.primary_title(self.title.as_str()));
        let primary = |range| AnnotationKind::Primary.span(range).label(self.label.as_str());
        if let Some((file, range)) = stretch(files, self.span) {
            let mut snippet = snippet(file).annotation(primary(range));
            let mut elsewhere = None;
            if let Some((span, label)) = &self.also
                && let Some((other, range)) = stretch(files, *span)
            {
                let context = AnnotationKind::Context.span(range).label(label.as_str());
                if span.file == self.span.file {
                    snippet = snippet.annotation(context);
                } else {
                    elsewhere = Some(self::snippet(other).annotation(context));
                }
            }
            report = report.element(snippet);
            if let Some(elsewhere) = elsewhere {
                report = report.element(elsewhere);
            }
        }
        for advice in &self.help {
            report = report.element(Level::HELP.message(advice.as_str()));
        }
        if coloured { Renderer::styled().render(&[report]) } else { Renderer::plain().render(&[report]) }
    }
}

/// The file of a span, and the span cut to the file's text at the edges of characters.
fn stretch(files: &[SourceFile], span: Span) -> Option<(&SourceFile, std::ops::Range<usize>)> {
    let file = files.get(usize::from(span.file))?;
    let edge = |at: u32| file.text.floor_char_boundary(at as usize);
    let start = edge(span.start);
    Some((file, start..edge(span.end).max(start)))
}

fn snippet(file: &SourceFile) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(&*file.text).path(&*file.name)
}
