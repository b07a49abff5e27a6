//! What a postmaster does with the queue: lists, orders, exports and imports, beside a running server and without one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

use harness::{Peer, Server, nowhere, wait_for};

/// A site that sends mail for other domains to `smart_host`, and tries again after an hour.
fn outbound(smart_host: SocketAddr) -> Server {
    Server::with_config(&format!(
        "hostname = \"out.client.example\"\n[relay]\nsmart_host = \"{smart_host}\"\n[queue]\nretry_first = \"1h\"\n\
         [domain.\"client.example\".mailbox]\npostmaster = {{}}\nsender = {{}}\nalice = {{}}\n"
    ))
}

/// The same, and a server that takes nothing now.
fn deferring() -> (Peer, Server) {
    let peer = Peer::start(&["451 4.3.0 not now"]);
    let server = outbound(peer.address());
    (peer, server)
}

fn gatepost(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(arguments).arg("--state").arg(server.folder().join("state"));
    command.arg("--config").arg(server.folder().join("gatepost.toml")).stdin(Stdio::null());
    command
}

fn output(server: &Server, arguments: &[&str]) -> Output {
    gatepost(server, arguments).output().unwrap()
}

/// What a command prints that ends with this exit code.
fn exits(server: &Server, code: i32, arguments: &[&str]) -> String {
    let output = output(server, arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    out + &err
}

fn json_lines(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let output = output(server, arguments);
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn list(server: &Server, options: &[&str]) -> Vec<Value> {
    json_lines(server, &[&["queue", "list", "--json"], options].concat())
}

fn ids(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

/// Waits until all recipients in the queue stand as `stand` says.
fn wait_for_recipients(server: &Server, what: &str, stand: impl Fn(&Value) -> bool) -> Vec<Value> {
    wait_for(what, || {
        let entries = list(server, &[]);
        let recipients = entries.iter().flat_map(|entry| entry["recipients"].as_array().unwrap());
        let all = !entries.is_empty() && recipients.clone().all(&stand);
        all.then_some(entries)
    })
}

fn is_tried(recipient: &Value) -> bool {
    recipient["attempts"].as_u64().unwrap() > 0 && recipient["phase"] == "waiting"
}

fn send(server: &Server, sender: &str, recipients: &[&str], mail_data: &[u8]) {
    let mut client = server.session();
    client.ask_for(&format!("MAIL FROM:<{sender}>"), "250");
    for recipient in recipients {
        client.ask_for(&format!("RCPT TO:<{recipient}>"), "250");
    }
    client.data(mail_data, "250");
}

#[test]
fn the_same_is_answered_by_a_server_and_by_its_spool() {
    let (_peer, mut server) = deferring();
    let body = b"Subject: a needle in the hay\r\n\r\nhello\r\n";
    send(&server, "sender@client.example", &["bob@example.org", "eve@example.net"], body);
    send(&server, "", &["carol@example.org"], b"Subject: other\r\n\r\n");
    let entries = wait_for_recipients(&server, "the first attempts", is_tried);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["reverse_path"], "<>");
    let first = ids(&entries)[0];

    let commands: [(&[&str], i32); 17] = [
        (&["queue", "list", "--json"], 0),
        (&["queue", "list", "--json", "--limit", "1"], 0),
        (&["queue", "list", "--json", "--sender", "sender@client.example"], 0),
        (&["queue", "list", "--json", "--sender", "<>"], 0),
        (&["queue", "list", "--json", "--domain", "example.net"], 0),
        (&["queue", "list", "--json", "--recipient", "carol@example.org", "--destination", "relay"], 0),
        (&["queue", "list", "--json", "--reply", "NOT NOW", "--attempts", "1"], 0),
        (&["queue", "list", "--json", "--phase", "waiting", "--younger", "1h"], 0),
        (&["queue", "list", "--json", "--older", "1h"], 1),
        (&["queue", "list", "--json", "--attempts", "2"], 1),
        (&["queue", "list", "--json", "--phase", "held"], 1),
        (&["queue", "search", "--json", "NEEDLE in"], 0),
        (&["queue", "search", "--json", "127.0.0.1", "--sender", "<>"], 0),
        (&["queue", "search", "--json", "no such text"], 1),
        (&["queue", "show", "--json", first], 0),
        (&["queue", "cat", first], 0),
        (&["queue", "stats", "--json"], 0),
    ];
    let counts = [2, 1, 1, 1, 1, 1, 2, 2, 0, 0, 0, 1, 1, 0, 1];
    let answers = |server: &Server| -> Vec<String> {
        let run = |(arguments, code): &(&[&str], i32)| {
            let output = output(server, arguments);
            assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        commands.iter().map(run).collect()
    };
    let running = answers(&server);
    for ((count, answer), (arguments, _)) in counts.iter().zip(&running).zip(&commands) {
        assert_eq!(answer.lines().count(), *count, "{arguments:?}: {answer}");
        for line in answer.lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
    }
    let only = list(&server, &["--domain", "example.net"]);
    assert_eq!(only[0]["recipients"].as_array().unwrap().len(), 1, "only what matches is shown: {only:?}");
    assert!(running[15].ends_with("\r\n\r\nhello\r\n"), "{}", running[15]);
    let words = exits(&server, 0, &["queue", "list"]);
    for part in ["<bob@example.org> to relay, 1 attempt, next in ", "2 messages, 3 recipients", "from <>"] {
        assert!(words.contains(part), "{part:?} is missing: {words}");
    }
    let shown = exits(&server, 0, &["queue", "show", first]);
    assert!(shown.contains("goes to     relay") && shown.contains("last reply "), "{shown}");
    assert!(exits(&server, 0, &["queue", "stats"]).contains("2 messages, 3 recipients (3 tried before"));

    server.stop();
    assert_eq!(answers(&server), running, "without a server the same is said");
}

#[test]
fn what_is_wrongly_used_missing_or_out_of_reach_has_its_exit_code() {
    let mut server = outbound(nowhere());
    send(&server, "sender@client.example", &["bob@example.org"], b"Subject: a\r\n\r\n");
    wait_for_recipients(&server, "the first attempt", is_tried);
    for round in ["running", "stopped"] {
        for (arguments, code, said) in [
            (&["queue", "drop"][..], 2, "say which messages"),
            (&["queue", "hold", "--all", "--sender", "<>"], 2, "leave it or what narrows it out"),
            (&["queue", "list", "--sender", "alice"], 2, "sender `alice`"),
            (&["queue", "list", "--older", "soon"], 2, "`soon` is no time"),
            (&["queue", "redirect", "--all", "--to", "nowhere"], 2, "neither an address"),
            (&["queue", "redirect", "--all", "--to", "nobody@client.example"], 2, "can't be delivered"),
            (&["queue", "redirect", "--all", "--to", "route:nowhere"], 2, "no route `nowhere`"),
            (&["queue", "show", "00000000001"], 1, "not in the spool"),
            (&["queue", "release", "00000000001"], 1, "nothing in the queue matches"),
        ] {
            let words = exits(&server, code, arguments);
            assert!(words.contains(said), "{round} {arguments:?}: {said:?} is missing: {words}");
        }
        if round == "running" {
            assert!(exits(&server, 3, &["queue", "fsck"]).contains("in use by another process"));
            server.stop();
        }
    }
    assert!(exits(&server, 3, &["status"]).contains("no server runs"));
    assert!(exits(&server, 0, &["queue", "fsck"]).contains("1 messages"));
    fs::remove_dir_all(server.folder().join("state/spool")).unwrap();
    assert!(exits(&server, 3, &["queue", "list"]).contains("there is no spool"));
}

#[test]
fn mail_is_held_released_tried_and_dropped_as_told() {
    let peer = Peer::start(&["451 4.3.0 not now", "250 2.0.0 taken"]);
    let server = outbound(peer.address());
    send(&server, "sender@client.example", &["bob@example.org"], b"Subject: a\r\n\r\n");
    wait_for_recipients(&server, "the first attempt", is_tried);
    assert!(exits(&server, 0, &["queue", "hold", "--all"]).contains("1 recipient of 1 message held"));
    exits(&server, 0, &["queue", "retry", "--all"]);
    assert_eq!(list(&server, &["--phase", "held"]).len(), 1, "what is held is not tried");
    exits(&server, 0, &["queue", "release", "--phase", "held"]);
    peer.wait_for(2);
    server.wait_for_empty_queue();

    let (_peer, server) = deferring();
    for recipients in [&["bob@example.org", "eve@example.net"][..], &["carol@example.org"]] {
        send(&server, "sender@client.example", recipients, b"Subject: b\r\n\r\n");
    }
    wait_for_recipients(&server, "the first attempts", is_tried);
    let said = json_lines(&server, &["queue", "drop", "--json", "--recipient", "bob@example.org"]);
    assert_eq!((said[0]["messages"].as_u64(), said[0]["recipients"].as_u64()), (Some(1), Some(1)));
    let left = list(&server, &[]);
    assert_eq!(left.len(), 2);
    assert_eq!(left[0]["recipients"][0]["mailbox"], "eve@example.net");
    let gone = ids(&left)[1].to_owned();
    assert!(exits(&server, 1, &["queue", "drop", &gone, "00000000001"]).contains("1 id not in the queue"));
    assert_eq!(list(&server, &[]).len(), 1);
    assert!(server.maildir("client.example", "sender").files().is_empty(), "nobody is told");
}

#[test]
fn a_server_that_was_away_is_tried_at_once_when_that_is_wanted() {
    let address = nowhere();
    let server = outbound(address);
    send(&server, "sender@client.example", &["bob@example.org"], b"Subject: a\r\n\r\n");
    wait_for_recipients(&server, "the first attempt", is_tried);
    server.wait_for_log("is_shut_off=true");
    send(&server, "sender@client.example", &["eve@example.org"], b"Subject: b\r\n\r\n");
    let waits = |options: &[&str]| String::from_utf8(output(&server, options).stdout).unwrap();
    let words = waits(&["queue", "list", "--recipient", "eve@example.org"]);
    assert!(words.contains("0 attempts, waits for relay, next in "), "{words}");
    let listed = &list(&server, &["--recipient", "eve@example.org"])[0];
    let recipient = &listed["recipients"][0];
    assert!(recipient["destination_opens"].as_str() > recipient["due"].as_str(), "{listed}");
    let words = waits(&["queue", "show", listed["id"].as_str().unwrap()]);
    assert!(words.contains("waits for relay, next in "), "{words}");
    let peer = Peer::start_at(address, &["250 2.0.0 taken"]);
    let asked = harness::now();
    exits(&server, 0, &["queue", "retry", "--all"]);
    peer.wait_for(2);
    // It is let alone for half a minute at least, and the message for an hour.
    assert!(asked.elapsed().as_secs() < 25);
}

#[test]
fn a_sender_is_told_of_what_is_dropped_with_a_bounce() {
    let (_peer, server) = deferring();
    send(&server, "sender@client.example", &["bob@example.org", "eve@example.net"], b"Subject: lost\r\n\r\n");
    send(&server, "", &["carol@example.org"], b"Subject: a report\r\n\r\n");
    wait_for_recipients(&server, "the first attempts", is_tried);
    let words = exits(&server, 0, &["queue", "drop", "--bounce", "--all"]);
    assert!(words.contains("3 recipients of 2 messages dropped, 1 DSN to senders queued"), "{words}");
    let report = server.maildir("client.example", "sender").wait_for_one();
    let text = String::from_utf8(report.content).unwrap();
    for part in ["Action: failed", "Status: 5.0.0", "bob@example.org", "eve@example.net", "Subject: lost"] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    server.wait_for_empty_queue();
    assert_eq!(server.maildir("client.example", "sender").files().len(), 1);
}

#[test]
fn mail_goes_to_another_recipient_or_another_way() {
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let mut server = outbound(nowhere());
    let large = format!("Subject: large\r\n\r\n{}", format!("{}\r\n", "x".repeat(70)).repeat(30_000));
    send(&server, "sender@client.example", &["bob@example.org", "eve@example.net"], large.as_bytes());
    wait_for_recipients(&server, "the first attempt", is_tried);
    let one = ["queue", "redirect", "--recipient", "bob@example.org", "--to", "alice@client.example"];
    exits(&server, 0, &one);
    let letter = server.maildir("client.example", "alice").wait_for_one();
    assert!(letter.content.ends_with(b"x\r\n") && letter.content.len() > 2_000_000);
    // What is in the Maildir is in the queue until that is recorded.
    let left = wait_for("one message in the queue", || {
        let entries = list(&server, &[]);
        (entries.len() == 1).then_some(entries)
    });
    assert_eq!(left[0]["recipients"].as_array().unwrap().len(), 1, "{left:?}");
    // Without a server, too: what is redirected goes once one runs.
    server.stop();
    let config = format!(
        "hostname = \"out.client.example\"\n[relay]\nsmart_host = \"{}\"\n\
         [route.partner]\nto = \"smtp://{}\"\ntls = \"off\"\n\
         [domain.\"client.example\".mailbox]\npostmaster = {{}}\nsender = {{}}\nalice = {{}}\n",
        nowhere(),
        peer.address()
    );
    server.configure(&config);
    exits(&server, 0, &["queue", "redirect", "--all", "--to", "route:partner"]);
    exits(&server, 0, &["queue", "retry", "--all"]);
    server.start_again();
    peer.wait_for(1);
    server.wait_for_empty_queue();
}

/// As [`outbound`] to nobody, with a list and with aliases in the SQLite file.
fn with_list_and_aliases(file: &Path) -> Server {
    Server::with_config(&format!(
        "hostname = \"out.client.example\"\n[relay]\nsmart_host = \"{}\"\n[queue]\nretry_first = \"1h\"\n\
         [table.aliases]\ntype = \"sql\"\nurl = \"sqlite:{}\"\n\
         query = \"SELECT goto FROM aliases WHERE address = {{address}}\"\n\
         [domain.\"client.example\"]\naliases_from = [\"aliases\"]\nmailbox.postmaster = {{}}\nmailbox.sender = {{}}\n\
         mailbox.team = {{ members = [\"ann@example.org\", \"eve@example.org\"], owner = \"postmaster\" }}\n",
        nowhere(),
        file.display()
    ))
}

#[test]
fn what_is_redirected_goes_as_if_it_had_been_sent_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mail.sqlite");
    let rows = "CREATE TABLE aliases (address TEXT, goto TEXT);\
                INSERT INTO aliases VALUES ('desk@client.example', 'far@example.org');";
    rusqlite::Connection::open(&file).unwrap().execute_batch(rows).unwrap();
    let server = with_list_and_aliases(&file);
    let mut client = server.session();
    client.ask_for("MAIL FROM:<sender@client.example> RET=FULL ENVID=QQ1", "250");
    for recipient in ["bob@example.net", "carol@example.net", "eve@example.org"] {
        client.ask_for(&format!("RCPT TO:<{recipient}> NOTIFY=SUCCESS,FAILURE"), "250");
    }
    client.data(b"Subject: a\r\n\r\n", "250");
    wait_for_recipients(&server, "the first attempts", is_tried);
    let redirect = |code: i32, recipient: &str, to: &str| {
        exits(&server, code, &["queue", "redirect", "--recipient", recipient, "--to", to])
    };
    let only = |recipient: &str| {
        let listed = list(&server, &["--recipient", recipient]);
        assert_eq!(listed.len(), 1, "{recipient}: {listed:?}");
        json_lines(&server, &["queue", "show", "--json", listed[0]["id"].as_str().unwrap()]).remove(0)
    };

    redirect(0, "bob@example.net", "eve@example.org");
    only("eve@example.org");
    assert_eq!(list(&server, &["--recipient", "bob@example.net"]), Vec::<Value>::new());

    // Its owner hears of the list's members, and knows nothing of what the sender asked for.
    redirect(0, "eve@example.org", "team@client.example");
    let copy = only("ann@example.org");
    assert_eq!(copy["reverse_path"], "postmaster@client.example");
    assert_eq!((&copy["parameters"]["envid"], &copy["parameters"]["ret"]), (&Value::Null, &Value::Null));
    for recipient in copy["recipients"].as_array().unwrap() {
        assert_eq!(recipient["notify"], Value::Null, "{copy}");
    }
    assert_eq!(only("eve@example.org")["id"], copy["id"]);

    redirect(0, "carol@example.net", "desk@client.example");
    let copy = only("far@example.org");
    assert_eq!(
        (&copy["reverse_path"], &copy["parameters"]["envid"]),
        (&"sender@client.example".into(), &"QQ1".into())
    );
    assert_eq!(copy["recipients"][0]["notify"], "SUCCESS,FAILURE");

    fs::remove_file(&file).unwrap();
    let words = redirect(1, "far@example.org", "elsewhere@client.example");
    assert!(words.contains("cannot tell now what elsewhere@client.example means"), "{words}");
    only("far@example.org");
}

/// The exported messages by their octets: the envelope without what an import makes new.
fn exported(folder: &Path) -> BTreeMap<Vec<u8>, Value> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            let envelope = ["json", "json.imported"].map(|end| fs::read(path.with_extension(end)).ok());
            let envelope = envelope.into_iter().flatten().next().unwrap();
            let mut envelope: Value = serde_json::from_slice(&envelope).unwrap();
            let message = envelope.as_object_mut().unwrap();
            message.remove("id");
            // It was held until its recipients stood as they stood.
            message.remove("hold");
            for recipient in envelope["recipients"].as_array_mut().unwrap() {
                let recipient = recipient.as_object_mut().unwrap();
                recipient.remove("attempts");
                recipient.remove("last_reply");
            }
            found.insert(fs::read(&path).unwrap(), envelope);
        }
    }
    found
}

#[test]
fn what_is_exported_stands_elsewhere_as_it_stood() {
    let (_peer, old) = deferring();
    let mut client = old.session();
    client.ask_for("MAIL FROM:<sender@client.example> RET=HDRS ENVID=q+2B1 BODY=8BITMIME", "250");
    client.ask_for("RCPT TO:<bob@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bob@example.org", "250");
    client.ask_for("RCPT TO:<\"a b\"@example.net> NOTIFY=NEVER", "250");
    client.data("Subject: gr\u{fc}n\r\n\r\n..dot \u{e9}\r\n".as_bytes(), "250");
    let large = format!("Subject: large\r\n\r\n{}", format!("{}\r\n", "y".repeat(70)).repeat(30_000));
    send(&old, "", &["carol@example.org"], large.as_bytes());
    send(&old, "sender@client.example", &["dave@example.org"], b"Subject: held\r\n\r\n");
    send(&old, "sender@client.example", &["erin@example.org"], b"Subject: moved\r\n\r\n");
    wait_for_recipients(&old, "the first attempts", is_tried);
    exits(&old, 0, &["queue", "hold", "--recipient", "dave@example.org"]);
    exits(&old, 0, &["queue", "hold", "--recipient", "erin@example.org"]);
    exits(&old, 0, &["queue", "redirect", "--recipient", "erin@example.org", "--to", "mx:other.example"]);
    let (first, second) = (old.folder().join("first"), old.folder().join("second"));
    exits(&old, 0, &["queue", "export", first.to_str().unwrap(), "--all"]);
    assert_eq!(fs::read_dir(&first).unwrap().count(), 8);

    let new = outbound(nowhere());
    let words = exits(&new, 0, &["queue", "import", first.to_str().unwrap()]);
    assert!(words.contains("4 messages imported") && words.contains(" is queued as "), "{words}");
    let words = exits(&new, 1, &["queue", "import", first.to_str().unwrap()]);
    assert!(words.contains("0 messages imported"), "nothing is imported twice: {words}");
    exits(&new, 0, &["queue", "export", second.to_str().unwrap(), "--all"]);
    assert_eq!(exported(&second), exported(&first));

    // Through a pipe, into a spool that no server has.
    let mut third = outbound(nowhere());
    third.stop();
    let stream = output(&new, &["queue", "export", "-", "--all"]);
    assert!(stream.status.success(), "{stream:?}");
    let pipe = third.folder().join("pipe");
    fs::write(&pipe, &stream.stdout).unwrap();
    let mut import = gatepost(&third, &["queue", "import", "-", "--json"]);
    let imported = import.stdin(fs::File::open(&pipe).unwrap()).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
    assert_eq!(imported.stdout.iter().filter(|octet| **octet == b'\n').count(), 4);
    let last = third.folder().join("last");
    exits(&third, 0, &["queue", "export", last.to_str().unwrap(), "--all"]);
    assert_eq!(exported(&last), exported(&first));

    // Half a message is none.
    fs::write(&pipe, &stream.stdout[..stream.stdout.len() - 1]).unwrap();
    let mut import = gatepost(&third, &["queue", "import", "-"]);
    let cut = import.stdin(fs::File::open(&pipe).unwrap()).output().unwrap();
    assert!(!cut.status.success(), "{cut:?}");
    assert_eq!(list(&third, &[]).len(), 7, "{cut:?}");
}

#[test]
fn commands_beside_each_other_and_beside_mail_lose_nothing() {
    const SESSIONS: usize = 3;
    const MESSAGES: usize = 40;
    let server = outbound(nowhere());
    thread::scope(|scope| {
        for number in 0..SESSIONS {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.session_from(u8::try_from(number + 1).unwrap());
                for _ in 0..MESSAGES {
                    client.ask_for("MAIL FROM:<sender@client.example>", "250");
                    client.ask_for("RCPT TO:<alice@client.example>", "250");
                    client.ask_for("RCPT TO:<bob@example.org>", "250");
                    client.data(b"Subject: load\r\n\r\n", "250");
                }
            });
        }
        for arguments in [
            &["queue", "list", "--json"][..],
            &["queue", "stats"],
            &["status"],
            &["queue", "hold", "--domain", "example.org"],
            &["queue", "release", "--all"],
            &["queue", "retry", "--all"],
            &["queue", "redirect", "--recipient", "bob@example.org", "--to", "relay"],
        ] {
            let server = &server;
            scope.spawn(move || {
                for _ in 0..4 {
                    let output = output(server, arguments);
                    // Nothing may match while nothing is there yet.
                    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {output:?}");
                }
            });
        }
    });
    exits(&server, 0, &["queue", "release", "--all"]);
    server.maildir("client.example", "alice").wait_for(SESSIONS * MESSAGES);
    wait_for("one recipient of each message", || {
        let left = list(&server, &[]);
        let waiting = left.iter().all(|entry| entry["recipients"].as_array().unwrap().len() == 1);
        (left.len() == SESSIONS * MESSAGES && waiting).then_some(())
    });
    assert_eq!(server.maildir("client.example", "alice").files().len(), SESSIONS * MESSAGES);
}
