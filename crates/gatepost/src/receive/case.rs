//! What is decided upon: the session as it is seen, the message, and what searches for facts and filters are told of both.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use policy::stage::Stage;
use policy::value::State;

use super::session_facts::{self, View};
use crate::facts::{self, Services, Subject, Verified};
use crate::filters::draft::Lent;
use crate::filters::occasion::Occasion;
use crate::net::mail_auth::message::SignedMessage;

/// What a judge asks about.
pub(super) struct Case<'a> {
    pub(super) services: &'a Arc<Services>,
    pub(super) view: View<'a>,
    /// The message, once its data are all there.
    pub(super) message: Option<Arc<SignedMessage>>,
    /// What was verified for the transaction.
    pub(super) verified: &'a OnceLock<Arc<Verified>>,
    /// Longest wait for the facts of a decision.
    pub(super) deadline: Duration,
    /// The stage that is decided.
    pub(super) stage: Stage,
    /// The message as filters may change it, and its queue id.
    pub(super) draft: Option<Lent>,
    /// What the searches for facts are about; made when the first one starts.
    subject: OnceLock<Arc<Subject>>,
    /// What filters are asked about; made when the first one is.
    occasion: OnceLock<Arc<Occasion>>,
}

impl<'a> Case<'a> {
    pub(super) fn new(
        services: &'a Arc<Services>,
        view: View<'a>,
        (stage, draft): (Stage, Option<Lent>),
        (message, verified): (Option<Arc<SignedMessage>>, &'a OnceLock<Arc<Verified>>),
    ) -> Self {
        let deadline = view.site.config.policy.deadline;
        let (subject, occasion) = (OnceLock::new(), OnceLock::new());
        Self { services, view, message, verified, deadline, stage, draft, subject, occasion }
    }

    /// What filters are asked about.
    pub(super) fn occasion(&self, transaction: u64) -> &Arc<Occasion> {
        self.occasion.get_or_init(|| {
            Arc::new(session_facts::occasion(&self.view, self.stage, transaction, self.draft.as_ref()))
        })
    }

    /// Finds out who sent the message, in every way that there is, as far as it can be told in time.
    pub(super) async fn verify_all(&self) {
        let Ok(dns) = self.services.dns() else { return };
        if tokio::time::timeout(self.deadline, facts::verify_all(dns, self.subject())).await.is_err() {
            tracing::debug!("who sent a message that goes on could not be told in time");
        }
    }

    /// What searches for facts are about.
    pub(super) fn subject(&self) -> &Arc<Subject> {
        self.subject.get_or_init(|| {
            let view = &self.view;
            let text = |name: &str| match session_facts::state(name, view) {
                Some(State::Known(value)) => value.to_string(),
                _ => String::new(),
            };
            let is_local = session_facts::state("recipient.local_domain", view);
            let is_local = is_local == Some(State::yes_or_no(true));
            Arc::new(Subject {
                client: view.client.address,
                helo: view.session.hello_name().unwrap_or_default().to_owned(),
                hostname: view.site.settings.hostname.clone(),
                sender: text("sender.address"),
                sender_domain: text("sender.domain"),
                recipient: text("recipient.address"),
                recipient_domain: (text("recipient.domain"), is_local),
                message: self.message.clone(),
                verified: Arc::clone(self.verified.get_or_init(Arc::default)),
            })
        })
    }
}
