//! SMTP (RFC 5321) as values and state machines: addresses, commands, replies, and both ends of a session.
//!
//! Bytes and events go in, replies and actions come out. The crate is `no_std`: it can touch no clock, socket or file.
#![no_std]

extern crate alloc;

pub mod address;
pub mod catalogue;
pub mod client;
pub mod command;
pub mod envelope;
pub mod extension;
pub mod limits;
pub mod parameter;
pub mod reply;
pub mod server;
pub mod time;
pub mod xtext;
