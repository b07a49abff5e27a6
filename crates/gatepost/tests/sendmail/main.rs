//! `sendmail`, `mailq` and `newaliases` as the machine's programs call them, with a server and without one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod clients;
mod maildrop;
mod queue;
mod refusals;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use harness::{Server, Setup};

/// A site with a mailbox for root, one for alice, and nothing else.
const CONFIG: &str = "hostname = \"mx.example.org\"\n\
    [domain.\"example.org\".mailbox]\npostmaster = {}\nroot = {}\nalice = {}\n";

/// A server whose state everybody may reach, and the names by which its program is called.
struct Machine {
    server: Server,
}

/// What came of a command.
struct Ran {
    exit: i32,
    said: String,
    printed: String,
}

impl Machine {
    fn new() -> Self {
        Self::with_config(CONFIG)
    }

    fn with_config(config: &str) -> Self {
        Self::with(Setup { config: Some(config.to_owned()), ..Setup::default() })
    }

    fn with(setup: Setup) -> Self {
        let server = Server::start(setup);
        fs::set_permissions(server.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["sendmail", "mailq", "newaliases"] {
            symlink(env!("CARGO_BIN_EXE_gatepost"), server.folder().join(name)).unwrap();
        }
        Self { server }
    }

    fn state(&self) -> PathBuf {
        self.server.folder().join("state")
    }

    /// The program by one of its names.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.server.folder().join(name));
        command.env("GATEPOST_STATE", self.state()).env_remove("NAME");
        command
    }

    /// `sendmail` with an argument, called by another user where the tests may do that, and his number.
    fn command_of_another(&self, argument: &str) -> (Command, u32) {
        /// A user that every system has.
        const NOBODY: u32 = 65_534;
        // Where the program was built others need not get to.
        let copy = self.server.folder().join("copy");
        fs::copy(env!("CARGO_BIN_EXE_gatepost"), &copy).unwrap();
        let mut command = Command::new(copy);
        command.arg("--state").arg(self.state()).args(["sendmail", argument]);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
            return (command, NOBODY);
        }
        (command, uid())
    }

    /// Calls `sendmail` with these arguments, apart at blanks, and this input.
    fn sendmail(&self, arguments: &str, input: &[u8]) -> Ran {
        let mut command = self.command("sendmail");
        command.args(arguments.split(' ').filter(|argument| !argument.is_empty()));
        run(&mut command, input)
    }

    /// The same, which must succeed and say nothing.
    #[track_caller]
    fn sends(&self, arguments: &str, input: &[u8]) {
        let Ran { exit, said, .. } = self.sendmail(arguments, input);
        assert_eq!((exit, said.as_str()), (0, ""));
    }

    /// What lies in the maildrop.
    fn dropped(&self) -> Vec<PathBuf> {
        files(self.state().join("maildrop"))
    }

    /// What was moved aside.
    fn aside(&self) -> Vec<PathBuf> {
        files(self.state().join("maildrop-bad"))
    }

    /// The letters for alice, once there are so many.
    fn alice(&self, count: usize) -> Vec<harness::Letter> {
        self.server.maildir("example.org", "alice").wait_for(count)
    }
}

fn files(folder: PathBuf) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn run(command: &mut Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that ends early closes its input.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    Ran { exit: status.code().unwrap(), said: text(stderr), printed: text(stdout) }
}

fn text(content: &[u8]) -> String {
    String::from_utf8(content.to_vec()).unwrap()
}

/// The number of the user who runs the tests.
fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// His name.
fn user() -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let is_his = |line: &&str| line.split(':').nth(2) == Some(uid().to_string().as_str());
    let line = passwd.lines().find(is_his).expect("the tests' user has a name");
    line.split(':').next().unwrap().to_owned()
}
