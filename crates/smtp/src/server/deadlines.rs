//! Time: when a session has waited too long, and how it ends while the server drains (RFC 5321 §3.8, §4.5.3.2).

use alloc::vec::Vec;

use super::Action;
use super::session::{Phase, Session};
use crate::catalogue;
use crate::limits;
use crate::time::Timestamp;

impl Session {
    /// When to report `TimedOut` if nothing else happens first.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        match self.phase {
            Phase::Created | Phase::Awaiting(_) | Phase::Closed => Timestamp::NEVER,
            Phase::Command | Phase::Data(_) | Phase::Chunk(_) | Phase::AuthLine => {
                self.deadline.min(self.session_end).min(self.drain_end.unwrap_or(Timestamp::NEVER))
            }
        }
    }

    /// A draining session ends as soon as no transaction is open, whatever commands were sent ahead.
    pub(super) fn drain(&mut self, actions: &mut Vec<Action>) {
        let is_between = matches!(self.phase, Phase::Command | Phase::AuthLine) && self.transaction.is_none();
        if is_between && self.drain_end.is_some() {
            self.close_with(self.filled(&catalogue::SHUTTING_DOWN), actions);
        }
    }

    /// Sets when the client must have sent more. A command must be whole by then, so octets alone move nothing; mail
    /// data must only flow.
    pub(super) fn set_deadline(&mut self, now: Timestamp, moved: bool) {
        let wait = match &self.phase {
            Phase::Command if moved => self.settings.command_timeout,
            Phase::AuthLine if moved => self.settings.data_timeout,
            Phase::Data(decoder) if decoder.fault().is_some() => {
                self.settings.data_timeout.min(limits::REFUSED_DATA_TIMEOUT)
            }
            Phase::Data(_) | Phase::Chunk(_) => self.settings.data_timeout,
            _ => return,
        };
        self.deadline = now + wait;
    }

    pub(super) fn timed_out(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if now < self.deadline() {
            return;
        }
        let entry = match &self.phase {
            _ if self.drain_end.is_some_and(|end| now >= end) => &catalogue::SHUTTING_DOWN,
            _ if now >= self.session_end => &catalogue::SESSION_TIMEOUT,
            Phase::Data(_) | Phase::Chunk(_) | Phase::AuthLine => &catalogue::DATA_TIMEOUT,
            _ => &catalogue::IDLE_TIMEOUT,
        };
        if let Phase::Data(decoder) = &self.phase
            && let Some(fault) = decoder.fault()
        {
            // The client may believe that its data ended: it hears first why they are refused.
            self.say(self.refusal(&catalogue::BAD_DATA, &[("reason", fault.reason())]), actions);
        }
        if self.is_open() {
            actions.push(Action::Discard);
        }
        self.close_with(self.filled(entry), actions);
    }
}
