//! What is recorded, and what can be asked of it: searches, reports, replays; a journal that is off or can't be written.

use std::fs;

use crate::harness::{Dialogue, wait_for};
use crate::site::{Site, id};

const POLICY: &str = r#"dnsbl zen = "zen.test" of client.ip

at recipient {
    rule listed when zen.listed
        reject 550 5.7.1 "{client.ip} is listed"

    observe rule bobs when recipient.local == "bob"
        defer 450 4.2.1 "not bob"
}
"#;

const RECORDS: &str = "2.0.0.127.zen.test A 127.0.0.2\n";
const MESSAGE: &[u8] = b"From: ann@client.example\r\nSubject: hello\r\n\r\nhello\r\n";

fn refused(client: &mut Dialogue, recipient: &str, code: &str) -> String {
    client.ask("RSET");
    client.transaction(&[]);
    let reply = client.ask_for(&format!("RCPT TO:<{recipient}>"), code);
    id(&reply)
}

#[test]
fn an_observed_rule_answers_nothing_and_is_counted() {
    let site = Site::new(POLICY, RECORDS);
    let mut client = site.session(3);
    for _ in 0..3 {
        client.deliver("bob@example.org", MESSAGE);
    }
    client.deliver("alice@example.org", MESSAGE);
    refused(&mut site.session(2), "bob@example.org", "550 5.7.1");
    let report = wait_for("the report to be whole", || {
        let printed = site.prints(&["policy", "report", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let rules = report["rules"].as_array().unwrap().clone();
        let rule = |name: &str| rules.iter().find(|rule| rule["name"] == name).cloned();
        let (bobs, listed) = (rule("bobs")?, rule("listed")?);
        (bobs["would_have_answered"] == 3 && listed["answered"] == 1).then_some(report)
    });
    assert!(report.to_string().contains("127.0.0.3"), "{report}");
    let text = site.prints(&["policy", "report"]);
    for words in ["bobs", "listed", "Never answered", "127.0.0.3", "client.example"] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

#[test]
fn refusals_are_found_by_whom_they_concern_and_what_they_said() {
    let site = Site::new(POLICY, RECORDS);
    let listed = refused(&mut site.session(2), "bob@example.org", "550 5.7.1");
    let unknown = refused(&mut site.session(3), "nobody@example.org", "550 5.1.1");
    for refusal in [&listed, &unknown] {
        site.prints(&["explain", refusal]);
    }
    let hits = |arguments: &[&str]| {
        let all = [&["explain", "--json"], arguments].concat();
        let output = site.command(&all);
        let printed = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), printed.contains(&listed), printed.contains(&unknown))
    };
    let found = |listed, unknown| (Some(0), listed, unknown);
    assert_eq!(hits(&["--from", "sender@client.example"]), found(true, true));
    assert_eq!(hits(&["--from", "SENDER@"]), found(true, true));
    assert_eq!(hits(&["--to", "bob@"]), found(true, false));
    assert_eq!(hits(&["--client", "127.0.0.3"]), found(false, true));
    assert_eq!(hits(&["--client", "127.0.0.0/8"]), found(true, true));
    assert_eq!(hits(&["--code", "550"]), found(true, true));
    assert_eq!(hits(&["--code", "5.1.1"]), found(false, true));
    assert_eq!(hits(&["--code", "550 5.7.1"]), found(true, false));
    assert_eq!(hits(&["--rule", "listed"]), found(true, false));
    assert_eq!(hits(&["--rule", "no-such-mailbox"]), found(false, true));
    assert_eq!(hits(&["--rule", "listed", "--to", "nobody@"]).0, Some(1));
    assert_eq!(hits(&["--since", "2001-01-01", "--until", "2001-01-02"]).0, Some(1));
    // What can't be meant is wrong usage, and not the same as nothing found.
    for wrong in [&["--since", "soon"][..], &["--client", "there"], &[]] {
        assert_eq!(hits(wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_changed_policy_is_replayed_and_what_was_not_asked_cannot_be_told() {
    let site = Site::new(POLICY, RECORDS);
    let mut client = site.session(3);
    for recipient in ["bob@example.org", "alice@example.org"] {
        client.deliver(recipient, MESSAGE);
    }
    refused(&mut site.session(2), "bob@example.org", "550 5.7.1");

    let replayed = |policy: &str, more: &[&str]| {
        site.write("new.policy", policy);
        let arguments = [&["replay", "new.policy", "--json"], more].concat();
        let output = site.command(&arguments);
        let printed = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let json = serde_json::from_str(&printed);
        let json: serde_json::Value = json.unwrap_or_else(|why| panic!("{why}: {printed} {errors}"));
        (output.status.code(), json)
    };
    wait_for("three recipients to be recorded", || {
        (replayed(POLICY, &[]).1["recipients"] == 3).then_some(())
    });
    let (code, same) = replayed(POLICY, &["--fail-over", "0"]);
    assert_eq!((code, &same["changed"]), (Some(0), &0.into()), "{same}");
    let acting = POLICY.replace("observe rule", "rule");
    let (code, changed) = replayed(&acting, &["--fail-over", "0"]);
    assert_eq!((code, &changed["changed"]), (Some(3), &1.into()), "{changed}");
    assert!(changed.to_string().contains("bobs"), "{changed}");
    let (code, _) = replayed(&acting, &["--fail-over", "1"]);
    assert_eq!(code, Some(0));
    let asking = format!(
        "{POLICY}at mail {{\n    rule ptr when client.ptr is missing\n        defer 450 4.7.25 \"no PTR\"\n}}\n"
    );
    let (_, untold) = replayed(&asking, &[]);
    assert_eq!(untold["cannot_be_told_recipients"], 3, "{untold}");
    assert!(untold.to_string().contains("client.ptr"), "{untold}");
    site.write("broken.policy", "at recipient {");
    let output = site.command(&["replay", "broken.policy"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn ids_can_be_switched_off() {
    let site = Site::with(POLICY, RECORDS, "[journal]\nids = false", vec![]);
    let mut client = site.session(2);
    client.transaction(&[]);
    let reply = client.ask_for("RCPT TO:<bob@example.org>", "550 5.7.1");
    assert!(!reply.says("["), "{reply}");
    let found = site.prints(&["explain", "--to", "bob@example.org"]);
    assert!(found.contains("550 5.7.1"), "{found}");
}

#[test]
fn without_a_journal_mail_goes_on_and_ids_lead_to_the_log() {
    let site = Site::with(POLICY, RECORDS, "[journal]\nenabled = false", vec![]);
    let mut client = site.session(2);
    client.transaction(&[]);
    let reply = client.ask_for("RCPT TO:<bob@example.org>", "550 5.7.1");
    site.server.wait_for_log(&id(&reply));
    site.session(3).deliver("bob@example.org", MESSAGE);
    site.server.maildir("example.org", "bob").wait_for(1);
    let output = site.command(&["explain", "--to", "bob@example.org"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_journal_that_cannot_be_written_stops_no_mail() {
    let mut site = Site::new(POLICY, RECORDS);
    site.server.stop();
    let folder = site.server.folder().join("state/journal");
    fs::remove_dir_all(&folder).unwrap();
    // A file in the folder's place keeps root out, too.
    fs::write(&folder, "").unwrap();
    site.server.start_again();
    refused(&mut site.session(2), "bob@example.org", "550 5.7.1");
    site.session(3).deliver("bob@example.org", MESSAGE);
    site.server.maildir("example.org", "bob").wait_for(1);
    site.server.wait_for_log("journal");
    let output = site.command(&["explain", "--to", "bob@example.org"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    site.server.stop();
}

#[test]
fn what_an_older_policy_decided_is_explained_by_its_own_text_and_an_included_file_by_its_name() {
    let main = "include \"more.policy\"\n\nat mail {\n    rule main when sender.local == \"main\"\n        reject 550 5.7.1 \"main\"\n}\n";
    let more = "# One line more.\nat mail {\n    rule more when sender.local == \"more\"\n        reject 550 5.7.1 \"more\"\n}\n";
    let site = Site::with(main, "", "", vec![("more.policy", more.to_owned())]);
    let mut client = site.session(2);
    let of_main = id(&client.ask_for("MAIL FROM:<main@client.example>", "550 5.7.1"));
    let of_more = id(&client.ask_for("MAIL FROM:<more@client.example>", "550 5.7.1"));
    site.write("site.policy", "");
    site.write("more.policy", "nonsense");
    site.server.reload();
    client.ask_for("MAIL FROM:<main@client.example>", "250");
    let explained = site.prints(&["explain", &of_main]);
    assert!(
        explained.contains("site.policy:4:5)") && explained.contains("sender.local = main"),
        "{explained}"
    );
    let explained = site.prints(&["explain", &of_more]);
    assert!(explained.contains("more.policy:3:5)"), "{explained}");
}

#[test]
fn what_a_shadow_list_said_is_known_to_a_replay() {
    let shadow = "shadow dnsbl zen = \"zen.test\" of client.ip\n";
    let acting = "dnsbl zen = \"zen.test\" of client.ip\n\nat recipient {\n    rule listed when zen.listed\n        \
                  reject 550 5.7.1 \"listed\"\n}\n";
    let site = Site::new(shadow, RECORDS);
    site.write("new.policy", acting);
    // A message does not wait for a shadow list that is slow.
    wait_for("two messages that the list was in time for", || {
        for last in [2, 3] {
            site.session(last).deliver("bob@example.org", MESSAGE);
        }
        let output = site.command(&["replay", "new.policy", "--json"]);
        let replayed: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let told = replayed["same"].as_u64()? > 0 && replayed["changed"].as_u64()? > 0;
        (told && replayed.to_string().contains("\"rule_after\":\"listed\"")).then_some(())
    });
}

#[test]
fn masked_records_hold_no_local_parts_and_no_whole_addresses() {
    let site = Site::with(POLICY, RECORDS, "[journal]\nmask = \"all\"", vec![]);
    let refused = refused(&mut site.session(2), "bob@example.org", "550 5.7.1");
    let explained = site.prints(&["explain", &refused]);
    assert!(explained.contains("site.policy:4:5)"), "{explained}");
    for secret in ["bob", "sender@", "127.0.0.2"] {
        assert!(!explained.contains(secret), "{secret}: {explained}");
    }
}
