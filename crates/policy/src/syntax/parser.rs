//! From tokens to the tree, by recursive descent.
//!
//! Every loop takes a token or ends, and nothing is read twice. Behind a mistake reading goes on at the next line that
//! begins what can stand there.

mod answer;
mod condition;
mod cursor;
mod declaration;
mod literal;
mod stage;
mod trial;

use super::ast::{File, GivenFact, Item};
use super::lexer::{self, Comment, Kind, Token};
use super::{limits, words};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::span::Span;

/// What came of a text: the tree, the findings, and what the formatter goes by.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) tree: File,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment>,
    /// The first octets of what begins a line, in the order of the text.
    pub(super) lines: Vec<Line>,
}

/// A place where a well laid out text begins a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) at: u32,
    pub(super) kind: LineKind,
}

/// What begins a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    /// A declaration of one statement, at the margin.
    Declaration,
    /// A block with braces, at the margin.
    Block,
    /// A rule, within a block.
    Rule,
    /// `use` with its name, within a block.
    Use,
    /// An action or `unsure` arm of a rule.
    Action,
    /// A setting, a fact or an expectation within a block.
    Setting,
    /// The brace that closes a block at the margin.
    Close,
    /// The end of the text.
    End,
}

/// Something was reported already.
#[derive(Debug, Clone, Copy)]
struct Reported;

type Outcome<T> = Result<T, Reported>;

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    /// The next token.
    at: usize,
    findings: Vec<Diagnostic>,
    /// How deep the condition that is being read is nested.
    nesting: usize,
    lines: Vec<Line>,
}

/// Reads a whole text.
pub(super) fn parse(file: u16, text: &str) -> Parsed {
    if text.len() > limits::FILE_OCTETS {
        let label = format!("expected at most {} octets, here are {}", limits::FILE_OCTETS, text.len());
        let advice =
            String::from("put long lists into files of their own: names blocked = file \"blocked.txt\"");
        let finding = Diagnostic::error("the file is too long", Span { file, start: 0, end: 0 }, label);
        return Parsed { findings: vec![finding.help(advice)], ..Parsed::default() };
    }
    let lexer::Tokens { tokens, comments, findings } = lexer::tokens(file, text);
    let mut parser = Parser { text, tokens, at: 0, findings, nesting: 0, lines: Vec::new() };
    let mut tree = File::default();
    while parser.kind() != Kind::End && parser.findings.len() <= limits::FINDINGS {
        let before = parser.at;
        parser.items(&mut tree.items);
        if parser.at == before {
            parser.at += 1;
        }
    }
    let findings = bounded(parser.findings);
    Parsed { tree, findings, tokens: parser.tokens, comments, lines: parser.lines }
}

/// Reads facts and their values alone, as they stand in the block of `given`.
pub(super) fn parse_facts(file: u16, text: &str) -> (Vec<GivenFact>, Vec<Diagnostic>) {
    if text.len() > limits::FILE_OCTETS {
        let label = format!("expected at most {} octets, here are {}", limits::FILE_OCTETS, text.len());
        let span = Span { file, start: 0, end: 0 };
        return (Vec::new(), vec![Diagnostic::error("the file is too long", span, label)]);
    }
    let lexer::Tokens { tokens, findings, .. } = lexer::tokens(file, text);
    let mut parser = Parser { text, tokens, at: 0, findings, nesting: 0, lines: Vec::new() };
    let mut facts = Vec::new();
    while parser.kind() != Kind::End && parser.findings.len() <= limits::FINDINGS {
        facts.extend(parser.lone_fact());
    }
    (facts, bounded(parser.findings))
}

/// At most [`limits::FINDINGS`], in the order of the text.
fn bounded(mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if findings.len() > limits::FINDINGS {
        findings.truncate(limits::FINDINGS);
        if let Some(last) = findings.last_mut() {
            last.help.push(String::from("there are more mistakes; reading stopped here"));
        }
    }
    findings.sort_by_key(|finding| finding.span.start);
    findings
}

impl Parser<'_> {
    /// Reads an item at the top of the file, or reports what stands there and passes over it.
    fn items(&mut self, items: &mut Vec<Item>) {
        match self.item() {
            Ok(Some(item)) => items.push(item),
            Ok(None) => {}
            Err(Reported) => self.pass_over_item(),
        }
    }

    fn item(&mut self) -> Outcome<Option<Item>> {
        let token = self.token();
        let Some(written) = self.word() else { return Err(self.no_item()) };
        let word = self.item_word(written);
        self.begin(match word {
            "at" | "given" | "test" | "greylist" => LineKind::Block,
            _ => LineKind::Declaration,
        });
        Ok(Some(match word {
            "include" => {
                self.bump();
                let file = self.text("the file to include, in quotes")?;
                self.statement_ends("the end of the line")?;
                Item::Include(file)
            }
            "networks" | "names" | "patterns" => Item::List(self.list(word)?),
            "shadow" | "dnsbl" | "dnswl" | "rhsbl" | "table" | "rate" | "milter" | "service" | "clamav"
            | "rspamd" => Item::Source(self.source(word)?),
            "greylist" => Item::Greylist(self.greylist()?),
            "define" => Item::Define(self.define()?),
            "reply" => Item::Reply(self.reply()?),
            "at" => Item::Stage(self.stage_block()?),
            "given" => Item::Given(self.given()?),
            "test" => Item::Test(self.test()?),
            "rule" | "observe" | "use" => {
                let advice = String::from("write it into the block of a stage: at recipient { ... }");
                let title = format!("`{word}` stands outside of a stage");
                self.find(
                    Diagnostic::error(title, token.span, "expected inside of `at STAGE { ... }`")
                        .help(advice),
                );
                // Its own mistakes are found all the same.
                return self.entry().map(|_| None);
            }
            _ => return Err(self.no_item()),
        }))
    }

    /// The word for what begins here: the one written, or the one that was meant, which is reported.
    fn item_word<'w>(&mut self, written: &'w str) -> &'w str {
        let known = || words::ITEMS.into_iter().chain(words::TRIALS).chain(words::ENTRIES);
        if known().any(|word| word == written) {
            return written;
        }
        let familiar = match written.to_ascii_lowercase().as_str() {
            "list" | "lists" | "set" | "acl" | "domains" | "strings" => Some("names"),
            "network" | "cidr" | "ips" | "addresses" => Some("networks"),
            "rbl" | "blocklist" | "blacklist" => Some("dnsbl"),
            "whitelist" | "allowlist" => Some("dnswl"),
            "import" | "require" => Some("include"),
            "stage" | "on" | "when" | "phase" => Some("at"),
            "macro" | "let" | "def" | "var" => Some("define"),
            "limit" | "ratelimit" => Some("rate"),
            "map" | "lookup" => Some("table"),
            "smtpd_milters" | "input_mail_filter" => Some("milter"),
            "check_policy_service" | "policy_service" => Some("service"),
            "clamd" | "av" | "antivirus" => Some("clamav"),
            _ if written.len() > 2 => nearest(written, known()),
            _ => None,
        };
        let Some(meant) = familiar else { return written };
        let title = format!("`{written}` is not part of the language");
        let finding = Diagnostic::error(title, self.token().span, format!("expected `{meant}`"));
        self.find(finding.help(format!("did you mean `{meant}`?")));
        meant
    }

    /// Reports that nothing known begins here.
    fn no_item(&mut self) -> Reported {
        let token = self.token();
        if token.kind == Kind::RightBrace {
            let label = "no block is open here";
            let advice = String::from("take it out, or look for a block above that ends too early");
            self.find(Diagnostic::error("a `}` too many", token.span, label).help(advice));
            self.bump();
            return Reported;
        }
        let action = self.word().and_then(words::familiar_action);
        let advice = if let Some(action) = action {
            Some(format!(
                "`{action}` stands in a rule: at recipient {{ rule NAME when CONDITION {action} ... }}"
            ))
        } else if self.word().is_some_and(|word| matches!(word, "if" | "match" | "filter" | "unless")) {
            Some(String::from("a decision is written: at recipient { rule NAME when CONDITION reject ... }"))
        } else {
            None
        };
        self.expected_to_begin("`at`, `test` or a declaration such as `names` or `dnsbl`", advice)
    }

    /// Passes over what could not be read, to the next line that begins an item. Braces that open on the way close again.
    fn pass_over_item(&mut self) {
        let mut depth = 0_usize;
        while self.kind() != Kind::End {
            if self.token().first && self.begins_item() {
                return;
            }
            match self.kind() {
                Kind::LeftBrace => depth += 1,
                Kind::RightBrace if depth <= 1 => {
                    if depth == 1 {
                        self.bump();
                    }
                    return;
                }
                Kind::RightBrace => depth -= 1,
                _ => {}
            }
            self.bump();
        }
    }

    /// Whether `at` opens a stage's block, and not an expectation of a test: a brace stands on its line, or a rule on
    /// the next.
    fn begins_stage(&self) -> bool {
        /// The stages with their commas, and something to spare.
        const AHEAD: usize = 20;
        let line = self.tokens.iter().skip(self.at + 1).take(AHEAD);
        for token in line {
            if token.first {
                return token.kind == Kind::Word && words::ENTRIES.contains(&self.letters(token.span));
            }
            if matches!(token.kind, Kind::LeftBrace | Kind::Colon) {
                return true;
            }
        }
        false
    }

    /// Whether an item begins here; `at STAGE expect` of a test is none.
    fn begins_item(&self) -> bool {
        let Some(word) = self.word() else { return false };
        let ahead = |count| self.tokens.get(self.at + count);
        match word {
            "at" => self.begins_stage(),
            "test" => ahead(1).is_some_and(|token| matches!(token.kind, Kind::Text(_))),
            _ => words::ITEMS.contains(&word) || words::TRIALS.contains(&word),
        }
    }
}
