//! What a policy service is asked: the attributes that Postfix sends, by its names.

use std::fmt::Write as _;

use policy::stage::Stage;

use crate::filters::occasion::{Occasion, bare};

/// The request. `client_name` is the client's confirmed name, if it is known; `instance` is the same for all that is asked of
/// one message.
#[must_use]
pub fn request(occasion: &Occasion, client_name: Option<&str>, instance: &str) -> String {
    let mut text = String::with_capacity(1_024);
    let mut say = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}=");
        // Neither may a value end its line, nor what is no UTF-8 text to the service.
        text.extend(value.chars().map(|one| if one.is_control() { '?' } else { one }));
        text.push('\n');
    };
    let candidate = occasion.candidate.as_deref().and_then(<[String]>::first).map_or("", |path| bare(path));
    let (user, mechanism) = occasion.user.as_ref().map_or(("", ""), |(user, mechanism)| (user, mechanism));
    let count =
        if matches!(occasion.stage, Stage::Data | Stage::Message) { occasion.recipients.len() } else { 0 };
    let count = count.to_string();
    let size = occasion.size_octets.to_string();
    let port = occasion.port.to_string();
    say("request", "smtpd_access_policy");
    say("protocol_state", state(occasion.stage));
    say("protocol_name", if occasion.protocol == "SMTP" { "SMTP" } else { "ESMTP" });
    say("client_address", &occasion.client.to_string());
    say("client_name", client_name.unwrap_or("unknown"));
    say("client_port", &port);
    say("reverse_client_name", client_name.unwrap_or("unknown"));
    say("helo_name", occasion.helo.as_deref().unwrap_or_default());
    say("sender", occasion.sender());
    say("recipient", candidate);
    say("recipient_count", &count);
    say("queue_id", occasion.queue_id.as_deref().unwrap_or_default());
    say("instance", instance);
    say("size", &size);
    say("etrn_domain", "");
    say("stress", "");
    say("sasl_method", mechanism);
    say("sasl_username", user);
    say("sasl_sender", "");
    say("ccert_subject", "");
    say("ccert_issuer", "");
    say("ccert_fingerprint", "");
    let [version, cipher] = &occasion.tls;
    say("encryption_protocol", version.as_deref().unwrap_or_default());
    say("encryption_cipher", cipher.as_deref().unwrap_or_default());
    say("encryption_keysize", "0");
    say("policy_context", "");
    text.push('\n');
    text
}

/// The stage by Postfix's name.
const fn state(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "CONNECT",
        Stage::Helo | Stage::Auth => "EHLO",
        Stage::Mail => "MAIL",
        Stage::Recipient => "RCPT",
        Stage::Data => "DATA",
        Stage::Message => "END-OF-MESSAGE",
        Stage::Verify => "VRFY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_lines_whatever_the_client_says() {
        let occasion = Occasion {
            stage: Stage::Recipient,
            client: "192.0.2.1".parse().unwrap(),
            port: 4_711,
            hostname: "mx.example.org".into(),
            helo: Some("a\r\nrecipient=x".into()),
            protocol: "ESMTP",
            is_tls: false,
            tls: [None, None],
            user: None,
            transaction: 1,
            mail: Some(vec!["<a@b.example>".into(), "SIZE=3".into()]),
            recipients: Vec::new(),
            candidate: Some(vec!["<c@d.example>".into()]),
            size_octets: 3,
            queue_id: None,
            draft: None,
        };
        let text = request(&occasion, None, "f00.1");
        assert!(text.starts_with("request=smtpd_access_policy\nprotocol_state=RCPT\n"));
        assert!(text.ends_with("\n\n"));
        let has = |line: &str| text.lines().any(|known| known == line);
        assert!(has("helo_name=a??recipient=x") && has("sender=a@b.example") && has("recipient=c@d.example"));
        assert!(has("client_name=unknown") && has("instance=f00.1") && has("size=3"));
    }
}
