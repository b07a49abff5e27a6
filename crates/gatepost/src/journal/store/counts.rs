//! How often each rule answered, by hour, and for whom most.
//!
//! Invariants: the counts of a rule are exact; whom it concerned most is kept in few places (the space-saving algorithm
//! of Metwally, Agrawal and El Abbadi): a count among them is at most too high by its `over`.

use std::collections::HashMap;
use std::sync::Arc;

use smtp::time::WallTime;

use super::super::codec::{Cursor, put_number, put_text};

/// Clients and senders that are kept of a rule's hour (ours).
const TOP_PLACES: usize = 16;

/// Octets of a client or sender that are kept (ours).
const NAME_OCTETS_MAX: usize = 128;

/// Milliseconds of an hour.
const HOUR_MILLIS: u64 = 3_600_000;

/// The hour of `time`, since 1970.
pub(super) const fn hour_of(time: WallTime) -> u64 {
    time.as_unix_millis() / HOUR_MILLIS
}

/// What a rule did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Answered,
    Observed,
    PassedOver,
}

/// Who is met most often.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Top(Vec<Place>);

/// One of [`Top`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Who.
    pub name: String,
    /// How often, at most.
    pub count: u64,
    /// How much of that may be others'.
    pub over: u64,
}

impl Top {
    fn count(&mut self, name: &str, times: u64, over: u64) {
        let name = name.get(..name.floor_char_boundary(NAME_OCTETS_MAX)).unwrap_or_default();
        if let Some(place) = self.0.iter_mut().find(|place| place.name == name) {
            place.count += times;
            place.over += over;
        } else if self.0.len() < TOP_PLACES {
            self.0.push(Place { name: name.to_owned(), count: times, over });
        } else if let Some(least) = self.0.iter_mut().min_by_key(|place| place.count) {
            over.clone_into(&mut least.over);
            least.over += least.count;
            least.count += times;
            name.clone_into(&mut least.name);
        }
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        for place in &other.0 {
            self.count(&place.name, place.count, place.over);
        }
    }

    /// Those met most often, the most frequent first.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Place> {
        let mut places: Vec<&Place> = self.0.iter().collect();
        places.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.name.cmp(&other.name)));
        places
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.0.len() as u64);
        for Place { name, count, over } in &self.0 {
            put_text(out, name);
            put_number(out, *count);
            put_number(out, *over);
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let place = |cursor: &mut Cursor<'_>| {
            Some(Place { name: cursor.text()?.to_owned(), count: cursor.number()?, over: cursor.number()? })
        };
        cursor.list(place).map(Self)
    }
}

/// What a rule did in some time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// How often it gave the answer.
    pub answered: u64,
    /// How often it would have, had it not been observed only.
    pub observed: u64,
    /// How often it could not be told.
    pub passed_over: u64,
    /// When first.
    pub first: WallTime,
    /// When last.
    pub last: WallTime,
    /// The clients that it concerned most.
    pub clients: Top,
    /// The reverse-paths that it concerned most.
    pub senders: Top,
}

impl Counts {
    fn note(&mut self, deed: Deed, time: WallTime, client: &str, reverse_path: Option<&str>) {
        match deed {
            Deed::Answered => self.answered += 1,
            Deed::Observed => self.observed += 1,
            Deed::PassedOver => self.passed_over += 1,
        }
        if self.first == WallTime::default() || time < self.first {
            self.first = time;
        }
        self.last = self.last.max(time);
        self.clients.count(client, 1, 0);
        if let Some(reverse_path) = reverse_path {
            self.senders.count(if reverse_path.is_empty() { "<>" } else { reverse_path }, 1, 0);
        }
    }

    /// Adds what was counted in another time.
    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.observed += other.observed;
        self.passed_over += other.passed_over;
        self.first =
            if self.first == WallTime::default() { other.first } else { self.first.min(other.first) };
        self.last = self.last.max(other.last);
        self.clients.add(&other.clients);
        self.senders.add(&other.senders);
    }

    pub(super) fn tops(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.clients.put(&mut out);
        self.senders.put(&mut out);
        out
    }

    pub(super) fn set_tops(&mut self, octets: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(octets);
        self.clients = Top::read(&mut cursor)?;
        self.senders = Top::read(&mut cursor)?;
        Some(())
    }
}

/// What a rule did in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleHour {
    /// The rule's name.
    pub rule: String,
    /// The first instant of the hour.
    pub hour: WallTime,
    /// What it did.
    pub counts: Counts,
}

/// The first instant of an hour since 1970.
pub(super) const fn start_of(hour: u64) -> WallTime {
    WallTime::from_unix_millis(hour.saturating_mul(HOUR_MILLIS))
}

/// What was counted and is not in the store yet.
#[derive(Debug, Default)]
pub(super) struct Pending(HashMap<Arc<str>, HashMap<u64, Counts>>);

impl Pending {
    pub(super) fn note(
        &mut self,
        rule: &Arc<str>,
        deed: Deed,
        time: WallTime,
        client: &str,
        reverse_path: Option<&str>,
    ) {
        let hours = match self.0.get_mut(rule) {
            Some(hours) => hours,
            None => self.0.entry(Arc::clone(rule)).or_default(),
        };
        hours.entry(hour_of(time)).or_default().note(deed, time, client, reverse_path);
    }

    /// All of it, which is forgotten here.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (u64, Arc<str>, Counts)> + use<> {
        std::mem::take(&mut self.0).into_iter().flat_map(|(rule, hours)| {
            hours.into_iter().map(move |(hour, counts)| (hour, Arc::clone(&rule), counts))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_names_are_found_among_many() {
        let mut top = Top::default();
        for number in 0..10_000u32 {
            top.count(&format!("rare {number}"), 1, 0);
            if number % 4 == 0 {
                top.count("frequent", 1, 0);
            }
        }
        let sorted = top.sorted();
        assert_eq!((sorted.len(), sorted[0].name.as_str()), (TOP_PLACES, "frequent"));
        assert!(sorted[0].count - sorted[0].over <= 2_500 && sorted[0].count >= 2_500);
        top.count(&"é".repeat(1_000), 100_000, 0);
        assert!(top.sorted()[0].name.len() <= NAME_OCTETS_MAX);
    }

    #[test]
    fn counts_of_two_times_add_up_and_read_back() {
        let time = |hour: u64| WallTime::from_unix_millis(hour * HOUR_MILLIS + 7);
        let rule: Arc<str> = Arc::from("r");
        let mut pending = Pending::default();
        pending.note(&rule, Deed::Answered, time(5), "192.0.2.1", Some(""));
        pending.note(&rule, Deed::Observed, time(5), "192.0.2.1", Some("a@b.example"));
        pending.note(&rule, Deed::PassedOver, time(6), "192.0.2.2", None);
        let mut sum = Counts::default();
        for (hour, name, counts) in pending.take() {
            assert_eq!((hour_of(counts.first), &*name), (hour, "r"));
            let mut again = Counts { clients: Top::default(), senders: Top::default(), ..counts.clone() };
            again.set_tops(&counts.tops()).unwrap();
            assert_eq!(again, counts);
            sum.add(&counts);
        }
        assert_eq!((sum.answered, sum.observed, sum.passed_over), (1, 1, 1));
        assert_eq!((sum.first, sum.last), (time(5), time(6)));
        let names: Vec<_> =
            sum.clients.sorted().iter().map(|place| (place.name.clone(), place.count)).collect();
        assert_eq!(names, [("192.0.2.1".to_owned(), 2), ("192.0.2.2".to_owned(), 1)]);
        assert_eq!(sum.senders.sorted()[0].name, "<>");
        assert_eq!(pending.take().count(), 0);
        assert_eq!(Counts::default().set_tops(&[9, 9]), None);
    }
}
