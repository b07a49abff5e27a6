//! What waits for the committer, and when it begins with it: the jobs of one turn of the callers' runtime go together,
//! and with those of clients that were answered together before.
//!
//! Invariants: jobs leave in the order in which they came; whoever opens a turn ends it, also by being dropped; a job
//! that somebody waits for, and that finds the committer free, waits at most [`GROUP_WAIT`] for a group and
//! [`TURN_MAX`] for its turn to end, any other at most [`COMPANY_WAIT`] beyond.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use super::shared::{GROUP_OCTETS_MAX, Job, stopped};
use crate::spool::SpoolError;
use crate::wait::lock;

/// How long a job that nobody waits for is kept back, so that it shares the sync of another (ours).
const COMPANY_WAIT: Duration = Duration::from_millis(10);

/// Longest wait for as many jobs as came together last (ours: far below the round trip of a network). Clients that
/// were answered together are ready together again; in two groups they would cost two syncs.
const GROUP_WAIT: Duration = Duration::from_millis(1);

/// Longest turn that is waited for (ours: a runtime that is held up must not hold up the commits of others).
const TURN_MAX: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// How many of them somebody waits for.
    urgent: usize,
    /// How many of those that were taken last somebody waited for.
    answered: usize,
    /// How many of them are waited for before the committer begins.
    wanted: usize,
    /// Whether more jobs of the same turn may come.
    turn_open: bool,
    stopping: bool,
    /// Whether there is something to do besides the jobs.
    tend: bool,
    /// Whether the committer sleeps and nobody has woken it yet.
    asleep: bool,
}

/// What waits for the committer.
#[derive(Default)]
pub(super) struct Intake {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

/// The end of a turn: everything that was ready to run when the first job came has run, and its jobs are there too.
#[must_use = "the turn ends at once when this is dropped"]
pub(super) struct Turn<'a> {
    intake: &'a Intake,
    yielded: bool,
}

impl Future for Turn<'_> {
    type Output = ();

    /// Lets the runtime run once what else is ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.intake.waiting);
        waiting.turn_open = false;
        if waiting.urgent > 0 && waiting.urgent >= waiting.wanted {
            self.intake.wake(waiting);
        }
    }
}

impl Intake {
    /// Hands a job in. The first of a turn gets the turn to end.
    ///
    /// # Errors
    /// The spool stops, and the job was dropped.
    pub(super) fn push(&self, job: Job) -> Result<Option<Turn<'_>>, SpoolError> {
        let urgent = job.is_urgent();
        let mut waiting = lock(&self.waiting);
        if waiting.stopping {
            return Err(stopped());
        }
        waiting.jobs.push_back(job);
        if !urgent {
            if waiting.jobs.len() == 1 && waiting.wanted <= 1 {
                self.wake(waiting);
            }
            return Ok(None);
        }
        waiting.urgent += 1;
        if std::mem::replace(&mut waiting.turn_open, true) {
            return Ok(None);
        }
        Ok(Some(Turn { intake: self, yielded: false }))
    }

    pub(super) fn tend(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.tend = true;
        self.wake(waiting);
    }

    pub(super) fn stop(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.stopping = true;
        self.wake(waiting);
    }

    /// Wakes the committer if it sleeps: otherwise it looks by itself before it does, and a system call is spared.
    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    /// Sleeps until woken, at most for `wait`; whether that time is up.
    fn sleep<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        wait: Option<Duration>,
    ) -> (MutexGuard<'a, Waiting>, bool) {
        waiting.asleep = true;
        let (mut waiting, over) = match wait {
            Some(wait) => {
                let (waiting, timeout) =
                    self.arrived.wait_timeout(waiting, wait).unwrap_or_else(PoisonError::into_inner);
                (waiting, timeout.timed_out())
            }
            None => (self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner), false),
        };
        waiting.asleep = false;
        (waiting, over)
    }

    /// Waits until there is a group to take, or something else to do.
    fn gather(&self) -> MutexGuard<'_, Waiting> {
        let mut waiting = lock(&self.waiting);
        waiting.wanted = waiting.answered + waiting.urgent;
        while !waiting.stopping && !waiting.tend {
            let grouping = waiting.wanted > 1 && waiting.urgent < waiting.wanted;
            let wait = match (waiting.jobs.is_empty(), waiting.urgent) {
                _ if grouping => Some(GROUP_WAIT),
                (true, _) => None,
                (false, 0) => Some(COMPANY_WAIT),
                (false, _) if waiting.turn_open => Some(TURN_MAX),
                (false, _) => break,
            };
            let over;
            (waiting, over) = self.sleep(waiting, wait);
            if over && grouping {
                waiting.wanted = 1;
            } else if over {
                break;
            }
        }
        waiting
    }

    /// The next group of jobs and their octets. Waits for one when `wait`; `None` when stopped and nothing is left.
    pub(super) fn take(&self, wait: bool) -> Option<(Vec<Job>, u64)> {
        let mut waiting = if wait { self.gather() } else { lock(&self.waiting) };
        waiting.tend = false;
        if waiting.stopping && waiting.jobs.is_empty() {
            return None;
        }
        let mut octets = 0;
        let mut count = 0;
        for job in &waiting.jobs {
            if count > 0 && octets >= GROUP_OCTETS_MAX {
                break;
            }
            octets += job.octets();
            count += 1;
        }
        let jobs: Vec<Job> = waiting.jobs.drain(..count).collect();
        waiting.answered = jobs.iter().filter(|job| job.is_urgent()).count();
        waiting.urgent -= waiting.answered;
        Some((jobs, octets as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue_id::QueueId;
    use crate::wait::block_on;

    fn job(number: u32) -> Job {
        Job::Wishes((QueueId::from_number(1).unwrap(), number))
    }

    fn numbers(jobs: Vec<Job>) -> Vec<u32> {
        let number = |job: &Job| match job {
            Job::Wishes((_, number)) => *number,
            _ => panic!("another job"),
        };
        jobs.iter().map(number).collect()
    }

    #[test]
    fn the_first_of_a_turn_waits_for_the_others_and_all_go_together() {
        let intake = Intake::default();
        let mut turn = Box::pin(intake.push(job(1)).unwrap().unwrap());
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(turn.as_mut().poll(&mut context).is_pending());
        assert!(intake.push(job(2)).unwrap().is_none());
        assert!(turn.as_mut().poll(&mut context).is_ready());
        drop(turn);
        assert_eq!(numbers(intake.take(true).unwrap().0), [1, 2]);
    }

    #[test]
    fn a_turn_that_is_dropped_or_never_ends_holds_nothing_up() {
        let intake = Intake::default();
        drop(intake.push(job(1)).unwrap());
        let turn = intake.push(job(2)).unwrap().unwrap();
        assert_eq!(numbers(intake.take(true).unwrap().0), [1, 2]);
        assert!(intake.push(job(3)).unwrap().is_none());
        assert_eq!(numbers(intake.take(true).unwrap().0), [3]);
        block_on(turn);
        assert!(intake.push(job(4)).unwrap().is_some());
    }

    #[test]
    fn as_many_as_were_answered_together_are_waited_for() {
        let intake = Intake::default();
        let both = |numbers: [u32; 2]| numbers.map(|number| drop(intake.push(job(number)).unwrap()));
        both([1, 2]);
        assert_eq!(numbers(intake.take(true).unwrap().0), [1, 2]);
        std::thread::scope(|scope| {
            let committer = scope.spawn(|| intake.take(true));
            both([3, 4]);
            let mut taken = numbers(committer.join().unwrap().unwrap().0);
            if taken.len() == 1 {
                // This thread was held up for so long that the committer gave the second one up.
                taken.extend(numbers(intake.take(true).unwrap().0));
            }
            assert_eq!(taken, [3, 4]);
        });
        drop(intake.push(job(5)).unwrap());
        assert_eq!(numbers(intake.take(true).unwrap().0), [5]);
    }

    #[test]
    fn a_committer_that_sleeps_is_woken_at_the_end_of_the_turn() {
        let intake = Intake::default();
        std::thread::scope(|scope| {
            let committer = scope.spawn(|| intake.take(true));
            let turn = intake.push(job(1)).unwrap();
            drop(turn);
            assert_eq!(numbers(committer.join().unwrap().unwrap().0), [1]);
        });
        intake.stop();
        assert!(intake.push(job(2)).is_err());
        assert!(intake.take(true).is_none());
    }
}
