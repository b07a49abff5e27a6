//! A text cut into statements, and those into chunks between which a line may end.

use crate::syntax::lexer::{Comment, Kind, Token};
use crate::syntax::parser::{LineKind, Parsed};

/// What begins on a line of its own.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) kind: LineKind,
    /// The comments before it, each on a line of its own.
    pub(super) comments: Vec<OwnComment>,
    /// Whether a blank line stands right before it.
    pub(super) blank: bool,
    /// What it declares it with, and the name: `shadow dnsbl` and `zen`. The first chunk goes on behind them.
    pub(super) head: Option<(String, String)>,
    pub(super) chunks: Vec<Chunk>,
}

/// A comment on a line of its own.
#[derive(Debug)]
pub(super) struct OwnComment {
    pub(super) text: String,
    /// Whether a blank line stands before it.
    pub(super) blank: bool,
}

/// A stretch of a statement that stays on one line.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) text: String,
    /// Whether a line ends before it.
    pub(super) before: Break,
    /// Whether a blank stands before it when none does.
    pub(super) blank: bool,
    /// Comments before it, within the statement.
    pub(super) comments: Vec<String>,
    /// A comment behind it, which ends the line.
    pub(super) trailing: Option<String>,
}

/// Whether a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    Always,
    /// Behind a comma, where the writer ended the line.
    Kept,
    WhenLong,
    Never,
}

impl Statement {
    fn new(kind: LineKind, comments: Vec<OwnComment>, blank: bool) -> Self {
        Self { kind, comments, blank, head: None, chunks: Vec::new() }
    }

    /// Whether a blank line parts it from what stands before.
    pub(super) fn has_blank_line(&self) -> bool {
        self.blank || self.comments.iter().any(|comment| comment.blank)
    }

    /// Puts word and name in front, filled up to those widths.
    pub(super) fn put_head(&mut self, word_width: usize, name_width: usize) {
        if let Some((word, name)) = self.head.take()
            && let Some(first) = self.chunks.first_mut()
        {
            first.text = format!("{word:word_width$} {name:name_width$} {}", first.text);
        }
    }

    fn last(&mut self) -> Option<&mut Chunk> {
        self.chunks.last_mut()
    }
}

/// Cuts the text into statements; the last one, [`LineKind::End`], has the comments behind all others.
pub(super) fn statements(text: &str, parsed: &Parsed) -> Vec<Statement> {
    let mut cutter =
        Cutter { text, statements: Vec::new(), own: Vec::new(), end: 0, previous: None, parentheses: 0 };
    let mut comments = parsed.comments.iter().peekable();
    let mut lines = parsed.lines.iter().peekable();
    for (place, token) in parsed.tokens.iter().enumerate() {
        while let Some(comment) = comments.next_if(|comment| comment.span.start < token.span.start) {
            cutter.comment(comment);
        }
        if token.kind == Kind::End {
            for comment in comments.by_ref() {
                cutter.comment(comment);
            }
            cutter.begin(LineKind::End, token);
            break;
        }
        if let Some(line) = lines.next_if(|line| line.at == token.span.start) {
            cutter.begin(line.kind, token);
        }
        cutter.token(token, parsed.tokens.get(place + 1));
    }
    cutter.statements
}

struct Cutter<'t> {
    text: &'t str,
    statements: Vec<Statement>,
    /// Comments that belong to what comes next.
    own: Vec<OwnComment>,
    /// The octet behind the last token or comment.
    end: usize,
    /// The last token of the present statement.
    previous: Option<Token>,
    /// How many parentheses and inner braces are open.
    parentheses: usize,
}

impl<'t> Cutter<'t> {
    fn letters(&self, token: &Token) -> &'t str {
        self.text.get(token.span.start as usize..token.span.end as usize).unwrap_or_default()
    }

    /// Whether a blank line stands between what was taken last and `start`.
    fn blank_before(&self, start: u32) -> bool {
        let between = self.text.get(self.end..start as usize).unwrap_or_default();
        between.bytes().filter(|octet| *octet == b'\n').count() > 1
    }

    fn comment(&mut self, comment: &Comment) {
        let blank = self.blank_before(comment.span.start);
        let text = self.text.get(comment.span.start as usize..comment.span.end as usize).unwrap_or_default();
        self.end = comment.span.end as usize;
        let chunk = self.statements.last_mut().and_then(Statement::last);
        match chunk {
            Some(chunk) if !comment.first => chunk.trailing = Some(text.to_owned()),
            _ => self.own.push(OwnComment { text: text.to_owned(), blank }),
        }
    }

    fn begin(&mut self, kind: LineKind, token: &Token) {
        let blank = self.blank_before(token.span.start);
        let comments = std::mem::take(&mut self.own);
        self.statements.push(Statement::new(kind, comments, blank));
        self.previous = None;
        self.parentheses = 0;
    }

    fn token(&mut self, token: &Token, next: Option<&Token>) {
        self.end = token.span.end as usize;
        let letters = self.letters(token);
        let (previous, depth) = (self.previous.replace(*token), self.parentheses);
        match token.kind {
            Kind::LeftParenthesis | Kind::LeftBrace => self.parentheses += 1,
            Kind::RightParenthesis | Kind::RightBrace => self.parentheses = depth.saturating_sub(1),
            _ => {}
        }
        let before = previous.map_or(Break::Never, |previous| self.may_break(&previous, token, next));
        let blank = previous.is_none_or(|previous| self.parted(&previous, token));
        let comments: Vec<String> = self.own.drain(..).map(|comment| comment.text).collect();
        let Some(statement) = self.statements.last_mut() else { return };
        // A declaration's `=` ends its head, whose words are held back to be aligned.
        if statement.kind == LineKind::Declaration
            && token.kind == Kind::Equals
            && statement.head.is_none()
            && let [only] = statement.chunks.as_slice()
            && only.trailing.is_none()
            && comments.is_empty()
            && let Some((word, name)) = only.text.rsplit_once(' ')
        {
            statement.head = Some((word.to_owned(), name.to_owned()));
            statement.chunks.clear();
        }
        let forced = !comments.is_empty() || statement.last().is_some_and(|chunk| chunk.trailing.is_some());
        match statement.last() {
            Some(chunk) if !forced && before == Break::Never => {
                if blank {
                    chunk.text.push(' ');
                }
                chunk.text.push_str(letters);
            }
            _ => {
                let before = if forced { Break::Always } else { before };
                let text = letters.to_owned();
                statement.chunks.push(Chunk { text, before, blank, comments, trailing: None });
            }
        }
    }

    /// Whether a line ends between two tokens of a statement.
    fn may_break(&self, previous: &Token, token: &Token, next: Option<&Token>) -> Break {
        let kept = |first: bool| if first { Break::Always } else { Break::Never };
        let Some(kind) = self.statements.last().map(|statement| statement.kind) else { return Break::Never };
        let word =
            |token: &Token, words: &[&str]| token.kind == Kind::Word && words.contains(&self.letters(token));
        match (previous.kind, token.kind) {
            (Kind::Comma, Kind::Word) if matches!(kind, LineKind::Setting | LineKind::Block) => Break::Never,
            (Kind::Comma, _) if token.first => Break::Kept,
            (Kind::Comma, _) => Break::WhenLong,
            _ if word(token, &["and", "or"]) && matches!(kind, LineKind::Rule | LineKind::Declaration) => {
                // A line that ended behind the word ends before it from now on.
                let first = token.first || next.is_some_and(|next| next.first);
                if first { Break::Always } else { Break::WhenLong }
            }
            _ if word(token, &["when"]) && kind == LineKind::Rule => kept(token.first),
            (Kind::Equals | Kind::LeftBrace, _) | (_, Kind::RightBrace) if kind == LineKind::Declaration => {
                kept(token.first)
            }
            (Kind::LeftParenthesis, _) | (_, Kind::RightParenthesis) => kept(token.first),
            _ => Break::Never,
        }
    }

    /// Whether a blank stands between two tokens on a line.
    fn parted(&self, previous: &Token, token: &Token) -> bool {
        let fact = previous.kind == Kind::Word && self.letters(previous).contains('.');
        match (previous.kind, token.kind) {
            (Kind::LeftParenthesis | Kind::Range, _)
            | (_, Kind::RightParenthesis | Kind::Comma | Kind::Range) => false,
            (_, Kind::LeftParenthesis) => !fact,
            _ => true,
        }
    }
}
