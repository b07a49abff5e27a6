//! A session without a connection: the session, the policy and the mailboxes are those of a server, the client's octets come
//! from whoever rehearses, and nothing is kept.
//!
//! Invariants: nothing is written, counted or sent; time stands still; facts that are given are taken for true, and what the
//! DNS would say is `not given` unless the site's services ask it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use policy::Given;
use policy::decision::{Decision as Judgement, Effect, Verdict as Answer};
use policy::facts::Group;
use policy::slot::SlotInfo;
use policy::stage::Stage;
use policy::trace::Trace;
use policy::value::State;
use queue::memory_spool::MemorySpool;
use queue::message::Hold;
use smtp::catalogue;
use smtp::envelope::Envelope;
use smtp::reply::Reply;
use smtp::server::{
    Action, AuthOffer, AuthOutcome, CommitOutcome, Decision, Event, Question, Session, StartTlsOffer,
};
use smtp::time::Timestamp;

use super::admission::{Admission, Place, Verdict};
use super::decide::{self, Client};
use super::deliberation::{Decided, Deliberation};
use super::effects::{Effects, Fate};
use super::incoming::{self, Incoming};
use super::inspection::Inspection;
use super::judge::Judge;
use super::session_facts::Around;
use crate::auth::Authenticator;
use crate::clock;
use crate::config::ListenerKind;
use crate::journal::tried::{RulePlace, Tried, instead, place, tried};
use crate::mailboxes::QuotaUsage;
use crate::net::dns::DnsFailure;
use crate::site::Site;

/// What is put into the reply instead of a queue id.
const NOT_QUEUED: &str = "nothing";

/// The mechanisms that are offered where a user is to be accepted.
const MECHANISMS: [&str; 2] = ["PLAIN", "LOGIN"];

/// On which terms a session is rehearsed.
#[derive(Debug)]
pub struct Terms {
    /// Who connects.
    pub client: SocketAddr,
    /// What is taken for true.
    pub given: Vec<Given>,
    /// STARTTLS is offered, and brings this version of TLS.
    pub tls: Option<String>,
    /// AUTH is offered, and any credentials are this user's.
    pub user: Option<String>,
    /// Whether the mail data are only a stand-in: what is read from them is not given.
    pub is_stand_in: bool,
}

/// What happened, in order.
#[derive(Debug)]
pub enum Moment {
    /// The client said this command; of AUTH the credentials are left out.
    Client(String),
    /// The client sent octets of mail data.
    Data(u64),
    /// The server said this.
    Server(Reply),
    /// The policy decided.
    Ruled(Box<Ruled>),
    /// The session is encrypted from here on.
    Tls,
    /// The message would have been kept.
    Kept(Kept),
    /// The server closed the connection.
    Closed,
}

/// A decision of the policy and how it came about.
#[derive(Debug)]
pub struct Ruled {
    /// The stage.
    pub stage: Stage,
    /// The answer: a reply's words, `accept` or `accept relay`.
    pub answer: String,
    /// Whether the connection is to be closed.
    pub disconnects: bool,
    /// The rule that answered.
    pub rule: Option<RulePlace>,
    /// Whether its `unsure` arm did.
    pub by_unsure_arm: bool,
    /// What is done beside, and which rule said so.
    pub effects: Vec<(RulePlace, Effect)>,
    /// Rules that only watch and would have answered.
    pub observed: Vec<RulePlace>,
    /// Rules that could not be told.
    pub passed_over: Vec<RulePlace>,
    /// The rules that were tried, in order.
    pub tried: Vec<Tried>,
    /// What would have happened without the rule that answered.
    pub then: Option<String>,
    /// Facts that rules saw and nobody gave.
    pub not_given: Vec<String>,
    /// Facts that rules saw of a greylist and of rates that had begun empty.
    pub begun_empty: Vec<String>,
}

/// What would have become of an accepted message.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// Each recipient, and the mailboxes that its mail goes to; none when it is thrown away or the configuration has none.
    pub recipients: Vec<(String, Vec<String>)>,
    /// Whether it is thrown away, for every recipient.
    pub discarded: bool,
    /// Whether it waits for the postmaster.
    pub held: Option<&'static str>,
    /// The header fields that the policy adds.
    pub fields: Vec<String>,
    /// The words that the policy remembers.
    pub tags: Option<String>,
}

/// A session that is rehearsed.
pub struct Rehearsal {
    site: Arc<Site>,
    client: Client,
    session: Session,
    deliberation: Deliberation,
    admission: Admission,
    /// The client counts as connected.
    _place: Option<Place>,
    quota: QuotaUsage,
    users: Authenticator,
    spool: MemorySpool,
    incoming: Option<Box<Incoming>>,
    tls: Option<String>,
    user: Option<String>,
    now: Timestamp,
    moments: Vec<Moment>,
    data_octets: u64,
}

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rehearsal").field("moments", &self.moments).finish_non_exhaustive()
    }
}

impl Rehearsal {
    /// The client connects. Needs a runtime of several threads: a mailbox may have to be measured.
    pub async fn begin(site: Site, terms: Terms) -> Self {
        let Terms { client, given, tls, user, is_stand_in } = terms;
        let site = Arc::new(site);
        let now = clock::monotonic();
        let address = client.ip().to_canonical();
        let mut judge = Judge::thorough(Arc::clone(&site.policy));
        if is_stand_in {
            give_no_content(&mut judge);
        }
        give_no_filters(&mut judge);
        given.iter().for_each(|given| judge.give(&given.fact.name, given.state.clone()));
        let mut settings = (*site.settings).clone();
        settings.record = true;
        if tls.is_some() {
            settings.start_tls = StartTlsOffer::On;
        }
        if user.is_some() {
            let mechanisms = MECHANISMS.map(String::from).into();
            settings.auth = Some(AuthOffer { mechanisms, needs_tls: false });
        }
        let admission = Admission::with_places(1);
        let place = match admission.admit(address, &site.config, now) {
            Verdict::Serve(place) | Verdict::Refuse(place, _) => Some(place),
            Verdict::Drop => None,
        };
        let name = address.to_string();
        let rights = decide::rights(&site, address);
        let session = Session::new(Arc::new(settings), rights, name.clone(), now);
        let mut rehearsal = Self {
            client: Client {
                address,
                port: client.port(),
                name,
                listener: ListenerKind::Mx,
                local_uid: None,
                refused: None,
                early: false,
                tls: None,
            },
            session,
            deliberation: Deliberation::new(judge),
            admission,
            _place: place,
            quota: QuotaUsage::default(),
            users: Authenticator::new(Path::new("")),
            spool: MemorySpool::new(),
            incoming: None,
            tls,
            user,
            now,
            moments: Vec::new(),
            data_octets: 0,
            site,
        };
        rehearsal.happen(Event::Connected).await;
        rehearsal
    }

    /// The client sends these octets.
    pub async fn say(&mut self, octets: &[u8]) {
        self.happen(Event::Received(octets)).await;
    }

    /// Whether the server has closed the connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// What the server said last.
    #[must_use]
    pub fn last_reply(&self) -> Option<&Reply> {
        self.moments.iter().rev().find_map(|moment| match moment {
            Moment::Server(reply) => Some(reply),
            _ => None,
        })
    }

    /// How many recipients the transaction has.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.session.envelope().map_or(0, |envelope| envelope.recipients.len())
    }

    /// What has happened.
    #[must_use]
    pub fn into_moments(self) -> Vec<Moment> {
        self.moments
    }

    /// Reports an event to the session and carries out what it wants, until it waits for the client.
    async fn happen(&mut self, event: Event<'_>) {
        let mut actions = Vec::new();
        self.session.handle(self.now, event, &mut actions);
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions.drain(..) {
                self.hear();
                self.carry_out(action, &mut next).await;
            }
            actions = next;
        }
        self.hear();
    }

    async fn carry_out(&mut self, action: Action, next: &mut Vec<Action>) {
        let now = self.now;
        match action {
            Action::Send(reply) => self.moments.push(Moment::Server(reply)),
            Action::StartTls => {
                self.start_tls();
                self.session.handle(now, Event::TlsStarted, next);
            }
            Action::Ask(question) => {
                let decision = self.decide(&question).await;
                self.session.handle(now, Event::Decided(decision), next);
            }
            Action::Authenticate(step) => {
                let outcome = match &self.user {
                    Some(user) if step.response.is_some() => AuthOutcome::Accepted(user.clone()),
                    Some(_) => AuthOutcome::Challenge(String::new()),
                    None => AuthOutcome::Unavailable,
                };
                self.session.handle(now, Event::Authenticated(outcome), next);
            }
            Action::Open => self.open().await,
            Action::Write(content) => {
                self.data_octets += content.len() as u64;
                if let Some(incoming) = &mut self.incoming {
                    incoming.write(&self.spool, &content);
                }
            }
            Action::Commit(envelope) => {
                let kept = kept(&self.site, &envelope, &self.deliberation.effects).await;
                self.moments.push(Moment::Kept(kept));
                self.incoming = None;
                self.deliberation.effects.clear();
                let outcome = CommitOutcome::Stored(NOT_QUEUED.to_owned());
                self.session.handle(now, Event::Committed(outcome), next);
            }
            Action::Discard => {
                self.incoming = None;
                self.note_data();
            }
            Action::Notice(_) => {}
            Action::Close => self.moments.push(Moment::Closed),
        }
    }

    /// Notes what the session has heard.
    fn hear(&mut self) {
        let mut heard = Vec::new();
        self.session.take_heard(&mut heard);
        let lines = heard.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
        self.moments.extend(lines.map(|line| Moment::Client(String::from_utf8_lossy(line).into_owned())));
    }

    fn start_tls(&mut self) {
        self.moments.push(Moment::Tls);
        self.deliberation.secured();
        let judge = &mut self.deliberation.judge;
        if let Some(version) = self.tls.as_deref().filter(|_| judge.given("tls.version").is_none()) {
            judge.give("tls.version", State::text(version));
        }
    }

    async fn open(&mut self) {
        let Some(envelope) = self.session.envelope() else { return };
        let inspection = Inspection::new(self.deliberation.judge.policy(), &self.site);
        let looked_up = incoming::look_up(&self.site, (envelope, &self.deliberation.effects)).await;
        let incoming = Incoming::begin(
            &self.spool,
            (&self.site, &looked_up),
            &self.client,
            &self.session,
            (envelope, &self.deliberation.effects),
            (inspection, clock::wall()),
        );
        self.incoming = Some(Box::new(incoming));
    }

    /// Notes the mail data since they were last noted, if there are any.
    fn note_data(&mut self) {
        match std::mem::take(&mut self.data_octets) {
            0 => {}
            octets => self.moments.push(Moment::Data(octets)),
        }
    }

    async fn decide(&mut self, question: &Question) -> Decision {
        let Some(stage) = decide::stage(question) else {
            let text = format!("{} on {}\na rehearsed session", crate::PRODUCT, self.site.settings.hostname);
            return Decision::AcceptWith(catalogue::STATUS.with_text(text));
        };
        if stage == Stage::Message {
            self.note_data();
        }
        self.deliberation.begin(stage, &self.site.policy);
        let around = Around {
            site: &self.site,
            client: &self.client,
            connections: &self.admission,
            quota: &self.quota,
            users: &self.users,
        };
        let deciding = self.deliberation.decide(
            stage,
            (around, &self.spool),
            &self.session,
            self.incoming.as_deref_mut(),
            question,
        );
        let Decided { judgement, decision, .. } = deciding.await;
        let ruled = ruled(&self.deliberation.judge, stage, &judgement);
        self.moments.push(Moment::Ruled(Box::new(ruled)));
        decision
    }
}

/// Says of everything that is read from mail data that it is not given.
fn give_no_content(judge: &mut Judge) {
    let in_force = Arc::clone(judge.policy());
    for info in in_force.policy.slots() {
        if matches!(info.group, Group::Content | Group::Dkim | Group::Dmarc | Group::Arc) {
            judge.give(&info.name, State::unsure(&DnsFailure::NotGiven.to_string()));
        }
    }
}

/// No filter is told of what is only rehearsed.
fn give_no_filters(judge: &mut Judge) {
    let in_force = Arc::clone(judge.policy());
    for info in in_force.policy.slots() {
        if matches!(info.group, Group::Source(place) if in_force.filters.has(place)) {
            judge.give(&info.name, State::unsure(&DnsFailure::NotGiven.to_string()));
        }
    }
}

fn ruled(judge: &Judge, stage: Stage, judgement: &Judgement) -> Ruled {
    let (policy, facts) = (&judge.policy().policy, judge.facts());
    let trace: Trace = policy.trace(stage, facts);
    let places = |rules: &[policy::decision::RuleId]| rules.iter().map(|rule| place(policy, *rule)).collect();
    let refused = |refusal: &smtp::reply::Refusal| refusal.reply().to_string();
    let (answer, disconnects) = match &judgement.verdict {
        Answer::Accept { relay: false } => (String::from("accept"), false),
        Answer::Accept { relay: true } => (String::from("accept relay"), false),
        Answer::Refuse(refusal) => (refused(refusal), false),
        Answer::Disconnect(refusal) => (refused(refusal), true),
    };
    let then = match (trace.then, &judgement.verdict) {
        (Some(rule), _) => Some(instead(policy, rule)),
        (None, Answer::Accept { .. }) => None,
        (None, _) => {
            Some(String::from("no other rule would have answered: the stage would have been passed"))
        }
    };
    Ruled {
        stage,
        answer,
        disconnects,
        rule: judgement.rule.map(|rule| place(policy, rule)),
        by_unsure_arm: judgement.by_unsure_arm,
        effects: judgement
            .effects
            .iter()
            .map(|(rule, effect)| (place(policy, *rule), effect.clone()))
            .collect(),
        observed: places(&judgement.observed),
        passed_over: places(&judgement.passed_over),
        tried: tried(policy, &trace, facts),
        then,
        not_given: seen(judge, &trace, |_, state| is_open(state)),
        begun_empty: seen(judge, &trace, |info, _| {
            info.remembers
                && matches!(info.group, Group::Greylist | Group::Source(_))
                && judge.given(&info.name).is_none()
        }),
    }
}

/// Whether it is unsure because nobody gave it.
fn is_open(state: &State) -> bool {
    matches!(state, State::Unsure(why) if why.ends_with(&DnsFailure::NotGiven.to_string()))
}

/// The names of those facts that rules saw, each once.
fn seen(judge: &Judge, trace: &Trace, wanted: impl Fn(&SlotInfo, &State) -> bool) -> Vec<String> {
    let policy = &judge.policy().policy;
    let mut names: Vec<String> = Vec::new();
    for slot in trace.steps.iter().flat_map(|step| &step.facts) {
        let Some(info) = policy.slots().get(slot.index()) else { continue };
        if wanted(info, judge.facts().get(*slot)) && !names.iter().any(|name| **name == *info.name) {
            names.push(info.name.to_string());
        }
    }
    names
}

/// What would become of the message of `envelope`.
async fn kept(site: &Site, envelope: &Envelope, effects: &Effects) -> Kept {
    let whole = effects.of_message();
    let looked_up = incoming::look_up(site, (envelope, effects)).await;
    let known = site.directory.with(&looked_up);
    let recipients = envelope.recipients.iter().enumerate().map(|(number, recipient)| {
        let goes_to = match whole.as_ref().or_else(|| effects.fate(number)) {
            Some(Fate::Discarded) => Vec::new(),
            Some(Fate::Redirected(address)) => vec![address.clone()],
            None => {
                let resolved = site.resolve(known, &envelope.reverse_path, &recipient.forward_path);
                resolved.into_iter().map(|resolved| resolved.mailbox.to_string()).collect()
            }
        };
        (decide::plain(&recipient.forward_path), goes_to)
    });
    Kept {
        recipients: recipients.collect(),
        discarded: whole == Some(Fate::Discarded) || effects.discarded() == envelope.recipients.len(),
        held: effects.hold().map(|hold| match hold {
            Hold::Quarantined => "quarantine",
            Hold::Held => "hold",
        }),
        fields: effects.fields().lines().map(str::to_owned).collect(),
        tags: effects.tags(),
    }
}
