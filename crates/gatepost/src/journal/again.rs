//! Recorded policies and facts made usable again: the policy loaded from its stored text, the facts under the numbers of
//! another policy.
//!
//! Invariants: a recorded fact stands for a fact of another policy only when both mean the same: same name and, where a
//! policy declares its source, the same declaration; what was masked or never asked stays not asked. Nothing is guessed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use policy::facts::Group;
use policy::slot::{Facts, Origin, Slot};
use policy::source::{Source, SourceKind};
use policy::value::State;
use policy::{Files, Policy};

use super::record::Changes;
use super::states::Recorded;
use super::texts::{PolicyText, RuleText};

impl PolicyText {
    /// The text of a policy.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let rules = policy.rules().iter();
        let rules = rules
            .map(|rule| RuleText { name: rule.name.clone(), observed: rule.observe, fixed: rule.fixed })
            .collect();
        Self::new(policy.fingerprint(), [policy.files(), policy.material()], policy.slots(), rules)
    }

    /// The policy of this text.
    ///
    /// # Errors
    /// Why this version doesn't take it, in a few lines.
    pub fn load(&self) -> Result<Policy, String> {
        let Some(main) = self.files.get(1) else { return Ok(Policy::builtin()) };
        match Policy::load(&main.name, &main.text, &mut Stored(self)) {
            Ok(loaded) => Ok(loaded.policy),
            Err(refused) => {
                let findings = refused.findings.iter();
                Err(findings.map(|finding| finding.title.as_str()).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// The files of a stored policy.
struct Stored<'t>(&'t PolicyText);

impl Files for Stored<'_> {
    fn read(&mut self, path: &str) -> Result<String, String> {
        let mut files = self.0.files.iter().chain(&self.0.material);
        let file = files.find(|file| &*file.name == path);
        file.map(|file| file.text.to_string()).ok_or_else(|| String::from("it is not in the journal"))
    }
}

/// Why a fact isn't known to another policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// It was not asked.
    NotRecorded,
    /// It was masked.
    Masked,
    /// What has its name was declared differently.
    DeclaredDifferently,
}

impl Gap {
    /// The gap in words that follow the fact's name.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::NotRecorded => "was not recorded",
            Self::Masked => "was masked",
            Self::DeclaredDifferently => "was declared differently",
        }
    }
}

/// From the numbers of a recorded policy's facts to those of another.
#[derive(Debug, Clone)]
pub struct Translation {
    slots: Vec<Option<Slot>>,
    /// Facts of the other policy whose declaration is another one.
    declared_differently: Vec<Slot>,
}

impl Translation {
    /// To the very policy that was recorded, or the same text in another version.
    #[must_use]
    pub fn to_itself(recorded: &PolicyText, policy: &Policy) -> Self {
        let slots = recorded.facts.iter().map(|name| policy.slot(name)).collect();
        Self { slots, declared_differently: Vec::new() }
    }

    /// To another policy.
    #[must_use]
    pub fn to_another(recorded: &PolicyText, other: &Policy) -> Self {
        let declared = recorded.load().ok().map(|policy| Declared::of(&policy));
        let theirs = Declared::of(other);
        let mut translation = Self { slots: Vec::new(), declared_differently: Vec::new() };
        for name in &recorded.facts {
            let slot = other.slot(name);
            let same = slot.is_some_and(|slot| {
                let Some(info) = other.slots().get(slot.index()) else { return false };
                let Some(declared) = &declared else {
                    return !matches!(info.origin, Origin::Source(..)) && info.group != Group::ListScore;
                };
                match (&info.origin, info.group) {
                    (Origin::Source(place, _), _) => {
                        let source = other.sources().get(usize::from(*place));
                        source.is_some_and(|source| declared.has_as(&theirs, &source.name))
                    }
                    (_, Group::ListScore) => declared.weighed == theirs.weighed,
                    _ => true,
                }
            });
            if let Some(slot) = slot.filter(|_| !same) {
                translation.declared_differently.push(slot);
            }
            translation.slots.push(slot.filter(|_| same));
        }
        translation
    }

    /// Whether the recorded policy could ask for what has this number in the other.
    #[must_use]
    pub fn knows(&self, slot: Slot) -> bool {
        self.slots.contains(&Some(slot)) || self.declared_differently.contains(&slot)
    }

    /// Says what has changed; `masked` gathers the facts of which only a masked text is left.
    pub fn apply(&self, changes: Changes<'_>, facts: &mut Facts, masked: &mut Vec<Slot>) {
        for (slot, recorded) in changes.iter().flatten() {
            let Some(slot) = self.slots.get(slot.index()).copied().flatten() else { continue };
            masked.retain(|known| *known != slot);
            let state = match recorded {
                Recorded::State(state) => state,
                Recorded::Masked(_) => {
                    masked.push(slot);
                    State::NotAsked
                }
            };
            facts.set(slot, state);
        }
    }

    /// Why the other policy doesn't know the fact.
    #[must_use]
    pub fn gap(&self, slot: Slot, masked: &[Slot]) -> Gap {
        if masked.contains(&slot) {
            Gap::Masked
        } else if self.declared_differently.contains(&slot) {
            Gap::DeclaredDifferently
        } else {
            Gap::NotRecorded
        }
    }
}

/// What a policy declares, in a form in which two policies can be compared.
struct Declared {
    sources: BTreeMap<String, String>,
    /// The lists that add to the score, and how much.
    weighed: Vec<String>,
}

impl Declared {
    fn of(policy: &Policy) -> Self {
        let sources: BTreeMap<String, String> = policy
            .sources()
            .iter()
            .map(|source| (source.name.to_string(), declaration(policy, source)))
            .collect();
        let weight = |source: &Source| match source.kind {
            SourceKind::DnsList { weight, .. } => weight,
            _ => 0,
        };
        let mut weighed: Vec<String> = policy
            .sources()
            .iter()
            .filter(|source| weight(source) != 0)
            .map(|source| format!("{} weight {}", declaration(policy, source), weight(source)))
            .collect();
        weighed.sort_unstable();
        Self { sources, weighed }
    }

    fn has_as(&self, other: &Self, name: &str) -> bool {
        let declaration = self.sources.get(name);
        declaration.is_some() && declaration == other.sources.get(name)
    }
}

/// A source as its facts go by it: what it is and what its keys are called, not what it is worth or how long it may take.
fn declaration(policy: &Policy, source: &Source) -> String {
    let name = |slot: &Slot| policy.slots().get(slot.index()).map_or("", |info| &*info.name);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match &source.kind {
        SourceKind::DnsList { kind, zone, key, codes, .. } => {
            write!(text, "{kind:?} {zone} {} {codes:?}", name(key))
        }
        SourceKind::Table { contents, key } => {
            let material = |path: &str| {
                let file = policy.material().iter().find(|file| &*file.name == path);
                file.map_or("", |file| &*file.text)
            };
            let read = match contents {
                policy::source::Contents::Inline(_) | policy::source::Contents::External(_) => "",
                policy::source::Contents::File(path)
                | policy::source::Contents::Cidr(path)
                | policy::source::Contents::Regex(path) => material(path),
            };
            write!(text, "{contents:?} {} {read}", name(key))
        }
        SourceKind::Rate { counted, keys, over, bucket } => {
            let keys: Vec<&str> = keys.iter().map(name).collect();
            write!(text, "{counted:?} {keys:?} {over:?} {bucket}")
        }
        SourceKind::Filter(filter) => {
            // What is done with what it says is the policy's, not the filter's.
            write!(text, "{} {} {:?} {:?}", filter.kind.word(), filter.address, source.since, source.scope)
        }
    };
    text
}
