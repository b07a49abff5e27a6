//! The catalogue: every reply that the server gives, with its condition, its source and the stages where it may stand.
//!
//! The wire, `gatepost codes`, `docs/reference/replies.md` and the coverage test are printed from it. A `{name}` in a
//! text is filled when the reply is made.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::reply::{Enhanced, Refusal, Reply, ReplyCode};

/// Where in a session a reply may stand (RFC 5321 §4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The greeting.
    Connect,
    /// EHLO and HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH and its exchange.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Recipient,
    /// DATA, and BDAT before its last chunk.
    Data,
    /// The end of the mail data.
    Message,
    /// VRFY and EXPN.
    Verify,
    /// HELP.
    Help,
    /// Any other command, and what comes unasked (time-outs, shutdown).
    Command,
}

impl Stage {
    /// Every stage, in the order of a session.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::Hello,
        Self::StartTls,
        Self::Auth,
        Self::Mail,
        Self::Recipient,
        Self::Data,
        Self::Message,
        Self::Verify,
        Self::Help,
        Self::Command,
    ];

    /// The stage's name, as policy and documentation write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Hello => "helo",
            Self::StartTls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Recipient => "recipient",
            Self::Data => "data",
            Self::Message => "message",
            Self::Verify => "verify",
            Self::Help => "help",
            Self::Command => "command",
        }
    }
}

/// One reply of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name, unique, as logs and metrics show it.
    pub name: &'static str,
    /// The reply code.
    pub code: ReplyCode,
    /// Subject and detail of the enhanced status code; greeting, HELO, EHLO and 3yz replies have none (RFC 2034 §4).
    pub enhanced: Option<Enhanced>,
    /// The text, with `{placeholders}`.
    pub text: &'static str,
    /// Where the RFCs describe the condition.
    pub section: &'static str,
    /// Where it may stand.
    pub stages: &'static [Stage],
    /// When it is given, in a sentence.
    pub condition: &'static str,
}

impl Entry {
    /// The reply, as it stands.
    #[must_use]
    pub fn reply(&self) -> Reply {
        Reply::new(self.code, self.enhanced, self.text, self.name)
    }

    /// The reply with its placeholders filled; a value's line breaks and controls become spaces.
    #[must_use]
    pub fn fill(&self, values: &[(&str, &str)]) -> Reply {
        Reply::new(self.code, self.enhanced, Cow::Owned(fill(self.text, values)), self.name)
    }

    /// The reply with `text` instead of the catalogue's; line breaks in it make a multi-line reply.
    #[must_use]
    pub fn with_text(&self, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply::new(self.code, self.enhanced, text, self.name)
    }

    /// The reply as a refusal. Only 4yz and 5yz entries are meant; any other would be a fault of ours and becomes 451.
    #[must_use]
    pub fn refuse(&self, values: &[(&str, &str)]) -> Refusal {
        Refusal::or_local_fault(self.fill(values))
    }

    /// As [`Entry::refuse`], with `text` instead of the catalogue's.
    #[must_use]
    pub fn refuse_with(&self, text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::or_local_fault(self.with_text(text))
    }
}

/// `text` with each `{name}` replaced by its value; an unknown placeholder stays as it is.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match values.iter().find(|(placeholder, _)| *placeholder == name) {
            Some((_, value)) if value.bytes().all(|octet| matches!(octet, b' '..=b'~')) => {
                filled.push_str(value);
            }
            Some((_, value)) => {
                filled.extend(
                    value.chars().map(|character| if character.is_control() { ' ' } else { character }),
                );
            }
            None => {
                filled.push('{');
                filled.push_str(name);
                filled.push('}');
            }
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

/// A code that is known to be one.
#[allow(clippy::panic, reason = "runs when the catalogue is compiled: a wrong code does not build")]
const fn code(value: u16) -> ReplyCode {
    match ReplyCode::new(value) {
        Some(code) => code,
        None => panic!("not a reply code"),
    }
}

macro_rules! enhanced {
    (none) => {
        None
    };
    ($subject:literal . $detail:literal) => {
        Some(Enhanced::new($subject, $detail))
    };
}

macro_rules! catalogue {
    ($($ident:ident $name:literal $code:literal ($($enhanced:tt)+) $text:literal, $section:literal,
        [$($stage:ident),+], $condition:literal;)+) => {
        $(
            #[doc = $condition]
            pub const $ident: Entry = Entry {
                name: $name,
                code: code($code),
                enhanced: enhanced!($($enhanced)+),
                text: $text,
                section: $section,
                stages: &[$(Stage::$stage),+],
                condition: $condition,
            };
        )+
        /// Every entry, in the order of the codes.
        pub const ALL: &[Entry] = &[$($ident),+];
    };
}

catalogue! {
    STATUS "status" 211 (0 . 0) "{status}", "RFC 5321 §4.2.2", [Help],
        "`HELP STATUS`: version, uptime and listener; for a client that may see them, session and queue counts.";
    HELP "help" 214 (0 . 0) "{help}", "RFC 5321 §4.1.1.8", [Help],
        "`HELP`: the commands that this session may use now, or the syntax, source and limits of one command.";
    GREETING "greeting" 220 (none) "{hostname} ESMTP Gatepost", "RFC 5321 §3.1", [Connect],
        "A client connects and is served.";
    START_TLS "start-tls" 220 (0 . 0) "start TLS now", "RFC 3207 §4", [StartTls],
        "STARTTLS where TLS is offered: the handshake follows.";
    CLOSING "closing" 221 (0 . 0) "{hostname} closing connection", "RFC 5321 §4.1.1.10", [Command],
        "QUIT, and nothing else.";
    AUTHENTICATED "authenticated" 235 (7 . 0) "authenticated", "RFC 4954 §6", [Auth],
        "The AUTH exchange succeeded.";
    HELLO "hello" 250 (none) "{hostname}", "RFC 5321 §4.1.1.1", [Hello],
        "EHLO or HELO; after EHLO the extensions follow, one a line.";
    SENDER_OK "sender-ok" 250 (1 . 0) "reverse-path accepted", "RFC 5321 §4.1.1.2", [Mail],
        "MAIL is accepted: a transaction begins.";
    RECIPIENT_OK "recipient-ok" 250 (1 . 5) "forward-path accepted", "RFC 5321 §4.1.1.3", [Recipient],
        "RCPT is accepted.";
    RESET "reset" 250 (0 . 0) "transaction forgotten", "RFC 5321 §4.1.1.5", [Command],
        "RSET.";
    NOOP "noop" 250 (0 . 0) "ok", "RFC 5321 §4.1.1.9", [Command],
        "NOOP.";
    CHUNK_OK "chunk-ok" 250 (0 . 0) "{octets} octets received", "RFC 3030 §2", [Data],
        "A BDAT chunk that is not the last one.";
    QUEUED "queued" 250 (6 . 0) "queued as {queue_id}", "RFC 5321 §4.2.5", [Message],
        "The end of the mail data, when the message is durable on disk and never before.";
    VERIFIED "verified" 250 (1 . 5) "{mailbox}", "RFC 5321 §3.5.1", [Verify],
        "VRFY of a known mailbox, from a client that may be told.";
    EXPANDED "expanded" 250 (1 . 5) "{members}", "RFC 5321 §3.5.2", [Verify],
        "EXPN of a list, from a client that may expand: its members, one a line.";
    WILL_FORWARD "will-forward" 251 (1 . 5) "user not local; will forward to <{address}>", "RFC 5321 §3.4", [Recipient, Verify],
        "RCPT or VRFY of an address whose mail is forwarded, when the forward is disclosed.";
    CANNOT_VERIFY "cannot-verify" 252 (0 . 0) "cannot verify, but will accept mail and attempt delivery", "RFC 5321 §3.5.3", [Verify],
        "VRFY from a client that may not be told, or of a domain that is relayed.";
    UTF8_ANSWER "utf8-answer" 252 (6 . 8) "the answer needs UTF-8; ask again with SMTPUTF8", "RFC 6531 §3.7.4.2", [Verify],
        "VRFY or EXPN whose answer has a non-ASCII address, from a client that did not say SMTPUTF8.";
    CHALLENGE "challenge" 334 (none) "{challenge}", "RFC 4954 §4", [Auth],
        "An AUTH mechanism asks for more; the text is base64.";
    START_DATA "start-data" 354 (none) "end data with <CRLF>.<CRLF>", "RFC 5321 §4.1.1.4", [Data],
        "DATA with at least one accepted recipient.";
    SHUTTING_DOWN "shutting-down" 421 (3 . 2) "{hostname} is shutting down, closing connection", "RFC 5321 §3.8", [Connect, Command],
        "The server drains: to an idle session at once, to a busy one when its transaction, or the time for it, is over.";
    IDLE_TIMEOUT "idle-timeout" 421 (4 . 2) "{hostname} waited too long for a command, closing connection", "RFC 5321 §4.5.3.2.7", [Command],
        "No command came within the time-out.";
    DATA_TIMEOUT "data-timeout" 421 (4 . 2) "{hostname} waited too long for data, closing connection", "RFC 5321 §4.5.3.2.5", [Data, Auth],
        "Mail data, or the answer to an AUTH challenge, stopped coming.";
    SESSION_TIMEOUT "session-timeout" 421 (4 . 2) "{hostname}: the session lasted too long, closing connection", "RFC 5321 §3.8", [Command],
        "The session reached its longest time.";
    TOO_MANY_CONNECTIONS "too-many-connections" 421 (3 . 2) "{hostname} has too many connections, try again later", "RFC 5321 §3.8", [Connect],
        "The limit of connections in all is reached.";
    TOO_MANY_CONNECTIONS_ADDRESS "too-many-connections-address" 421 (7 . 0) "{hostname}: too many connections from {client}", "RFC 5321 §3.8", [Connect],
        "The limit of connections from one address is reached.";
    TOO_MANY_CONNECTIONS_NETWORK "too-many-connections-network" 421 (7 . 0) "{hostname}: too many connections from the network of {client}", "RFC 5321 §3.8", [Connect],
        "The limit of connections from one network (/24 or /64) is reached.";
    CONNECTION_RATE "connection-rate" 421 (7 . 0) "{hostname}: {client} connects too often, try again later", "RFC 5321 §3.8", [Connect],
        "An address opens connections faster than the limit.";
    TOO_MANY_ERRORS "too-many-errors" 421 (7 . 0) "{hostname}: too many errors, closing connection", "RFC 5321 §3.8", [Command],
        "The session reached its limit of errors; the last error's own reply goes first.";
    TOO_MANY_MESSAGES "too-many-messages" 421 (7 . 0) "{hostname}: too many messages in this session, closing connection", "RFC 5321 §3.8", [Mail],
        "MAIL when the session has had its limit of messages.";
    OVERLOADED "overloaded" 421 (3 . 2) "{hostname} is overloaded, try again later", "RFC 5321 §3.8", [Connect],
        "The server is short of memory or of descriptors.";
    NOT_CLEAR_TEXT "plaintext-after-starttls" 421 (7 . 0) "{hostname}: clear text behind STARTTLS, closing connection", "RFC 3207 §4.2", [StartTls],
        "Octets stood behind STARTTLS before the handshake: a command injection, closed and logged.";
    FOREIGN_PROTOCOL "foreign-protocol" 421 (7 . 0) "{hostname} is an SMTP server, closing connection", "RFC 5321 §3.8", [Command],
        "An HTTP verb, a TLS hello in clear text or another protocol's first line.";
    CHUNK_UNKNOWN "chunk-unknown" 421 (5 . 4) "{hostname} cannot tell where the chunk ends, closing connection", "RFC 3030 §2", [Data],
        "BDAT without a readable size: what follows can't be told from commands; the reply of 501 goes first.";
    PASSWORD_TRANSITION "password-transition" 432 (7 . 12) "a password transition is needed: log in once with PLAIN or LOGIN", "RFC 4954 §6", [Auth],
        "AUTH with a mechanism for which this user has no keys yet; logging in once with the password makes them.";
    MAILBOX_BUSY "mailbox-busy" 450 (2 . 1) "<{address}>: mailbox busy, try again later", "RFC 5321 §4.2.3", [Recipient, Verify],
        "The mailbox is marked busy or locked.";
    LOCAL_FAULT "local-fault" 451 (3 . 0) "local error in processing, try again later", "RFC 5321 §4.2.3", [Connect, Hello, Mail, Recipient, Data, Message, Verify, Help],
        "The spool or something else of ours fails: the message was not taken.";
    USER_OVER_MESSAGES "user-over-messages" 451 (7 . 1) "you have submitted as many messages as you may in a day, try again later", "RFC 6409 §6.2", [Mail],
        "MAIL of a user who has submitted as many messages as he may in 24 hours.";
    USER_OVER_RECIPIENTS "user-over-recipients" 451 (7 . 1) "you have submitted mail to as many recipients as you may in a day, try again later", "RFC 6409 §6.2", [Recipient],
        "RCPT of a user who has submitted mail to as many recipients as he may in 24 hours.";
    NO_ROOM "no-room" 452 (3 . 1) "insufficient system storage, try again later", "RFC 5321 §4.2.3", [Mail, Data, Message],
        "A watermark of the disk, of its inodes or of memory is reached.";
    OVER_QUOTA_TEMPORARY "over-quota-temporary" 452 (2 . 2) "<{address}>: mailbox is full, try again later", "RFC 5321 §4.2.3", [Recipient],
        "The mailbox is over its quota, and the site wants that to be temporary.";
    TOO_MANY_RECIPIENTS "too-many-recipients" 452 (5 . 3) "too many recipients, send the rest in another transaction", "RFC 5321 §4.5.3.1.10", [Recipient],
        "RCPT when the transaction has its limit of recipients.";
    AUTH_UNAVAILABLE "auth-unavailable" 454 (7 . 0) "authentication is not available just now", "RFC 4954 §4", [Auth],
        "The store of credentials cannot be asked.";
    AUTH_THROTTLED "auth-throttled" 454 (7 . 0) "too many failed logins, try again in {minutes} min", "RFC 4954 §9", [Auth],
        "AUTH from an address or a network, or for an account, with too many wrong passwords of late; nothing is checked.";
    TLS_UNAVAILABLE "tls-unavailable" 454 (7 . 0) "TLS is not available just now", "RFC 3207 §4", [StartTls],
        "STARTTLS when TLS is offered but can't be started.";
    UNKNOWN_COMMAND "unknown-command" 500 (5 . 1) "unknown command", "RFC 5321 §4.2.4", [Command],
        "The command is not one of SMTP.";
    LINE_TOO_LONG "line-too-long" 500 (5 . 2) "command line is over {octets} octets", "RFC 5321 §4.5.3.1.9", [Command],
        "A command line over its limit; it is discarded whole.";
    INVALID_OCTETS "invalid-octets" 500 (5 . 2) "invalid octets in the command line: {octet}", "RFC 5321 §2.3.8", [Command],
        "A command line with a bare CR, a bare LF, a NUL or another octet that can't stand there.";
    AUTH_LINE_TOO_LONG "auth-line-too-long" 500 (5 . 6) "authentication exchange line is too long", "RFC 4954 §4", [Auth],
        "A line of the AUTH exchange is over its limit.";
    BAD_ARGUMENT "bad-argument" 501 (5 . 4) "syntax: {usage}", "RFC 5321 §4.2.3", [Hello, StartTls, Auth, Mail, Recipient, Data, Verify, Command],
        "An argument is missing or malformed.";
    UNEXPECTED_ARGUMENT "unexpected-argument" 501 (5 . 4) "{command} takes no argument", "RFC 5321 §4.1.1", [StartTls, Data, Command],
        "An argument where none may stand.";
    BAD_PARAMETER "bad-parameter" 501 (5 . 4) "parameter {parameter}: {reason}", "RFC 5321 §4.1.1.11", [Mail, Recipient],
        "A parameter's value is malformed, or the parameter is given twice.";
    BAD_REVERSE_PATH "bad-reverse-path" 501 (1 . 7) "not a path; MAIL FROM:<local-part@domain> is the form", "RFC 5321 §4.1.2", [Mail],
        "The argument of MAIL is not a path in angle brackets.";
    BAD_FORWARD_PATH "bad-forward-path" 501 (1 . 3) "not a path; RCPT TO:<local-part@domain> is the form", "RFC 5321 §4.1.2", [Recipient],
        "The argument of RCPT is not a path in angle brackets.";
    BAD_HELLO_NAME "bad-hello-name" 501 (5 . 4) "the argument is neither a domain name nor an address literal", "RFC 5321 §4.1.1.1", [Hello],
        "The argument of EHLO or HELO can't be a domain name or an address literal.";
    AUTH_CANCELLED "auth-cancelled" 501 (7 . 0) "authentication cancelled", "RFC 4954 §4", [Auth],
        "The client answered an AUTH challenge with `*`.";
    AUTH_SYNTAX "auth-syntax" 501 (5 . 2) "cannot decode the authentication response", "RFC 4954 §4", [Auth],
        "An AUTH response is not base64.";
    COMMAND_NOT_OFFERED "command-not-offered" 502 (5 . 1) "{command} is not offered here", "RFC 5321 §4.2.4", [Command, Verify, StartTls, Auth],
        "A command that is known and not offered: EXPN or VRFY when off, ETRN, SEND, SOML, SAML, TURN, ATRN, STARTTLS and AUTH where they are not offered.";
    HELLO_FIRST "hello-first" 503 (5 . 1) "send EHLO or HELO first", "RFC 5321 §4.1.4", [Mail, Recipient, Data, Command, StartTls, Auth, Verify],
        "A mail command before EHLO or HELO.";
    MAIL_FIRST "mail-first" 503 (5 . 1) "send MAIL first", "RFC 5321 §4.1.4", [Recipient, Data],
        "RCPT, DATA or BDAT without a transaction.";
    RECIPIENT_FIRST "recipient-first" 503 (5 . 1) "send RCPT first", "RFC 5321 §3.3", [Data],
        "DATA or BDAT before any RCPT.";
    NESTED_MAIL "nested-mail" 503 (5 . 1) "a transaction is open; RSET ends it", "RFC 5321 §4.1.4", [Mail],
        "MAIL inside a transaction.";
    BDAT_OPEN "bdat-open" 503 (5 . 1) "BDAT chunks are being sent; end them with BDAT LAST or RSET", "RFC 3030 §2", [Mail, Recipient, Data, Auth, StartTls],
        "Another transaction command between two BDAT chunks.";
    DATA_AFTER_BINARY "data-after-binarymime" 503 (5 . 1) "BODY=BINARYMIME is sent with BDAT, not DATA", "RFC 3030 §3", [Data],
        "DATA after MAIL said BODY=BINARYMIME.";
    AUTH_TWICE "auth-twice" 503 (5 . 1) "already authenticated", "RFC 4954 §4", [Auth],
        "AUTH after a successful AUTH.";
    AUTH_IN_TRANSACTION "auth-in-transaction" 503 (5 . 1) "AUTH is not possible inside a transaction", "RFC 4954 §4", [Auth],
        "AUTH inside a transaction.";
    TLS_TWICE "tls-twice" 503 (5 . 1) "TLS is active already", "RFC 3207 §4", [StartTls],
        "STARTTLS over TLS.";
    TLS_IN_TRANSACTION "tls-in-transaction" 503 (5 . 1) "STARTTLS is not possible inside a transaction", "RFC 3207 §4", [StartTls],
        "STARTTLS inside a transaction.";
    NO_SERVICE "no-service" 503 (5 . 1) "no SMTP service for you here; QUIT is the only command", "RFC 5321 §3.1", [Command],
        "Any command but QUIT after a greeting of 554.";
    NOT_IMPLEMENTED_PARAMETER "parameter-not-implemented" 504 (5 . 4) "parameter {parameter} is not implemented", "RFC 5321 §4.2.3", [Mail, Recipient],
        "A known parameter with a value that is not implemented, such as an unknown BODY.";
    UNKNOWN_MECHANISM "unknown-mechanism" 504 (5 . 4) "authentication mechanism {mechanism} is not offered", "RFC 4954 §4", [Auth],
        "AUTH with a mechanism that is not offered.";
    UNKNOWN_TOPIC "unknown-topic" 504 (5 . 4) "no help on {topic}; HELP lists the commands", "RFC 5321 §4.1.1.8", [Help],
        "HELP with a topic that is no command.";
    AUTH_REQUIRED "auth-required" 530 (7 . 0) "authentication required", "RFC 4954 §6", [Mail],
        "MAIL on a submission listener before AUTH.";
    TLS_REQUIRED "tls-required" 530 (7 . 0) "send STARTTLS first", "RFC 3207 §4", [Mail, Auth],
        "MAIL or AUTH in clear text where TLS is required.";
    MECHANISM_TOO_WEAK "mechanism-too-weak" 534 (7 . 9) "authentication mechanism is too weak", "RFC 4954 §6", [Auth],
        "AUTH with a mechanism that the site allows no more for this user.";
    BAD_CREDENTIALS "bad-credentials" 535 (7 . 8) "authentication failed", "RFC 4954 §6", [Auth],
        "The credentials are wrong.";
    AUTH_NEEDS_TLS "auth-needs-tls" 538 (7 . 11) "encryption is required for this authentication mechanism", "RFC 4954 §6", [Auth],
        "AUTH with a plain-text mechanism before TLS.";
    NO_SUCH_MAILBOX "no-such-mailbox" 550 (1 . 1) "<{address}>: no such mailbox", "RFC 5321 §4.2.3", [Recipient, Verify],
        "A local domain has no such mailbox.";
    RELAYING_DENIED "relaying-denied" 550 (7 . 1) "<{address}>: relaying denied, the domain is not served here", "RFC 5321 §3.6.2", [Recipient, Verify],
        "A recipient of a foreign domain from a client that may not relay.";
    NO_WAY_OUT "no-way-out" 550 (7 . 1) "<{address}>: relaying denied, this server sends no mail to other domains", "RFC 6409 §6.1", [Recipient],
        "RCPT of a foreign domain from a user, where there is no way for mail to other domains.";
    AUTHOR_NOT_OWNED "author-not-owned" 550 (7 . 1) "you may not send from the address in the From field", "RFC 6409 §6.1", [Message],
        "The end of the mail data of a user, when an address of the From field is not his.";
    MOVED_UTF8 "moved-utf8" 550 (6 . 8) "user has moved; the new address needs SMTPUTF8", "RFC 6531 §3.7.4.2", [Recipient, Verify],
        "The mailbox has moved to a non-ASCII address, and the client did not say SMTPUTF8.";
    MOVED "moved" 551 (1 . 6) "user has moved; please try <{address}>", "RFC 5321 §3.4", [Recipient, Verify],
        "The mailbox has moved and its mail is not forwarded; the new address stands in the text.";
    SIZE_DECLARED "declared-size-too-big" 552 (3 . 4) "message size {declared} is over the limit of {limit} octets", "RFC 1870 §6.1", [Mail],
        "MAIL declares a size over the limit.";
    MESSAGE_TOO_BIG "message-too-big" 552 (3 . 4) "message is over the limit of {limit} octets", "RFC 1870 §6.3", [Data, Message],
        "The mail data are over the limit, whatever was declared.";
    OVER_QUOTA "over-quota" 552 (2 . 2) "<{address}>: mailbox is full", "RFC 5321 §4.2.3", [Recipient],
        "The mailbox is over its quota, or would be with the declared size.";
    BAD_SENDER_MAILBOX "bad-sender-mailbox" 553 (1 . 7) "reverse-path is not a valid mailbox: {reason}", "RFC 5321 §4.1.2", [Mail],
        "The mailbox in the reverse-path is not well formed.";
    BAD_RECIPIENT_MAILBOX "bad-recipient-mailbox" 553 (1 . 3) "forward-path is not a valid mailbox: {reason}", "RFC 5321 §4.1.2", [Recipient, Verify],
        "The mailbox in the forward-path is not well formed.";
    NON_ASCII_ADDRESS "non-ascii-address" 553 (6 . 7) "non-ASCII address without SMTPUTF8", "RFC 6531 §3.5", [Mail, Recipient, Verify],
        "A non-ASCII address in a transaction that did not declare SMTPUTF8.";
    SENDER_NOT_OWNED "sender-not-owned" 553 (7 . 1) "<{address}>: you may not send from this address", "RFC 6409 §6.1", [Mail],
        "MAIL of a user with a reverse-path that is not his.";
    AMBIGUOUS "ambiguous-user" 553 (1 . 4) "user ambiguous:\n{candidates}", "RFC 5321 §3.5.1", [Verify],
        "VRFY of a name that stands in several domains; each stands in the text.";
    REFUSED_CLIENT "refused-client" 554 (7 . 1) "{hostname}: no SMTP service for {client} here", "RFC 5321 §3.1", [Connect],
        "A client that the site refuses.";
    EARLY_TALKER "early-talker" 554 (5 . 1) "{hostname}: {client} spoke before the greeting", "RFC 5321 §4.3.1", [Connect],
        "A client that sends before the greeting, where the site refuses that.";
    NO_VALID_RECIPIENTS "no-valid-recipients" 554 (5 . 1) "no valid recipients", "RFC 5321 §3.3", [Data],
        "DATA or BDAT when every RCPT was refused.";
    BAD_DATA "malformed-message" 554 (6 . 0) "message refused: {reason}", "RFC 5321 §2.3.8", [Message, Data],
        "Mail data with a bare CR, a bare LF or a NUL: nothing of them is kept.";
    LOOP "mail-loop" 554 (4 . 6) "message refused: {count} Received fields, a mail loop", "RFC 5321 §6.3", [Message],
        "The message has more Received fields than any honest path needs.";
    UNKNOWN_PARAMETER "unknown-parameter" 555 (5 . 4) "parameter {parameter} is not recognised", "RFC 5321 §4.1.1.11", [Mail, Recipient],
        "A parameter of MAIL or RCPT that no offered extension defines.";
}

/// The entry of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_codes_ordered() {
        let names: BTreeSet<_> = ALL.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.windows(2).all(|pair| pair[0].code <= pair[1].code));
    }

    #[test]
    fn all_codes_of_the_table_are_there() {
        let codes: BTreeSet<_> = ALL.iter().map(|entry| entry.code.value()).collect();
        for code in [
            211, 214, 220, 221, 250, 251, 252, 354, 421, 450, 451, 452, 500, 501, 502, 503, 504, 550, 551,
            552, 553, 554,
        ] {
            assert!(codes.contains(&code), "{code}");
        }
    }

    #[test]
    fn placeholders_are_filled_once_and_cannot_inject() {
        let reply = RELAYING_DENIED.fill(&[("address", "a{address}\r\n250 x@y")]);
        assert_eq!(reply.text(), "<a{address}  250 x@y>: relaying denied, the domain is not served here");
    }
}
