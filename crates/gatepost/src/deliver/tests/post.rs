//! A site with a queue in memory, its running delivery, and letters to send through it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use queue::body::Body;
use queue::delivery::Phase;
use queue::memory_spool::MemorySpool;
use queue::message::{Destination, Origin, QueuedMessage, QueuedRecipient};
use queue::postmaster::{Entry, Order, Query};
use queue::spool::{Spool, SpoolError, Window};
use smtp::address::ForwardPath;
use smtp::envelope::{MailParameters, Notify, OriginalRecipient, RcptParameters};
use smtp::time::WallTime;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock;
use crate::deliver::{destination, spawn};
use crate::mailboxes::QuotaUsage;
use crate::reports::Reports;
use crate::site::Sites;

pub(super) const CONFIGURATION: &str = r#"
hostname = "mx.example.org"

[domain."example.org".mailbox]
postmaster = { quota = "1 kB" }
hostmaster = { alias = "postmaster" }
alice = {}
bob = {}
busy = { busy = true }
small = { quota = "1 kB" }
patient = { quota = "1 kB", over_quota = "defer" }
gone = { moved = "gone@new.example" }
sink = { discard = true }
to-small = { alias = "small" }
to-patient = { alias = "patient" }
pair = { alias = ["bob", "hostmaster"] }
team = { members = ["bob", "small"], owner = "alice" }
"#;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a state is looked at that nothing tells of.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A site with its queue and its running delivery.
pub(super) struct Post<S = MemorySpool> {
    pub(super) state: TempDir,
    sites: Arc<Sites>,
    pub(super) spool: Arc<S>,
    stop: watch::Sender<bool>,
    delivery: Option<JoinHandle<()>>,
}

impl Post {
    pub(super) fn new() -> Self {
        Self::with(CONFIGURATION)
    }

    pub(super) fn with(configuration: &str) -> Self {
        let mut post = Self::idle(configuration, MemorySpool::new());
        post.start();
        post
    }
}

impl<S: Spool> Post<S> {
    /// A site that delivers nothing yet.
    pub(super) fn idle(configuration: &str, spool: S) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("gatepost.toml");
        fs::write(&file, configuration).unwrap();
        let (sites, _) = Sites::load(Some(&file), "nobody", state.path()).unwrap();
        let (stop, _) = watch::channel(false);
        Self { state, sites: Arc::new(sites), spool: Arc::new(spool), stop, delivery: None }
    }

    pub(super) fn start(&mut self) {
        let (spool, sites) = (Arc::clone(&self.spool), Arc::clone(&self.sites));
        let reports = Arc::new(Reports::new(self.state.path()));
        let quota = Arc::new(QuotaUsage::default());
        self.delivery = Some(spawn(spool, sites, quota, &reports, self.stop.subscribe()));
    }

    /// Puts another configuration in force.
    pub(super) fn reload(&self, configuration: &str) {
        fs::write(self.state.path().join("gatepost.toml"), configuration).unwrap();
        self.sites.reload().unwrap();
    }

    pub(super) async fn send(&self, letter: Letter<'_>) {
        self.offer(letter).await.unwrap();
    }

    pub(super) async fn offer(&self, letter: Letter<'_>) -> Result<(), SpoolError> {
        let site = self.sites.current();
        let accepted_as: ForwardPath = format!("<{}>", letter.recipient).parse().unwrap();
        let parameters = RcptParameters { notify: letter.notify, original: letter.original };
        let recipients = site.directory.resolve(&accepted_as).into_iter().map(|resolved| QueuedRecipient {
            destination: destination(&site.config, &resolved, &parameters),
            mailbox: resolved.mailbox,
            accepted_as: accepted_as.clone(),
            parameters: parameters.clone(),
        });
        let message = QueuedMessage {
            reverse_path: letter.reverse_path.parse().unwrap(),
            parameters: letter.parameters,
            received: letter.received,
            hold: None,
            origin: Origin::default(),
            recipients: recipients.collect(),
        };
        let id = self.spool.allot(letter.received);
        self.spool.enqueue(id, message, Body::Memory(letter.body.to_vec())).await
    }

    /// What is left in the queue.
    pub(super) async fn entries(&self) -> Vec<Entry> {
        self.spool.list(&Query::default(), None, usize::MAX).await.unwrap()
    }

    /// Waits until what is left in the queue is as wanted.
    pub(super) async fn until(&self, wanted: impl Fn(&[Entry]) -> bool) -> Vec<Entry> {
        let waiting = async {
            loop {
                let changed = self.spool.changed();
                let entries = self.entries().await;
                if wanted(&entries) {
                    return entries;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the queue is never as wanted")
    }

    pub(super) async fn until_empty(&self) {
        self.until(<[Entry]>::is_empty).await;
    }

    /// Waits until all that is left was tried so often and waits for its next attempt.
    pub(super) async fn until_tried(&self, attempts: u32) -> Vec<Entry> {
        let is_tried = |entry: &Entry| {
            entry
                .recipients
                .iter()
                .all(|(_, state)| state.attempts == attempts && state.phase == Phase::Waiting)
        };
        self.until(|entries| !entries.is_empty() && entries.iter().all(is_tried)).await
    }

    /// Waits until the destination gets nothing for now; its window then.
    pub(super) async fn until_let_alone(&self, destination: &Destination) -> Window {
        let waiting = async {
            loop {
                let window = self.spool.window(destination);
                if window.opens > clock::wall() {
                    return window;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the destination is never let alone")
    }

    pub(super) async fn try_again(&self) {
        self.spool.order(&Query::default(), Order::Retry { due: clock::wall() }).await.unwrap();
    }

    pub(super) fn files(&self, local_part: &str) -> Vec<PathBuf> {
        let folder = self.state.path().join("maildir/example.org").join(local_part).join("new");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The messages of a mailbox.
    pub(super) fn letters(&self, local_part: &str) -> Vec<String> {
        self.files(local_part).iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    /// The only message of a mailbox, with its lines unfolded.
    pub(super) fn only_letter(&self, local_part: &str) -> String {
        let mut letters = self.letters(local_part);
        assert_eq!(letters.len(), 1, "{letters:#?}");
        letters.remove(0).replace("\r\n ", " ")
    }

    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let delivery = self.delivery.expect("delivery was started");
        tokio::time::timeout(PATIENCE, delivery).await.expect("delivery does not stop").unwrap();
    }
}

#[derive(Clone)]
pub(super) struct Letter<'a> {
    pub(super) reverse_path: &'a str,
    pub(super) recipient: &'a str,
    pub(super) received: WallTime,
    pub(super) parameters: MailParameters,
    pub(super) notify: Option<Notify>,
    pub(super) original: Option<OriginalRecipient>,
    pub(super) body: &'a [u8],
}

impl<'a> Letter<'a> {
    /// From alice, received now.
    pub(super) fn to(recipient: &'a str) -> Self {
        Self {
            reverse_path: "<alice@example.org>",
            recipient,
            received: clock::wall(),
            parameters: MailParameters::default(),
            notify: None,
            original: None,
            body: b"Subject: tea\r\n\r\nAt five?\r\n",
        }
    }

    pub(super) fn old(self, age: Duration) -> Self {
        let now = clock::wall().as_unix_millis();
        let age = u64::try_from(age.as_millis()).unwrap();
        Self { received: WallTime::from_unix_millis(now - age), ..self }
    }

    pub(super) fn notify(self, success: bool, failure: bool, delay: bool) -> Self {
        Self { notify: Some(Notify { success, failure, delay }), ..self }
    }
}
