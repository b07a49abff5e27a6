//! Aliases that lead back to themselves, go on for too long, or to too many.
//!
//! Invariants: every entry is walked once; the walk is never deeper than one more than is allowed.

use std::collections::HashMap;

use smtp::address::{ForwardPath, Mailbox};

use super::domain::Draft;
use super::problem::{Place, Problem};
use crate::mailboxes::{
    ALIAS_DEPTH_MAX, Declared, Directory, Entry, Found, Index, LocalDomain, RESOLVED_MAX,
};

/// An entry, by where it is declared.
type Node = *const Entry;

/// Reports loops and chains that are too long in the entries of `drafts`, which `declared` was made of.
pub(super) fn check(declared: &Declared, index: &Index, drafts: &[Draft], problems: &mut Vec<Problem>) {
    let mut walk =
        Walk { declared, index, reach: HashMap::new(), path: Vec::new(), places: HashMap::new(), problems };
    for (domain, draft) in declared.domains.iter().zip(drafts) {
        for (entry, places) in domain.entries.iter().zip(&draft.entries) {
            walk.places.insert(std::ptr::from_ref(entry), (&places.name, &places.targets));
        }
    }
    for domain in &declared.domains {
        for entry in &domain.entries {
            walk.visit(domain, entry);
        }
    }
}

/// How far the mail for an entry goes.
#[derive(Clone, Copy)]
struct Reach {
    /// Steps to the farthest address.
    depth: usize,
    /// Addresses at the ends, repetitions counted.
    addresses: usize,
}

impl Reach {
    const END: Self = Self { depth: 0, addresses: 1 };
}

struct Walk<'a, 'p> {
    declared: &'a Declared,
    index: &'a Index,
    reach: HashMap<Node, Reach>,
    /// The entries from where the walk began to here.
    path: Vec<(Node, Mailbox)>,
    places: HashMap<Node, (&'a Place, &'a Vec<Place>)>,
    problems: &'p mut Vec<Problem>,
}

impl<'a> Walk<'a, '_> {
    fn visit(&mut self, domain: &'a LocalDomain, entry: &'a Entry) -> Reach {
        let node = std::ptr::from_ref(entry);
        if let Some(reach) = self.reach.get(&node) {
            return *reach;
        }
        if self.path.len() > ALIAS_DEPTH_MAX + 1 {
            return Reach::END;
        }
        self.path.push((node, domain.mailbox(&entry.local_part)));
        let mut reach = Reach { depth: 0, addresses: usize::from(entry.role.targets().is_empty()) };
        for (number, target) in entry.role.targets().iter().enumerate() {
            let next = self.step(node, number, target);
            reach.depth = reach.depth.max(next.depth + 1);
            reach.addresses = reach.addresses.saturating_add(next.addresses);
        }
        self.path.pop();
        self.reach.insert(node, reach);
        self.check_reach(node, domain, entry, reach);
        reach
    }

    fn step(&mut self, node: Node, number: usize, target: &'a Mailbox) -> Reach {
        let mut found = self.index.find(self.declared, target);
        if let Found::CatchAll(catch_all) = found {
            found = self.index.find(self.declared, catch_all);
        }
        let Found::Entry(domain, entry) = found else { return Reach::END };
        let next = std::ptr::from_ref(entry);
        if let Some(start) = self.path.iter().position(|(before, _)| *before == next) {
            self.report_loop(node, number, start);
            return Reach::END;
        }
        self.visit(domain, entry)
    }

    fn report_loop(&mut self, node: Node, number: usize, start: usize) {
        let Some((name, targets)) = self.places.get(&node) else { return };
        let place = targets.get(number).unwrap_or(name);
        let names: Vec<String> =
            self.path.iter().skip(start).map(|(_, mailbox)| mailbox.to_string()).collect();
        let problem = match names.as_slice() {
            [only] => Problem::error(
                format!("`{only}` leads to itself"),
                (*place).clone(),
                "mail would go round and never arrive",
            )
            .help(
                "a mailbox needs no alias to itself; one that keeps a copy needs a name apart from the alias's"
                    .to_owned(),
            ),
            _ => {
                let first = names.first().cloned().unwrap_or_default();
                let title = format!("aliases in a circle: {} → {first}", names.join(" → "));
                Problem::error(title, (*place).clone(), "mail would go round and never arrive")
            }
        };
        self.problems.push(problem);
    }

    fn check_reach(&mut self, node: Node, domain: &LocalDomain, entry: &Entry, reach: Reach) {
        let Some((place, _)) = self.places.get(&node) else { return };
        let mailbox = domain.mailbox(&entry.local_part);
        if reach.depth > ALIAS_DEPTH_MAX {
            let title = format!("`{mailbox}` leads through too many aliases");
            let label = format!("at most {ALIAS_DEPTH_MAX} may lie between an address and its mailbox");
            self.problems.push(Problem::error(title, (*place).clone(), label));
        } else if reach.addresses > RESOLVED_MAX {
            // Repetitions don't count in the end.
            let directory = Directory::new(self.declared.clone(), std::path::Path::new(""));
            let addresses = directory.resolve(&ForwardPath::Mailbox(mailbox.clone())).len();
            if addresses > RESOLVED_MAX {
                let title = format!("`{mailbox}` stands for too many addresses");
                let label = format!("at most {RESOLVED_MAX}");
                self.problems.push(Problem::error(title, (*place).clone(), label));
            }
        }
    }
}
