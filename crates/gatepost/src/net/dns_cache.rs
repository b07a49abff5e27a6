//! Answers of the DNS that are kept: those that say what there is, and those that say there is nothing.
//!
//! Invariants: an entry is never given out after its time; failures are not kept; the number of entries is bounded.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{RData, RecordType};
use quick_cache::sync::Cache;
use smtp::time::Timestamp;

use super::dns::Answer;

/// Longest time for which an answer is kept, whatever it allows (ours).
const KEEP_MAX: Duration = Duration::from_secs(86_400);

/// Longest time for which it is kept that there is nothing (RFC 2308 §5 has one to three hours).
const KEEP_ABSENCE_MAX: Duration = Duration::from_secs(3 * 3_600);

/// What an answer was about: a name in its normal form, and a type.
pub(super) type Question = (String, RecordType);

#[derive(Debug, Clone)]
struct Entry {
    answer: Arc<Answer<RData>>,
    until: Timestamp,
}

/// The answers, bounded by their number.
#[derive(Debug)]
pub(super) struct Answers {
    entries: Option<Cache<Question, Entry>>,
}

impl Answers {
    /// Room for about `entries` answers; 0 keeps none.
    pub(super) fn new(entries: u32) -> Self {
        let capacity = usize::try_from(entries).unwrap_or(usize::MAX);
        Self { entries: (capacity > 0).then(|| Cache::new(capacity)) }
    }

    /// The answer, while it may still be used.
    pub(super) fn get(&self, question: &Question, now: Timestamp) -> Option<Arc<Answer<RData>>> {
        let entries = self.entries.as_ref()?;
        let entry = entries.get(question)?;
        if now < entry.until {
            return Some(entry.answer);
        }
        entries.remove(question);
        None
    }

    /// Keeps the answer for `time_to_live`, or as long as such answers are kept at most.
    pub(super) fn keep(
        &self,
        question: Question,
        answer: Arc<Answer<RData>>,
        time_to_live: Duration,
        now: Timestamp,
    ) {
        let most = if answer.absent().is_some() { KEEP_ABSENCE_MAX } else { KEEP_MAX };
        let keep = time_to_live.min(most);
        if let Some(entries) = self.entries.as_ref().filter(|_| !keep.is_zero()) {
            entries.insert(question, Entry { answer, until: now + keep });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dns::Absent;
    use super::super::dns_name::normal;
    use super::*;

    fn question(name: &str) -> Question {
        (normal(name).unwrap(), RecordType::A)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn an_answer_is_given_until_its_time_is_over() {
        let answers = Answers::new(10);
        let there = Arc::new(Answer::of(vec![RData::A("192.0.2.1".parse().unwrap())], false));
        answers.keep(question("a.example"), there.clone(), Duration::from_secs(5), at(100));
        assert_eq!(answers.get(&question("A.example"), at(104)), Some(there));
        assert_eq!(answers.get(&question("a.example"), at(105)), None);
        assert_eq!(answers.get(&question("b.example"), at(100)), None);
    }

    #[test]
    fn absence_is_kept_three_hours_at_most_and_the_rest_a_day() {
        let answers = Answers::new(10);
        let nothing = Arc::new(Answer::none(Absent::NoSuchName, false));
        let there = Arc::new(Answer::of(vec![RData::A("192.0.2.1".parse().unwrap())], false));
        let week = Duration::from_secs(7 * 86_400);
        answers.keep(question("no.example"), nothing, week, at(0));
        answers.keep(question("yes.example"), there, week, at(0));
        assert!(answers.get(&question("no.example"), at(10_799)).is_some());
        assert!(answers.get(&question("no.example"), at(10_800)).is_none());
        assert!(answers.get(&question("yes.example"), at(86_399)).is_some());
        assert!(answers.get(&question("yes.example"), at(86_400)).is_none());
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let answers = Answers::new(8);
        let there = Arc::new(Answer::of(vec![RData::A("192.0.2.1".parse().unwrap())], false));
        for number in 0..1_000 {
            let question = question(&format!("h{number}.example"));
            answers.keep(question, there.clone(), Duration::from_secs(60), at(0));
        }
        assert!(answers.entries.as_ref().unwrap().len() <= 16);
        let none = Answers::new(0);
        none.keep(question("a.example"), there, Duration::from_secs(60), at(0));
        assert_eq!(none.get(&question("a.example"), at(0)), None);
    }
}
