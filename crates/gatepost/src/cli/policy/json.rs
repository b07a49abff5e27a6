//! Findings, tests and rules as JSON; while `schema` stays 1, fields are only ever added.

use policy::diagnostic::{Diagnostic, Severity};
use policy::span::{SourceFile, Span};
use serde::Serialize;

/// The version of the JSON; it grows when a field changes its meaning or goes.
pub(super) const SCHEMA: u8 = 1;

/// A place in a file, line and column in characters from 1.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

/// A second place that explains the first.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Also {
    #[serde(flatten)]
    place: Place,
    label: String,
}

/// A finding.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// `error` or `warning`.
    severity: &'static str,
    title: String,
    #[serde(flatten)]
    place: Option<Place>,
    label: String,
    also: Option<Also>,
    help: Vec<String>,
}

impl Place {
    /// The place of a span.
    pub(super) fn of(span: Span, files: &[SourceFile]) -> Option<Self> {
        let file = files.get(usize::from(span.file))?;
        let ((line, column), (end_line, end_column)) =
            (file.line_and_column(span.start), file.line_and_column(span.end));
        Some(Self { file: file.name.to_string(), line, column, end_line, end_column })
    }

    /// `file:line`.
    pub(super) fn line(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl Finding {
    /// The finding as JSON has it.
    pub(super) fn of(finding: &Diagnostic, files: &[SourceFile]) -> Self {
        let also = finding.also.as_ref().and_then(|(span, label)| {
            Place::of(*span, files).map(|place| Also { place, label: label.clone() })
        });
        Self {
            severity: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            title: finding.title.clone(),
            place: Place::of(finding.span, files),
            label: finding.label.clone(),
            also,
            help: finding.help.clone(),
        }
    }
}
