//! A mail server of Debian in a root, a process and a mount namespace of its own; needs root.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use super::harness::{Dialogue, Reserved, Running, wait_for};

/// A running peer; dropping it ends all of its processes.
#[derive(Debug)]
pub(crate) struct Jail {
    /// Its first process: the others of its namespace end with it, before what they use is removed.
    _running: Running,
    /// Where it listens; nobody else does before.
    place: Reserved,
    exchange: TempDir,
    /// Where its root is put together, inside its own mounts.
    _work: TempDir,
}

impl Jail {
    /// Starts `peer`, which relays what is not for peer.example to `next`, and waits until it listens.
    pub(crate) fn start(peer: &str, next: SocketAddr) -> Self {
        let files = unpacked(peer);
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let (exchange, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let certificate = rcgen::generate_simple_self_signed([String::from("mx.peer.example")]).unwrap();
        fs::write(exchange.path().join("certificate.pem"), certificate.cert.pem()).unwrap();
        fs::write(exchange.path().join("key.pem"), certificate.signing_key.serialize_pem()).unwrap();
        let place = Reserved::new();
        let address = place.address();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--", "sh"]);
        command.arg(scripts.join("jail.sh")).arg(work.path()).arg(files).arg(exchange.path());
        command.arg(scripts.join(format!("{peer}.sh")));
        command.env("PEER_PORT", address.port().to_string()).env("NEXT_PORT", next.port().to_string());
        assert!(rustix::process::geteuid().is_root(), "{peer} runs as root only");
        let is_ready = || TcpStream::connect(address).is_ok();
        let running = Running::start(command, exchange.path().join("output"), is_ready);
        Self { _running: running, place, exchange, _work: work }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// What it shares with the test.
    pub(crate) fn exchange(&self) -> &Path {
        self.exchange.path()
    }

    /// A session with it, behind EHLO.
    pub(crate) fn session(&self) -> Dialogue {
        Dialogue::connect(self.address(), Ipv4Addr::LOCALHOST).greeted()
    }

    /// The one message that it has in the Maildir of `mailbox`, once it is there, its lines ended as in a file.
    pub(crate) fn wait_for_mail(&self, mailbox: &str) -> String {
        let new = self.exchange().join("mail").join(mailbox).join("new");
        let file = wait_for(&format!("a message in {}", new.display()), || {
            fs::read_dir(&new).ok()?.find_map(|entry| Some(entry.ok()?.path()))
        });
        String::from_utf8(fs::read(file).unwrap()).unwrap()
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        if thread::panicking() {
            let said = fs::read(self.exchange().join("log")).unwrap_or_default();
            eprintln!("--- the peer's log:\n{}", String::from_utf8_lossy(&said));
        }
    }
}

/// The folder with the files of a peer.
fn unpacked(peer: &str) -> PathBuf {
    let root = std::env::var_os("GATEPOST_PEERS").map(|folder| Path::new(&folder).join(peer).join("root"));
    root.filter(|root| root.is_dir())
        .unwrap_or_else(|| panic!("{peer} is missing: `cargo xtask test` unpacks Debian's mail servers"))
}
