//! Policy services as Postfix asks them (SMTPD_POLICY_README): lines of `name=value`, and an action for an answer.

mod client;
pub mod request;
pub mod response;

pub use client::Service;
