//! From a policy's text to the same text well laid out.
//!
//! Only blanks and ends of lines change: every token and every comment stays, in its order. Laying out twice changes
//! nothing more. Within a statement the writer's own line breaks stay where a line may end: behind a comma and before
//! `and`, `or` and `when`.

mod statement;

use super::parser::{self, LineKind};
use crate::diagnostic::Diagnostic;
use statement::{Break, Statement};

/// Longest line that is not broken, in characters.
const WIDTH: usize = 100;

/// The text well laid out: four blanks a level, one blank line between rules, the `=` of neighbouring declarations below
/// each other.
///
/// # Errors
/// What is wrong with the text, which is then left alone.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let parsed = parser::parse(0, text);
    if !parsed.findings.is_empty() {
        return Err(parsed.findings);
    }
    let mut statements = statement::statements(text, &parsed);
    align(&mut statements);
    let mut out = Output::default();
    let mut last: Option<LineKind> = None;
    for statement in &statements {
        out.statement(statement, last);
        last = Some(statement.kind);
    }
    Ok(out.text)
}

/// The blanks before a statement of that kind, and before the lines on which it goes on.
const fn indents(kind: LineKind) -> (usize, usize) {
    match kind {
        LineKind::Declaration | LineKind::Block | LineKind::Close | LineKind::End => (0, 4),
        LineKind::Rule => (4, 12),
        LineKind::Use | LineKind::Setting => (4, 8),
        LineKind::Action => (8, 12),
    }
}

/// Whether a blank line stands between two statements: always, never, or as the writer wants.
const fn blank_between(last: Option<LineKind>, next: LineKind) -> Option<bool> {
    match (last, next) {
        (None | Some(LineKind::Block), _) | (_, LineKind::Action | LineKind::Close) => Some(false),
        (Some(LineKind::Use), LineKind::Use) => None,
        (_, LineKind::Block | LineKind::Rule | LineKind::Use) | (Some(LineKind::Close), _) => Some(true),
        _ => None,
    }
}

/// Puts the names and the `=` of declarations that follow each other without a blank line below each other.
fn align(statements: &mut [Statement]) {
    let mut rest = statements;
    while !rest.is_empty() {
        let follows = |statement: &Statement| statement.head.is_some() && !statement.has_blank_line();
        let first = usize::from(rest.first().is_some_and(|statement| statement.head.is_some()));
        let count =
            first + rest.iter().skip(1).take_while(|statement| first == 1 && follows(statement)).count();
        let (group, others) = rest.split_at_mut(count.max(1));
        let width = |of: fn(&(String, String)) -> &String| {
            group.iter().filter_map(|one| one.head.as_ref()).map(|head| of(head).len()).max().unwrap_or(0)
        };
        let (word, name) = (width(|head| &head.0), width(|head| &head.1));
        for statement in group {
            statement.put_head(word, name);
        }
        rest = others;
    }
}

#[derive(Default)]
struct Output {
    text: String,
}

impl Output {
    fn line(&mut self, indent: usize, text: &str) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn statement(&mut self, statement: &Statement, last: Option<LineKind>) {
        let (indent, further) = indents(statement.kind);
        let closes = statement.kind == LineKind::Close;
        let wanted = blank_between(last, statement.kind);
        let keeps = statement.kind != LineKind::Action;
        for (place, comment) in statement.comments.iter().enumerate() {
            // The last comment of a block may stand apart from the rule before it.
            let before = if closes && last != Some(LineKind::Block) { None } else { wanted };
            let blank = if place == 0 { before.unwrap_or(comment.blank) } else { keeps && comment.blank };
            self.blank_line(blank);
            self.line(if closes { indents(LineKind::Rule).0 } else { indent }, &comment.text);
        }
        let own = statement.blank && keeps && !closes;
        let blank = if statement.comments.is_empty() { wanted.unwrap_or(own) } else { own };
        self.blank_line(blank && statement.kind != LineKind::End);
        self.chunks(statement, indent, further);
    }

    fn blank_line(&mut self, wanted: bool) {
        if wanted {
            self.text.push('\n');
        }
    }

    fn chunks(&mut self, statement: &Statement, indent: usize, further: usize) {
        let mut line = String::new();
        let mut at = indent;
        let mut flows = false;
        for chunk in &statement.chunks {
            let long = at + line.chars().count() + 1 + chunk.text.chars().count() > WIDTH;
            // Behind a line that was too long, the rest of a list flows anew.
            let breaks = match chunk.before {
                Break::Always => true,
                Break::Kept => long || !flows,
                Break::WhenLong => long,
                Break::Never => false,
            };
            flows &= matches!(chunk.before, Break::Kept | Break::WhenLong);
            flows |= long && chunk.before == Break::WhenLong;
            if breaks && !line.is_empty() {
                self.line(at, &line);
                line.clear();
                at = if chunk.text.starts_with('}') { indent } else { further };
            }
            for comment in &chunk.comments {
                self.line(further, comment);
            }
            if !line.is_empty() && chunk.blank {
                line.push(' ');
            }
            line.push_str(&chunk.text);
            if let Some(comment) = &chunk.trailing {
                line.push_str("  ");
                line.push_str(comment);
            }
        }
        if !line.is_empty() {
            self.line(at, &line);
        }
    }
}
