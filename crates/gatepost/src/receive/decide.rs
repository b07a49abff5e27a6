//! The answers to a session's questions: from the site, the spool's room and the client's address to a decision.
//!
//! A fault of ours is 4yz: nothing here can turn one into a 5yz or a 250.

use std::net::IpAddr;
use std::sync::Arc;

use queue::spool::Spool;
use smtp::address::ForwardPath;
use smtp::catalogue::{self, Entry};
use smtp::reply::Reply;
use smtp::server::{Decision, Question, Rights, Session, Verification};

use super::Reception;
use super::incoming::Incoming;
use crate::clock;
use crate::config::{OtherClients, any_contains};
use crate::mailboxes::{ExpandAnswer, Meaning, VerifyAnswer};
use crate::site::Site;

/// Received fields past which a message is taken to loop (RFC 5321 §6.3 wants at least 100).
pub(super) const RECEIVED_FIELDS_MAX: u32 = 100;

/// What is known of the client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// The address as replies and trace fields show it.
    pub(super) name: String,
    /// The refusal that admission gave, if it did.
    pub(super) refused: Option<&'static Entry>,
}

/// What the client may ask for.
pub(super) fn rights(site: &Site, client: IpAddr) -> Rights {
    let verify = &site.config.verify;
    let verification = if any_contains(&verify.vrfy_clients, client) {
        Verification::Tell
    } else {
        match verify.vrfy {
            OtherClients::Conceal => Verification::Conceal,
            OtherClients::Off => Verification::Off,
        }
    };
    Rights { verification, expand: any_contains(&verify.expn_clients, client) }
}

/// Decides `question`.
pub(super) fn decide<S: Spool>(
    reception: &Reception<S>,
    client: &Client,
    session: &Session,
    incoming: Option<&Incoming>,
    question: &Question,
) -> Decision {
    let site = reception.sites.current();
    match question {
        Question::Client { .. } => greet(&site, client),
        Question::Hello | Question::Data => Decision::Accept,
        Question::Mail => {
            let declared = session.envelope().and_then(|envelope| envelope.parameters.size_octets);
            room(&*reception.spool, declared)
        }
        Question::Recipient => recipient(reception, &site, client, session),
        Question::Message { size_octets } => match incoming.map_or(0, Incoming::received_fields) {
            count if count > RECEIVED_FIELDS_MAX => {
                refuse(&catalogue::LOOP, &[("count", &count.to_string())])
            }
            _ => room(&*reception.spool, Some(*size_octets)),
        },
        Question::Verify(text) => verify(&site, client, text),
        Question::Expand(text) => expand(&site, text),
        Question::Status => Decision::AcceptWith(super::status::reply(reception, &site, client.address)),
    }
}

fn refuse(entry: &Entry, values: &[(&str, &str)]) -> Decision {
    Decision::Refuse(entry.refuse(values))
}

fn greet(site: &Site, client: &Client) -> Decision {
    let hostname = site.settings.hostname.as_str();
    let values = [("hostname", hostname), ("client", client.name.as_str())];
    if let Some(entry) = client.refused {
        return refuse(entry, &values);
    }
    match site.config.refused(client.address) {
        None => Decision::Accept,
        Some(rule) => match &rule.text {
            None => refuse(&catalogue::REFUSED_CLIENT, &values),
            Some(text) => {
                Decision::Refuse(catalogue::REFUSED_CLIENT.refuse_with(format!("{hostname}: {text}")))
            }
        },
    }
}

/// Whether a message of that size would be taken: 451 when the spool has failed, 452 when there is no room.
fn room<S: Spool>(spool: &S, size_octets: Option<u64>) -> Decision {
    if let Some(fault) = spool.fault() {
        tracing::error!(%fault, "the spool takes no mail");
        return refuse(&catalogue::LOCAL_FAULT, &[]);
    }
    match spool.room(size_octets) {
        Ok(()) => Decision::Accept,
        Err(why) => {
            tracing::warn!(%why, "no room for a message");
            refuse(&catalogue::NO_ROOM, &[])
        }
    }
}

fn recipient<S: Spool>(
    reception: &Reception<S>,
    site: &Arc<Site>,
    client: &Client,
    session: &Session,
) -> Decision {
    let (Some(candidate), Some(envelope)) = (session.candidate(), session.envelope()) else {
        return refuse(&catalogue::LOCAL_FAULT, &[]);
    };
    let path = &candidate.forward_path;
    let address = plain(path);
    let values = [("address", address.as_str())];
    // Only a mailbox with a quota that was not looked at lately costs a walk through its Maildir.
    let used = |maildir: &std::path::Path| {
        tokio::task::block_in_place(|| reception.quota.used_octets(maildir, clock::monotonic()))
    };
    match site.directory.meaning(path) {
        Meaning::Moved { address } => {
            return refuse(&catalogue::MOVED, &[("address", &address.to_string())]);
        }
        Meaning::Unknown => return refuse(&catalogue::NO_SUCH_MAILBOX, &values),
        Meaning::NotLocal if site.config.may_relay(client.address) => return Decision::Accept,
        Meaning::NotLocal => return refuse(&catalogue::RELAYING_DENIED, &values),
        Meaning::Forward { address, disclosed: true } => {
            return Decision::AcceptWith(catalogue::WILL_FORWARD.fill(&[("address", &address.to_string())]));
        }
        Meaning::Mailbox | Meaning::Alias | Meaning::List | Meaning::Forward { .. } => {}
    }
    let Some(standing) = site.directory.standing(path) else { return Decision::Accept };
    if standing.is_busy() {
        return refuse(&catalogue::MAILBOX_BUSY, &values);
    }
    match standing.over_quota(envelope.parameters.size_octets, used) {
        Ok(false) => Decision::Accept,
        Ok(true) if standing.quota_is_temporary() => refuse(&catalogue::OVER_QUOTA_TEMPORARY, &values),
        Ok(true) => refuse(&catalogue::OVER_QUOTA, &values),
        Err(error) => {
            tracing::error!(recipient = %address, %error, "cannot tell how full the mailbox is");
            refuse(&catalogue::LOCAL_FAULT, &[])
        }
    }
}

/// The path without its brackets, as reply texts put it in theirs.
fn plain(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => String::from("postmaster"),
        ForwardPath::Mailbox(mailbox) => mailbox.to_string(),
    }
}

fn verify(site: &Site, client: &Client, text: &str) -> Decision {
    match site.directory.verify(text) {
        VerifyAnswer::Mailbox(mailbox) => answer(catalogue::VERIFIED.with_text(format!("<{mailbox}>"))),
        VerifyAnswer::Forward { address, .. } => {
            answer(catalogue::WILL_FORWARD.fill(&[("address", &address.to_string())]))
        }
        VerifyAnswer::Moved { address } => refuse(&catalogue::MOVED, &[("address", &address.to_string())]),
        VerifyAnswer::Ambiguous { candidates } => ambiguous(&candidates),
        VerifyAnswer::Unknown => refuse(&catalogue::NO_SUCH_MAILBOX, &[("address", unbracketed(text))]),
        VerifyAnswer::NotLocal => not_local(site, client, text),
        VerifyAnswer::Malformed => malformed("VRFY user name or mailbox"),
    }
}

fn expand(site: &Site, text: &str) -> Decision {
    match site.directory.expand(text) {
        ExpandAnswer::Members(members) => {
            let lines: Vec<String> = members.iter().map(|member| format!("<{member}>")).collect();
            answer(catalogue::EXPANDED.with_text(lines.join("\n")))
        }
        ExpandAnswer::Mailbox(mailbox) => answer(catalogue::EXPANDED.with_text(format!("<{mailbox}>"))),
        ExpandAnswer::Ambiguous { candidates } => ambiguous(&candidates),
        ExpandAnswer::Unknown => refuse(&catalogue::NO_SUCH_MAILBOX, &[("address", unbracketed(text))]),
        ExpandAnswer::NotLocal => refuse(&catalogue::RELAYING_DENIED, &[("address", unbracketed(text))]),
        ExpandAnswer::Malformed => malformed("EXPN list name or address"),
    }
}

/// A foreign domain: 252 where its mail is relayed, 550 where it is not (RFC 5321 §3.5.3).
fn not_local(site: &Site, client: &Client, text: &str) -> Decision {
    if site.config.may_relay(client.address) {
        answer(catalogue::CANNOT_VERIFY.reply())
    } else {
        refuse(&catalogue::RELAYING_DENIED, &[("address", unbracketed(text))])
    }
}

fn answer(reply: Reply) -> Decision {
    Decision::AcceptWith(reply)
}

fn malformed(usage: &str) -> Decision {
    refuse(&catalogue::BAD_ARGUMENT, &[("usage", usage)])
}

fn ambiguous(candidates: &[smtp::address::Mailbox]) -> Decision {
    let lines: Vec<String> = candidates.iter().map(|candidate| format!("<{candidate}>")).collect();
    Decision::Refuse(catalogue::AMBIGUOUS.refuse_with(format!("user ambiguous:\n{}", lines.join("\n"))))
}

fn unbracketed(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(text)
}
