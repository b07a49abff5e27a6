//! TLS of clients: STARTTLS and TLS from the first octet on, as clients meet it.

#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod auth;
mod certificates;
mod check;
mod client;
mod client_certificates;
mod handshakes;
#[path = "../harness/mod.rs"]
mod harness;
mod own;
mod programs;
