//! A Gatepost that a test starts: its process, its address, its state directory, its log, and its end with the value.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Dialogue, Maildir, PATIENCE, Reserved, wait_for};

/// How often a session asks for the status: fewer commands than make one that sends no mail an error.
const LOOKS_A_SESSION: u32 = 50;

/// How a server is to be started.
#[derive(Debug, Default, Clone)]
pub(crate) struct Setup {
    /// The configuration's text; `None` is the zero configuration.
    pub(crate) config: Option<String>,
    /// Files to stand beside the configuration: name and content.
    pub(crate) files: Vec<(&'static str, String)>,
    /// The value of `--fault`.
    pub(crate) fault: Option<&'static str>,
    /// Whether users can submit mail to it, too.
    pub(crate) submission: bool,
    /// Whether it also listens under TLS from the first octet on.
    pub(crate) submissions: bool,
}

/// A running server; dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens; nobody else does while it is away.
    place: Reserved,
    submission: Option<SocketAddr>,
    submissions: Option<SocketAddr>,
    folder: TempDir,
    setup: Setup,
}

/// The configuration of `examples/every-code`.
pub(crate) fn every_code_config() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/every-code/gatepost.toml");
    fs::read_to_string(file).unwrap()
}

impl Server {
    /// The site of `examples/every-code`.
    pub(crate) fn every_code() -> Self {
        Self::with_config(&every_code_config())
    }

    /// A server without a configuration, for the user `tester`.
    pub(crate) fn zero_configuration() -> Self {
        Self::start(Setup::default())
    }

    /// A server with this configuration.
    pub(crate) fn with_config(config: &str) -> Self {
        Self::start(Setup { config: Some(config.to_owned()), ..Setup::default() })
    }

    /// Starts a server on a port of its own and waits until it listens.
    pub(crate) fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = &setup.config {
            fs::write(folder.path().join("gatepost.toml"), text).unwrap();
        }
        for (name, content) in &setup.files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let place = Reserved::new();
        let (child, [submission, submissions]) = spawn(folder.path(), &setup, place.address());
        Self { child, place, submission, submissions, folder, setup }
    }

    /// Starts it again at the same address, with the state that it left.
    pub(crate) fn start_again(&mut self) {
        let (child, [submission, submissions]) = spawn(self.folder.path(), &self.setup, self.address());
        (self.child, self.submission, self.submissions) = (child, submission, submissions);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// Where users submit mail to it.
    pub(crate) fn submission(&self) -> SocketAddr {
        self.submission.expect("the setup wants submission")
    }

    /// Where they do it under TLS from the first octet on.
    pub(crate) fn submissions(&self) -> SocketAddr {
        self.submissions.expect("the setup wants submissions")
    }

    /// The directory of its configuration and state.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection from `127.0.0.{last}`, whose greeting is still to be read.
    pub(crate) fn connect(&self, last: u8) -> Dialogue {
        Dialogue::connect(self.address(), Ipv4Addr::new(127, 0, 0, last))
    }

    /// A session from 127.0.0.1, behind EHLO.
    pub(crate) fn session(&self) -> Dialogue {
        self.session_from(1)
    }

    /// A session from `127.0.0.{last}`, behind EHLO.
    pub(crate) fn session_from(&self, last: u8) -> Dialogue {
        self.connect(last).greeted()
    }

    /// The Maildir of a mailbox, where the configuration says nothing else.
    pub(crate) fn maildir(&self, domain: &str, local_part: &str) -> Maildir {
        Maildir::at(self.folder.path().join("state/maildir").join(domain).join(local_part))
    }

    /// The lines that it has logged. Most are written a moment after what they tell of.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(log_file(self.folder.path())).unwrap();
        let end = log.iter().rposition(|octet| *octet == b'\n').map_or(0, |last| last + 1);
        String::from_utf8_lossy(&log[..end]).into_owned()
    }

    /// Waits until the log holds `words`.
    pub(crate) fn wait_for_log(&self, words: &str) {
        self.wait_for_line(&[words]);
    }

    /// Waits until a line of the log holds each of `words`.
    pub(crate) fn wait_for_line(&self, words: &[&str]) {
        self.wait_for_lines(1, words);
    }

    /// Waits until so many lines of the log hold each of `words`.
    pub(crate) fn wait_for_lines(&self, count: usize, words: &[&str]) {
        wait_for(&format!("{count} lines with {words:?} in the log"), || {
            (self.lines(words) >= count).then_some(())
        });
    }

    /// How many lines of the log hold each of `words`.
    fn lines(&self, words: &[&str]) -> usize {
        self.log().lines().filter(|line| words.iter().all(|words| line.contains(words))).count()
    }

    /// Waits until nothing is in its queue, as it tells its trusted client 127.0.0.1.
    pub(crate) fn wait_for_empty_queue(&self) {
        let (mut session, mut looks) = (self.session(), 0);
        wait_for("an empty queue", || {
            if looks == LOOKS_A_SESSION {
                (session, looks) = (self.session(), 0);
            }
            looks += 1;
            session.ask("HELP STATUS").says("queue: 0 messages").then_some(())
        });
    }

    /// Writes a file beside the configuration: the whole of it is there at once.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let (part, file) = (self.folder().join(format!("{name}.part")), self.folder().join(name));
        fs::write(&part, content).unwrap();
        fs::rename(part, file).unwrap();
    }

    /// Writes its configuration, which is in force after [`Server::reload`].
    pub(crate) fn configure(&self, text: &str) {
        self.write("gatepost.toml", text);
    }

    /// Reads its configuration again by SIGHUP, and waits until it is in force.
    pub(crate) fn reload(&self) {
        const RELOADED: &[&str] = &["configuration reloaded"];
        let before = self.lines(RELOADED);
        self.signal(Signal::HUP);
        self.wait_for_lines(before + 1, RELOADED);
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until its process has ended.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        wait_for("the server's end", || self.child.try_wait().unwrap())
    }

    /// Ends it with SIGTERM, as an operator does.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let outcome = self.wait_for_end();
        assert!(outcome.success(), "{outcome}");
    }

    /// What the command `gatepost queue` with these arguments prints of its state; it must have been ended.
    pub(crate) fn queue(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.arg("queue").args(arguments).arg("--state").arg(state(self.folder.path()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let shown = log.len().saturating_sub(8_000);
            let shown = (shown..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
            eprintln!("--- the server's log:\n{}", &log[shown..]);
        }
    }
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// Starts the program in `folder` and waits for the line that says where it listens.
fn spawn(folder: &Path, setup: &Setup, listen: SocketAddr) -> (Child, [Option<SocketAddr>; 2]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("run").arg("--state").arg(state(folder)).args(["--listen", &listen.to_string()]);
    if setup.submission {
        command.args(["--listen-submission", "127.0.0.1:0"]);
    }
    if setup.config.is_some() {
        command.arg("--config").arg(folder.join("gatepost.toml"));
    }
    if setup.submissions {
        command.args(["--listen-submissions", "127.0.0.1:0"]);
    }
    if let Some(fault) = setup.fault {
        command.args(["--fault", fault]);
    }
    let log = File::options().create(true).append(true).open(log_file(folder)).unwrap();
    command.env("USER", "tester").env_remove("GATEPOST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let (first_line, first) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        // The test may have given up; the rest is read so that the server never waits for a reader.
        let _ = first_line.send(lines.next());
        lines.for_each(drop);
    });
    let line = first.recv_timeout(PATIENCE);
    let Ok(Some(Ok(line))) = &line else {
        let _ = child.kill();
        panic!("the server did not start: {}", fs::read_to_string(log_file(folder)).unwrap_or_default());
    };
    let (_, addresses) = line.split_once("listening on ").expect("the first line says where it listens");
    let of = |kind: &str| {
        let named = addresses.split(')').find(|named| named.ends_with(kind))?;
        named.trim_start_matches([',', ' ']).split([' ', ',']).next()?.parse().ok()
    };
    (child, ["(submission", "(submission under TLS"].map(of))
}
