//! What is asked of the DNS, against a server on this machine.

#![cfg(test)]

#[path = "../harness/mod.rs"]
mod harness;
mod lists;
mod look_ups;
mod names;
mod signatures;
mod spf;
mod spf_suite;
