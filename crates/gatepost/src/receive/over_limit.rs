//! The mail that tells the postmaster that a user has reached a limit of his.

use queue::spool::Spool;
use smtp::address::Mailbox;

use super::Reception;
use crate::clock;
use crate::reports;
use crate::site::Site;

/// Tells the postmaster, once a day and user, that `user` is kept from submitting more. What fails is said in the log.
pub(super) async fn tell<S: Spool>(reception: &Reception<S>, site: &Site, user: &str, is_local: bool) {
    if !reception.users.usage.is_to_be_told(user, clock::monotonic()) {
        return;
    }
    let (messages, recipients) = reception.users.usage.of(user, clock::monotonic());
    tracing::warn!(user, messages, recipients, "a user has reached a daily limit");
    let Some(postmaster) = site.directory.postmaster() else { return };
    let mail = compose(site, &postmaster, (user, is_local), (messages, recipients));
    let now = clock::wall();
    let queued =
        reports::queue(site, &*reception.spool, &postmaster, std::slice::from_ref(&postmaster), mail, now)
            .await;
    if let Err(error) = queued {
        tracing::error!(user, %error, "the postmaster could not be told of a user's limit");
    }
}

fn compose(
    site: &Site,
    postmaster: &Mailbox,
    (user, is_local): (&str, bool),
    (messages, recipients): (u32, u32),
) -> Vec<u8> {
    let hostname = site.settings.hostname.as_str();
    let random = getrandom::u64().unwrap_or_else(|_| clock::wall().as_unix_millis());
    // A name may hold anything that UTF-8 has; header fields here hold ASCII.
    let name = user.escape_default();
    let (advice, section) = if is_local {
        (String::from("a program of his may send without his doing.\r\n"), "sendmail")
    } else {
        (
            format!("somebody else may have his password:\r\n\r\n\x20   gatepost user passwd {name}\r\n"),
            "auth",
        )
    };
    format!(
        "From: Gatepost <{postmaster}>\r\n\
         To: {postmaster}\r\n\
         Subject: {name} has reached a limit of submission\r\n\
         Date: {}\r\n\
         Message-ID: <limit.{random:016x}@{hostname}>\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\
         \r\n\
         The user {name} has submitted {messages} messages to {recipients} recipients within\r\n\
         24 hours, and is answered 451 until these are over. If that is not his doing,\r\n\
         {advice}\
         \r\n\
         The limits are {section}.messages_per_day and {section}.recipients_per_day of the\r\n\
         configuration of {hostname}.\r\n",
        clock::wall().to_date_time(),
    )
    .into_bytes()
}
