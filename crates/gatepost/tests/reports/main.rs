//! Reports to other domains in the real program: what came in and went out is told to who asks for it.

#![cfg(test)]

mod dmarc;
#[path = "../harness/mod.rs"]
mod harness;
mod tls;

use std::process::{Command, Output};

use crate::harness::Server;

/// Largest report that is read, in octets.
const REPORT_OCTETS_MAX: usize = 1_000_000;

/// What `gatepost reports` with these arguments does with the server's state and configuration.
fn reports(server: &Server, arguments: &[&str]) -> Output {
    let folder = server.folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("reports").args(arguments).arg("--state").arg(folder.join("state"));
    command.arg("--config").arg(folder.join("gatepost.toml")).current_dir(folder);
    command.output().unwrap()
}

/// What it prints; it must end well.
fn prints(server: &Server, arguments: &[&str]) -> String {
    let output = reports(server, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// How many messages and sessions are collected.
fn collected(server: &Server) -> u64 {
    let listed: serde_json::Value = serde_json::from_str(&prints(server, &["list", "--json"])).unwrap();
    listed.as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).sum()
}

/// Waits until as many are collected: what is noted is not on the disk at once.
fn wait_for_collected(server: &Server, count: u64) {
    harness::wait_for(&format!("{count} to be collected"), || (collected(server) == count).then_some(()));
}

/// Waits until anything is collected.
fn wait_for_some(server: &Server) {
    harness::wait_for("anything to be collected", || (collected(server) > 0).then_some(()));
}
