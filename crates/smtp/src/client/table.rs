//! The table of what each reply and each fault means to a client, from which documentation is printed too.
//!
//! The first row that fits decides. Nothing but a 5yz reply fails a recipient, and none before MAIL but 521.

use super::fault::Fault;
use super::meaning::{Attempt, Fate, Host, Meaning, Retry, Row, Stage, When};
use crate::reply::Severity;

use Severity::{Completed, Intermediate, Permanent, Transient};
use Stage::{
    Auth, Chunk, Data, Ehlo, EndOfData, Greeting, Handshake, Helo, Idle, Mail, MailData, Quit, Rcpt, Reset,
    StartTls,
};

const fn row(stages: &'static [Stage], when: When, meaning: Meaning, why: &'static str) -> Row {
    Row { stages, when, meaning, why }
}

const fn meaning(attempt: Attempt, host: Host, fate: Fate, retry: Retry) -> Meaning {
    Meaning { attempt, host, fate, retry }
}

const ANY: &[Stage] = &[];
const NEXT: Meaning = meaning(Attempt::Continues, Host::Usable, Fate::Undecided, Retry::Never);
const ACCEPTED: Meaning = meaning(Attempt::Continues, Host::Usable, Fate::Accepted, Retry::Never);
const REFUSED_ONE: Meaning = meaning(Attempt::Continues, Host::Usable, Fate::Failed, Retry::Never);
const LATER_ONE: Meaning = meaning(Attempt::Continues, Host::Usable, Fate::Deferred, Retry::Later);
const AGAIN_ONE: Meaning = meaning(Attempt::Continues, Host::Usable, Fate::Deferred, Retry::Again);
const DELIVERED: Meaning = meaning(Attempt::TransactionOver, Host::Usable, Fate::Delivered, Retry::Never);
const REFUSED_ALL: Meaning = meaning(Attempt::TransactionOver, Host::Usable, Fate::Failed, Retry::Never);
const LATER_ALL: Meaning = meaning(Attempt::TransactionOver, Host::Usable, Fate::Deferred, Retry::Later);
const ELSEWHERE: Meaning = meaning(Attempt::TransactionOver, Host::TurnOver, Fate::Deferred, Retry::NextHost);
const WITHOUT_IT: Meaning = meaning(Attempt::FallsBack, Host::TurnOver, Fate::Deferred, Retry::NextHost);
const NEXT_HOST: Meaning = meaning(Attempt::SessionOver, Host::TurnOver, Fate::Deferred, Retry::NextHost);
const NO_MAIL: Meaning = meaning(Attempt::SessionOver, Host::TurnOver, Fate::Failed, Retry::NextHost);
const UNKNOWN: Meaning = meaning(Attempt::SessionOver, Host::TurnOver, Fate::Unknown, Retry::Later);
const OVER: Meaning = meaning(Attempt::SessionOver, Host::Usable, Fate::Undecided, Retry::Never);

pub(super) const OUT_OF_STEP: Row = row(
    ANY,
    When::Always,
    NEXT_HOST,
    "the two ends no longer agree where they are (a positive reply in the wrong place, a reply to nothing): temporary",
);

/// What each reply and each fault means; the first row that fits decides.
pub static TABLE: &[Row] = &[
    row(&[Quit], When::Always, OVER, "nothing depends on the answer to QUIT (RFC 5321 §4.1.1.10)"),
    row(&[Idle], When::AnyFault, OVER, "closed between transactions: no mail is concerned (RFC 5321 §3.8)"),
    row(&[Idle], When::Codes(&[421]), OVER, "closed between transactions, and told so (RFC 5321 §3.8)"),
    row(
        ANY,
        When::Codes(&[421]),
        NEXT_HOST,
        "the server closes: this host's turn is over, not the message (RFC 5321 §3.8)",
    ),
    row(&[Greeting], When::Any(Completed), NEXT, "service ready (RFC 5321 §4.3.2)"),
    row(
        &[Greeting],
        When::Codes(&[521]),
        NO_MAIL,
        "the host never takes mail: the next one, and failed when none is left (RFC 7504 §3)",
    ),
    row(
        &[Greeting],
        When::Any(Permanent),
        NEXT_HOST,
        "no service for this client at this host; says nothing of a recipient (RFC 5321 §3.1)",
    ),
    row(&[Ehlo, Helo, StartTls, Auth, Reset], When::Any(Completed), NEXT, "done (RFC 5321 §4.3.2)"),
    row(
        &[Ehlo],
        When::Codes(&[500, 501, 502, 504, 550]),
        WITHOUT_IT,
        "a server without extensions: HELO (RFC 5321 §3.2, §4.1.1.1)",
    ),
    row(
        &[StartTls],
        When::Any(Transient),
        WITHOUT_IT,
        "no TLS now: clear text where the settings allow it, else the next host (RFC 3207 §4)",
    ),
    row(&[StartTls], When::Any(Permanent), WITHOUT_IT, "no TLS: as for 4yz (RFC 3207 §4)"),
    row(
        &[Handshake],
        When::AnyFault,
        meaning(Attempt::SessionOver, Host::Usable, Fate::Deferred, Retry::Again),
        "the handshake failed: a new connection, without TLS where the settings allow it, else the next host",
    ),
    row(
        &[Auth],
        When::Any(Transient),
        meaning(Attempt::SessionOver, Host::Usable, Fate::Deferred, Retry::Later),
        "the credentials cannot be checked now (RFC 4954 §6)",
    ),
    row(
        &[Auth],
        When::Any(Permanent),
        meaning(Attempt::SessionOver, Host::TurnOver, Fate::Deferred, Retry::Later),
        "our credentials are refused: our fault, so no message fails for it (RFC 4954 §6)",
    ),
    row(&[Mail], When::Any(Completed), NEXT, "the transaction begins (RFC 5321 §3.3)"),
    row(
        &[Mail, Rcpt],
        When::Codes(&[530]),
        ELSEWHERE,
        "TLS or a login is wanted first: a matter of the connection or of our settings, so no message fails for it (RFC 3207 §4, RFC 4954 §6)",
    ),
    row(&[Mail], When::Any(Transient), ELSEWHERE, "not now at this host (RFC 5321 §4.2.1)"),
    row(
        &[Mail],
        When::Any(Permanent),
        REFUSED_ALL,
        "the message is refused for all recipients (RFC 5321 §3.3)",
    ),
    row(
        &[Rcpt],
        When::Codes(&[251]),
        ACCEPTED,
        "accepted: the server forwards, the new address is only told (RFC 5321 §3.4)",
    ),
    row(&[Rcpt], When::Any(Completed), ACCEPTED, "accepted; 252 too (RFC 5321 §3.3)"),
    row(
        &[Rcpt],
        When::Codes(&[556]),
        REFUSED_ONE,
        "the domain takes no mail at all (RFC 7504 §4, RFC 7505 §4.2)",
    ),
    row(
        &[Rcpt],
        When::Codes(&[551]),
        REFUSED_ONE,
        "moved, not forwarded: failed, and the address goes into the DSN (RFC 5321 §3.4)",
    ),
    row(
        &[Rcpt],
        When::Bare(452),
        AGAIN_ONE,
        "too many recipients: the rest in another transaction (RFC 5321 §4.5.3.1.10)",
    ),
    row(
        &[Rcpt],
        When::About(452, (5, 3)),
        AGAIN_ONE,
        "too many recipients, as the enhanced code says (RFC 3463 §3.6)",
    ),
    row(
        &[Rcpt],
        When::Bare(552),
        AGAIN_ONE,
        "too many recipients, in the words of RFC 821: not permanent (RFC 5321 §4.5.3.1.10)",
    ),
    row(
        &[Rcpt],
        When::About(552, (5, 3)),
        AGAIN_ONE,
        "too many recipients, in the words of RFC 821 (RFC 3463 §3.6)",
    ),
    row(
        &[Rcpt],
        When::About(452, (2, 2)),
        LATER_ONE,
        "the mailbox is full: tried again, more rarely (RFC 3463 §3.3)",
    ),
    row(
        &[Rcpt],
        When::About(450, (7, 1)),
        LATER_ONE,
        "greylisted, most likely: tried again soon (RFC 6647 §2)",
    ),
    row(
        &[Rcpt],
        When::About(451, (7, 1)),
        LATER_ONE,
        "greylisted, most likely: tried again soon (RFC 6647 §2)",
    ),
    row(&[Rcpt], When::Any(Transient), LATER_ONE, "this mailbox not now (RFC 5321 §4.2.1)"),
    row(
        &[Rcpt],
        When::Any(Permanent),
        REFUSED_ONE,
        "this mailbox not at all; 552 X.2.2 too, which is a full mailbox (RFC 5321 §4.2.1)",
    ),
    row(&[Data], When::Any(Intermediate), NEXT, "the data may come (RFC 5321 §4.3.2)"),
    row(&[Chunk], When::Any(Completed), NEXT, "the chunk is taken (RFC 3030 §2)"),
    row(&[EndOfData], When::Any(Completed), DELIVERED, "the server is responsible now (RFC 5321 §4.2.5)"),
    row(&[Data, Chunk, EndOfData], When::Codes(&[452]), ELSEWHERE, "no room at this host (RFC 5321 §4.2.3)"),
    row(&[Data, Chunk, EndOfData], When::Any(Transient), LATER_ALL, "not now (RFC 5321 §4.2.1)"),
    row(
        &[Data, Chunk, EndOfData],
        When::Any(Permanent),
        REFUSED_ALL,
        "the message is refused for all recipients accepted before (RFC 5321 §4.2.5)",
    ),
    row(
        &[MailData],
        When::Any(Transient),
        meaning(Attempt::SessionOver, Host::Usable, Fate::Deferred, Retry::Later),
        "refused before its end: the data can only be stopped by closing",
    ),
    row(
        &[MailData],
        When::Any(Permanent),
        meaning(Attempt::SessionOver, Host::Usable, Fate::Failed, Retry::Never),
        "refused before its end: the data can only be stopped by closing",
    ),
    row(
        &[EndOfData],
        When::AnyFault,
        UNKNOWN,
        "the reply to the end of data is lost or unreadable: it may have been 250 (RFC 1047)",
    ),
    row(&[EndOfData], When::Any(Intermediate), UNKNOWN, "neither taken nor refused (RFC 1047)"),
    row(
        &[StartTls],
        When::Fault(Fault::Injection),
        NEXT_HOST,
        "octets behind the go-ahead of STARTTLS came from someone without the key (RFC 3207 §6)",
    ),
    row(
        ANY,
        When::AnyFault,
        NEXT_HOST,
        "lost, late or unreadable before the end of data: temporary (RFC 5321 §3.8)",
    ),
    row(
        &[Greeting, Ehlo, Helo, Reset],
        When::Any(Transient),
        NEXT_HOST,
        "not now at this host (RFC 5321 §4.2.1)",
    ),
    row(
        &[Ehlo, Helo, Reset],
        When::Any(Permanent),
        NEXT_HOST,
        "refused before the transaction: says nothing of a recipient (RFC 5321 §4.1.4)",
    ),
    OUT_OF_STEP,
];
