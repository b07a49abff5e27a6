//! Reports to other domains: DMARC aggregate reports on mail in their name (RFC 9990), and TLS reports (RFC 8460).
//!
//! Collected where mail comes in and goes out (`inbox`), kept in a file (`store`), sent once a day (`schedule`, `run`).
//!
//! Invariants: no session and no delivery waits for a report; what is lost is counted; nothing is told of reports themselves.

mod destinations;
mod dmarc;
mod evaluation;
mod inbox;
mod mail;
mod outbox;
mod run;
mod schedule;
mod store;
mod tls;
mod who;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock;
use crate::deliver::TlsResults;
use crate::facts::{Services, Subject};
use crate::net::tls_result::TlsResult;
use crate::site::Sites;
use inbox::Inbox;

pub(crate) use crate::net::mail_auth::aggregate::Fate;
pub(crate) use destinations::{confirmation, confirmation_name, host_of};
pub(crate) use outbox::queue;
pub(crate) use run::{Preview, Tally};
pub use schedule::spawn;
pub(crate) use schedule::{Wanted, first_untold, is_on, open, send};
pub(crate) use store::{Collected, Due, Store};

/// Messages that are evaluated at a time for reports alone (ours: each holds its header section, 1 MiB at most).
const EVALUATIONS_MAX: usize = 64;

/// Longest time for that (ours).
const EVALUATION_TIMEOUT: Duration = Duration::from_secs(60);

/// Collects what is to be reported.
#[derive(Debug)]
pub struct Reports {
    state: PathBuf,
    inbox: Inbox,
    places: Arc<Semaphore>,
}

impl Reports {
    /// For the state directory `state`; nothing is written there before there is something to report.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
            inbox: Inbox::new(state),
            places: Arc::new(Semaphore::new(EVALUATIONS_MAX)),
        }
    }

    fn state(&self) -> &Path {
        &self.state
    }

    /// Notes what became of a message from outside. What DMARC says of it is found out meanwhile.
    pub(crate) fn note_message(
        self: &Arc<Self>,
        services: &Arc<Services>,
        subject: Arc<Subject>,
        fate: Fate,
    ) {
        let Ok(dns) = services.dns().map(Arc::clone) else { return };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return self.inbox.lose() };
        let reports = Arc::clone(self);
        tokio::spawn(async move {
            let evaluated = evaluation::entry(&dns, &subject, fate, clock::wall());
            match tokio::time::timeout(EVALUATION_TIMEOUT, evaluated).await {
                Ok(Some(entry)) => reports.inbox.put(entry),
                Ok(None) => {}
                Err(_) => reports.inbox.lose(),
            }
            drop(place);
        });
    }

    /// Notes what came of protecting a connection.
    fn note_tls(&self, result: &TlsResult) {
        match tls::entry(result, clock::wall()) {
            Some(entry) => self.inbox.put(entry),
            None => self.inbox.lose(),
        }
    }

    /// Who is told what comes of protecting connections, while the site wants TLS reports.
    #[must_use]
    pub(crate) fn tls_results(self: &Arc<Self>, sites: &Arc<Sites>) -> TlsResults {
        let (reports, sites) = (Arc::clone(self), Arc::clone(sites));
        Arc::new(move |result| {
            if sites.current().config.reports.tls {
                reports.note_tls(&result);
            }
        })
    }

    /// Has everything written that was noted. Blocks on the disk.
    fn flush(&self) {
        self.inbox.flush();
    }

    /// Writes what was noted. Blocks on the disk.
    pub fn close(&self) {
        self.inbox.close();
    }
}
