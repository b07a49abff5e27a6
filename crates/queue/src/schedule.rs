//! The retry schedule: when a delivery that was deferred is tried again, and when it is given up (RFC 5321 §4.5.4.1).
//!
//! Invariants: no attempt is due before [`WAIT_MIN`] has passed or after the message's lifetime, but for the last one,
//! which falls on the lifetime's end however near that is; a clock that stepped back delays nothing beyond one wait.

use std::time::Duration;

use smtp::time::WallTime;

/// Shortest wait between two attempts (ours: a wait of zero would turn a deferral into a busy loop).
pub const WAIT_MIN: Duration = Duration::from_secs(1);

/// The jitter's reach to either side, in thousandths of the wait (ours: spreads what one outage has lined up).
const JITTER_THOUSANDTHS: u64 = 100;

/// Wait after an attempt that met a greylist: most let a client in after five minutes (RFC 6647 §2.4, and ours).
pub const GREYLIST_WAIT: Duration = Duration::from_secs(5 * 60);

/// Attempts after which a server that still says so is no greylist (ours).
const GREYLIST_ATTEMPTS_MAX: u32 = 4;

/// Shortest wait for what people have to mend: a full mailbox is emptied at its owner's next look (ours).
const MAILBOX_FULL_WAIT_MIN: Duration = Duration::from_secs(3600);

/// Shortest wait for TLS that failed: a certificate is renewed by people or once a day (ours).
const TLS_WAIT_MIN: Duration = Duration::from_secs(15 * 60);

/// What an attempt was deferred for, as far as it may change when the next one is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// Something at this end, or the DNS.
    #[default]
    Here,
    /// No connection, or one that was lost.
    Connection,
    /// TLS failed, and clear text is not allowed.
    Tls,
    /// No session: 421 anywhere, or a refusal before MAIL.
    Session,
    /// 4yz at MAIL.
    Mail,
    /// 4yz at RCPT.
    Recipient,
    /// 4yz at the mail data.
    Data,
    /// 4yz that says, or looks as if, the client is to come back soon.
    Greylisted,
    /// 4yz for a mailbox that is full.
    MailboxFull,
}

/// How often and how long a delivery is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The wait after the first attempt.
    pub first: Duration,
    /// By how much each wait is longer than the one before; 0 counts as 1.
    pub factor: u32,
    /// The longest wait, before jitter.
    pub max: Duration,
    /// How long after its receipt a message is tried.
    pub lifetime: Duration,
}

/// What follows an attempt that was deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, not before this time.
    At(WallTime),
    /// None: the message's lifetime is over.
    Expired,
}

impl Default for Schedule {
    /// 5 minutes, doubled up to 4 hours, for 5 days. RFC 5321 §4.5.4.1 asks for 30 minutes at least, sooner in the
    /// first hour, and for a give-up time of 4 to 5 days.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5 * 60),
            factor: 2,
            max: Duration::from_secs(4 * 3600),
            lifetime: Duration::from_secs(5 * 24 * 3600),
        }
    }
}

impl Schedule {
    /// What follows attempt number `attempts` (1 for the first) that ended at `now`; `jitter` is any random number.
    #[must_use]
    pub fn next(&self, received: WallTime, attempts: u32, now: WallTime, jitter: u32) -> Next {
        self.next_after(Class::Here, received, attempts, now, jitter)
    }

    /// The same, after an attempt that was deferred for something of this class.
    #[must_use]
    pub fn next_after(
        &self,
        class: Class,
        received: WallTime,
        attempts: u32,
        now: WallTime,
        jitter: u32,
    ) -> Next {
        // A clock that stepped back before the receipt counts as no time passed: waits go from `now`, so that they
        // are as long as ever.
        if now.since(received) >= self.lifetime {
            return Next::Expired;
        }
        let wait = jittered(self.wait_after(class, attempts), jitter).max(WAIT_MIN);
        Next::At((now + wait).min(received + self.lifetime))
    }

    /// The wait after attempt number `attempts` that was deferred for something of this class, before jitter. No class
    /// makes it longer than the longest wait.
    #[must_use]
    pub fn wait_after(&self, class: Class, attempts: u32) -> Duration {
        let usual = self.wait(attempts);
        match class {
            Class::Greylisted if attempts <= GREYLIST_ATTEMPTS_MAX => usual.min(GREYLIST_WAIT),
            Class::MailboxFull => usual.max(MAILBOX_FULL_WAIT_MIN.min(self.max)),
            Class::Tls => usual.max(TLS_WAIT_MIN.min(self.max)),
            Class::Here
            | Class::Connection
            | Class::Session
            | Class::Mail
            | Class::Recipient
            | Class::Data
            | Class::Greylisted => usual,
        }
    }

    /// The wait after attempt number `attempts`, before jitter.
    #[must_use]
    pub fn wait(&self, attempts: u32) -> Duration {
        let times = self.factor.max(1).saturating_pow(attempts.saturating_sub(1));
        self.first.saturating_mul(times).min(self.max)
    }
}

/// Whether a message that still waits is to be reported as delayed: `after` has passed since its receipt. That it was
/// reported already is the caller's to know.
#[must_use]
pub fn delay_notice_due(received: WallTime, now: WallTime, after: Duration) -> bool {
    now.since(received) >= after
}

/// The wait, by up to [`JITTER_THOUSANDTHS`] longer or shorter.
fn jittered(wait: Duration, jitter: u32) -> Duration {
    let thousandths = 1000 - JITTER_THOUSANDTHS + u64::from(jitter) % (2 * JITTER_THOUSANDTHS + 1);
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(
        (millis / 1000).saturating_mul(thousandths).saturating_add(millis % 1000 * thousandths / 1000),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NO_JITTER: u32 = 100;

    fn at(seconds: u64) -> WallTime {
        WallTime::from_unix_millis(seconds * 1000)
    }

    #[test]
    fn a_greylist_is_come_back_to_soon_and_a_full_mailbox_late() {
        let schedule = Schedule::default();
        let minutes =
            |class| [1, 2, 3, 4, 5, 20].map(|attempts| schedule.wait_after(class, attempts).as_secs() / 60);
        assert_eq!(minutes(Class::Recipient), [5, 10, 20, 40, 80, 240]);
        assert_eq!(minutes(Class::Greylisted), [5, 5, 5, 5, 80, 240]);
        assert_eq!(minutes(Class::MailboxFull), [60, 60, 60, 60, 80, 240]);
        assert_eq!(minutes(Class::Tls), [15, 15, 20, 40, 80, 240]);
        let short = Schedule { max: Duration::from_secs(2), ..schedule };
        assert_eq!(short.wait_after(Class::MailboxFull, 1), Duration::from_secs(2));
    }

    #[test]
    fn waits_double_up_to_the_longest_and_the_last_attempt_falls_on_the_end() {
        let schedule = Schedule { lifetime: Duration::from_secs(12 * 3600), ..Schedule::default() };
        let (received, mut now, mut minutes) = (at(1_000_000), at(1_000_000), Vec::new());
        for attempts in 1.. {
            match schedule.next(received, attempts, now, NO_JITTER) {
                Next::At(due) => now = due,
                Next::Expired => break,
            }
            minutes.push(now.since(received).as_secs() / 60);
        }
        assert_eq!(minutes, [5, 15, 35, 75, 155, 315, 555, 720]);
    }

    #[test]
    fn jitter_reaches_ten_per_cent_to_either_side() {
        let schedule = Schedule::default();
        let waits: Vec<u64> = [0, 100, 200, 201]
            .map(|jitter| match schedule.next(at(0), 1, at(0), jitter) {
                Next::At(due) => due.as_unix_seconds(),
                Next::Expired => u64::MAX,
            })
            .to_vec();
        assert_eq!(waits, [270, 300, 330, 270]);
    }

    #[test]
    fn a_clock_that_stepped_back_before_the_receipt_neither_floods_nor_stalls() {
        let schedule = Schedule::default();
        let (received, now) = (at(90_000_000), at(50));
        assert_eq!(schedule.next(received, 1, now, NO_JITTER), Next::At(at(350)));
        assert_eq!(schedule.next(received, 50, now, NO_JITTER), Next::At(at(50 + 4 * 3600)));
        assert!(!delay_notice_due(received, now, Duration::from_secs(1)));
    }

    #[test]
    fn extremes_saturate() {
        let endless =
            Schedule { first: Duration::MAX, factor: u32::MAX, max: Duration::MAX, lifetime: Duration::MAX };
        let end = WallTime::from_unix_millis(u64::MAX);
        assert_eq!(endless.next(at(5), u32::MAX, at(9), 200), Next::At(end));
        let nothing =
            Schedule { first: Duration::ZERO, factor: 0, max: Duration::ZERO, lifetime: Duration::ZERO };
        assert_eq!(nothing.next(at(5), 1, at(5), 0), Next::Expired);
        let hasty = Schedule { lifetime: Duration::from_secs(60), ..nothing };
        assert_eq!(hasty.next(at(5), 0, at(5), 0), Next::At(at(6)));
    }

    #[test]
    fn a_delay_is_reported_once_its_time_has_come() {
        let after = Duration::from_secs(4 * 3600);
        assert!(!delay_notice_due(at(100), at(100 + 4 * 3600 - 1), after));
        assert!(delay_notice_due(at(100), at(100 + 4 * 3600), after));
    }

    proptest! {
        #[test]
        fn no_attempt_comes_too_early_or_after_the_lifetime(
            first in 0u64..100_000_000, factor in 0u32..5, max in 0u64..100_000_000, lifetime in 0u64..1_000_000_000,
            received in 0u64..2_000_000_000_000, age in 0u64..2_000_000_000, attempts in any::<u32>(), jitter in any::<u32>(),
        ) {
            let millis = Duration::from_millis;
            let schedule = Schedule { first: millis(first), factor, max: millis(max), lifetime: millis(lifetime) };
            let received = WallTime::from_unix_millis(received);
            let now = received + millis(age);
            match schedule.next(received, attempts, now, jitter) {
                Next::Expired => prop_assert!(age >= lifetime),
                Next::At(due) => {
                    prop_assert!(age < lifetime);
                    let end = received + schedule.lifetime;
                    let wait = schedule.wait(attempts);
                    prop_assert!(due <= end);
                    prop_assert!(due == end || due >= now + WAIT_MIN.max(wait * 89 / 100));
                    prop_assert!(due <= now + WAIT_MIN.max(wait * 11 / 10));
                }
            }
        }

        #[test]
        fn every_schedule_ends(
            first in 0u64..100_000, factor in 0u32..5, max in 0u64..100_000, lifetime in 0u64..1_000_000, seed in any::<u32>(),
        ) {
            let millis = Duration::from_millis;
            let schedule = Schedule { first: millis(first), factor, max: millis(max), lifetime: millis(lifetime) };
            let (received, mut now, mut attempts) = (at(1_700_000_000), at(1_700_000_000), 1u32);
            while let Next::At(due) = schedule.next(received, attempts, now, seed.wrapping_mul(attempts)) {
                prop_assert!(due > now);
                now = due;
                attempts += 1;
                prop_assert!(u64::from(attempts) <= lifetime / 1000 + 3);
            }
            prop_assert_eq!(now.max(received + schedule.lifetime), received + schedule.lifetime);
        }

        #[test]
        fn waits_never_shrink(first in 0u64..u64::MAX, factor in any::<u32>(), max in 0u64..u64::MAX, attempts in 0u32..u32::MAX) {
            let millis = Duration::from_millis;
            let schedule = Schedule { first: millis(first), factor, max: millis(max), lifetime: millis(1) };
            prop_assert!(schedule.wait(attempts) <= schedule.wait(attempts + 1));
            prop_assert!(schedule.wait(attempts + 1) <= schedule.max);
        }
    }
}
