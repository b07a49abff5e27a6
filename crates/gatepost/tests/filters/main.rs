//! Gatepost with Debian's filters, which stand there as they stand beside Postfix.

#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod debian;
mod filter;
#[path = "../harness/mod.rs"]
mod harness;
mod milter;
mod scripted;
mod service;

use std::fs;

use harness::{Server, Setup, wait_for};

/// A site with the mailbox `alice@example.org`, under this policy.
fn site(policy: &str) -> Server {
    let config = "hostname = \"mx.example.org\"\npostmaster = \"alice\"\npolicy.file = \"site.policy\"\n\
                  [domain.\"example.org\"]\nmailbox.alice = {}\nmailbox.bob = {}\n";
    let files = vec![("site.policy", policy.to_owned())];
    Server::start(Setup { config: Some(config.to_owned()), files, ..Setup::default() })
}

/// The `count` messages of a mailbox as they stand in their files, once they are there.
fn letters(server: &Server, mailbox: &str, count: usize) -> Vec<String> {
    let maildir = server.maildir("example.org", mailbox);
    let files = wait_for(&format!("{count} messages for {mailbox}"), || {
        Some(maildir.files()).filter(|files| files.len() >= count)
    });
    assert_eq!(files.len(), count);
    files.iter().map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()).collect()
}
