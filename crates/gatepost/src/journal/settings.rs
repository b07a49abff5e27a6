//! What a site chooses of its journal.

/// What is kept, how long, and how much of it is legible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether anything is kept.
    pub enabled: bool,
    /// Days after which a day's file is deleted.
    pub days: u32,
    /// Octets that all files together may have.
    pub size_octets: u64,
    /// What is made illegible.
    pub mask: Mask,
    /// Whether the dialogue before a refusal is kept.
    pub dialogue: bool,
    /// Whether refusals end in an id.
    pub ids: bool,
}

/// What is made illegible before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Nothing.
    None,
    /// Local parts are hashed, with a key that lasts a day, and client addresses cut to their network (/24, /48).
    Addresses,
    /// The same; every other text that the client or the DNS gave is hashed, and the dialogue not kept.
    All,
}
