//! What a test takes a fact to be when it doesn't say: an ordinary message from a stranger to a mailbox of ours.
//!
//! Only what the session itself knows, the mailbox and the greylist have such a value; whatever is looked up elsewhere a
//! test has to say.

use crate::value::{State, Value};

/// What a fact is in an ordinary session, when there is such a thing.
#[must_use]
pub fn state(name: &str) -> Option<State> {
    Some(match name {
        "server.hostname" => State::text("mx.example.org"),
        "client.port" => State::number(25_000),
        "client.tls"
        | "client.trusted"
        | "client.may_relay"
        | "auth.over_messages"
        | "auth.over_recipients"
        | "client.early"
        | "sender.null"
        | "sender.local_domain"
        | "mailbox.busy"
        | "mailbox.over_quota"
        | "mailbox.quota_is_temporary"
        | "recipient.null_mx" => State::yes_or_no(false),
        "server.has_way_out"
        | "helo.extended"
        | "recipient.local_domain"
        | "mailbox.exists"
        | "greylist.passed"
        | "auth.owns_sender"
        | "auth.owns_author" => State::yes_or_no(true),
        "client.connections" | "recipient.index" | "message.recipients" | "message.received_count" => {
            State::number(1)
        }
        "recipient.count" => State::number(0),
        "helo.kind" => State::Known(Value::Choice("domain")),
        "listener.kind" => State::Known(Value::Choice("mx")),
        "mailbox.kind" => State::Known(Value::Choice("mailbox")),
        "client.refused"
        | "auth.user"
        | "auth.mechanism"
        | "tls.version"
        | "tls.cipher"
        | "tls.sni"
        | "tls.client_certificate"
        | "tls.client_fingerprint"
        | "tls.client_verdict"
        | "mailbox.moved"
        | "mailbox.forward" => State::Missing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::FACTS;
    use crate::value::Type;

    #[test]
    fn ordinary_values_are_of_their_facts_types() {
        let mut ordinary = 0;
        for fact in FACTS {
            let Some(state) = state(fact.name) else { continue };
            ordinary += 1;
            let fits = match (&state, fact.value_type) {
                (State::Missing, _) => fact.optional,
                (State::Known(Value::Boolean(_)), Type::Boolean) => true,
                (State::Known(Value::Number(_)), Type::Number | Type::Octets) => true,
                (State::Known(Value::Text(_)), Type::Text) => true,
                (State::Known(Value::Choice(word)), Type::Choice(words)) => words.contains(word),
                _ => false,
            };
            assert!(fits, "{}", fact.name);
        }
        assert_eq!(ordinary, 40);
    }
}
