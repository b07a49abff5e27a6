//! Who users are: the exchanges of AUTH, the stores of passwords behind them, and what users may do.
//!
//! Invariants: a store that fails is no wrong password; whoever asks can't tell by answer or time whether a user is there.

mod dovecot;
mod exchange;
mod guard;
mod preparation;
mod saslauthd;
mod scram;
mod secret;
pub(crate) mod senders;
mod settings;
mod store;
pub(crate) mod usage;
mod user_file;

pub use exchange::Mechanism;
pub(crate) use exchange::{Channel, Credentials, Exchange, Step};
pub(crate) use guard::Attempt;
pub use guard::GuessLimits;
pub use preparation::{Password, prepared_name};
pub use secret::Secrets;
pub use senders::SenderPattern;
pub use settings::{AuthSettings, Backend};
pub use store::Authenticator;
pub(crate) use store::{Asked, Checked};
pub use user_file::{User, UserFile, Users};
