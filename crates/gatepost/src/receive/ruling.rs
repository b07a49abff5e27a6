//! A session's decisions: asked of its judge, carried out where they touch a message, and journalled.
//!
//! Invariants: every 4yz and 5yz that goes out has an id, and the journal has the id.

use std::sync::Arc;

use policy::decision::{Decision as Judgement, Verdict};
use policy::stage::Stage;
use policy::value::State;
use queue::message::Hold;
use queue::queue_id::QueueId;
use queue::spool::Spool;
use smtp::address::{ForwardPath, Mailbox};
use smtp::envelope::Recipient;
use smtp::reply::{Refusal, Reply, Severity};
use smtp::server::{Decision, HEARD_OCTETS_KEPT, Question, Session};

use super::Reception;
use super::decide::{self, Client};
use super::deliberation::{Decided, Deliberation};
use super::effects::Effects;
use super::incoming::Incoming;
use super::judge::Judge;
use super::over_limit;
use super::results::{self, Asked};
use super::session_facts::{Around, address_text};
use crate::clock;
use crate::journal::{About, Peer, SessionLog};
use crate::policies::InForce;
use crate::reports::Fate;
use crate::site::Site;

/// What decides in one session, and what it has decided.
pub(super) struct Ruling {
    deliberation: Deliberation,
    log: SessionLog,
    envelope: Envelope,
    /// Whether the refusal that the session is about to say has its id already.
    marked: bool,
    heard: Vec<u8>,
    /// Recipients of the message that a user is submitting.
    submitted: u32,
}

/// The mailboxes of the envelope, as the journal has them.
#[derive(Default)]
struct Envelope {
    reverse_path: Option<String>,
    recipient: Option<String>,
}

impl Envelope {
    fn about<'a>(&'a self, session: &'a Session) -> About<'a> {
        About {
            helo: session.hello_name(),
            reverse_path: self.reverse_path.as_deref(),
            recipient: self.recipient.as_deref(),
        }
    }
}

impl Ruling {
    /// For a session that begins under `site`.
    pub(super) fn new<S: Spool>(reception: &Reception<S>, site: &Site, peer: Peer) -> Self {
        let journal = &reception.journal;
        Self {
            deliberation: Deliberation::new(Judge::new(Arc::clone(&site.policy))),
            log: journal.session(&site.policy.text, peer, clock::wall()),
            envelope: Envelope::default(),
            marked: false,
            heard: Vec::new(),
            submitted: 0,
        }
    }

    /// The policy in force for the session.
    pub(super) fn policy(&self) -> &InForce {
        self.deliberation.judge.policy()
    }

    /// What the policy does with the message besides answering.
    pub(super) const fn effects(&self) -> &Effects {
        &self.deliberation.effects
    }

    /// Answers a question of the session.
    pub(super) async fn decide<S: Spool>(
        &mut self,
        reception: &Reception<S>,
        client: &Client,
        session: &mut Session,
        mut incoming: Option<&mut Incoming>,
        question: &Question,
    ) -> Decision {
        self.hear(session);
        let site = reception.sites.current();
        let Some(stage) = decide::stage(question) else {
            return Decision::AcceptWith(super::status::reply(reception, &site, client.address));
        };
        if let (Stage::Connect, Some(entry)) = (stage, client.refused) {
            let values = [("hostname", site.settings.hostname.as_str()), ("client", client.name.as_str())];
            return Decision::Refuse(entry.refuse(&values));
        }
        self.begin(stage, &site, session);
        let around = Around {
            site: &site,
            client,
            connections: &reception.admission,
            quota: &reception.quota,
            users: &reception.users,
        };
        let spool = &*reception.spool;
        let deciding =
            self.deliberation.decide(stage, (around, spool), session, incoming.as_deref_mut(), question);
        let Decided { judgement, decision, wait } = deciding.await;
        self.deliberation.reported.take_if(|_| is_report(&site, session));
        self.report_refusal(reception, &site, &decision);
        self.count(reception, &site, (client, session), stage).await;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if stage == Stage::Message && decision == Decision::Accept {
            self.complete(&site, client, session, incoming);
        }
        self.record(reception, session, stage, (&judgement, decision))
    }

    /// Notes what a user is submitting, and has the postmaster told when he has had what he may.
    async fn count<S: Spool>(
        &mut self,
        reception: &Reception<S>,
        site: &Site,
        (client, session): (&Client, &Session),
        stage: Stage,
    ) {
        let Some(user) = client.submitter(session) else { return };
        let recipients = session.envelope().map_or(0, |envelope| envelope.recipients.len());
        let over = match stage {
            Stage::Mail => "auth.over_messages",
            Stage::Recipient => "auth.over_recipients",
            Stage::Message => {
                self.submitted = u32::try_from(recipients).unwrap_or(u32::MAX);
                return;
            }
            _ => return,
        };
        if self.deliberation.judge.state(over) == Some(&State::yes_or_no(true)) {
            Box::pin(over_limit::tell(reception, site, &user, client.local_uid.is_some())).await;
        }
    }

    /// Forgets what was known before, and notes whom the stage is about.
    fn begin(&mut self, stage: Stage, site: &Site, session: &Session) {
        if self.deliberation.begin(stage, &site.policy) {
            self.log.decided_by(&site.policy.text);
        }
        match stage {
            Stage::Mail => {
                self.envelope.recipient = None;
                let path = session.envelope().map(|envelope| &envelope.reverse_path);
                self.envelope.reverse_path =
                    path.map(|path| path.mailbox().map(address_text).unwrap_or_default());
            }
            Stage::Recipient => {
                self.envelope.recipient =
                    session.candidate().map(|candidate| decide::plain(&candidate.forward_path));
            }
            Stage::Data => self.envelope.recipient = None,
            Stage::Connect | Stage::Helo | Stage::Auth | Stage::Message | Stage::Verify => {}
        }
    }

    /// The connection was secured: what was learnt in clear text is forgotten (RFC 3207 §4.2).
    pub(super) fn secured(&mut self) {
        self.deliberation.secured();
    }

    /// Notes what the client said.
    fn hear(&mut self, session: &mut Session) {
        session.take_heard(&mut self.heard);
        if !self.heard.is_empty() {
            self.log.heard(&self.heard);
            self.heard.clear();
            self.heard.shrink_to(HEARD_OCTETS_KEPT);
        }
    }

    /// Journals a decision; a refusal of the policy gets its id.
    fn record<S: Spool>(
        &mut self,
        reception: &Reception<S>,
        session: &Session,
        stage: Stage,
        (judgement, decision): (&Judgement, Decision),
    ) -> Decision {
        let refuses = !matches!(judgement.verdict, Verdict::Accept { .. });
        let id = refuses.then(|| reception.journal.id());
        let asked = (judgement, self.deliberation.judge.facts());
        self.log.decision(clock::wall(), stage, self.envelope.about(session), asked, id);
        let Some(id) = id else { return decision };
        self.marked = true;
        let mark = |refusal: Refusal| {
            if !reception.journal.shows_ids() {
                return refusal;
            }
            Refusal::or_local_fault(refusal.into_reply().marked(&id.to_string()))
        };
        match decision {
            Decision::Refuse(refusal) => Decision::Refuse(mark(refusal)),
            Decision::Disconnect(refusal) => Decision::Disconnect(mark(refusal)),
            other => other,
        }
    }

    /// The reply as it goes out: a refusal that no decision of the policy brought gets an id of its own.
    pub(super) fn mark<S: Spool>(
        &mut self,
        reception: &Reception<S>,
        session: &mut Session,
        reply: Reply,
    ) -> Reply {
        self.hear(session);
        if matches!(reply.code().severity(), Severity::Completed | Severity::Intermediate)
            || std::mem::take(&mut self.marked)
        {
            return reply;
        }
        let id = reception.journal.id();
        self.log.refusal(clock::wall(), self.envelope.about(session), &reply, id);
        if reception.journal.shows_ids() { reply.marked(&id.to_string()) } else { reply }
    }

    /// Notes what went out.
    pub(super) fn said(&mut self, wire: &[u8]) {
        self.log.said(wire);
    }

    /// Notes for reports that a message was refused for good, if DMARC had a say in that: nothing is found out for it.
    fn report_refusal<S: Spool>(&mut self, reception: &Reception<S>, site: &Site, decision: &Decision) {
        let (Decision::Refuse(refusal) | Decision::Disconnect(refusal)) = decision else { return };
        let Some(subject) = self.deliberation.reported.take() else { return };
        let is_permanent = refusal.reply().code().severity() == Severity::Permanent;
        if is_permanent && subject.verified.dmarc.initialized() {
            reception.reports.note_message(&site.services, subject, Fate::Rejected);
        }
    }

    /// Notes for reports what became of a message that was taken.
    fn report_taken<S: Spool>(&mut self, reception: &Reception<S>) {
        let Some(subject) = self.deliberation.reported.take() else { return };
        let effects = self.effects();
        let fate = match (effects.of_message(), effects.hold()) {
            (Some(super::effects::Fate::Discarded), _) => Fate::Rejected,
            (_, Some(Hold::Quarantined)) => Fate::Quarantined,
            _ => Fate::Taken,
        };
        reception.reports.note_message(&reception.sites.current().services, subject, fate);
    }

    /// Notes that the message is durable.
    pub(super) fn stored<S: Spool>(
        &mut self,
        reception: &Reception<S>,
        (client, session): (&Client, &Session),
        queue_id: QueueId,
    ) {
        self.report_taken(reception);
        if let Some(user) = client.submitter(session) {
            reception.users.usage.add(&user, self.submitted, clock::monotonic());
        }
        self.log.stored(clock::wall(), About { recipient: None, ..self.envelope.about(session) }, queue_id);
        self.deliberation.effects.clear();
    }

    /// Notes that a transaction ended without a message that was stored.
    pub(super) fn abandoned(&mut self) {
        self.log.transaction_ended();
    }

    /// Adds to an accepted message what the policy and the site want in its header section.
    fn complete(&self, site: &Site, client: &Client, session: &Session, incoming: Option<&mut Incoming>) {
        let Some(incoming) = incoming else { return };
        if incoming.forged() > 0 {
            tracing::warn!(
                client = client.name,
                fields = incoming.forged(),
                "forged Authentication-Results were taken out"
            );
        }
        if site.config.policy.authentication_results || incoming.is_sealed(site) {
            let asked = Asked { site, client, session, sender: self.envelope.reverse_path.as_deref() };
            incoming.prepend(&results::fields(
                &asked,
                self.deliberation.verified.get(),
                &self.deliberation.judge,
            ));
        }
        incoming.prepend(&self.effects().fields());
    }
}

/// Whether the message is a report itself, of ours that came back or of others to us: telling of these would never end.
fn is_report(site: &Site, session: &Session) -> bool {
    let (Some(address), Some(envelope)) = (&site.config.reports.address, session.envelope()) else {
        return false;
    };
    let is_own = |mailbox: &Mailbox| mailbox == address;
    let to_us = |recipient: &Recipient| matches!(&recipient.forward_path, ForwardPath::Mailbox(mailbox) if is_own(mailbox));
    envelope.reverse_path.mailbox().is_some_and(is_own) || envelope.recipients.iter().all(to_us)
}
