//! The milter protocol, version 6, on the server's side: what stands beside Sendmail and Postfix stands beside Gatepost.
//!
//! Frames, negotiation, commands and answers are pure; [`Dialogue`] tells a filter of one session.

pub mod answer;
mod changes;
pub mod command;
mod dialogue;
pub mod frame;
mod line;
mod macros;
pub mod options;

pub use dialogue::Dialogue;
pub use line::Milter;
