//! Where a greylist is kept: the seam, and the store in memory.
//!
//! Invariants: a store forgets what its time is over for, and the oldest when it is full; it never makes anything up.

use std::fmt;

use quick_cache::sync::Cache;
use smtp::time::WallTime;

use crate::config::Network;

/// Triplets that are held in memory (ours: about 40 MB when all are in use).
const TRIPLETS_HELD: usize = 100_000;

/// Networks of clients that are held in memory (ours: about 6 MB).
const CLIENTS_HELD: usize = 50_000;

/// What is greylisted: a client, a sender and a recipient, in their normal forms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Triplet {
    /// The client's network.
    pub client: Network,
    /// The reverse-path.
    pub sender: Box<str>,
    /// The forward-path.
    pub recipient: Box<str>,
}

/// What is known of a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// When it was seen first.
    pub first: WallTime,
    /// When it was seen last, as far as it was noted.
    pub last: WallTime,
    /// Whether it has waited and come back.
    pub has_passed: bool,
}

/// How often different triplets of a client have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// How many.
    pub count: u32,
    /// When it was last let through.
    pub last: WallTime,
}

/// Why a store can't answer, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Where a greylist is kept. Two servers that note the same at once may keep either's word: it costs a wait at most.
pub trait Store: Send + Sync + fmt::Debug {
    /// What is known of the triplet.
    ///
    /// # Errors
    /// The store can't tell.
    fn sighting(&self, triplet: &Triplet) -> Result<Option<Sighting>, Unavailable>;

    /// Notes what is known of the triplet; it may be forgotten after `until`.
    ///
    /// # Errors
    /// It isn't noted.
    fn note(&self, triplet: &Triplet, sighting: Sighting, until: WallTime) -> Result<(), Unavailable>;

    /// How often triplets of the client have passed.
    ///
    /// # Errors
    /// The store can't tell.
    fn passes(&self, client: &Network) -> Result<Option<Passes>, Unavailable>;

    /// Notes how often triplets of the client have passed; it may be forgotten after `until`.
    ///
    /// # Errors
    /// It isn't noted.
    fn note_passes(&self, client: &Network, passes: Passes, until: WallTime) -> Result<(), Unavailable>;

    /// What of it is held in memory, if anything is.
    fn held(&self) -> Option<&Memory> {
        None
    }
}

/// What is held in memory, as a store that can't tell what it doesn't hold and can't note anything.
pub(super) struct AtHand<'a>(pub(super) &'a Memory);

impl fmt::Debug for AtHand<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Store for AtHand<'_> {
    fn sighting(&self, triplet: &Triplet) -> Result<Option<Sighting>, Unavailable> {
        self.0.sighting(triplet)?.map_or_else(not_at_hand, |known| Ok(Some(known)))
    }

    fn note(&self, _: &Triplet, _: Sighting, _: WallTime) -> Result<(), Unavailable> {
        not_at_hand()
    }

    fn passes(&self, client: &Network) -> Result<Option<Passes>, Unavailable> {
        self.0.passes(client)?.map_or_else(not_at_hand, |known| Ok(Some(known)))
    }

    fn note_passes(&self, _: &Network, _: Passes, _: WallTime) -> Result<(), Unavailable> {
        not_at_hand()
    }

    fn held(&self) -> Option<&Memory> {
        Some(self.0)
    }
}

fn not_at_hand<T>() -> Result<T, Unavailable> {
    Err(Unavailable(String::new()))
}

/// A store in memory: it ends with the program, and keeps what is used most.
pub struct Memory {
    triplets: Cache<Triplet, Sighting>,
    clients: Cache<Network, Passes>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { triplets: Cache::new(TRIPLETS_HELD), clients: Cache::new(CLIENTS_HELD) }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Memory({} triplets, {} clients)", self.triplets.len(), self.clients.len())
    }
}

impl Store for Memory {
    fn sighting(&self, triplet: &Triplet) -> Result<Option<Sighting>, Unavailable> {
        Ok(self.triplets.get(triplet))
    }

    fn note(&self, triplet: &Triplet, sighting: Sighting, _until: WallTime) -> Result<(), Unavailable> {
        self.triplets.insert(triplet.clone(), sighting);
        Ok(())
    }

    fn passes(&self, client: &Network) -> Result<Option<Passes>, Unavailable> {
        Ok(self.clients.get(client))
    }

    fn note_passes(&self, client: &Network, passes: Passes, _until: WallTime) -> Result<(), Unavailable> {
        self.clients.insert(*client, passes);
        Ok(())
    }

    fn held(&self) -> Option<&Memory> {
        Some(self)
    }
}
