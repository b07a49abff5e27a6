//! How mail to other servers is protected: by TLSA records, by policies, by what the site chooses.

#![cfg(test)]

mod dane;
mod far;
#[path = "../harness/mod.rs"]
mod harness;
mod levels;
mod policies;
mod reported;
