//! Gatepost beside Debian's mail servers, there and back.

#![cfg(test)]

mod auth;
#[path = "../harness/mod.rs"]
mod harness;
mod jail;
mod lmtp;
mod smtp;
mod tls;
