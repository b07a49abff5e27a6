//! Policies at work in the real program: what clients are told, what becomes of their mail, and what can be asked about
//! it afterwards.

#![cfg(test)]

mod authentication;
mod carried_out;
mod content;
mod effects;
mod fixed_refusals;
#[path = "../harness/mod.rs"]
mod harness;
mod lists;
mod memory;
mod recorded;
mod reload;
mod site;
