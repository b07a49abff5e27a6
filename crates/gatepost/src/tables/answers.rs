//! What a table's source answered lately: values, and that there is no entry.
//!
//! Invariants: failures are not kept; an answer is never given out after its time; the number of keys is bounded; a key is
//! asked for once at a time, however many wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;
use smtp::time::Timestamp;
use tokio::sync::OnceCell;

use super::settings::Keep;
use super::values::Values;

/// What was found, or why it can't be known.
pub(super) type Found = Result<Option<Arc<Values>>, Arc<str>>;

type Asking = Arc<OnceCell<Found>>;

/// The answers of one source.
#[derive(Debug)]
pub(super) struct Answers {
    kept: Option<Cache<Box<str>, Kept>>,
    keep: Keep,
    asking: Mutex<HashMap<Box<str>, Asking>>,
}

#[derive(Debug, Clone)]
struct Kept {
    values: Option<Arc<Values>>,
    until: Timestamp,
}

impl Answers {
    pub(super) fn new(keep: Keep) -> Self {
        let capacity = usize::try_from(keep.entries).unwrap_or(usize::MAX);
        Self { kept: (capacity > 0).then(|| Cache::new(capacity)), keep, asking: Mutex::default() }
    }

    /// The answer for `key` that is kept, or else the one that `ask` brings. `now` tells the time.
    pub(super) async fn get_or_ask(
        &self,
        key: &str,
        now: impl Fn() -> Timestamp,
        ask: impl Future<Output = Result<Option<Values>, Arc<str>>>,
    ) -> Found {
        if let Some(values) = self.kept(key, now()) {
            return Ok(values);
        }
        let waiting = Waiting::new(self, key);
        let found = waiting.cell.get_or_init(|| async {
            let found = ask.await.map(|values| values.map(Arc::new));
            if let Ok(values) = &found {
                self.keep(key, values.clone(), now());
            }
            found
        });
        found.await.clone()
    }

    /// Forgets all answers.
    pub(super) fn forget(&self) {
        if let Some(kept) = &self.kept {
            kept.clear();
        }
    }

    fn kept(&self, key: &str, now: Timestamp) -> Option<Option<Arc<Values>>> {
        let cache = self.kept.as_ref()?;
        let kept = cache.get(key)?;
        if now < kept.until {
            return Some(kept.values);
        }
        cache.remove(key);
        None
    }

    fn keep(&self, key: &str, values: Option<Arc<Values>>, now: Timestamp) {
        let time = if values.is_some() { self.keep.values } else { self.keep.absence };
        if let Some(cache) = self.kept.as_ref().filter(|_| !time.is_zero()) {
            cache.insert(Box::from(key), Kept { values, until: now + time });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Asking>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for the answer for a key. The last one to go takes the key with it, also when it never had an answer.
struct Waiting<'a> {
    answers: &'a Answers,
    key: &'a str,
    cell: Asking,
}

impl<'a> Waiting<'a> {
    fn new(answers: &'a Answers, key: &'a str) -> Self {
        let cell = Arc::clone(answers.lock().entry(Box::from(key)).or_default());
        Self { answers, key, cell }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut asking = self.answers.lock();
        let is_mine = asking.get(self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // Two hold the cell when nobody else waits: the map and this one.
        if is_mine && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            asking.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;

    fn answers(entries: u32) -> Answers {
        let keep = Keep { values: Duration::from_secs(300), absence: Duration::from_secs(60), entries };
        Answers::new(keep)
    }

    fn at(seconds: u64) -> impl Fn() -> Timestamp {
        move || Timestamp::from_millis(seconds * 1_000)
    }

    /// What `answers` has for the key at that second; `None` when the source is asked, which answers `found`.
    fn asked(answers: &Answers, key: &str, second: u64, found: Option<&str>) -> (bool, Option<String>) {
        let is_asked = Cell::new(false);
        let ask = async {
            is_asked.set(true);
            Ok(found.map(Values::one))
        };
        let Ok(values) = queue::wait::block_on(answers.get_or_ask(key, at(second), ask)) else { panic!() };
        (is_asked.get(), values.map(|values| values.texts().collect()))
    }

    #[test]
    fn answers_are_kept_for_their_time_and_absence_for_its_own() {
        let (answers, none) = (answers(10), answers(0));
        assert_eq!(asked(&answers, "a", 0, Some("v")), (true, Some("v".into())));
        assert_eq!(asked(&answers, "a", 299, Some("w")), (false, Some("v".into())));
        assert_eq!(asked(&answers, "a", 300, Some("w")), (true, Some("w".into())));
        assert_eq!(asked(&answers, "b", 0, None), (true, None));
        assert_eq!(asked(&answers, "b", 59, Some("v")), (false, None));
        assert_eq!(asked(&answers, "b", 60, Some("v")), (true, Some("v".into())));
        answers.forget();
        assert_eq!(asked(&answers, "b", 60, None), (true, None));
        assert_eq!(asked(&none, "a", 0, None), (true, None));
    }

    #[test]
    fn failures_are_not_kept_and_room_is_bounded() {
        let answers = answers(8);
        let failed = queue::wait::block_on(answers.get_or_ask("a", at(0), async { Err(Arc::from("no")) }));
        assert_eq!(failed, Err(Arc::from("no")));
        assert_eq!(asked(&answers, "a", 0, None), (true, None));
        for number in 0..1_000 {
            asked(&answers, &format!("k{number}"), 0, None);
        }
        assert!(answers.kept.as_ref().unwrap().len() <= 16);
        assert!(answers.lock().is_empty());
    }

    #[test]
    fn a_key_is_asked_for_once_at_a_time_and_by_the_next_when_the_first_gives_up() {
        let answers = answers(8);
        let asked = Cell::new(0);
        let (first_asks, second_asks) = (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel());
        let ask = |answer: tokio::sync::oneshot::Receiver<()>| {
            let asked = &asked;
            async move {
                asked.set(asked.get() + 1);
                answer.await.map(|()| Some(Values::one("v"))).map_err(|_| Arc::from("gone"))
            }
        };
        let mut context = Context::from_waker(Waker::noop());
        let mut first = Box::pin(answers.get_or_ask("a", at(0), ask(first_asks.1)));
        let mut second = pin!(answers.get_or_ask("a", at(0), ask(second_asks.1)));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(asked.get(), 1);
        drop(first);
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(asked.get(), 2, "who waited asks himself");
        second_asks.0.send(()).unwrap();
        let Poll::Ready(Ok(Some(values))) = second.as_mut().poll(&mut context) else { panic!("an answer") };
        assert_eq!(values.texts().collect::<Vec<_>>(), ["v"]);
        assert!(answers.lock().is_empty());
    }
}
