//! The queue: the spool that keeps accepted mail, and what is decided about it until its last recipient is done.
//!
//! A message is ours exactly when its record is durable: [`spool::Spool::enqueue`] returns after that, never before.

pub mod body;
pub mod delivery;
pub mod disk;
pub mod dsn;
pub mod kernel_disk;
pub mod log_spool;
pub mod memory_spool;
pub mod message;
pub mod pace;
pub mod postmaster;
pub mod queue_id;
pub mod rate;
pub mod schedule;
pub mod sender;
pub mod simulated_disk;
pub mod spool;
pub mod wait;
