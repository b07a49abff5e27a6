//! Declarations: lists, sources, the greylist, definitions and other words for fixed refusals.

use super::{Kind, LineKind, Outcome, Parser, Reported};
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;
use crate::syntax::ast::{
    CodeRange, Define, DnsListKind, FilterKind, GreylistItem, List, ListElement, ListKind, Literal, Network,
    ReplyItem, SourceItem, SourceKind, TableContents, Word,
};

impl Parser<'_> {
    /// `networks trusted = ...`, whose first word means `word`.
    pub(super) fn list(&mut self, word: &str) -> Outcome<List> {
        let kind = match word {
            "networks" => ListKind::Networks,
            "names" => ListKind::Names,
            _ => ListKind::Patterns,
        };
        let kind = Spanned::new(kind, self.bump().span);
        let name = self.name_for_conditions("a name for the list")?;
        self.equals("the list's name")?;
        let opening = self.list_in_brackets(kind.node);
        let elements = self.listed(|parser| parser.list_element(kind.node))?;
        if opening && matches!(self.kind(), Kind::RightBrace | Kind::RightBracket | Kind::RightParenthesis) {
            self.bump();
        }
        self.statement_ends("`,` and another element, or the end of the line")?;
        Ok(List { kind, name, elements })
    }

    /// Reports a sign that opens a list, and takes it.
    fn list_in_brackets(&mut self, kind: ListKind) -> bool {
        if !matches!(self.kind(), Kind::LeftBrace | Kind::LeftBracket | Kind::LeftParenthesis) {
            return false;
        }
        let sign = self.bump().span;
        let title = "the elements of a list stand as they are, separated by commas";
        let label =
            if kind == ListKind::Networks { "expected a network" } else { "expected a text in quotes" };
        let finding = Diagnostic::error(title, sign, label);
        self.find(finding.help(format!("take out the `{}` and what closes it", self.letters(sign))));
        true
    }

    fn list_element(&mut self, kind: ListKind) -> Outcome<ListElement> {
        if self.take_word("file").is_some() {
            return self.text("the name of a file, in quotes").map(ListElement::File);
        }
        if kind == ListKind::Networks {
            return self.network("an address, a network or `file \"...\"`").map(ListElement::Network);
        }
        self.text("a text in quotes or `file \"...\"`").map(ListElement::Text)
    }

    /// `[shadow] dnsbl zen = ...` and the like, whose first word means `word`.
    pub(super) fn source(&mut self, word: &str) -> Outcome<SourceItem> {
        let shadow = (word == "shadow").then(|| self.bump().span);
        let word = if shadow.is_some() { self.word().unwrap_or_default() } else { word };
        let start = self.token().span;
        let dns = match word {
            "dnsbl" => Some(DnsListKind::Dnsbl),
            "dnswl" => Some(DnsListKind::Dnswl),
            "rhsbl" => Some(DnsListKind::Rhsbl),
            "table" | "rate" | "milter" | "service" | "clamav" | "rspamd" => None,
            _ => return Err(self.expected("a source such as `dnsbl`, `table` or `rate` behind `shadow`")),
        };
        self.bump();
        let name = self.name_for_conditions("a name for what is looked up")?;
        self.equals("the name")?;
        let kind = match dns {
            Some(kind) => self.dns_list(kind)?,
            None => match FilterKind::named(word) {
                Some(kind) => self.filter(kind)?,
                None if word == "table" => self.table()?,
                None => self.rate()?,
            },
        };
        Ok(SourceItem { shadow, name, kind: Spanned::new(kind, start.to(self.last_span())) })
    }

    fn dns_list(&mut self, kind: DnsListKind) -> Outcome<SourceKind> {
        let zone = self.text("the zone, in quotes")?;
        self.expect_word("of")?;
        let key = self.fact_path("the fact to look up, such as `client.ip`")?;
        let (mut codes, mut weight, mut timeout) = (Vec::new(), None, None);
        loop {
            let clause = self.token().span;
            let twice = match self.word() {
                Some("codes") => {
                    self.bump();
                    let twice = !codes.is_empty();
                    codes = self.listed(Self::code_range)?;
                    twice
                }
                Some("weight") => {
                    self.bump();
                    weight.replace(self.number("a whole number")?).is_some()
                }
                Some("timeout") => {
                    self.bump();
                    timeout.replace(self.duration("a time such as 2s")?).is_some()
                }
                _ => break,
            };
            if twice {
                let label = "expected each of `codes`, `weight` and `timeout` once";
                self.find(Diagnostic::error("this is said twice", clause, label));
            }
        }
        self.statement_ends("`codes`, `weight`, `timeout` or the end of the line")?;
        Ok(SourceKind::DnsList { kind, zone, key, codes, weight, timeout })
    }

    /// `"inet:127.0.0.1:11332" timeout 30s apply`
    fn filter(&mut self, kind: FilterKind) -> Outcome<SourceKind> {
        let address = self.text("where it listens, in quotes")?;
        let (mut stage, mut timeout, mut apply, mut failing) = (None, None, None, None);
        loop {
            let clause = self.token().span;
            let twice = match self.word() {
                // On a line of its own it begins the block of a stage.
                Some("at") if !self.token().first => {
                    self.bump();
                    stage.replace(self.any_word("the stage at which it is asked")?).is_some()
                }
                Some("timeout") => {
                    self.bump();
                    timeout.replace(self.duration("a time such as 30s")?).is_some()
                }
                Some("apply") => apply.replace(self.bump().span).is_some(),
                Some("failing") => {
                    self.bump();
                    failing.replace(self.any_word("`accept` or `defer`")?).is_some()
                }
                _ => break,
            };
            if twice {
                let label = "expected each of `at`, `timeout`, `apply` and `failing` once";
                self.find(Diagnostic::error("this is said twice", clause, label));
            }
        }
        self.statement_ends("`at`, `timeout`, `apply`, `failing` or the end of the line")?;
        Ok(SourceKind::Filter { kind, address, stage, timeout, apply, failing })
    }

    /// `127.0.0.2` or `127.0.0.4..127.0.0.7`.
    fn code_range(&mut self) -> Outcome<Spanned<CodeRange>> {
        let first = self.code()?;
        let last = if self.take(Kind::Range).is_some() { self.code()? } else { first.clone() };
        let range = CodeRange { first: first.node.address, last: last.node.address };
        Ok(Spanned::new(range, first.span.to(last.span)))
    }

    fn code(&mut self) -> Outcome<Spanned<Network>> {
        let code = self.network("an answer of the list, such as 127.0.0.2")?;
        let whole = if code.node.address.is_ipv4() { 32 } else { 128 };
        if code.node.prefix == whole {
            return Ok(code);
        }
        let finding = Diagnostic::error("a network is not an answer", code.span, "expected an address");
        self.find(finding.help(String::from("a range is written 127.0.0.4..127.0.0.7")));
        Err(Reported)
    }

    fn table(&mut self) -> Outcome<SourceKind> {
        let contents = match self.word() {
            Some("file") => self.table_file(TableContents::File)?,
            Some("cidr") => self.table_file(TableContents::Cidr)?,
            Some("regex") => self.table_file(TableContents::Regex)?,
            Some("external") => {
                self.bump();
                let name = self.text("the name of a table of the configuration, in quotes");
                name.map(TableContents::External)?
            }
            _ if self.kind() == Kind::LeftBrace => self.inline_table()?,
            _ => {
                let advice = match (self.word(), self.kind()) {
                    (Some("sql" | "mysql" | "pgsql" | "sqlite" | "ldap" | "socketmap"), _) => {
                        Some("declare it in the configuration, and name it here: external \"NAME\"")
                    }
                    (_, Kind::Text(_)) => Some("say what kind of file it is: file, cidr or regex"),
                    _ => None,
                };
                let advice = advice.map(String::from);
                return Err(self.expected_with(
                    "`file`, `cidr` or `regex` with a path, `external` with a name, or `{`",
                    advice,
                ));
            }
        };
        self.expect_word("keyed")?;
        self.expect_word("by")?;
        let key = self.fact_path("the fact to look up, such as `sender.address`")?;
        self.statement_ends("the end of the line")?;
        Ok(SourceKind::Table { contents, key })
    }

    fn table_file(&mut self, form: fn(Spanned<String>) -> TableContents) -> Outcome<TableContents> {
        self.bump();
        self.text("the path of the file, in quotes").map(form)
    }

    fn inline_table(&mut self) -> Outcome<TableContents> {
        let open = self.bump().span;
        let entries = self.listed(|parser| {
            // A comma may stand behind the last entry.
            if parser.kind() == Kind::RightBrace {
                return Ok(None);
            }
            let key = parser.text("a key in quotes")?;
            parser.equals("the key")?;
            let value = parser.text("a value in quotes")?;
            Ok(Some((key, value)))
        });
        if self.take(Kind::RightBrace).is_some() {
            return Ok(TableContents::Inline(entries?.into_iter().flatten().collect()));
        }
        if entries.is_ok() {
            let reported = self.expected("`,` and an entry, or `}`");
            if let Some(finding) = self.findings.last_mut() {
                finding.also = finding.also.take().or(Some((open, String::from("the table begins here"))));
            }
            return Err(reported);
        }
        while !matches!(self.kind(), Kind::RightBrace | Kind::End) && !self.item_interrupts() {
            self.bump();
        }
        self.take(Kind::RightBrace);
        Err(Reported)
    }

    fn rate(&mut self) -> Outcome<SourceKind> {
        if let Kind::Number(limit) = self.kind() {
            let advice = format!("the limit stands in a rule: rule NAME when RATE > {limit}");
            return Err(self.expected_with("what is counted", Some(advice)));
        }
        let counted =
            self.any_word("what is counted: connections, messages, recipients, refusals or failures")?;
        self.expect_word("by")?;
        let keys = self.listed(|parser| parser.fact_path("a fact, such as `client.ip`"))?;
        self.expect_word("over")?;
        let over = self.duration("a time such as 1h")?;
        let form = match self.take_word("as") {
            Some(_) => Some(self.any_word("`window` or `bucket`")?),
            None => None,
        };
        self.statement_ends("`as window`, `as bucket` or the end of the line")?;
        Ok(SourceKind::Rate { counted, keys, over, form })
    }

    /// Reports what stands behind a declaration on its line.
    pub(super) fn statement_ends(&mut self, what: &str) -> Outcome<()> {
        let token = self.token();
        if token.first || token.kind == Kind::End {
            return Ok(());
        }
        let last = self.at.checked_sub(1).and_then(|last| self.tokens.get(last));
        let joined =
            last.is_some_and(|last| matches!(last.kind, Kind::Text(_)) && last.span.end == token.span.start);
        let advice = joined.then(|| String::from("a `\"` is missing on this line, or one too many"));
        Err(self.expected_with(what, advice))
    }

    /// `greylist { wait 5min ... }`.
    pub(super) fn greylist(&mut self) -> Outcome<GreylistItem> {
        let span = self.bump().span;
        let open = self.open("`greylist`")?;
        let mut settings = Vec::new();
        while !matches!(self.kind(), Kind::RightBrace | Kind::End) && !self.item_interrupts() {
            let before = self.at;
            match self.setting() {
                Ok(setting) => settings.push(setting),
                Err(Reported) => self.pass_over_step(before),
            }
        }
        self.close(open, "`greylist`");
        Ok(GreylistItem { span, settings })
    }

    /// `wait 5min`
    fn setting(&mut self) -> Outcome<(Word, Literal)> {
        if self.word().is_none() {
            return Err(self.expected_to_begin("a setting such as `wait 5min`, or `}`", None));
        }
        self.begin(LineKind::Setting);
        let name = self.any_word("a setting")?;
        let sign = self.token();
        if matches!(sign.kind, Kind::Equals | Kind::Colon) {
            self.bump();
            let title = format!("a setting of the greylist stands without `{}`", self.letters(sign.span));
            let finding = Diagnostic::error(title, sign.span, "expected the value");
            self.find(finding.help(String::from("take it out")));
        }
        let value = self.literal("the value of the setting")?;
        Ok((name, value))
    }

    /// `define NAME = CONDITION`.
    pub(super) fn define(&mut self) -> Outcome<Define> {
        self.bump();
        let name = self.name_for_conditions("a name for the condition")?;
        self.equals("the name")?;
        let condition = self.condition()?;
        self.statement_ends("`and`, `or` or the end of the line")?;
        Ok(Define { name, condition })
    }

    /// `reply NAME reject CODE X.Y.Z "text"`.
    pub(super) fn reply(&mut self) -> Outcome<ReplyItem> {
        self.bump();
        let name = self.name("the name of a fixed refusal")?;
        if self.word().and_then(super::stage::verb).is_none() {
            return Err(self.expected("`reject`, `defer` or `disconnect`"));
        }
        let answer = self.answer()?;
        self.statement_ends("the end of the line")?;
        Ok(ReplyItem { name, answer })
    }
}
