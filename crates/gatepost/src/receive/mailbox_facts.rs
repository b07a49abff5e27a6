//! Facts about a recipient's mailbox: what the address is here, and whether its mailbox takes mail now.

use std::io;

use policy::value::{State, Value};

use super::session_facts::View;
use crate::mailboxes::{Meaning, Standing};

/// The state of the fact `name`; `None` when it is not about a mailbox. How full a mailbox is may have to be measured,
/// which blocks.
pub(super) fn state(name: &str, view: &View<'_>) -> Option<State> {
    let recipient = view.recipient()?;
    let (meaning, standing) = (&recipient.meaning, &recipient.standing);
    if let (Meaning::Unsure(why), true) = (meaning, name.starts_with("mailbox.")) {
        return Some(State::unsure(why));
    }
    Some(match name {
        "mailbox.kind" => State::Known(Value::Choice(kind(meaning))),
        "mailbox.exists" => State::yes_or_no(*meaning != Meaning::Unknown),
        "mailbox.moved" => match meaning {
            Meaning::Moved { address } => State::text(&address.to_string()),
            _ => State::Missing,
        },
        "mailbox.forward" => match meaning {
            Meaning::Forward { address, disclosed: true } => State::text(&address.to_string()),
            _ => State::Missing,
        },
        "mailbox.busy" => State::yes_or_no(standing.as_ref().is_some_and(Standing::is_busy)),
        "mailbox.over_quota" => or_unsure(over_quota(view, standing.as_ref())),
        "mailbox.quota_is_temporary" => {
            State::yes_or_no(standing.as_ref().is_some_and(Standing::quota_is_temporary))
        }
        "mailbox.quota_percent" => or_unsure(quota_percent(view, standing.as_ref())),
        _ => return None,
    })
}

fn over_quota(view: &View<'_>, standing: Option<&Standing<'_>>) -> io::Result<State> {
    let declared = view.session.envelope().and_then(|envelope| envelope.parameters.size_octets);
    let over =
        standing.map_or(Ok(false), |standing| standing.over_quota(declared, |maildir| view.used(maildir)));
    over.map(State::yes_or_no)
}

fn quota_percent(view: &View<'_>, standing: Option<&Standing<'_>>) -> io::Result<State> {
    let percent = standing.map_or(Ok(None), |standing| standing.quota_percent(|maildir| view.used(maildir)));
    percent.map(|percent| percent.map_or(State::Missing, State::number))
}

/// What can't be measured is unsure, and logged: it is ours to mend.
fn or_unsure(found: io::Result<State>) -> State {
    found.unwrap_or_else(|error| {
        tracing::error!(%error, "cannot tell how full a mailbox is");
        State::unsure(&error.to_string())
    })
}

/// The choice word of `mailbox.kind`.
const fn kind(meaning: &Meaning) -> &'static str {
    match meaning {
        Meaning::Mailbox => "mailbox",
        Meaning::Alias => "alias",
        Meaning::List => "list",
        Meaning::Forward { .. } => "forward",
        Meaning::Moved { .. } => "moved",
        Meaning::Unknown | Meaning::Unsure(_) => "unknown",
        Meaning::NotLocal => "relayed",
    }
}
