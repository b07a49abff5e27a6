//! How long a client waits at each step (RFC 5321 §4.5.3.2); the values named there are minima.

use core::time::Duration;

use super::meaning::Stage;

/// For the greeting (RFC 5321 §4.5.3.2.1).
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(300);

/// For the reply to MAIL (RFC 5321 §4.5.3.2.2).
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(300);

/// For the reply to RCPT (RFC 5321 §4.5.3.2.3).
pub const RCPT_TIMEOUT: Duration = Duration::from_secs(300);

/// For the reply to DATA (RFC 5321 §4.5.3.2.4).
pub const DATA_INITIATION_TIMEOUT: Duration = Duration::from_secs(120);

/// For one portion of mail data to be sent, and for the reply to a BDAT that isn't the last (RFC 5321 §4.5.3.2.5).
pub const DATA_BLOCK_TIMEOUT: Duration = Duration::from_secs(180);

/// For the reply to the end of mail data (RFC 5321 §4.5.3.2.6).
pub const DATA_TERMINATION_TIMEOUT: Duration = Duration::from_secs(600);

/// For the reply to a command that RFC 5321 §4.5.3.2 doesn't name: EHLO, HELO, STARTTLS, AUTH, RSET (ours, as MAIL).
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// For the TLS handshake (ours).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(120);

/// For the reply to QUIT, when nothing depends on it any more (ours).
pub const QUIT_TIMEOUT: Duration = Duration::from_secs(10);

/// That a connection stays open without a transaction, well below what a server waits (ours; RFC 5321 §4.5.3.2.7).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The waits of a session; RFC 5321 §4.5.3.2 wants them to be easy to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the greeting.
    pub greeting: Duration,
    /// For the reply to MAIL.
    pub mail: Duration,
    /// For the reply to RCPT.
    pub rcpt: Duration,
    /// For the reply to DATA.
    pub data_initiation: Duration,
    /// For one portion of mail data.
    pub data_block: Duration,
    /// For the reply to the end of mail data.
    pub data_termination: Duration,
    /// For the reply to any other command.
    pub command: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the reply to QUIT.
    pub quit: Duration,
    /// For another transaction, before the session says QUIT.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            greeting: GREETING_TIMEOUT,
            mail: MAIL_TIMEOUT,
            rcpt: RCPT_TIMEOUT,
            data_initiation: DATA_INITIATION_TIMEOUT,
            data_block: DATA_BLOCK_TIMEOUT,
            data_termination: DATA_TERMINATION_TIMEOUT,
            command: COMMAND_TIMEOUT,
            handshake: HANDSHAKE_TIMEOUT,
            quit: QUIT_TIMEOUT,
            idle: IDLE_TIMEOUT,
        }
    }
}

impl Timeouts {
    /// The longest wait at `stage`.
    #[must_use]
    pub const fn at(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting => self.greeting,
            Stage::Ehlo | Stage::Helo | Stage::StartTls | Stage::Auth | Stage::Reset => self.command,
            Stage::Handshake => self.handshake,
            Stage::Idle => self.idle,
            Stage::Mail => self.mail,
            Stage::Rcpt => self.rcpt,
            Stage::Data => self.data_initiation,
            Stage::MailData | Stage::Chunk => self.data_block,
            Stage::EndOfData => self.data_termination,
            Stage::Quit => self.quit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_default_is_below_the_rfcs_minimum() {
        let timeouts = Timeouts::default();
        let minutes = |stage| timeouts.at(stage).as_secs() / 60;
        assert_eq!(minutes(Stage::Greeting), 5);
        assert_eq!(minutes(Stage::Mail), 5);
        assert_eq!(minutes(Stage::Rcpt), 5);
        assert_eq!(minutes(Stage::Data), 2);
        assert_eq!(minutes(Stage::MailData), 3);
        assert_eq!(minutes(Stage::EndOfData), 10);
    }
}
