//! The keys of users: AUTH, guessing, and what users may do; see [`keys`](super::keys).

use super::auth::{BackendForm, SenderForm};
use super::form::{Choice, Count, Flag, ListOf, Maybe, Placed, Time};
use super::key::{Documented, Key, Section};
use super::keys::{TABLE_NAMES, keys};
use super::table_source::TextForm;
use crate::auth::Mechanism;

/// The words for mechanisms. What is bound to TLS works only over it.
const MECHANISM: Choice<Mechanism> = Choice {
    words: &[
        ("SCRAM-SHA-256-PLUS", Mechanism::ScramSha256Plus),
        ("SCRAM-SHA-256", Mechanism::ScramSha256),
        ("PLAIN", Mechanism::Plain),
        ("LOGIN", Mechanism::Login),
        ("EXTERNAL", Mechanism::External),
    ],
    fallback: Mechanism::Plain,
};

keys! {
    AUTH = "[auth]", &["senders"],
    "How users log in (RFC 4954), and what they may do once they have.";

    AUTH_USERS: Key<Placed<BackendForm>> = "users", Placed(BackendForm), "\"file\"", "\"dovecot:/run/dovecot/auth-client\"",
        "Where passwords are. \"file\": in `users` of the state directory, which `gatepost user` writes; \"file:PATH\": in \
         another one, of htpasswd or passwd(5), say. \"table:NAME\": under the user's name in a `[table.\"…\"]`. \
         \"dovecot:PATH\" and \"saslauthd:PATH\" ask the program behind that socket. Known are argon2, bcrypt, sha256-crypt, \
         sha512-crypt, {SSHA}, {SSHA256}, {SSHA512} and SCRAM's keys. A store that fails is 454, never 535.";
    AUTH_MECHANISMS: Key<ListOf<Choice<Mechanism>>> = "mechanisms",
        ListOf { element: MECHANISM, named: "a list of mechanisms", or_one: false },
        "[\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"PLAIN\", \"LOGIN\"]", "[\"PLAIN\"]",
        "The mechanisms that are offered. SCRAM needs keys, and is 432 for a user who has none. `gatepost user` stores them, and \
         in `users` of the state directory the first login with PLAIN or LOGIN adds them to a hash. With another file and with a \
         table SCRAM is offered only when it is written here; Dovecot and saslauthd have no keys. \
         SCRAM-SHA-256-PLUS is bound to TLS, and offered over TLS 1.3 (RFC 9266). EXTERNAL logs in whom a client certificate \
         names that an authority of `tls.client_ca_file` vouches for: its first mail address, else its common name; it is \
         offered to clients that have shown such a one.";
    AUTH_ON_MX: Key<Flag> = "on_mx", Flag, "false", "true",
        "Whether AUTH is offered on `listen.mx`, too.";
    AUTH_WITHOUT_TLS: Key<Choice<bool>> = "without_tls",
        Choice { words: &[("never", false), ("loopback", true)], fallback: false },
        "\"loopback\"", "\"never\"",
        "Where AUTH is offered without TLS: nowhere, or to clients of the loopback network, which nobody can read along with. To all \
         others it is 538.";
    AUTH_PER_ADDRESS: Key<Count> = "failures_per_address", Count { min: 1, max: 1_000_000 }, "10", "5",
        "Failed logins from one address within `failure_window`; 454 to every AUTH beyond it. Clients of `clients.relay` are not \
         counted by address and network.";
    AUTH_PER_NETWORK: Key<Count> = "failures_per_network", Count { min: 1, max: 1_000_000 }, "40", "100",
        "The same from one network (IPv4 /24, IPv6 /64).";
    AUTH_PER_ACCOUNT: Key<Count> = "failures_per_account", Count { min: 1, max: 1_000_000 }, "30", "100",
        "The same for one account, whether it is there or not. Addresses from which it logged in within the last 30 days are not \
         kept out by it.";
    AUTH_WINDOW: Key<Time> = "failure_window", Time { min_seconds: 1, max_seconds: 86_400 }, "\"15m\"", "\"1h\"",
        "How long failed logins count, from the first one on.";
    AUTH_DELAY: Key<Time> = "failure_delay", Time { min_seconds: 0, max_seconds: 30 }, "\"1s\"", "\"3s\"",
        "How long the answer to the first failed login waits; each one behind it waits twice as long, up to eight times. Without a \
         wait the time of an answer may tell whether there is such a user.";
    AUTH_MESSAGES: Key<Maybe<Count>> = "messages_per_day", Maybe(Count { min: 1, max: 100_000_000 }), "1000", "200",
        "Messages that a user may submit in 24 hours; 451 4.7.1 at MAIL beyond it, and the postmaster hears of it, once a day and user. \
         The counts are kept in memory, and a restart forgets them.";
    AUTH_RECIPIENTS: Key<Maybe<Count>> = "recipients_per_day", Maybe(Count { min: 1, max: 100_000_000 }), "5000", "1000",
        "Recipients to whom a user may submit mail in 24 hours; 451 4.7.1 at RCPT beyond it.";
    AUTH_SENDERS_FROM: Key<ListOf<TextForm>> = "senders_from", TABLE_NAMES, "[]", "[\"shared\"]",
        "Tables with more addresses that users may send from, under the user's name; each value is written as in `[auth.senders]`.";
}

keys! {
    AUTH_SENDERS = "[auth.senders]", &[],
    "Addresses that users may send from besides their own: their name as an address (a name without a domain is one of the \
     first domain), its sub-addresses, and what leads to the same mailbox alone. A line each, a user's name and a list.";

    AUTH_SENDER: Key<ListOf<SenderForm>> = "\"alice@example.org\"",
        ListOf { element: SenderForm, named: "a list of such", or_one: true }, "",
        "[\"sales@example.org\", \"@example.net\"]",
        "Addresses, a domain behind `@` for all of its addresses, or \"*\" for every address there is. Another one is 553 5.7.1 at MAIL, \
         and 550 5.7.1 when it stands in the From field.";
}
