//! The open relay: a client that nobody named, not authenticated, whose mail for a foreign domain a rule accepts.
//!
//! The rules are tried for such a client with everything open that it chooses itself or that is looked up elsewhere.
//! What names a client: its address, its confirmed name, its user, its certificate; what names a domain: the recipient's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Checker;
use crate::decision::RuleId;
use crate::diagnostic::Diagnostic;
use crate::evaluate::{Truth, truth};
use crate::plan::{Answer, Condition, Form};
use crate::sets::NetworkSet;
use crate::slot::{Facts, Origin, Slot};
use crate::source::{Contents, SourceKind};
use crate::span::Span;
use crate::stage::Stage;
use crate::syntax::ast::Network;
use crate::value::{State, Value};

/// Networks with a shorter prefix than these name nobody: they take in a good part of the Internet.
const NAMING_PREFIX_V4: u8 = 8;
const NAMING_PREFIX_V6: u8 = 16;

/// The stages that a client that is not authenticated goes through up to its recipient.
const PATH: [Stage; 4] = [Stage::Connect, Stage::Helo, Stage::Mail, Stage::Recipient];

/// What nobody has named.
const STRANGER_NAME: &str = "host.stranger.invalid";
const FOREIGN_DOMAIN: &str = "elsewhere.invalid";
const FOREIGN_ADDRESS: &str = "anyone@elsewhere.invalid";

/// Addresses all over the Internet, those of documentation first.
fn addresses() -> impl Iterator<Item = IpAddr> {
    let documented = [[203, 0, 113, 9], [198, 51, 100, 7], [192, 0, 2, 77]];
    let everywhere = (1..=223_u8).filter(|first| ![10, 127].contains(first)).map(|first| [first, 77, 5, 9]);
    let v4 = documented.into_iter().chain(everywhere).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00]
        .map(|first| IpAddr::V6(Ipv6Addr::new(first, 0xdb8, 77, 0, 0, 0, 0, 9)));
    v4.chain(v6)
}

impl Checker<'_> {
    /// Reports rules that relay for anyone.
    pub(super) fn check_relaying(&mut self) {
        let opens = |id: &RuleId| {
            self.plan.rule(*id).is_some_and(|rule| {
                !rule.fixed && !rule.observe && matches!(rule.answer, Some(Answer::Accept { relay: true }))
            })
        };
        if !self.plan.rules_at(Stage::Recipient).iter().any(opens) {
            return;
        }
        let named = self.named_networks();
        let mut candidates: Vec<IpAddr> = addresses().filter(|address| !named.contains(*address)).collect();
        if !candidates.iter().any(IpAddr::is_ipv4) {
            // Networks that each name someone take in the Internet together.
            candidates.extend(addresses().next());
        }
        let mut found: Vec<(RuleId, IpAddr)> = Vec::new();
        for address in candidates {
            let facts = self.stranger(address);
            if let Some(rule) = self.relays_for(&facts)
                && !found.iter().any(|(known, _)| *known == rule)
            {
                found.push((rule, address));
            }
        }
        for (rule, address) in found {
            self.report_open_relay(rule, address);
        }
    }

    /// Warns of a refusal of relaying that is placed where nobody can have been allowed to relay yet.
    pub(super) fn warn_of_no_relay(&mut self, id: RuleId, span: Span, placed: &[(RuleId, Stage)]) {
        let rule = |id: RuleId| self.plan.rule(id);
        let opens = |(id, _): &(RuleId, Stage)| {
            rule(*id).is_some_and(|rule| matches!(rule.answer, Some(Answer::Accept { relay: true })))
        };
        if !rule(id).is_some_and(|rule| rule.denies_relaying) || placed.iter().any(opens) {
            return;
        }
        let title = "nobody can relay: `relaying-denied` is tried before any rule that allows it";
        let label = "users and `clients.relay` are refused here, too";
        let advice = "put `use relay-clients` in front of it";
        self.report(Diagnostic::warning(title, span, label).help(advice.to_owned()));
    }

    fn report_open_relay(&mut self, rule: RuleId, address: IpAddr) {
        let Some(name) = self.plan.rule(rule).map(|rule| rule.name.clone()) else { return };
        let title = format!("the rule `{name}` makes this server an open relay");
        let label = "reached by anyone, for any domain";
        let wide = self.wide_network(rule, address);
        let wide = wide.map(|network| {
            format!(
                "{}/{} names nobody: it takes in a good part of the Internet",
                network.address, network.prefix
            )
        });
        self.report(
            Diagnostic::error(title, self.place_of(&name), label)
                .help(format!(
                    "{address}, not authenticated, could send to anyone at any foreign domain: RCPT TO:<{FOREIGN_ADDRESS}>"
                ))
                .help(wide)
                .help("name who may: client.ip in trusted, auth.user is present; or for which domains: recipient.domain in ours".to_owned()),
        );
    }

    /// The rule that accepts such a client's recipient of a foreign domain, if any could.
    fn relays_for(&self, facts: &Facts) -> Option<RuleId> {
        for stage in PATH {
            let mut accepted = false;
            for id in self.plan.rules_at(stage) {
                let rule = self.plan.rule(*id)?;
                if rule.observe || accepted && !rule.fixed || rule.denies_relaying {
                    continue;
                }
                let truth = truth(&rule.condition, facts);
                match (&rule.answer, truth) {
                    (Some(Answer::Accept { relay: true }), Truth::Yes | Truth::NotTold) if !rule.fixed => {
                        return Some(*id);
                    }
                    (Some(Answer::Refuse { .. }), Truth::Yes) => return None,
                    (Some(Answer::Accept { .. }), Truth::Yes) => accepted = true,
                    _ => {}
                }
            }
        }
        None
    }

    /// What is known of the client: who it is not, and nothing that it could choose.
    fn stranger(&self, address: IpAddr) -> Facts {
        let mut facts = Facts::new(self.facts.slots.len());
        for (index, info) in self.facts.slots.iter().enumerate() {
            let Ok(slot) = u16::try_from(index).map(Slot) else { continue };
            let state = match &info.origin {
                Origin::Builtin(fact) => of_stranger(fact.name, address),
                Origin::Source(source, _) => self.found_for_stranger(*source, address),
                Origin::Argument(..) => State::NotAsked,
            };
            facts.set(slot, state);
        }
        facts
    }

    /// A table that is keyed by what names a client or a domain has nothing for a stranger.
    fn found_for_stranger(&self, source: u16, address: IpAddr) -> State {
        let Some(SourceKind::Table { contents, key }) =
            self.sources.get(usize::from(source)).map(|source| &source.kind)
        else {
            return State::NotAsked;
        };
        let key = self.facts.info(*key).map(|info| of_stranger(&info.name, address));
        match (key, contents) {
            (Some(State::Missing), _) => State::Missing,
            (Some(State::Known(value)), Contents::Regex(path)) if !self.regex_table_has(path, &value) => {
                State::Missing
            }
            (Some(State::Known(_)), Contents::Cidr(path)) if !self.cidr_table_is_wide(path) => State::Missing,
            (Some(State::Known(_)), Contents::Inline(_) | Contents::File(_)) => State::Missing,
            // Which addresses it has can't be seen from here; a name is one that somebody wrote into it.
            (Some(State::Known(Value::Text(_))), Contents::External(_)) => State::Missing,
            _ => State::NotAsked,
        }
    }

    fn entries(&self, path: &str) -> impl Iterator<Item = &str> {
        let text = self.files.iter().find(|file| *file.name == *path).map_or("", |file| &*file.text);
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    fn regex_table_has(&self, path: &str, value: &Value) -> bool {
        let Value::Text(text) = value else { return true };
        self.entries(path).any(|entry| {
            let expression = entry.get(1..entry.rfind('/').unwrap_or(1)).unwrap_or_default();
            let built = regex::RegexBuilder::new(expression).case_insensitive(true).build();
            built.map_or(true, |expression| expression.is_match(text))
        })
    }

    fn cidr_table_is_wide(&self, path: &str) -> bool {
        self.entries(path).any(|entry| {
            let key = entry.split_whitespace().next().unwrap_or_default();
            super::lists::read_network(key).is_none_or(|network| !names_someone(network))
        })
    }

    /// The networks in conditions that name someone.
    fn named_networks(&self) -> NetworkSet {
        let mut all = Vec::new();
        for rule in &self.plan.rules {
            gather_networks(&rule.condition, &mut all);
        }
        all.retain(|network| names_someone(*network));
        NetworkSet::new(all)
    }

    /// The network of the rule's condition that takes the address in and names nobody.
    fn wide_network(&self, rule: RuleId, address: IpAddr) -> Option<Network> {
        let mut all = Vec::new();
        gather_networks(&self.plan.rule(rule)?.condition, &mut all);
        all.into_iter()
            .find(|network| !names_someone(*network) && NetworkSet::new(vec![*network]).contains(address))
    }
}

const fn names_someone(network: Network) -> bool {
    match network.address {
        IpAddr::V4(_) => network.prefix >= NAMING_PREFIX_V4,
        IpAddr::V6(_) => network.prefix >= NAMING_PREFIX_V6,
    }
}

fn gather_networks(condition: &Condition, all: &mut Vec<Network>) {
    match condition {
        Condition::Always => {}
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| gather_networks(part, all))
        }
        Condition::Not(inner) => gather_networks(inner, all),
        Condition::Test(test) => match &test.form {
            Form::InNetworks(networks) => all.extend_from_slice(networks.members()),
            Form::Address(address) => {
                let prefix = if address.is_ipv4() { 32 } else { 128 };
                all.push(Network { address: *address, prefix });
            }
            _ => {}
        },
    }
}

/// What is known of a fact for a client that nobody named.
fn of_stranger(name: &str, address: IpAddr) -> State {
    match name {
        "client.ip" => State::Known(Value::address(address)),
        "client.name" => State::text(STRANGER_NAME),
        "client.trusted" | "client.may_relay" | "recipient.local_domain" => State::yes_or_no(false),
        "client.refused"
        | "auth.user"
        | "auth.mechanism"
        | "tls.client_certificate"
        | "tls.client_fingerprint" => State::Missing,
        "recipient.domain" => State::text(FOREIGN_DOMAIN),
        "recipient.address" => State::text(FOREIGN_ADDRESS),
        // Elsewhere MAIL wants AUTH, or a user of the machine.
        "listener.kind" => State::Known(Value::Choice("mx")),
        "mailbox.kind" => State::Known(Value::Choice("relayed")),
        _ => State::NotAsked,
    }
}
