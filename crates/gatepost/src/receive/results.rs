//! The results of checking who sent a message, as header fields of it (RFC 8601, RFC 7208 §9.1).

use std::sync::Arc;

use policy::value::{State, Value};
use smtp::server::Session;

use super::decide::Client;
use super::judge::Judge;
use crate::facts::Verified;
use crate::facts::authentication_results::{Iprev, Results};
use crate::facts::spf::Envelope;
use crate::site::Site;

/// Whose message it is.
pub(super) struct Asked<'a> {
    pub(super) site: &'a Site,
    pub(super) client: &'a Client,
    pub(super) session: &'a Session,
    /// The mailbox of the reverse-path; empty for the null one.
    pub(super) sender: Option<&'a str>,
}

/// The fields for what the policy asked, in the order in which they stand; nothing when it asked nothing.
pub(super) fn fields(asked: &Asked<'_>, verified: Option<&Arc<Verified>>, judge: &Judge) -> String {
    let hostname = asked.site.settings.hostname.as_str();
    let helo = asked.session.hello_name().unwrap_or_default();
    let envelope = Envelope {
        client: asked.client.address,
        helo,
        sender: asked.sender.unwrap_or_default(),
        receiver: hostname,
    };
    let name = judge.state("client.ptr").and_then(text);
    let results = Results {
        authserv_id: hostname,
        auth_user: asked.session.user(),
        iprev: iprev(judge).map(|word| Iprev { client: asked.client.address, word, name }),
        spf: verified.and_then(|verified| verified.spf.get()).map(|spf| (spf, envelope)),
        dkim: verified.and_then(|verified| verified.dkim.get()),
        dmarc: verified.and_then(|verified| verified.dmarc.get()),
        arc: verified.and_then(|verified| verified.arc.get()),
    };
    let nothing = results.auth_user.is_none()
        && results.iprev.is_none()
        && results.spf.is_none()
        && results.dkim.is_none()
        && results.dmarc.is_none()
        && results.arc.is_none();
    if nothing {
        return String::new();
    }
    results.authentication_results() + &results.received_spf().unwrap_or_default()
}

/// The word for the client's name, when the policy asked.
fn iprev(judge: &Judge) -> Option<&'static str> {
    match judge.state("iprev.result")? {
        State::Known(Value::Choice(word)) => Some(word),
        State::Unsure(_) => Some("temperror"),
        _ => None,
    }
}

fn text(state: &State) -> Option<&str> {
    match state {
        State::Known(Value::Text(text)) => Some(text),
        _ => None,
    }
}
