//! The keys of the ways in: where clients connect, and what this machine's own users hand in; see [`keys`](super::keys).

use super::address_form::{DomainForm, ListenForm};
use super::form::{Count, Flag, ListOf, Maybe};
use super::key::{Documented, Key, Section};
use super::keys::keys;

keys! {
    LISTEN = "[listen]", &[], "Where clients connect.";

    LISTEN_MX: Key<ListOf<ListenForm>> = "mx",
        ListOf { element: ListenForm(25), named: "a list of IP addresses with ports", or_one: false },
        "[\"127.0.0.1:2525\"]", "[\"0.0.0.0:25\", \"[::]:25\"]",
        "Addresses on which mail from other servers is received. What is listed by its own address also counts as the \
         first domain when it is written as a literal, as in `postmaster@[192.0.2.1]`.";
    LISTEN_SUBMISSION: Key<ListOf<ListenForm>> = "submission",
        ListOf { element: ListenForm(587), named: "a list of IP addresses with ports", or_one: false },
        "[\"127.0.0.1:2587\"]", "[\"0.0.0.0:587\", \"[::]:587\"]",
        "Addresses on which users submit mail (RFC 6409): MAIL is answered 530 before AUTH, also to clients of \
         `clients.relay`. Where `mx` is written and this is not, there are none.";
    LISTEN_SUBMISSIONS: Key<ListOf<ListenForm>> = "submissions",
        ListOf { element: ListenForm(465), named: "a list of IP addresses with ports", or_one: false },
        "[]", "[\"0.0.0.0:465\", \"[::]:465\"]",
        "The same under TLS from the first octet on (RFC 8314 §3.3), which users' programs should prefer.";
}

keys! {
    SENDMAIL = "[sendmail]", &[],
    "Mail that users and programs of this machine hand in with the command `sendmail`.";

    SENDMAIL_ENABLED: Key<Flag> = "enabled", Flag, "true", "false",
        "Whether every user of this machine may hand in mail, to any domain that there is a way to: over `submit.sock` \
         in the state directory, or, while no server runs, through its folder `maildrop`. A change needs a restart.";
    SENDMAIL_MESSAGES: Key<Maybe<Count>> = "messages_per_day", Maybe(Count { min: 1, max: 100_000_000 }), "", "500",
        "Messages that a user of this machine may hand in in 24 hours; 451 4.7.1 at MAIL beyond it, exit code 75, and the \
         postmaster hears of it. Root may always. The counts are kept in memory, and a restart forgets them.";
    SENDMAIL_RECIPIENTS: Key<Maybe<Count>> = "recipients_per_day", Maybe(Count { min: 1, max: 100_000_000 }), "", "2000",
        "Recipients to whom such a user may hand in mail in 24 hours; 451 4.7.1 at RCPT beyond it.";
    SENDMAIL_DOMAIN: Key<Maybe<DomainForm>> = "domain", Maybe(DomainForm), "", "\"example.org\"",
        "The domain of addresses that are written without one, as in mail that cron sends to `root`. By default it is \
         `hostname` where that is a domain with more addresses than `postmaster`, else the first domain.";
}
