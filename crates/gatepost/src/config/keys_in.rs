//! The keys of mail from this machine's own users; see [`keys`](super::keys).

use super::address_form::DomainForm;
use super::form::{Flag, Maybe};
use super::key::{Documented, Key, Section};
use super::keys::keys;

keys! {
    SENDMAIL = "[sendmail]", &[],
    "Mail that users and programs of this machine hand in with the command `sendmail`.";

    SENDMAIL_ENABLED: Key<Flag> = "enabled", Flag, "true", "false",
        "Whether every user of this machine may hand in mail, to any domain that there is a way to: over `submit.sock` \
         in the state directory, or, while no server runs, through its folder `maildrop`. A change needs a restart.";
    SENDMAIL_DOMAIN: Key<Maybe<DomainForm>> = "domain", Maybe(DomainForm), "", "\"example.org\"",
        "The domain of addresses that are written without one, as in mail that cron sends to `root`. By default it is \
         `hostname` where that is a domain with more addresses than `postmaster`, else the first domain.";
}
