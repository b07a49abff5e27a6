//! Users log in and submit mail (RFC 4954, RFC 6409): over the loopback network, which needs no TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use harness::{Dialogue, Server, Setup, finish, program, script, wait_for};

/// The password of every user, and what PLAIN and LOGIN make of alice's and bob's.
const PASSWORD: &str = "correct horse";
const ALICE: &str = "AGFsaWNlQGV4YW1wbGUub3JnAGNvcnJlY3QgaG9yc2U=";
const BOB: &str = "AGJvYkBleGFtcGxlLm9yZwBjb3JyZWN0IGhvcnNl";
const ALICE_WRONG: &str = "AGFsaWNlQGV4YW1wbGUub3JnAHdyb25nIGhvcnNl";
const NOBODY: &str = "AG5vYm9keUBleGFtcGxlLm9yZwBjb3JyZWN0IGhvcnNl";

const SITE: &str = "[domain.\"example.org\"]\nsubaddress = \"+\"\n[domain.\"example.org\".mailbox]\npostmaster = {}\n\
    alice = {}\nbob = {}\nsales = { alias = \"alice\" }\nboth = { members = [\"alice\", \"bob\"] }\n\
    team = {}\n[auth.senders]\n\"bob@example.org\" = [\"team@example.org\", \"@shop.example\"]\n";

fn config(auth: &str) -> String {
    format!(
        "hostname = \"mx.example.org\"\n[clients]\nrelay = []\n[auth]\nfailure_delay = \"0s\"\n{auth}\n{SITE}"
    )
}

/// A server with alice and bob, and these keys of `[auth]`.
fn site(auth: &str) -> Server {
    let server = Server::start(Setup { config: Some(config(auth)), submission: true, ..Setup::default() });
    for name in ["alice", "bob"] {
        add(&server, &format!("{name}@example.org"));
    }
    server
}

fn user(server: &Server, arguments: &[&str], input: &str) -> Output {
    let folder = server.folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("user").args(arguments).arg("--state").arg(folder.join("state"));
    if folder.join("gatepost.toml").is_file() {
        command.arg("--config").arg(folder.join("gatepost.toml"));
    }
    let input_file = folder.join("input");
    fs::write(&input_file, input).unwrap();
    command.env("USER", "tester").stdin(fs::File::open(input_file).unwrap()).output().unwrap()
}

fn add(server: &Server, name: &str) {
    let output = user(server, &["add", name, "--password-stdin"], &format!("{PASSWORD}\n"));
    assert!(output.status.success(), "{output:?}");
}

fn session(server: &Server) -> Dialogue {
    Dialogue::connect(server.submission(), Ipv4Addr::LOCALHOST).greeted()
}

/// A session in which a user has logged in.
fn logged_in(server: &Server, credentials: &str) -> Dialogue {
    let mut session = session(server);
    session.ask_for(&format!("AUTH PLAIN {credentials}"), "235 2.7.0");
    session
}

fn submit(session: &mut Dialogue, reverse_path: &str, recipients: &[&str], data: &str, code: &str) {
    session.ask_for(&format!("MAIL FROM:<{reverse_path}>"), "250");
    for recipient in recipients {
        session.ask_for(&format!("RCPT TO:<{recipient}>"), "250");
    }
    session.data(data.as_bytes(), code);
}

/// Everything that the server has written: state and log.
fn written(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(written(&path));
        } else if path.file_name().is_some_and(|name| name != "input") {
            all.extend(fs::read(&path).unwrap_or_default());
        }
    }
    all
}

#[test]
fn every_mechanism_lets_users_in_and_nobody_else() {
    let server = site("");
    let mut session = session(&server);
    let offer = session.ask("EHLO client.example");
    assert!(offer.says("AUTH SCRAM-SHA-256 PLAIN LOGIN"), "{offer}");
    session.ask_for("MAIL FROM:<alice@example.org>", "530 5.7.0");
    session.ask_for("AUTH CRAM-MD5", "504 5.5.4");
    let wrong = session.ask_for(&format!("AUTH PLAIN {ALICE_WRONG}"), "535 5.7.8");
    let nobody = session.ask_for(&format!("AUTH PLAIN {NOBODY}"), "535 5.7.8");
    let without_id = |reply: &harness::Reply| reply.to_string().split(" [").next().unwrap().to_owned();
    assert_eq!(without_id(&wrong), without_id(&nobody));
    session.ask_for("AUTH PLAIN AGE=", "501 5.5.2");
    session.ask_for("AUTH LOGIN", "334");
    session.ask_for("*", "501 5.7.0");
    session.ask_for("AUTH SCRAM-SHA-256", "334");
    session.ask_for("bixhPXJvb3Qsbj1hLHI9Yg==", "334");
    session.ask_for("Yz1iaXdzLHI9YixwPXg=", "501 5.5.2");
    session.ask_for("AUTH LOGIN", "334 VXNlcm5hbWU6");
    session.ask_for("YWxpY2VAZXhhbXBsZS5vcmc=", "334 UGFzc3dvcmQ6");
    session.ask_for("Y29ycmVjdCBob3JzZQ==", "235 2.7.0");
    session.ask_for(&format!("AUTH PLAIN {ALICE}"), "503 5.5.1");
    session.ask_for("MAIL FROM:<alice@example.org>", "250");
    // Other servers are not offered AUTH.
    let mut other = server.session();
    other.ask_for(&format!("AUTH PLAIN {ALICE}"), "502 5.5.1");
    server.wait_for_log("login failed");
}

#[test]
fn users_send_from_their_own_addresses_alone() {
    let server = site("");
    let mut alice = logged_in(&server, ALICE);
    for own in ["alice@example.org", "Alice@EXAMPLE.org", "alice+tag@example.org", "sales@example.org", ""] {
        alice.ask_for(&format!("MAIL FROM:<{own}>"), "250");
        alice.ask_for("RSET", "250");
    }
    for other in [
        "bob@example.org",
        "both@example.org",
        "team@example.org",
        "alice@elsewhere.example",
        "ghost@example.org",
    ] {
        let refused = alice.ask_for(&format!("MAIL FROM:<{other}>"), "553 5.7.1");
        assert!(refused.says(&format!("<{other}>: you may not send from this address")), "{refused}");
    }
    let mut bob = logged_in(&server, BOB);
    for shared in ["team@example.org", "anyone@shop.example"] {
        bob.ask_for(&format!("MAIL FROM:<{shared}>"), "250");
        bob.ask_for("RSET", "250");
    }
    let forged = "From: Alice <alice@example.org>, bob@example.org\r\nSubject: x\r\n\r\nhello\r\n";
    submit(&mut alice, "alice@example.org", &["bob@example.org"], forged, "550 5.7.1");
    let own = "From: Sales <sales@example.org>\r\nSubject: x\r\n\r\nhello\r\n";
    submit(&mut alice, "alice@example.org", &["bob@example.org"], own, "250");
    let letter = server.maildir("example.org", "bob").wait_for_one();
    let content = String::from_utf8(letter.content).unwrap();
    assert!(content.contains("(Gatepost) with ESMTPA id "), "{content}");
    // There is no way for mail to go elsewhere.
    alice.ask_for("MAIL FROM:<alice@example.org>", "250");
    alice.ask_for("RCPT TO:<carol@elsewhere.example>", "550 5.7.1");
}

#[test]
fn a_refusal_names_its_rule() {
    let server = site("");
    let refused = logged_in(&server, ALICE).ask_for("MAIL FROM:<bob@example.org>", "553 5.7.1");
    let text = refused.to_string();
    let id = text.rsplit_once('[').unwrap().1.trim_end_matches(']');
    let explained = wait_for("the refusal in the journal", || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["explain", id, "--state"]).arg(server.folder().join("state"));
        let output = command.arg("--config").arg(server.folder().join("gatepost.toml")).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    for shown in ["sender-not-owned", "auth.owns_sender", "AUTH PLAIN"] {
        assert!(explained.contains(shown), "{shown}: {explained}");
    }
    // The journal has the dialogue without the credentials.
    assert!(!explained.contains(ALICE), "{explained}");
}

/// The policy of docs/guide/submission.md, as it stands there.
fn policy_of_the_guide() -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/submission.md");
    let guide = fs::read_to_string(guide).unwrap();
    guide.split("```text\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn rules_at_auth_decide_who_comes_in() {
    let config = format!("{}[policy]\nfile = \"site.policy\"\n", config(""));
    let server = server_with(&config, "site.policy", &policy_of_the_guide());
    add(&server, "robot");
    add(&server, "alice@example.org");
    // robot, with the password.
    let robot = "AHJvYm90AGNvcnJlY3QgaG9yc2U=";
    let mut session = session(&server);
    let refused = session.ask_for(&format!("AUTH PLAIN {robot}"), "535 5.7.8");
    assert!(refused.says("not from there"), "{refused}");
    session.ask_for("MAIL FROM:<robot@example.org>", "530");
    session.ask_for(&format!("AUTH PLAIN {ALICE}"), "235");
    session.ask_for("MAIL FROM:<alice@example.org>", "250");
}

#[test]
fn what_is_submitted_is_completed_and_blind_copies_stay_blind() {
    let server = site("");
    let data = "From: alice@example.org\r\nBcc: team@example.org,\r\n both@example.org\r\nSubject: x\r\n\r\nBcc: body\r\n";
    submit(&mut logged_in(&server, ALICE), "alice@example.org", &["bob@example.org"], data, "250");
    let letter = server.maildir("example.org", "bob").wait_for_one();
    let content = String::from_utf8(letter.content).unwrap();
    let (header, body) = content.split_once("\r\n\r\n").unwrap();
    assert!(!header.contains("team@") && !header.contains("both@"), "{header}");
    for added in ["\r\nDate: ", "\r\nMessage-ID: <"] {
        assert_eq!(header.matches(added).count(), 1, "{header}");
    }
    assert_eq!(body, "Bcc: body\r\n");
    // Mail from other servers is left as it is.
    let mut other = server.session();
    other.deliver("alice@example.org", b"Subject: y\r\nBcc: z@example.org\r\n\r\nhello\r\n");
    let letter = server.maildir("example.org", "alice").wait_for_one();
    assert_eq!(letter.content, b"Subject: y\r\nBcc: z@example.org\r\n\r\nhello\r\n");
}

#[test]
fn guesses_are_counted_and_slowed() {
    let server = site("failures_per_address = 3");
    let mut session = session(&server);
    for _ in 0..3 {
        session.ask_for(&format!("AUTH PLAIN {ALICE_WRONG}"), "535 5.7.8");
    }
    let kept_out = session.ask_for(&format!("AUTH PLAIN {ALICE}"), "454 4.7.0");
    assert!(kept_out.says("too many failed logins, try again in 15 min"), "{kept_out}");
    // Another address is let in, and the account is not locked.
    let mut elsewhere = Dialogue::connect(server.submission(), Ipv4Addr::new(127, 0, 0, 2)).greeted();
    elsewhere.ask_for(&format!("AUTH PLAIN {ALICE}"), "235");
    let slow = Server::start(Setup {
        config: Some(config("").replace("\"0s\"", "\"1s\"")),
        submission: true,
        ..Setup::default()
    });
    let begun = harness::now();
    let mut session = Dialogue::connect(slow.submission(), Ipv4Addr::LOCALHOST).greeted();
    session.ask_for(&format!("AUTH PLAIN {NOBODY}"), "535");
    session.ask_for(&format!("AUTH PLAIN {NOBODY}"), "535");
    assert!(begun.elapsed().as_millis() >= 2_900, "one second and two: {:?}", begun.elapsed());
}

#[test]
fn a_user_has_his_messages_for_a_day_and_the_postmaster_hears_of_it() {
    let server = site("messages_per_day = 2\nrecipients_per_day = 3");
    let mut alice = logged_in(&server, ALICE);
    let data = "From: alice@example.org\r\nSubject: x\r\n\r\nhello\r\n";
    submit(&mut alice, "alice@example.org", &["bob@example.org"], data, "250");
    alice.ask_for("MAIL FROM:<alice@example.org>", "250");
    for recipient in ["bob@example.org", "team@example.org"] {
        alice.ask_for(&format!("RCPT TO:<{recipient}>"), "250");
    }
    alice.ask_for("RCPT TO:<alice@example.org>", "451 4.7.1");
    alice.data(data.as_bytes(), "250");
    alice.ask_for("MAIL FROM:<alice@example.org>", "451 4.7.1");
    alice.ask_for("MAIL FROM:<alice@example.org>", "451 4.7.1");
    logged_in(&server, BOB).ask_for("MAIL FROM:<bob@example.org>", "250");
    let told = server.maildir("example.org", "postmaster").wait_for_one();
    let told = String::from_utf8(told.content).unwrap();
    assert!(told.contains("Subject: alice@example.org has reached a limit of submission"), "{told}");
}

#[test]
fn a_store_that_fails_is_no_wrong_password() {
    let server = site("");
    fs::remove_file(server.folder().join("state/users")).unwrap();
    fs::create_dir(server.folder().join("state/users")).unwrap();
    let mut session = session(&server);
    session.ask_for(&format!("AUTH PLAIN {ALICE}"), "454 4.7.0");
    session.ask_for("AUTH SCRAM-SHA-256 biwsbj1hLHI9Yg==", "454 4.7.0");
    for socket in ["dovecot", "saslauthd"] {
        let server = site_without_users(&format!("users = \"{socket}:/nowhere/socket\""));
        let mut session = Dialogue::connect(server.submission(), Ipv4Addr::LOCALHOST).greeted();
        assert!(!session.ask("EHLO client.example").says("SCRAM"));
        session.ask_for(&format!("AUTH PLAIN {ALICE}"), "454 4.7.0");
    }
}

fn site_without_users(auth: &str) -> Server {
    Server::start(Setup { config: Some(config(auth)), submission: true, ..Setup::default() })
}

#[test]
fn hashes_of_other_programs_and_tables_let_users_in() {
    let hash = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    // The password is `Hello world!`.
    let alice = "AGFsaWNlQGV4YW1wbGUub3JnAEhlbGxvIHdvcmxkIQ==";
    let htpasswd = format!("alice@example.org:{hash}\n");
    let file = server_with(&config("users = \"file:htpasswd\""), "htpasswd", &htpasswd);
    let mut plain = session(&file);
    assert!(plain.ask("EHLO client.example").says("AUTH PLAIN LOGIN"));
    plain.ask_for(&format!("AUTH PLAIN {alice}"), "235");
    // Another program's file is only read.
    assert_eq!(fs::read_to_string(file.folder().join("htpasswd")).unwrap(), htpasswd);
    let own = site_without_users("");
    fs::write(own.folder().join("state/users"), &htpasswd).unwrap();
    let mut first = session(&own);
    // n,,n=alice@example.org,r=abc
    let scram = "AUTH SCRAM-SHA-256 biwsbj1hbGljZUBleGFtcGxlLm9yZyxyPWFiYw==";
    first.ask_for(scram, "432 4.7.12");
    first.ask_for(&format!("AUTH PLAIN {alice}"), "235");
    let kept = fs::read_to_string(own.folder().join("state/users")).unwrap();
    assert!(kept.contains(&format!("alice@example.org:{hash} SCRAM-SHA-256$")), "{kept}");
    session(&own).ask_for(scram, "334");
    let tabled = format!(
        "{}[table.users]\ntype = \"inline\"\nentries = {{ \"alice@example.org\" = \"{{CRYPT}}{hash}\" }}\n",
        config("users = \"table:users\"")
    );
    let table = server_with(&tabled, "unused", "");
    let mut session = Dialogue::connect(table.submission(), Ipv4Addr::LOCALHOST).greeted();
    session.ask_for(&format!("AUTH PLAIN {NOBODY}"), "535");
    session.ask_for(&format!("AUTH PLAIN {alice}"), "235");
}

fn server_with(config: &str, name: &'static str, content: &str) -> Server {
    let files = vec![(name, content.to_owned())];
    Server::start(Setup { config: Some(config.to_owned()), files, submission: true, ..Setup::default() })
}

#[test]
fn no_credentials_are_written_anywhere() {
    let server = site("");
    let mut session = session(&server);
    session.ask_for(&format!("AUTH PLAIN {ALICE_WRONG}"), "535");
    session.ask_for("AUTH LOGIN YWxpY2VAZXhhbXBsZS5vcmc=", "334");
    session.ask_for("Y29ycmVjdCBob3JzZQ==", "235");
    session.ask_for("MAIL FROM:<bob@example.org>", "553");
    session.ask_for("QUIT", "221");
    server.signal(rustix::process::Signal::TERM);
    let mut server = server;
    server.wait_for_end();
    let written = written(server.folder());
    let holds = |words: &str| memchr_find(&written, words.as_bytes());
    assert!(holds("login failed") && holds("sender-not-owned"), "there is something to look at");
    for secret in [PASSWORD, "wrong horse", ALICE, ALICE_WRONG, "Y29ycmVjdCBob3JzZQ=="] {
        assert!(!holds(secret), "{secret} is written somewhere");
    }
}

fn memchr_find(all: &[u8], words: &[u8]) -> bool {
    all.windows(words.len()).any(|window| window == words)
}

#[test]
fn users_are_added_changed_listed_and_removed() {
    let server = site("");
    let state = server.folder().join("state");
    let failed = |arguments: &[&str], input: &str, code: i32, words: &str| {
        let output = user(&server, arguments, input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    };
    failed(&["add", "alice@example.org", "--password-stdin"], "x\n", 1, "is there already");
    failed(&["passwd", "carol", "--password-stdin"], "x\n", 1, "there is no user carol");
    failed(&["add", "carol", "--password-stdin"], "\n", 1, "a password is a text");
    failed(&["add", "carol"], "secret\n", 2, "--password-stdin");
    failed(&["add", "a:b", "--password-stdin"], "secret\n", 2, "can't be a user's name");
    failed(&["remove", "alice@example.org", "carol"], "", 1, "nothing was changed");
    let listed = user(&server, &["list", "--json"], "");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["name"], "alice@example.org");
    assert_eq!(listed[1]["stored"], serde_json::json!(["argon2id", "SCRAM-SHA-256"]));
    let changed = user(&server, &["passwd", "ALICE@example.org", "--password-stdin"], "another one\n");
    assert!(changed.status.success(), "{changed:?}");
    session(&server).ask_for(&format!("AUTH PLAIN {ALICE}"), "535");
    let removed = user(&server, &["remove", "bob@example.org"], "");
    assert!(removed.status.success(), "{removed:?}");
    session(&server).ask_for(&format!("AUTH PLAIN {BOB}"), "535");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(state.join("users")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_password_is_typed_twice_and_not_seen() {
    let server = Server::start(Setup { submission: true, ..Setup::default() });
    let typed = |first: &str, second: &str| {
        let mut command = program("python3");
        command.arg(script("typed_password.py")).args(["Password of tester@localhost: ", first]);
        command.args(["Once more: ", second, "--", env!("CARGO_BIN_EXE_gatepost")]);
        command.args(["user", "add", "tester@localhost", "--state"]).arg(server.folder().join("state"));
        command.env("USER", "tester").output().unwrap()
    };
    let different = typed("one horse", "another horse");
    assert!(!different.status.success(), "{different:?}");
    let shown = String::from_utf8(different.stdout).unwrap();
    assert!(
        shown.contains("the passwords differ; nothing was changed") && !shown.contains("horse"),
        "{shown}"
    );
    let same = typed(PASSWORD, PASSWORD);
    assert!(same.status.success(), "{same:?}");
    // tester@localhost with the password.
    session(&server).ask_for("AUTH PLAIN AHRlc3RlckBsb2NhbGhvc3QAY29ycmVjdCBob3JzZQ==", "235");
}

#[test]
fn real_clients_submit_mail_without_any_configuration() {
    let server = Server::start(Setup { submission: true, ..Setup::default() });
    add(&server, "tester@localhost");
    let (host, port) = (server.submission().ip().to_string(), server.submission().port().to_string());
    let message = b"From: tester@localhost\r\nTo: tester@localhost\r\nSubject: x\r\n\r\nhello\r\n";
    for mechanism in ["PLAIN", "LOGIN"] {
        let mut swaks = program("swaks");
        swaks.args(["--server", &host, "--port", &port, "--auth", mechanism]);
        swaks.args(["--auth-user", "tester@localhost", "--auth-password", PASSWORD]);
        swaks.args(["--from", "tester@localhost", "--to", "tester@localhost"]);
        finish(&mut swaks, b"");
    }
    let mut curl = program("curl");
    curl.args(["-sS", &format!("smtp://{host}:{port}"), "--user", &format!("tester@localhost:{PASSWORD}")]);
    curl.args(["--mail-from", "tester@localhost", "--mail-rcpt", "tester@localhost", "-T", "-"]);
    finish(&mut curl, message);
    for mechanism in ["plain", "scram-sha-256"] {
        let mut msmtp = program("msmtp");
        msmtp.args([&format!("--host={host}"), &format!("--port={port}"), &format!("--auth={mechanism}")]);
        msmtp.args(["--tls=off", "--user=tester@localhost", "--from=tester@localhost"]);
        msmtp.args([&format!("--passwordeval=echo '{PASSWORD}'"), "--", "tester@localhost"]);
        finish(&mut msmtp, message);
    }
    let mut smtplib = program("python3");
    smtplib.arg(script("submission_client.py")).args([&host, &port, "tester@localhost", PASSWORD]);
    finish(&mut smtplib, b"");
    wait_for("six letters", || {
        let new = server.folder().join("state/maildir/localhost/tester/new");
        (fs::read_dir(new).ok()?.count() == 6).then_some(())
    });
}
