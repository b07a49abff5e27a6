//! What a site's rules can and can't do about the fixed refusals: order and words, never what they guard.

use crate::site::{Site, id};

#[test]
fn a_site_that_accepts_everything_has_no_mailboxes_that_do_not_exist_and_relays_nothing() {
    let policy =
        "at connect, helo, auth, mail, recipient, data, message {\n    rule all\n        accept\n}\n";
    let site = Site::new(policy, "");
    let mut client = site.session(2);
    client.transaction(&[]);
    client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    let reply = client.ask_for("RCPT TO:<ann@elsewhere.example>", "550 5.7.1");
    assert!(reply.says("relaying denied"), "{reply}");
    client.ask_for("RCPT TO:<erin@example.org>", "551 5.1.6");
    let explained = site.prints(&["explain", &id(&reply)]);
    for words in ["relaying-denied", "recipient.local_domain = no", "site.policy:2:5)"] {
        assert!(explained.contains(words), "{words:?} is not in {explained}");
    }
}

#[test]
fn relaying_is_open_to_the_networks_that_a_rule_names_and_to_nobody_else() {
    let policy = r#"networks inside = 127.0.0.16/28

at recipient {
    rule inside when client.ip in inside
        accept relay
}
"#;
    let site = Site::with(policy, "", "[relay]\nsmart_host = \"127.0.0.1:9\"", vec![]);
    for (last, code) in [(16, "250"), (31, "250"), (15, "550 5.7.1"), (32, "550 5.7.1")] {
        let mut client = site.session(last);
        client.transaction(&[]);
        client.ask_for("RCPT TO:<ann@elsewhere.example>", code);
        client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    }
}

#[test]
fn a_reply_gives_a_fixed_refusal_other_words_and_use_another_place() {
    let policy = r#"reply no-such-mailbox reject 550 5.1.1 "<{recipient.address}> has no mailbox here"
reply unknown-command reject 500 5.5.1 "what is that?"
reply relaying-denied reject 550 5.7.1 "{client.ip} may not send to {recipient.domain}"

at recipient {
    use no-such-mailbox

    rule later
        defer 450 4.2.1 "not now, <{recipient.address}>"
}
"#;
    let site = Site::new(policy, "");
    let mut client = site.session(2);
    let reply = client.ask_for("FROBNICATE now", "500 5.5.1");
    assert!(reply.says("what is that? ["), "{reply}");
    let explained = site.prints(&["explain", &id(&reply)]);
    assert!(explained.contains("unknown-command"), "{explained}");
    client.transaction(&[]);
    let reply = client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    assert!(reply.says("<nobody@example.org> has no mailbox here ["), "{reply}");
    let reply = client.ask_for("RCPT TO:<bob@example.org>", "450 4.2.1");
    assert!(reply.says("not now, <bob@example.org> ["), "{reply}");
}

#[test]
fn refusals_of_the_session_itself_can_be_explained() {
    let site = Site::new("", "");
    let mut client = site.session(2);
    for (command, code) in [
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<a@b> SIZE=x", "501 5.5.4"),
        ("MAIL FROM:<a b>", "553 5.1.7"),
        ("MAIL FROM:<a@client.example> SIZE=99999999999", "552 5.3.4"),
        ("SOML", "502 5.5.1"),
    ] {
        let reply = client.ask_for(command, code);
        let explained = site.prints(&["explain", &id(&reply)]);
        assert!(explained.contains(&format!("C: {command}")), "{command}: {explained}");
        assert!(explained.contains(&reply.lines[0][..7]), "{command}: {explained}");
    }
}

#[test]
fn each_stage_refuses_with_what_its_rule_says() {
    let policy = r#"at connect {
    rule connect when client.ip == 127.0.0.2
        reject 554 5.7.1 "no service for {client.ip}"
}

at helo {
    rule helo when helo.name == "bad.example"
        reject 550 5.7.1 "you are not {helo.name}"
}

at data {
    rule data when message.recipients > 1
        reject 554 5.7.1 "{message.recipients} are too many"
}

at verify {
    rule verify when inquiry.text contains "secret"
        reject 550 5.7.1 "{inquiry.command} of {inquiry.text}"
}
"#;
    let site = Site::new(policy, "");
    let mut client = site.server.connect(2);
    let reply = client.expect("554 5.7.1");
    assert!(reply.says("no service for 127.0.0.2 ["), "{reply}");
    assert!(site.prints(&["explain", &id(&reply)]).contains("site.policy:2:5)"));
    client.ask_for("EHLO client.example", "503 5.5.1");

    let mut client = site.server.connect(3);
    client.expect("220");
    let reply = client.ask_for("EHLO BAD.example", "550 5.7.1");
    assert!(reply.says("you are not bad.example ["), "{reply}");
    client.ask_for("EHLO good.example", "250");
    client.ask_for("EHLO bad.example", "550 5.7.1");
    client.ask_for("EHLO good.example", "250");
    let reply = client.ask_for("VRFY secret", "550 5.7.1");
    assert!(reply.says("of secret ["), "{reply}");
    client.ask_for("VRFY other", "252");
    client.transaction(&["bob@example.org", "alice@example.org"]);
    let reply = client.ask_for("DATA", "554 5.7.1");
    assert!(reply.says("2 are too many ["), "{reply}");
}
