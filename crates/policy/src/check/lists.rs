//! Lists: networks, names and patterns, written in the policy or a line each in a file.

use std::net::IpAddr;
use std::sync::Arc;

use super::Checker;
use super::literals::folded;
use super::names::Declared;
use super::texts::unreadable;
use crate::diagnostic::Diagnostic;
use crate::pattern::Pattern;
use crate::sets::{NameSet, NetworkSet, PatternSet, first_address, has_host_bits};
use crate::span::{SourceFile, Span, Spanned};
use crate::syntax::ast::{List, ListElement, ListKind, Network};

/// Most patterns of a list: they are tried in turn for every look-up.
const PATTERNS_MAX: usize = 1_000;

/// Most findings about one file of a list or table: who mistook its form need not read a million.
pub(super) const FILE_FINDINGS_MAX: usize = 20;

/// A list, ready for looking up.
#[derive(Debug, Clone)]
pub(super) enum ListValue {
    Networks(Arc<NetworkSet>),
    Names(Arc<NameSet>),
    Patterns(Arc<PatternSet>),
}

/// The elements of a list, as they are gathered.
#[derive(Default)]
struct Elements {
    networks: Vec<Network>,
    texts: Vec<String>,
    /// Whether one was ill-formed.
    spoilt: bool,
    /// Files without any.
    empty: Vec<Spanned<String>>,
}

impl Elements {
    const fn count(&self) -> usize {
        self.networks.len() + self.texts.len()
    }
}

impl<'a> Checker<'a> {
    pub(super) fn declare_list(&mut self, list: &'a List) {
        if !self.is_free(&list.name, "a list") {
            return;
        }
        let value = self.list_value(list);
        self.names.lists.insert(list.name.node.clone(), Declared::new(list.name.span, value));
    }

    fn list_value(&mut self, list: &List) -> Option<ListValue> {
        let kind = list.kind.node;
        let mut elements = Elements::default();
        for element in &list.elements {
            match element {
                ListElement::Network(network) => self.take_network(network.node, network.span, &mut elements),
                ListElement::Text(text) => self.take_text(kind, &text.node, text.span, &mut elements),
                ListElement::File(path) => self.take_file(kind, path, &mut elements),
            }
        }
        if elements.spoilt {
            return None;
        }
        if elements.count() == 0 {
            let title = format!("the list `{}` is empty", list.name.node);
            self.report(Diagnostic::error(title, list.name.span, "nothing is ever in it"));
            return None;
        }
        for path in &elements.empty {
            let title = format!("\"{}\" holds no element", path.node);
            self.report(Diagnostic::warning(title, path.span, "only blank lines and comments"));
        }
        if kind == ListKind::Patterns && elements.texts.len() > PATTERNS_MAX {
            let title = format!("the list `{}` has {} patterns", list.name.node, elements.texts.len());
            let label = format!("{PATTERNS_MAX} at most: they are tried in turn");
            let advice =
                "`names` are looked up at once, however many: \".example.org\" takes in all subdomains";
            self.report(Diagnostic::error(title, list.name.span, label).help(advice.to_owned()));
            return None;
        }
        Some(match kind {
            ListKind::Networks => ListValue::Networks(Arc::new(NetworkSet::new(elements.networks))),
            ListKind::Names => {
                ListValue::Names(Arc::new(NameSet::new(elements.texts.iter().map(String::as_str))))
            }
            ListKind::Patterns => {
                let patterns = elements.texts.iter().map(|text| Pattern::new(text)).collect();
                ListValue::Patterns(Arc::new(PatternSet::new(patterns)))
            }
        })
    }

    fn take_network(&mut self, network: Network, span: Span, elements: &mut Elements) {
        if self.sound_network(network, span) {
            elements.networks.push(network);
        } else {
            elements.spoilt = true;
        }
    }

    /// Whether the prefix fits the address and leaves no bit behind it set.
    pub(super) fn sound_network(&mut self, network: Network, span: Span) -> bool {
        let width = if network.address.is_ipv4() { 32 } else { 128 };
        if network.prefix > width {
            let title = format!("/{} is no prefix of an address of {width} bits", network.prefix);
            self.report(Diagnostic::error(title, span, format!("0 to {width}")));
            return false;
        }
        if has_host_bits(network) {
            let title = format!("{}/{} has bits set behind its prefix", network.address, network.prefix);
            let meant =
                format!("write {}/{}, or {} alone", first_address(network), network.prefix, network.address);
            self.report(Diagnostic::error(title, span, "a network or one address?").help(meant));
            return false;
        }
        true
    }

    fn take_text(&mut self, kind: ListKind, text: &str, span: Span, elements: &mut Elements) {
        if text.trim().is_empty() {
            self.report(Diagnostic::error("an element of a list is empty", span, "nothing is ever like it"));
            elements.spoilt = true;
            return;
        }
        if kind == ListKind::Names && text.contains('*') {
            let title = format!("`names` are whole names: \"{text}\" is a pattern");
            let advice = match text.strip_prefix('*') {
                Some(rest) if rest.starts_with('.') && !rest.contains('*') => {
                    format!("write \"{rest}\" for all subdomains")
                }
                _ => "declare it as `patterns`".to_owned(),
            };
            self.report(Diagnostic::error(title, span, "a star stands for itself here").help(advice));
            elements.spoilt = true;
            return;
        }
        match folded(text) {
            Some(text) => elements.texts.push(text),
            None => {
                let title = format!("\"{text}\" is no domain name");
                self.report(Diagnostic::error(title, span, "its labels can't be converted (RFC 5891)"));
                elements.spoilt = true;
            }
        }
    }

    fn take_file(&mut self, kind: ListKind, path: &Spanned<String>, elements: &mut Elements) {
        let Some((number, text)) = self.material(&path.node, path.span) else {
            elements.spoilt = true;
            return;
        };
        let before = elements.count();
        let findings = self.findings.len();
        for (start, line) in lines(&text) {
            if self.findings.len() >= findings + FILE_FINDINGS_MAX {
                break;
            }
            let element = line.split('#').next().unwrap_or_default().trim();
            if element.is_empty() {
                continue;
            }
            let offset = start + line.find(element).unwrap_or(0);
            let span = stretch(number, offset, element.len());
            if kind == ListKind::Networks {
                match read_network(element) {
                    Some(network) => self.take_network(network, span, elements),
                    None => {
                        let title = format!("\"{element}\" is no address and no network");
                        let label = "one a line, such as 192.0.2.0/24";
                        let finding = Diagnostic::error(title, span, label);
                        self.report(finding.also(path.span, "the list is read here"));
                        elements.spoilt = true;
                    }
                }
            } else {
                self.take_text(kind, element, span, elements);
            }
        }
        if elements.count() == before && !elements.spoilt {
            elements.empty.push(path.clone());
        }
    }

    /// The number and text of a file of a list or table; one that is read twice has one number.
    pub(super) fn material(&mut self, path: &str, span: Span) -> Option<(u16, Arc<str>)> {
        let known = self.files.iter().position(|file| *file.name == *path);
        let place = match known {
            Some(place) => place,
            None => {
                match self.reader.read(path) {
                    Ok(text) => self.files.push(SourceFile { name: path.into(), text: text.into() }),
                    Err(why) => {
                        self.report(unreadable(path, &why, span));
                        return None;
                    }
                }
                self.files.len() - 1
            }
        };
        let text = self.files.get(place).map(|file| Arc::clone(&file.text))?;
        Some((u16::try_from(place).unwrap_or(u16::MAX), text))
    }
}

/// The lines of a text with the octet at which each begins.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split('\n').map(move |line| {
        let begin = start;
        start += line.len() + 1;
        (begin, line)
    })
}

/// A stretch of a file.
pub(super) fn stretch(file: u16, start: usize, length: usize) -> Span {
    let octet = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: octet(start), end: octet(start + length) }
}

/// An address or a network.
pub(super) fn read_network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Some(Network { address, prefix: prefix.unwrap_or(whole) })
}
