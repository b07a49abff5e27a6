//! The control socket: who is heard, what hangs, how the server is, reloads and ends, and a long queue in little memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use queue::body::Body;
use queue::kernel_disk::KernelDisk;
use queue::log_spool::{LogSpool, Options};
use queue::message::{Destination, Hold, Origin, QueuedMessage, QueuedRecipient};
use queue::spool::{Arrival, Spool as _};
use queue::wait::block_on;
use rustix::process::Signal;
use serde_json::Value;
use smtp::envelope::{MailParameters, RcptParameters};
use smtp::time::WallTime;

use harness::{Server, wait_for};

/// A small site; `top` stands above its tables.
fn site(top: &str) -> String {
    format!(
        "hostname = \"mx.example.org\"\n{top}\n[domain.\"example.org\".mailbox]\npostmaster = {{}}\nalice = {{}}\n"
    )
}

fn socket(server: &Server) -> PathBuf {
    server.folder().join("state/control.sock")
}

fn gatepost(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(arguments).arg("--state").arg(server.folder().join("state")).stdin(Stdio::null());
    command
}

fn output(server: &Server, arguments: &[&str]) -> Output {
    gatepost(server, arguments).output().unwrap()
}

fn status(server: &Server) -> Value {
    let output = output(server, &["status", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A connection behind the greeting.
fn connect(server: &Server) -> BufReader<UnixStream> {
    let mut connection = BufReader::new(UnixStream::connect(socket(server)).unwrap());
    let greeting = line(&mut connection);
    assert_eq!(greeting["control"], 1);
    connection
}

fn line(connection: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

fn say(connection: &BufReader<UnixStream>, text: &str) {
    connection.get_ref().write_all(text.as_bytes()).unwrap();
}

#[test]
fn the_socket_is_its_owners_and_goes_with_the_server() {
    let mut server = Server::with_config(&site(""));
    let mode = fs::metadata(socket(&server)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.kill();
    assert!(socket(&server).exists(), "who is killed leaves it behind");
    assert!(
        output(&server, &["queue", "list"]).status.success(),
        "a dead server's socket is in nobody's way"
    );
    server.start_again();
    assert_eq!(status(&server)["hostname"], "mx.example.org");
    server.stop();
    assert!(!socket(&server).exists());
}

#[test]
fn another_user_is_refused_even_where_the_files_would_let_it() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be somebody else; that others are refused is a unit test's, too.
        return;
    }
    let server = Server::with_config(&site(""));
    let everyone = |path: PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    everyone(server.folder().to_owned(), 0o755);
    everyone(server.folder().join("state"), 0o755);
    everyone(socket(&server), 0o666);
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  f = s.makefile()\nf.readline()\nprint(f.readline(), f.read())";
    let mut python = Command::new("/usr/bin/python3");
    let asked = python.args(["-c", script]).arg(socket(&server)).uid(65_534).output().unwrap();
    let answer = String::from_utf8(asked.stdout).unwrap();
    assert!(answer.contains("\"kind\":\"refused\""), "{answer} {:?}", String::from_utf8(asked.stderr));
    server.wait_for_log("uid=65534");
    assert_eq!(status(&server)["sessions"], 0);
}

#[test]
fn who_hangs_or_babbles_holds_nobody_up() {
    let mut server = Server::with_config(&site(""));
    let mut halves: Vec<_> = (0..31).map(|_| connect(&server)).collect();
    halves.iter().for_each(|half| say(half, "{\"list\":"));
    let mut last = connect(&server);
    say(&last, "\"status\"\n");
    assert_eq!(line(&mut last)["status"]["hostname"], "mx.example.org");
    let mut refused = connect(&server);
    assert_eq!(line(&mut refused)["failed"]["kind"], "busy");
    let busy = output(&server, &["status"]);
    assert_eq!(busy.status.code(), Some(3), "{busy:?}");
    let mut babbling = halves.remove(0);
    say(&babbling, "{\"filter\":{\"colour\":\"red\"}}}\n");
    assert_eq!(line(&mut babbling)["failed"]["kind"], "usage");
    let mut rest = Vec::new();
    babbling.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "what can't be read ends the connection");
    drop(halves.remove(0));
    wait_for("a free place", || output(&server, &["status"]).status.success().then_some(()));
    // Several requests come over one connection.
    let mut patient = halves.remove(0);
    say(&patient, "{}}\n");
    assert_eq!(line(&mut patient)["done"]["messages"], 0);
    say(&patient, "\"status\"\n");
    assert_eq!(line(&mut patient)["status"]["hostname"], "mx.example.org");
    // Nor do they hold up its end.
    let asked = harness::now();
    server.stop();
    assert!(asked.elapsed().as_secs() < 20);
}

#[test]
fn who_is_connected_is_heard_after_the_server_was_stopped_for_a_while() {
    let server = Server::with_config(&site(""));
    let pid = status(&server)["pid"].as_u64().unwrap();
    let is_stopped = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    let mut patient = connect(&server);
    for _ in 0..3 {
        server.signal(Signal::STOP);
        wait_for("the server to stand still", || is_stopped().then_some(()));
        server.signal(Signal::CONT);
        say(&patient, "\"status\"\n");
        assert_eq!(line(&mut patient)["status"]["pid"], pid);
        assert!(line(&mut patient)["done"].is_object());
    }
}

#[test]
fn the_server_says_how_it_is_reloads_and_ends() {
    let mut server = Server::with_config(&site(""));
    let mut client = server.session();
    client.deliver("alice@example.org", b"Subject: a\r\n\r\n");
    let before = status(&server);
    assert_eq!((&before["accepted"], &before["sessions"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(before["fault"], Value::Null);
    let words = String::from_utf8(output(&server, &["status"]).stdout).unwrap();
    assert!(
        words.contains("listening on 127.0.0.1:") && words.contains("gatepost.toml, in force since"),
        "{words}"
    );

    fs::write(server.folder().join("gatepost.toml"), site("[limits]\nrecipents = 5")).unwrap();
    let refused = output(&server, &["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    let problems = String::from_utf8(refused.stderr).unwrap();
    for part in ["gatepost.toml:3:1", "`recipients`", "not reloaded: what was in force stays"] {
        assert!(problems.contains(part), "{part:?} is missing: {problems}");
    }
    assert_eq!(status(&server)["loaded"], before["loaded"]);
    fs::write(server.folder().join("gatepost.toml"), site("[spool]\nmin_free = \"1000 TB\"")).unwrap();
    assert!(output(&server, &["reload"]).status.success());
    let full = output(&server, &["status", "--json"]);
    assert_eq!(full.status.code(), Some(1), "a server that takes no mail is not well");
    let full: Value = serde_json::from_slice(&full.stdout).unwrap();
    assert_eq!(full["no_room"], "too little free disk space");
    assert_ne!(full["loaded"], before["loaded"]);

    let stopped = output(&server, &["stop", "--wait"]);
    assert_eq!(String::from_utf8(stopped.stdout).unwrap(), "stopped\n");
    let checked = output(&server, &["queue", "fsck"]);
    assert!(checked.status.success(), "the spool is free: {checked:?}");
    client.expect_last("421 4.3.2", "mx.example.org");
    assert!(server.wait_for_end().success());
}

#[test]
fn who_waits_for_the_end_waits_until_the_spool_is_free() {
    let state = tempfile::tempdir().unwrap();
    let spool = KernelDisk::open(&state.path().join("spool")).unwrap();
    let path = state.path().join("control.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(["stop", "--wait", "--state"]).arg(state.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut waiting = command.spawn().unwrap();
    let mut asker = BufReader::new(socket.accept().unwrap().0);
    say(&asker, "{\"product\":\"Gatepost\",\"control\":1}\n");
    assert_eq!(line(&mut asker), "stop");
    drop(socket);
    fs::remove_file(&path).unwrap();
    say(&asker, "{\"done\":{}}\n");
    // Time enough to find no socket any more, for one who looks for that alone.
    for _ in 0..30 {
        assert!(waiting.try_wait().unwrap().is_none(), "the spool is in use");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(spool);
    assert!(waiting.wait().unwrap().success());
}

/// Fills the spool of a server that does not run.
fn fill(server: &Server, messages: usize) {
    let (spool, _) = LogSpool::at(&server.folder().join("state/spool"), Options::new(7)).unwrap();
    let received = WallTime::from_unix_millis(1_795_434_399_007);
    let message = |number: usize| QueuedMessage {
        reverse_path: "<sender@example.net>".parse().unwrap(),
        parameters: MailParameters::default(),
        received,
        origin: Origin { client: "192.0.2.1".into(), helo: "client.example".into(), submitted: false },
        hold: Some(Hold::Held),
        recipients: vec![QueuedRecipient {
            mailbox: format!("user{number}@example.org").parse().unwrap(),
            accepted_as: format!("<user{number}@example.org>").parse().unwrap(),
            parameters: RcptParameters::default(),
            destination: Destination::new("relay"),
        }],
    };
    for first in (0..messages).step_by(500) {
        let numbers = first..(first + 500).min(messages);
        let arrival = |number| Arrival {
            id: spool.allot(received),
            message: message(number),
            body: Body::Memory(vec![b'x'; 1_000]),
        };
        block_on(spool.enqueue_all(numbers.map(arrival).collect())).unwrap();
    }
}

/// The most memory that the server's process has had, in KiB.
fn peak_kib(pid: u64) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_long_queue_is_listed_and_ordered_in_little_memory_and_nobody_need_wait_for_the_end() {
    const MESSAGES: usize = 10_000;
    let mut server = Server::with_config(&site(""));
    server.stop();
    fill(&server, MESSAGES);
    server.start_again();
    let pid = status(&server)["pid"].as_u64().unwrap();
    // Whatever the first requests take is taken.
    assert_eq!(
        output(&server, &["queue", "list", "--limit", "300"])
            .stdout
            .iter()
            .filter(|octet| **octet == b'\n')
            .count(),
        600
    );
    let before = peak_kib(pid);
    let listed = output(&server, &["queue", "list", "--json"]);
    let lines: Vec<&[u8]> =
        listed.stdout.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), MESSAGES);
    let last: Value = serde_json::from_slice(lines[MESSAGES - 1]).unwrap();
    assert_eq!(last["recipients"][0]["mailbox"], format!("user{}@example.org", MESSAGES - 1));
    // The kernel counts a few pages late, so that what it said before may be more.
    let taken = peak_kib(pid).saturating_sub(before);
    assert!(taken < 8_000, "listing {} octets took {taken} KiB", listed.stdout.len());

    // Who asks goes away in the middle: nothing is half done, and others are served.
    let mut child = gatepost(&server, &["queue", "list", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child =
        gatepost(&server, &["queue", "drop", "--older", "0s"]).stdout(Stdio::null()).spawn().unwrap();
    wait_for("part of the order", || {
        let left = status(&server)["queue"]["messages"].as_u64().unwrap();
        (left < MESSAGES as u64).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let dropped = output(&server, &["queue", "drop", "--all", "--json"]);
    let done: Option<Value> = serde_json::from_slice(&dropped.stdout).ok();
    assert!(done.is_none_or(|done| done["messages"].as_u64().unwrap() < MESSAGES as u64));
    // What was under way for the one who went away ends, too.
    wait_for("an empty queue", || (status(&server)["queue"]["messages"] == 0).then_some(()));
    let empty = output(&server, &["queue", "list"]);
    assert!(empty.status.success() && empty.stdout.is_empty(), "{empty:?}");
}
