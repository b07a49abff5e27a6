//! From octets to lines: one that is over its limit is thrown away whole, one with a bare LF is answered at once.
//!
//! Invariants: only CRLF ends a line (RFC 5321 §2.3.8); what is thrown away is never run.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::Action;
use super::command::line_octets_max;
use super::session::{Phase, Session};
use crate::catalogue;
use crate::command::looks_like_tls;
use crate::limits;

/// Why the rest of a line is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Skip {
    /// The limit that it is over: it is answered at its end. `None`: it was answered already.
    over_octets: Option<usize>,
    /// The last octet seen was a CR.
    after_cr: bool,
}

impl Session {
    /// Reads one line, when `rest` holds a whole one, and gives the octets read.
    pub(super) fn read_line(&mut self, rest: &[u8], actions: &mut Vec<Action>) -> Option<usize> {
        if self.skipping.is_some() {
            return self.skip(rest, actions);
        }
        if self.hello.is_none() && looks_like_tls(rest) {
            self.foreign(actions);
            return Some(rest.len());
        }
        let limit = match self.phase {
            Phase::AuthLine => limits::AUTH_LINE_OCTETS_MAX,
            _ => line_octets_max(rest),
        };
        let mut from = 0;
        loop {
            let searched = rest.get(from..).unwrap_or_default();
            let Some(offset) = memchr::memchr(b'\n', searched) else {
                if rest.len() > limit {
                    self.skipping = Some(Skip { over_octets: Some(limit), after_cr: false });
                    return self.skip(rest, actions);
                }
                return None;
            };
            let end = from + offset;
            match end.checked_sub(1).and_then(|before| rest.get(before)) {
                Some(b'\r') if end < limit => {
                    let line = rest.get(..end - 1).unwrap_or_default();
                    self.line(line, rest.len() > end + 1, actions);
                    return Some(end + 1);
                }
                Some(b'\r') => {
                    self.skipping = Some(Skip { over_octets: Some(limit), after_cr: false });
                    return self.skip(rest, actions);
                }
                _ if end >= limit => from = end + 1,
                _ => {
                    // A client that ends its lines with LF alone would never send the CRLF: it hears at once.
                    self.phase = Phase::Command;
                    self.send(
                        self.refusal(
                            &catalogue::INVALID_OCTETS,
                            &[("octet", "bare LF; only CRLF ends a line")],
                        ),
                        actions,
                    );
                    self.skipping = Some(Skip { over_octets: None, after_cr: false });
                    return Some(end + 1);
                }
            }
        }
    }

    /// Throws octets away up to the CRLF that ends the line.
    fn skip(&mut self, rest: &[u8], actions: &mut Vec<Action>) -> Option<usize> {
        let mut skip = self.skipping?;
        if rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(offset) = memchr::memchr(b'\n', rest.get(from..).unwrap_or_default()) {
            let end = from + offset;
            let after_cr = match end.checked_sub(1) {
                Some(before) => rest.get(before) == Some(&b'\r'),
                None => skip.after_cr,
            };
            if after_cr {
                self.skipping = None;
                if let Some(limit) = skip.over_octets {
                    self.line_too_long(limit, actions);
                }
                return Some(end + 1);
            }
            from = end + 1;
        }
        skip.after_cr = rest.last() == Some(&b'\r');
        self.skipping = Some(skip);
        Some(rest.len())
    }

    fn line_too_long(&mut self, limit: usize, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::AuthLine) {
            self.phase = Phase::Command;
            return self.send(self.refusal(&catalogue::AUTH_LINE_TOO_LONG, &[]), actions);
        }
        self.send(self.refusal(&catalogue::LINE_TOO_LONG, &[("octets", &limit.to_string())]), actions);
    }
}
