//! What the client said: command lines kept for whoever wants to show the dialogue later.
//!
//! Invariants: no credentials are kept; memory is bounded by [`HEARD_OCTETS_MAX`].

use alloc::vec::Vec;

use super::session::{Phase, Session};

/// Octets of commands that wait to be taken (ours: more than a group of pipelined commands).
pub const HEARD_OCTETS_MAX: usize = 8_192;

/// Octets of room that stay for the next commands (ours: an idle session holds little).
pub const HEARD_OCTETS_KEPT: usize = 256;

impl Session {
    /// The command lines since this was last asked, each ended by LF; what AUTH sends is left out, and so is what would
    /// make them more than [`HEARD_OCTETS_MAX`]. Empty unless [`Settings::record`] is set.
    pub fn take_heard(&mut self, into: &mut Vec<u8>) {
        into.append(&mut self.heard);
        self.heard.shrink_to(HEARD_OCTETS_KEPT);
    }

    /// Keeps a command line; of AUTH only its mechanism, of an exchange nothing.
    pub(super) fn hear(&mut self, line: &[u8]) {
        let is_secret = matches!(self.phase, Phase::AuthLine);
        let shown = match line.get(..5) {
            _ if is_secret => &b"..."[..],
            Some(verb) if verb.eq_ignore_ascii_case(b"AUTH ") => line
                .splitn(3, |octet| *octet == b' ')
                .take(2)
                .last()
                .map_or(line, |mechanism| line.get(..5 + mechanism.len()).unwrap_or(line)),
            _ => line,
        };
        if self.heard.len() + shown.len() < HEARD_OCTETS_MAX {
            self.heard.extend_from_slice(shown);
            self.heard.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AuthOffer, AuthOutcome, Decision, Event, Rights, Settings};
    use super::*;
    use crate::time::Timestamp;
    use alloc::sync::Arc;
    use alloc::vec;

    fn session(record: bool) -> Session {
        let auth = AuthOffer { mechanisms: vec!["PLAIN".into(), "LOGIN".into()], needs_tls: false };
        let settings = Settings { record, auth: Some(auth), ..Settings::default() };
        let now = Timestamp::from_millis(0);
        let mut session = Session::new(Arc::new(settings), Rights::default(), "192.0.2.1".into(), now);
        session.handle(now, Event::Connected, &mut Vec::new());
        session.handle(now, Event::Decided(Decision::Accept), &mut Vec::new());
        session
    }

    fn say(session: &mut Session, text: &[u8]) -> Vec<u8> {
        let now = Timestamp::from_millis(0);
        session.handle(now, Event::Received(text), &mut Vec::new());
        session.handle(now, Event::Decided(Decision::Accept), &mut Vec::new());
        let mut heard = Vec::new();
        session.take_heard(&mut heard);
        heard
    }

    #[test]
    fn commands_are_kept_until_taken_and_credentials_never() {
        let mut session = session(true);
        assert_eq!(say(&mut session, b"EHLO a.example\r\nNOOP\r\n"), b"EHLO a.example\nNOOP\n");
        assert_eq!(say(&mut session, b"auth PLAIN AHNlY3JldA==\r\n"), b"auth PLAIN\n");
        let now = Timestamp::from_millis(0);
        session.handle(now, Event::Authenticated(AuthOutcome::Challenge("x".into())), &mut Vec::new());
        assert_eq!(say(&mut session, b"c2VjcmV0\r\n"), b"...\n");
        assert_eq!(say(&mut session, b""), b"");
    }

    #[test]
    fn what_is_kept_is_bounded_and_switchable() {
        let mut quiet = session(false);
        assert_eq!(say(&mut quiet, b"EHLO a.example\r\n"), b"");
        let mut session = session(true);
        for _ in 0..HEARD_OCTETS_MAX {
            session.hear(b"NOOP");
        }
        let mut heard = Vec::new();
        session.take_heard(&mut heard);
        assert!(heard.len() <= HEARD_OCTETS_MAX && heard.ends_with(b"NOOP\n"));
    }
}
