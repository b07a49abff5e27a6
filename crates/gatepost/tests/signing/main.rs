//! Signatures, seals and rewritten reverse-paths: by our own verifier, by dkimpy, and through the program.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod command;
mod program;
mod verified;
