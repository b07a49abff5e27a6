//! Declarations: lists, sources, the greylist, definitions and other words for fixed refusals.

use super::{Kind, LineKind, Outcome, Parser, Reported};
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;
use crate::syntax::ast::{
    CodeRange, Define, DnsListKind, GreylistItem, List, ListElement, ListKind, Network, ReplyItem,
    SourceItem, SourceKind, TableContents,
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
        let elements = self.listed(|parser| parser.list_element(kind.node))?;
        Ok(List { kind, name, elements })
    }

    fn list_element(&mut self, kind: ListKind) -> Outcome<ListElement> {
        if self.take_word("file").is_some() {
            return self.text("the name of a file, in quotes").map(ListElement::File);
        }
        if kind == ListKind::Networks {
            return self.network("an address, a network or `file \"...\"`").map(ListElement::Network);
        }
        if let Some(opening) = match self.kind() {
            Kind::LeftBrace => Some("{"),
            Kind::LeftParenthesis => Some("("),
            _ => None,
        } {
            let advice = format!("the elements of a list stand without `{opening}`, separated by commas");
            return Err(self.expected_with("a text in quotes or `file \"...\"`", Some(advice)));
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
            "table" | "rate" => None,
            _ => return Err(self.expected("`dnsbl`, `dnswl`, `rhsbl`, `table` or `rate` behind `shadow`")),
        };
        self.bump();
        let name = self.name_for_conditions("a name for what is looked up")?;
        self.equals("the name")?;
        let kind = match dns {
            Some(kind) => self.dns_list(kind)?,
            None if word == "table" => self.table()?,
            None => self.rate()?,
        };
        Ok(SourceItem { shadow, name, kind: Spanned::new(kind, start.to(self.last_span())) })
    }

    fn dns_list(&mut self, kind: DnsListKind) -> Outcome<SourceKind> {
        let zone = self.text("the zone, in quotes")?;
        self.expect_word("of")?;
        let key = self.fact_path("the fact to look up, such as `client.ip`")?;
        let (mut codes, mut weight, mut timeout) = (Vec::new(), None, None);
        loop {
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
                self.find(Diagnostic::error("this is said twice", self.last_span(), label));
            }
        }
        self.statement_ends("`codes`, `weight`, `timeout` or the end of the line")?;
        Ok(SourceKind::DnsList { kind, zone, key, codes, weight, timeout })
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
            _ if self.kind() == Kind::LeftBrace => self.inline_table()?,
            _ => {
                let advice = matches!(self.kind(), Kind::Text(_))
                    .then(|| String::from("say what kind of file it is: file, cidr or regex"));
                return Err(self.expected_with("`file`, `cidr` or `regex` with a path, or `{`", advice));
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
        })?;
        if self.take(Kind::RightBrace).is_none() {
            let label = "expected `,` and an entry, or `}`";
            let place = self.token().span;
            self.find(Diagnostic::error("the table has no end", place, label).also(open, "it begins here"));
            return Err(Reported);
        }
        Ok(TableContents::Inline(entries.into_iter().flatten().collect()))
    }

    fn rate(&mut self) -> Outcome<SourceKind> {
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
    fn statement_ends(&mut self, what: &str) -> Outcome<()> {
        if self.token().first || self.kind() == Kind::End {
            return Ok(());
        }
        Err(self.expected(what))
    }

    /// `greylist { wait 5min ... }`.
    pub(super) fn greylist(&mut self) -> Outcome<GreylistItem> {
        let span = self.bump().span;
        let open = self.open("`greylist`")?;
        let mut settings = Vec::new();
        while self.kind() == Kind::Word && !(self.token().first && self.begins_item()) {
            self.begin(LineKind::Setting);
            let name = self.any_word("a setting")?;
            if let Some(sign) = self.take(Kind::Equals) {
                let title = "a setting of the greylist stands without `=`";
                self.find(Diagnostic::error(title, sign.span, "expected the value"));
            }
            let value = self.literal("the value of the setting")?;
            settings.push((name, value));
        }
        if !matches!(self.kind(), Kind::RightBrace | Kind::End) && !self.token().first {
            return Err(self.expected("a setting such as `wait 5min`, or `}`"));
        }
        self.close(open, "`greylist`");
        Ok(GreylistItem { span, settings })
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
        Ok(ReplyItem { name, answer })
    }
}
