//! Lists in the DNS: who is listed is refused and can be told why; a list that fails refuses nobody.

use crate::harness::Fault;
use crate::site::{Site, id};

const POLICY: &str = r#"dnsbl zen = "zen.test" of client.ip

at recipient {
    rule listed when zen.listed
        reject 550 5.7.1 "{client.ip} is listed: {zen.reason}"
}
"#;

const MESSAGE: &[u8] = b"From: ann@client.example\r\nSubject: hello\r\n\r\nhello\r\n";

#[test]
fn who_is_listed_is_refused_and_the_id_on_the_wire_leads_to_rule_place_and_facts() {
    let mut site =
        Site::new(POLICY, "2.0.0.127.zen.test A 127.0.0.2\n2.0.0.127.zen.test TXT a source of spam\n");
    let mut client = site.session(2);
    client.transaction(&[]);
    let reply = client.ask_for("RCPT TO:<bob@example.org>", "550 5.7.1");
    assert!(reply.says("127.0.0.2 is listed: a source of spam ["), "{reply}");
    let id = id(&reply);

    let wanted = [
        "550 5.7.1 127.0.0.2 is listed: a source of spam",
        "site.policy:4:5",
        "rule       listed",
        "zen.listed = yes",
        "C: RCPT TO:<bob@example.org>",
        "<sender@client.example>",
        "<bob@example.org>",
    ];
    let running = site.prints(&["explain", &id]);
    drop(client);
    site.server.stop();
    let ended = site.prints(&["explain", &id]);
    for words in wanted {
        assert!(running.contains(words), "{words:?} is not in {running}");
        assert!(ended.contains(words), "{words:?} is not in {ended}");
    }
    // The line of a bounce does as well.
    assert_eq!(site.prints(&["explain", &reply.to_string()]), ended);
    // Another id is not found, and says so.
    let none = site.command(&["explain", "2222-2222"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
}

/// The client whose list is spoilt by `fault` is not refused, and what was recorded of its message says why.
fn passes(client: u8, records: &str, fault: Option<Fault>, why: &str) {
    let site = Site::new(POLICY, records);
    if let Some(fault) = fault {
        site.dns.spoil(&format!("{client}.0.0.127.zen.test"), fault);
    }
    let mut session = site.session(client);
    session.transaction(&["bob@example.org"]);
    let queue_id = Site::queue_id(&session.data(MESSAGE, "250 2.6.0"));
    site.server.maildir("example.org", "bob").wait_for(1);
    let explained = site.prints(&["explain", &queue_id]);
    for words in ["unsure", "site.policy:4:5)", "zen.listed = ", why] {
        assert!(explained.contains(words), "{words:?} is not in {explained}");
    }
}

#[test]
fn a_list_that_is_silent_refuses_nobody_and_explain_says_so() {
    passes(3, "", Some(Fault::Silence), "time");
}

#[test]
fn a_list_that_fails_refuses_nobody_and_explain_says_so() {
    passes(3, "", Some(Fault::ServerFailure), "SERVFAIL");
}

#[test]
fn a_list_that_does_not_want_to_be_asked_lists_nobody() {
    passes(3, "3.0.0.127.zen.test A 127.255.255.254", None, "127.255.255.254");
}

#[test]
fn an_unsure_arm_defers_until_the_dns_answers_again() {
    let policy = r#"at mail {
    rule missing when sender.domain_exists is no
        reject 550 5.1.8 "no {sender.domain}"
        unsure defer 451 4.1.8 "cannot look up {sender.domain} just now"
}
"#;
    let site = Site::new(policy, "there.example MX 10 mx.there.example\n");
    site.dns.spoil("there.example", Fault::ServerFailure);
    let mut client = site.session(2);
    let reply = client.ask_for("MAIL FROM:<ann@there.example>", "451 4.1.8");
    assert!(reply.says("cannot look up there.example just now ["), "{reply}");
    let explained = site.prints(&["explain", &id(&reply)]);
    assert!(explained.contains("unsure") && explained.contains("sender.domain_exists"), "{explained}");
    client.ask_for("MAIL FROM:<ann@nowhere.example>", "550 5.1.8");
    site.dns.mend();
    client.ask_for("MAIL FROM:<ann@there.example>", "250 2.1.0");
}

#[test]
fn words_of_the_dns_that_no_reply_can_hold_change_no_code() {
    let site = Site::new(POLICY, "2.0.0.127.zen.test A 127.0.0.2\n");
    let long = "schlecht \u{fc}ber alles ".repeat(60);
    let strings: Vec<&[u8]> = long.as_bytes().chunks(200).collect();
    site.dns.add_txt("2.0.0.127.zen.test", &strings);
    let mut client = site.session(2);
    client.transaction(&[]);
    let reply = client.ask_for("RCPT TO:<bob@example.org>", "550 5.7.1");
    let explained = site.prints(&["explain", &id(&reply)]);
    assert!(explained.contains("site.policy:4:5)"), "{explained}");
}

#[test]
fn a_look_up_that_takes_too_long_holds_nobody_up_for_longer_than_the_deadline() {
    let site = Site::with(POLICY, "", "", vec![]);
    let config = std::fs::read_to_string(site.server.folder().join("gatepost.toml")).unwrap();
    let slow = config
        .replace("deadline = \"60s\"", "deadline = \"1s\"")
        .replace("timeout = \"30s\"", "timeout = \"60s\"");
    assert!(slow.contains("\"1s\"") && slow.contains("\"60s\""), "{slow}");
    site.server.configure(&slow);
    site.write("site.policy", &POLICY.replace("of client.ip", "of client.ip timeout 60s"));
    site.server.reload();
    site.dns.spoil("4.0.0.127.zen.test", Fault::Silence);
    let begun = crate::harness::now();
    let mut client = site.session(4);
    client.transaction(&["bob@example.org"]);
    let queue_id = Site::queue_id(&client.data(MESSAGE, "250 2.6.0"));
    let waited = begun.elapsed();
    assert!(waited < std::time::Duration::from_secs(55), "{waited:?}");
    let explained = site.prints(&["explain", &queue_id]);
    assert!(explained.contains("zen.listed = unsure: "), "{explained}");
}
