//! Connections without a transaction, kept for a moment for the next message to the same server.
//!
//! Invariants: no more are kept than the limits say; whatever is taken out is alive as far as can be told without
//! asking; whatever goes unused says QUIT.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use smtp::time::Timestamp;

use super::connection::Connection;
use super::peer::Peer;
use crate::clock;

/// How long a connection is used again after its last transaction; it is closed within twice that (ours: a busy
/// server's next message comes sooner, and a server's places are not held for nothing).
pub(super) const IDLE_MAX: Duration = Duration::from_secs(5);

/// Connections kept to one server (ours).
const PER_PEER_MAX: usize = 10;

/// Connections kept in all (ours: bounds descriptors).
const IN_ALL_MAX: usize = 100;

/// Transactions on a connection (ours: so that its server can spread load, and a fault doesn't live on).
const TRANSACTIONS_MAX: u32 = 100;

/// Connections that wait for a message.
#[derive(Debug, Default)]
pub(super) struct IdlePool {
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    /// The one used last is at the end.
    connections: HashMap<Arc<Peer>, Vec<Connection>>,
    count: usize,
    /// Whether a task looks after those that are too old.
    is_swept: bool,
}

impl IdlePool {
    /// The connection to `peer` that was used last, if one is still good; those that aren't are closed.
    pub(super) fn take(&self, peer: &Peer, now: Timestamp) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut shelf = self.lock();
                let connection = shelf.connections.get_mut(peer)?.pop();
                if connection.is_none() {
                    shelf.connections.remove(peer);
                }
                let connection = connection?;
                shelf.count = shelf.count.saturating_sub(1);
                connection
            };
            let is_young = now.since(connection.idle_since()) <= IDLE_MAX;
            if is_young && connection.is_alive() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next message, unless there are enough.
    pub(super) fn put(self: &Arc<Self>, mut connection: Connection, now: Timestamp) {
        connection.set_idle(now);
        let mut shelf = self.lock();
        if shelf.count >= IN_ALL_MAX || connection.transactions() >= TRANSACTIONS_MAX {
            return;
        }
        let kept = shelf.connections.entry(Arc::clone(connection.peer())).or_default();
        if kept.len() >= PER_PEER_MAX {
            return;
        }
        kept.push(connection);
        shelf.count += 1;
        if !shelf.is_swept {
            shelf.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes what is too old at `now`; whether anything is left to look after.
    pub(super) fn expire(&self, now: Timestamp) -> bool {
        let mut shelf = self.lock();
        shelf.connections.retain(|_, kept| {
            kept.retain(|connection| now.since(connection.idle_since()) <= IDLE_MAX);
            !kept.is_empty()
        });
        shelf.count = shelf.connections.values().map(Vec::len).sum();
        shelf.is_swept = shelf.count > 0;
        shelf.is_swept
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what goes unused, until nothing is left or the pool is gone.
async fn sweep(pool: Weak<IdlePool>) {
    loop {
        tokio::time::sleep(IDLE_MAX).await;
        match pool.upgrade() {
            Some(pool) if pool.expire(clock::monotonic()) => {}
            _ => return,
        }
    }
}
