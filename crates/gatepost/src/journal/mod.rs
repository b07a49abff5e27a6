//! The journal: what was decided, on what facts and by which rule, so that it can be explained and decided again.
//!
//! Invariants: nothing that goes wrong here refuses mail; sessions never wait for the disk; memory and disk are bounded,
//! and what had to be left out is counted and shown.

pub mod again;
mod block;
mod codec;
pub mod day;
mod dialogue;
pub mod effects;
pub mod explanation;
pub mod ids;
mod inbox;
mod mask;
pub mod record;
pub mod replay;
mod session_log;
mod settings;
pub mod states;
pub mod store;
pub mod texts;
pub mod tried;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use smtp::time::WallTime;

pub use block::Block;
pub use dialogue::DIALOGUE_OCTETS_MAX;
pub use ids::DecisionId;
pub use inbox::Lost;
pub use session_log::{About, Peer, SessionLog};
pub use settings::{Mask, Settings};
pub use texts::PolicyText;

use ids::Ids;
use inbox::{Inbox, WAITING_OCTETS_MAX};
use store::writer::{Shared, Writer};

/// Sessions of one millisecond before their numbers run ahead of the clock, as a power of two.
const SESSIONS_PER_MILLISECOND_BITS: u32 = 16;

/// The journal of a running server.
#[derive(Debug)]
pub struct Journal {
    settings: Settings,
    shared: Arc<Shared>,
    sessions: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in the state directory. What fails is said in the log, and mail goes on without it.
    #[must_use]
    pub fn open(state: &Path, settings: Settings, now: WallTime) -> Self {
        Self::open_with(state, settings, now, crate::clock::wall)
    }

    /// As [`Journal::open`], with a clock of the caller's: it says into which day's file is written.
    #[must_use]
    pub fn open_with(
        state: &Path,
        settings: Settings,
        now: WallTime,
        clock: impl Fn() -> WallTime + Send + 'static,
    ) -> Self {
        if !settings.enabled && !settings.ids {
            return Self::new(settings, Ids::random(), now);
        }
        let folder = store::folder(state);
        // What is in it is for nobody else to read.
        if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "the journal has no folder");
        }
        let ids = Ids::open(&folder).unwrap_or_else(|error| {
            tracing::warn!(%error, "decision ids can't be reserved; ids are random numbers");
            Ids::random()
        });
        let journal = Self::new(settings, ids, now);
        let writer = Writer::new(folder, settings, Arc::clone(&journal.shared), now);
        match std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(clock)) {
            Ok(thread) => {
                *journal.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
            }
            Err(error) => {
                tracing::warn!(%error, "the journal's thread can't be started; nothing is journalled");
                journal.shared.inbox.close();
            }
        }
        journal
    }

    /// A journal that keeps nothing, has no thread and touches no file; its ids are random numbers.
    #[must_use]
    pub fn disabled() -> Self {
        let settings = Settings {
            enabled: false,
            days: 0,
            size_octets: 0,
            mask: Mask::None,
            dialogue: false,
            ids: false,
        };
        Self::new(settings, Ids::random(), WallTime::default())
    }

    fn new(settings: Settings, ids: Ids, now: WallTime) -> Self {
        let shared = Shared {
            inbox: Arc::new(Inbox::new(WAITING_OCTETS_MAX)),
            ids: Arc::new(ids),
            policies: Mutex::default(),
            lost: Mutex::default(),
        };
        Self {
            settings,
            shared: Arc::new(shared),
            sessions: AtomicU64::new(now.as_unix_millis() << SESSIONS_PER_MILLISECOND_BITS),
            writer: Mutex::new(None),
        }
    }

    /// The id of the next refusal. Does no I/O.
    pub fn id(&self) -> DecisionId {
        self.shared.ids.next()
    }

    /// Whether refusals end in their id.
    #[must_use]
    pub const fn shows_ids(&self) -> bool {
        self.settings.ids
    }

    /// The log of a session that begins under this policy.
    #[must_use]
    pub fn session(&self, policy: &Arc<PolicyText>, peer: Peer, now: WallTime) -> SessionLog {
        if !self.settings.enabled {
            return SessionLog::disabled();
        }
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        SessionLog::new(shared, Arc::clone(policy), (number, peer, now), self.settings.dialogue)
    }

    /// What was lost since the start.
    #[must_use]
    pub fn lost(&self) -> Lost {
        *self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what sessions have handed over is written, or lost. May wait for the disk.
    pub fn flush(&self) {
        let runs = self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if runs {
            self.shared.inbox.flush();
        }
    }

    /// Writes what is there and ends the thread. Sessions that come later lose what they say. May wait for the disk.
    pub fn close(&self) {
        self.shared.inbox.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's thread ended abnormally");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
