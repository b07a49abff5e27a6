//! What a server remembers between sessions: the greylist, rates, and tables that change while it runs.

use crate::harness::wait_for;
use crate::site::{Site, id};

#[test]
fn who_comes_first_waits_and_is_let_in_later() {
    let policy = r#"greylist {
    wait 1s
}

at recipient {
    use no-such-mailbox

    rule greylist when greylist.passed is no
        defer 451 4.7.1 "greylisted"
}
"#;
    let mut site = Site::new(policy, "");
    let mut client = site.session(2);
    client.transaction(&[]);
    client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    let reply = client.ask_for("RCPT TO:<bob@example.org>", "451 4.7.1");
    assert!(site.prints(&["explain", &id(&reply)]).contains("greylist.passed = no"));
    wait_for("the greylist to let the client in", || {
        client.ask("RSET");
        client.transaction(&[]);
        client.ask("RCPT TO:<bob@example.org>").is("250 2.1.5").then_some(())
    });
    // Who waited need not wait again after a restart.
    drop(client);
    site.server.stop();
    site.server.start_again();
    let mut client = site.session(2);
    client.transaction(&["bob@example.org"]);
    client.ask_for("RCPT TO:<alice@example.org>", "451 4.7.1");
}

#[test]
fn a_rate_counts_each_recipient_of_a_client_and_not_another_ones() {
    let policy = r#"rate few = recipients by client.ip over 1h

at recipient {
    rule many when few > 2
        defer 451 4.7.1 "{few} recipients"
}
"#;
    let site = Site::new(policy, "");
    let mut client = site.session(2);
    client.transaction(&["bob@example.org", "alice@example.org"]);
    let reply = client.ask_for("RCPT TO:<bob@example.org>", "451 4.7.1");
    assert!(reply.says("3 recipients ["), "{reply}");
    site.session(3).transaction(&["bob@example.org"]);
    // A reload forgets no counts.
    site.server.reload();
    let mut client = site.session(2);
    client.transaction(&[]);
    client.ask_for("RCPT TO:<bob@example.org>", "451 4.7.1");
}

#[test]
fn a_table_that_changes_is_read_again_and_a_broken_one_changes_nothing() {
    let policy = r#"table blocked = file "blocked" keyed by sender.address
table places = cidr "places" keyed by client.ip

at mail {
    rule blocked when blocked is present
        reject 550 5.7.1 "{blocked.key}: {blocked}"

    rule place when places == "far"
        reject 550 5.7.1 "from {places.key}"
}
"#;
    let files = vec![
        ("blocked", "ann@bad.example  no mail from you\n".to_owned()),
        ("places", "127.0.0.8/32 far\n127.0.0.0/8 near\n".to_owned()),
    ];
    let site = Site::with(policy, "", "", files);
    let mut client = site.session(2);
    let reply = client.ask_for("MAIL FROM:<Ann@BAD.example>", "550 5.7.1");
    assert!(reply.says("ann@bad.example: no mail from you"), "{reply}");
    client.ask_for("MAIL FROM:<ann@good.example>", "250");
    let reply = site.session(8).ask_for("MAIL FROM:<ann@good.example>", "550 5.7.1");
    assert!(reply.says("from 127.0.0.8/32"), "{reply}");

    site.write("blocked", "ann@good.example  changed\n");
    wait_for("the table to be read again", || {
        let mut client = site.session(2);
        client.ask("MAIL FROM:<ann@good.example>").is("550 5.7.1").then_some(())
    });
    site.session(2).ask_for("MAIL FROM:<ann@bad.example>", "250");
}

#[test]
fn who_is_refused_too_often_is_disconnected_and_stays_out() {
    let policy = r#"rate bad = refusals by client.ip over 1h
rate crowd = connections by client.ip over 1h as bucket

at connect {
    rule out when bad >= 3
        disconnect 421 4.7.0 "too many refusals from {client.ip}"

    rule crowd when crowd > 5
        reject 554 5.7.1 "too many connections"
}

at recipient {
    rule enough when bad >= 3
        disconnect 421 4.7.0 "that is enough"
}
"#;
    let site = Site::new(policy, "");
    let mut client = site.session(2);
    client.transaction(&[]);
    for _ in 0..3 {
        client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    }
    let reply = client.ask_for("RCPT TO:<bob@example.org>", "421 4.7.0");
    assert!(reply.says("that is enough ["), "{reply}");
    client.expect_close();
    let explained = site.prints(&["explain", &id(&reply)]);
    assert!(explained.contains("bad = 3") && explained.contains("enough"), "{explained}");
    let mut again = site.server.connect(2);
    again.expect("421 4.7.0");
    again.expect_close();
    for _ in 0..5 {
        site.session(3);
    }
    site.server.connect(3).expect("554 5.7.1");
}
