//! What is decided in one session: each question by the policy, with what it had done to the message beside.
//!
//! Invariants: a policy is changed between two transactions only; nothing here writes, waits for the client or is kept
//! beyond the session, so that a session can be rehearsed by the same code that serves one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use policy::decision::{Decision as Judgement, Verdict};
use policy::facts::Scope;
use policy::source::Counted;
use policy::stage::Stage;
use policy::value::State;
use queue::spool::Spool;
use smtp::address::Mailbox;
use smtp::envelope::Envelope;
use smtp::reply::Severity;
use smtp::server::{Decision, Question, Session};
use tokio::sync::Mutex;

use super::case::Case;
use super::decide;
use super::effects::Effects;
use super::incoming::Incoming;
use super::judge::Judge;
use super::session_facts::{Around, View};
use crate::auth::senders::may_send_from;
use crate::facts::{Subject, Verified};
use crate::policies::InForce;
use crate::site::Site;

/// What decides in one session, and what has come of it so far.
pub(super) struct Deliberation {
    pub(super) judge: Judge,
    pub(super) verified: OnceLock<Arc<Verified>>,
    pub(super) effects: Effects,
    /// The message that was decided on last, when domains want to hear what becomes of such.
    pub(super) reported: Option<Arc<Subject>>,
}

/// What came of a question.
pub(super) struct Decided {
    /// What the policy said.
    pub(super) judgement: Judgement,
    /// What the session is told.
    pub(super) decision: Decision,
    /// How long the reply is to wait.
    pub(super) wait: Duration,
}

impl Deliberation {
    pub(super) fn new(judge: Judge) -> Self {
        Self { judge, verified: OnceLock::new(), effects: Effects::default(), reported: None }
    }

    /// Forgets what was known of the hello, recipient, message or transaction before; says whether `policy` is another
    /// one from here on.
    pub(super) fn begin(&mut self, stage: Stage, policy: &Arc<InForce>) -> bool {
        match stage {
            Stage::Helo => self.judge.forget(&["helo."]),
            Stage::Mail => {
                let changes = !Arc::ptr_eq(self.judge.policy(), policy);
                if changes {
                    self.judge.change_policy(Arc::clone(policy));
                }
                self.judge.clear(Scope::Transaction);
                self.effects.clear();
                self.verified = OnceLock::new();
                return changes;
            }
            Stage::Recipient => self.judge.clear(Scope::Recipient),
            Stage::Data => self.judge.clear(Scope::Message),
            Stage::Verify => self.judge.clear(Scope::Inquiry),
            Stage::Auth => self.judge.forget(&["auth."]),
            Stage::Connect | Stage::Message => {}
        }
        false
    }

    /// The connection was secured: what was learnt in clear text is forgotten (RFC 3207 §4.2).
    pub(super) fn secured(&mut self) {
        self.judge.forget(&["helo.", "auth.", "tls.", "client.tls"]);
    }

    /// Decides a question of `stage`.
    pub(super) async fn decide<S: Spool>(
        &mut self,
        stage: Stage,
        (around, spool): (Around<'_>, &S),
        session: &Session,
        incoming: Option<&mut Incoming>,
        question: &Question,
    ) -> Decided {
        let site = around.site;
        let is_sealed =
            stage == Stage::Message && incoming.as_deref().is_some_and(|incoming| incoming.is_sealed(site));
        let is_reported = stage == Stage::Message
            && site.config.reports.dmarc
            && incoming.as_deref().is_some_and(|incoming| !incoming.is_submitted());
        let received_fields = incoming.as_deref().map_or(0, Incoming::received_fields);
        let mut incoming = incoming.filter(|_| stage == Stage::Message);
        let message = incoming.as_deref_mut().and_then(|incoming| {
            let inspected = incoming.inspected();
            for (name, state) in inspected.content.into_iter().flat_map(|found| found.by_name()) {
                self.judge.tell(&name, state);
            }
            inspected.signed
        });
        if let Some(user) = session.user() {
            let mailboxes = match stage {
                Stage::Mail => Some(session.envelope().and_then(sender).into_iter().collect()),
                Stage::Message => incoming.as_deref().and_then(Incoming::authors),
                _ => None,
            };
            self.judge_user(stage, site, user, mailboxes).await;
        }
        let draft = incoming.as_deref_mut().and_then(|incoming| {
            let draft = incoming.lend()?;
            Some((Arc::new(Mutex::new(draft)), incoming.id().to_string()))
        });
        let services = &around.site.services;
        let is_local = self.judge.given("recipient.local_domain") == Some(&State::yes_or_no(true));
        let looked_up = OnceLock::new();
        let view =
            View::new(around, session, received_fields, question, &looked_up).taking_for_local(is_local);
        let case = Case::new(services, view, (stage, draft.clone()), (message, &self.verified));
        let (judgement, decision) = decide::decide(&mut self.judge, stage, &case, spool, question).await;
        if stage == Stage::Recipient && is_permanent(&judgement) {
            self.judge.count(Counted::Refusals, &case);
        }
        if is_sealed && decision == Decision::Accept {
            // What a seal vouches for is found out now, by the keys and records of this hour.
            case.verify_all().await;
        }
        self.reported = is_reported.then(|| Arc::clone(case.subject()));
        drop(case);
        if let (Some(incoming), Some((draft, _))) = (incoming, draft) {
            self.judge.end_filters();
            let draft = draft.lock().await.take();
            incoming.take_back(draft, (site, spool), (session, decision == Decision::Accept)).await;
        }
        let is_refused = matches!(decision, Decision::Refuse(_) | Decision::Disconnect(_));
        if stage == Stage::Auth && is_refused {
            // Who may not come in is none for what follows.
            self.judge.forget(&["auth."]);
        }
        let accepted = session.envelope().map_or(0, |envelope| envelope.recipients.len());
        let wait = self.effects.add((stage, is_refused), accepted, &judgement.effects);
        Decided { judgement, decision, wait }
    }
}

impl Deliberation {
    /// Finds out whether the user may send from `mailboxes`; `None` when they can't be told.
    async fn judge_user(&mut self, stage: Stage, site: &Site, user: &str, mailboxes: Option<Vec<Mailbox>>) {
        let name = match stage {
            Stage::Mail => "auth.owns_sender",
            Stage::Message => "auth.owns_author",
            _ => return,
        };
        let state = match mailboxes {
            None => State::yes_or_no(false),
            // On the heap: a connection without users keeps no room for it.
            Some(mailboxes) => match Box::pin(may_send_from(site, user, &mailboxes)).await {
                Ok(may) => State::yes_or_no(may),
                Err(why) => State::unsure(&why),
            },
        };
        self.judge.tell(name, state);
    }
}

/// The mailbox of the reverse-path; a null one has none.
fn sender(envelope: &Envelope) -> Option<Mailbox> {
    envelope.reverse_path.mailbox().cloned()
}

/// Whether the recipient was refused for good.
fn is_permanent(judgement: &Judgement) -> bool {
    match &judgement.verdict {
        Verdict::Refuse(refusal) | Verdict::Disconnect(refusal) => {
            refusal.reply().code().severity() == Severity::Permanent
        }
        Verdict::Accept { .. } => false,
    }
}
