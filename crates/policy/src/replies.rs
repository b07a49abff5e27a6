//! What is known of reply codes: where each may stand, and which enhanced codes go with it.
//!
//! One table for the checker, `gatepost codes` and the reference. Invariants, kept by the tests: codes are unique and
//! ascending; the stages are those of RFC 5321 §4.3.2 or of the extension's own text; the catalogue keeps to both tables.

mod basic;
mod enhanced;

pub use basic::BASIC;
pub use enhanced::{PRIVATE, REGISTERED};

use smtp::catalogue::Stage;
use smtp::reply::Enhanced;

/// Where a basic code comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// One of the 22 of RFC 2821 §4.2.3, kept by RFC 5321 §4.2.3.
    Core,
    /// Defined by another RFC.
    Extension,
    /// Only named beside an enhanced code in the IANA registry.
    Registered,
    /// In no RFC and no registry; servers send it all the same.
    Private,
}

/// How a code stands at a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An RFC lists it there.
    Listed,
    /// Servers send it there although no RFC lists it.
    Common,
    /// Servers send it there although it means something else.
    Misused,
    /// It does not belong there.
    Foreign,
}

/// One basic code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basic {
    /// The code.
    pub code: u16,
    /// Where it comes from.
    pub standing: Standing,
    /// The section that defines it, or its class.
    pub section: &'static str,
    /// Stages at which its RFC lists it.
    pub listed: &'static [Stage],
    /// Stages at which servers send it although no RFC lists it there.
    pub common: &'static [Stage],
    /// Stages at which servers send it although it means something else; not to be chosen there.
    pub misused: &'static [Stage],
}

impl Basic {
    /// The first digit.
    #[must_use]
    pub const fn class(&self) -> u16 {
        self.code / 100
    }

    /// Whether an RFC defines it.
    #[must_use]
    pub const fn defined(&self) -> bool {
        matches!(self.standing, Standing::Core | Standing::Extension)
    }

    /// Whether it may be chosen for a refusal: 4yz or 5yz, and defined by an RFC.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        matches!(self.class(), 4 | 5) && self.defined()
    }

    /// How it stands at `stage`.
    #[must_use]
    pub fn place(&self, stage: Stage) -> Place {
        if self.listed.contains(&stage) {
            Place::Listed
        } else if self.common.contains(&stage) {
            Place::Common
        } else if self.misused.contains(&stage) {
            Place::Misused
        } else {
            Place::Foreign
        }
    }

    /// Whether it may be chosen at `stage`.
    #[must_use]
    pub fn stands_at(&self, stage: Stage) -> bool {
        matches!(self.place(stage), Place::Listed | Place::Common)
    }
}

/// Why a basic code goes with an enhanced one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// The IANA registry names the pair.
    Registry,
    /// The registry doesn't, but servers send it.
    Usual,
}

/// One enhanced code without its class, or a range of a private owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    /// Subject and detail; the first of a range.
    pub code: Enhanced,
    /// The last detail of a range; else the detail itself.
    pub last: u16,
    /// What it says, in a few words.
    pub title: &'static str,
    /// Where it is defined; registered codes have it.
    pub reference: Option<&'static str>,
    /// Who uses it, when it is in no registry.
    pub owner: Option<&'static str>,
    /// The basic codes that the registry names for it; empty where it gives none.
    pub associated: &'static [u16],
    /// The basic codes with which servers send it although the registry doesn't name them.
    pub usual: &'static [u16],
    /// Whether the registry lets it stand with any basic code.
    pub any: bool,
    /// Where a refusal with it makes sense.
    pub stages: &'static [Stage],
    /// The class to which RFC 3463 limits it.
    pub only: Option<u16>,
}

impl Detail {
    /// Whether the IANA registry holds it.
    #[must_use]
    pub const fn registered(&self) -> bool {
        self.owner.is_none()
    }

    /// Why `basic` goes with it, when it does; a code that goes with any basic code isn't counted here.
    #[must_use]
    pub fn pairing(&self, basic: u16) -> Option<Pairing> {
        if self.associated.contains(&basic) {
            Some(Pairing::Registry)
        } else if self.usual.contains(&basic) {
            Some(Pairing::Usual)
        } else {
            None
        }
    }

    fn covers(&self, code: Enhanced) -> bool {
        self.code.subject == code.subject && (self.code.detail..=self.last).contains(&code.detail)
    }
}

/// The entry of a basic code.
#[must_use]
pub fn basic(code: u16) -> Option<&'static Basic> {
    BASIC.iter().find(|basic| basic.code == code)
}

/// The entry of an enhanced code, registered or not.
#[must_use]
pub fn detail(code: Enhanced) -> Option<&'static Detail> {
    REGISTERED.iter().chain(PRIVATE).find(|detail| detail.covers(code))
}

/// The code of the RFCs nearest to `code`, in its class.
#[must_use]
pub fn nearest_basic(code: u16) -> Option<&'static Basic> {
    BASIC
        .iter()
        .filter(|basic| basic.class() == code / 100 && basic.defined())
        .min_by_key(|basic| basic.code.abs_diff(code))
}

/// The registered code nearest to `code`: of its subject when there is one.
#[must_use]
pub fn nearest_detail(code: Enhanced) -> Option<&'static Detail> {
    REGISTERED.iter().min_by_key(|detail| {
        (detail.code.subject.abs_diff(code.subject), detail.code.detail.abs_diff(code.detail))
    })
}

/// The registered code that a basic code spells without its dots: 571 is 5.7.1.
#[must_use]
pub fn dotless(code: u16) -> Option<&'static Detail> {
    let spelt = Enhanced::new(code / 10 % 10, code % 10);
    REGISTERED.iter().find(|detail| detail.code == spelt)
}

/// The registered codes that go with `basic`, those that the registry names first.
pub fn companions(basic: u16) -> impl Iterator<Item = &'static Detail> {
    let with = move |pairing| REGISTERED.iter().filter(move |detail| detail.pairing(basic) == Some(pairing));
    with(Pairing::Registry).chain(with(Pairing::Usual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::catalogue;

    #[test]
    fn codes_stand_once_and_in_order() {
        assert!(BASIC.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(REGISTERED.windows(2).all(|pair| pair[0].code < pair[1].code));
        for private in PRIVATE {
            assert!(!REGISTERED.iter().any(|detail| detail.covers(private.code)), "{:?}", private.code);
        }
        for detail in REGISTERED {
            assert!(detail.associated.iter().all(|code| !detail.usual.contains(code)), "{:?}", detail.code);
            for code in detail.associated.iter().chain(detail.usual) {
                assert!(basic(*code).is_some(), "{code} beside {:?}", detail.code);
            }
        }
    }

    #[test]
    fn the_catalogue_keeps_to_the_tables() {
        for entry in catalogue::ALL {
            let basic = basic(entry.code.value()).unwrap();
            assert!(basic.defined(), "{}", entry.name);
            assert!(entry.stages.iter().all(|stage| basic.stands_at(*stage)), "{}", entry.name);
            assert!(entry.enhanced.is_none_or(|code| detail(code).is_some_and(Detail::registered)));
        }
    }

    #[test]
    fn the_nearest_codes_are_near() {
        assert_eq!(nearest_basic(557).map(|basic| basic.code), Some(556));
        assert_eq!(nearest_detail(Enhanced::new(7, 31)).map(|near| near.code), Some(Enhanced::new(7, 30)));
        assert_eq!(dotless(571).map(|detail| detail.code), Some(Enhanced::new(7, 1)));
        assert_eq!(companions(552).map(|detail| detail.code).next(), Some(Enhanced::new(2, 2)));
    }
}
