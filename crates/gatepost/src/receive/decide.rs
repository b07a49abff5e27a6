//! The answers to a session's questions: the policy decides, and what is not its to decide is added here.
//!
//! A fault of ours is 4yz: nothing here can turn one into a 5yz or a 250.

use std::borrow::Cow;
use std::net::IpAddr;

use policy::decision::{Decision as Judgement, Verdict};
use policy::stage::Stage;
use queue::spool::Spool;
use smtp::address::ForwardPath;
use smtp::catalogue::{self, Entry};
use smtp::reply::Reply;
use smtp::server::{Decision, Question, Rights, Session, Verification};

use super::case::Case;
use super::judge::Judge;
use crate::auth::usage::DailyLimits;
use crate::config::{Config, ListenerKind, OtherClients, Sendmail, any_contains};
use crate::mailboxes::{ExpandAnswer, Meaning, VerifyAnswer};
use crate::net::tls::Secured;
use crate::site::Site;

/// What is known of the client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// The address as replies and trace fields show it.
    pub(super) name: String,
    /// Whom the listener is for that it came to.
    pub(super) listener: ListenerKind,
    /// The refusal that admission gave, if it did.
    pub(super) refused: Option<&'static Entry>,
    /// Who it is on this machine, when it came by the socket for local users.
    pub(super) local_uid: Option<u32>,
    /// Whether it sent something before the greeting.
    pub(super) early: bool,
    /// What is known of its TLS, when it uses it.
    pub(super) tls: Option<Box<Secured>>,
}

impl Client {
    /// Whether mail for other domains is taken from it: the machine's own users need be in no network.
    pub(super) fn may_relay(&self, config: &Config) -> bool {
        match self.local_uid {
            Some(_) => config.has_way_out(),
            None => config.may_relay(self.address),
        }
    }

    /// Whose mail is counted: a user's who has authenticated, or this machine's, but for root's.
    pub(super) fn submitter<'s>(&self, session: &'s Session) -> Option<Cow<'s, str>> {
        let local = || self.local_uid.filter(|uid| *uid != 0).map(|uid| Cow::Owned(format!("userid {uid}")));
        session.user().map(Cow::Borrowed).or_else(local)
    }

    /// How much it may be.
    pub(super) const fn daily_limits(&self, config: &Config) -> DailyLimits {
        let Sendmail { messages_per_day: messages, recipients_per_day: recipients, .. } = config.sendmail;
        match self.local_uid {
            Some(_) => DailyLimits { messages, recipients },
            None => config.auth.daily_limits(),
        }
    }
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

/// The stage at which the policy decides a question; `None` when it is not the policy's.
pub(super) const fn stage(question: &Question) -> Option<Stage> {
    Some(match question {
        Question::Client { .. } => Stage::Connect,
        Question::Hello => Stage::Helo,
        Question::User => Stage::Auth,
        Question::Mail => Stage::Mail,
        Question::Recipient => Stage::Recipient,
        Question::Data => Stage::Data,
        Question::Message { .. } => Stage::Message,
        Question::Verify(_) | Question::VerifyConcealed(_) | Question::Expand(_) => Stage::Verify,
        Question::Status => return None,
    })
}

/// Decides a question that the policy has a stage for: what the policy said, and what the session is told.
pub(super) async fn decide(
    judge: &mut Judge,
    stage: Stage,
    case: &Case<'_>,
    spool: &impl Spool,
    question: &Question,
) -> (Judgement, Decision) {
    let judgement = judge.decide(stage, case).await;
    let decision = match &judgement.verdict {
        Verdict::Refuse(refusal) => Decision::Refuse(refusal.clone()),
        Verdict::Disconnect(refusal) => Decision::Disconnect(refusal.clone()),
        Verdict::Accept { relay } => accepted(case, *relay, spool, question).await,
    };
    (judgement, decision)
}

/// What the session is told where the policy refuses nothing.
async fn accepted(case: &Case<'_>, relay: bool, spool: &impl Spool, question: &Question) -> Decision {
    let view = &case.view;
    match question {
        Question::Mail => {
            let declared = view.session.envelope().and_then(|envelope| envelope.parameters.size_octets);
            room(spool, declared)
        }
        Question::Recipient => match view.recipient().map(|recipient| &recipient.meaning) {
            // The policy answers for this by its own rule; no fault in it may open a relay.
            Some(Meaning::NotLocal) if !relay => refuse(&catalogue::LOCAL_FAULT, &[]),
            Some(Meaning::Forward { address, disclosed: true }) => {
                Decision::AcceptWith(catalogue::WILL_FORWARD.fill(&[("address", &address.to_string())]))
            }
            _ => Decision::Accept,
        },
        Question::Message { size_octets } => room(spool, Some(*size_octets)),
        Question::Verify(text) => verify(view.site, view.client, text).await,
        Question::Expand(text) => expand(view.site, text).await,
        Question::Client { .. }
        | Question::Hello
        | Question::User
        | Question::Data
        | Question::Status
        | Question::VerifyConcealed(_) => Decision::Accept,
    }
}

/// The path without its brackets, as reply texts put it in theirs.
pub(super) fn plain(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => String::from("postmaster"),
        ForwardPath::Mailbox(mailbox) => mailbox.to_string(),
    }
}

fn refuse(entry: &Entry, values: &[(&str, &str)]) -> Decision {
    Decision::Refuse(entry.refuse(values))
}

/// Whether a message of that size would be taken: 451 when the spool has failed, 452 when there is no room.
fn room(spool: &impl Spool, size_octets: Option<u64>) -> Decision {
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

async fn verify(site: &Site, client: &Client, text: &str) -> Decision {
    let looked_up = site.look_up(|known| drop(known.verify(text))).await;
    match site.directory.with(&looked_up).verify(text) {
        VerifyAnswer::Mailbox(mailbox) => answer(catalogue::VERIFIED.with_text(format!("<{mailbox}>"))),
        VerifyAnswer::Forward { address, .. } => {
            answer(catalogue::WILL_FORWARD.fill(&[("address", &address.to_string())]))
        }
        VerifyAnswer::Moved { address } => refuse(&catalogue::MOVED, &[("address", &address.to_string())]),
        VerifyAnswer::Ambiguous { candidates } => ambiguous(&candidates),
        VerifyAnswer::Unsure => answer(catalogue::CANNOT_VERIFY.reply()),
        VerifyAnswer::Unknown => refuse(&catalogue::NO_SUCH_MAILBOX, &[("address", unbracketed(text))]),
        VerifyAnswer::NotLocal => not_local(site, client, text),
        VerifyAnswer::Malformed => malformed("VRFY user name or mailbox"),
    }
}

async fn expand(site: &Site, text: &str) -> Decision {
    let looked_up = site.look_up(|known| drop(known.expand(text))).await;
    match site.directory.with(&looked_up).expand(text) {
        ExpandAnswer::Members(members) => {
            let lines: Vec<String> = members.iter().map(|member| format!("<{member}>")).collect();
            answer(catalogue::EXPANDED.with_text(lines.join("\n")))
        }
        ExpandAnswer::Mailbox(mailbox) => answer(catalogue::EXPANDED.with_text(format!("<{mailbox}>"))),
        ExpandAnswer::Ambiguous { candidates } => ambiguous(&candidates),
        // RFC 5321 §4.3.2 has 252 for EXPN, too.
        ExpandAnswer::Unsure => answer(catalogue::CANNOT_VERIFY.reply()),
        ExpandAnswer::Unknown => refuse(&catalogue::NO_SUCH_MAILBOX, &[("address", unbracketed(text))]),
        ExpandAnswer::NotLocal => refuse(&catalogue::RELAYING_DENIED, &[("address", unbracketed(text))]),
        ExpandAnswer::Malformed => malformed("EXPN list name or address"),
    }
}

/// A foreign domain: 252 where its mail is relayed, 550 where it is not (RFC 5321 §3.5.3).
fn not_local(site: &Site, client: &Client, text: &str) -> Decision {
    if client.may_relay(&site.config) {
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
