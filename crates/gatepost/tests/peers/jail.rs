//! A mail server of Debian in a root, a process and a mount namespace of its own; needs root.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::harness::{Dialogue, wait_for};

/// A running peer; dropping it ends all of its processes.
#[derive(Debug)]
pub(crate) struct Jail {
    child: Child,
    address: SocketAddr,
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
        let address = free_address();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--", "sh"]);
        command.arg(scripts.join("jail.sh")).arg(work.path()).arg(files).arg(exchange.path());
        command.arg(scripts.join(format!("{peer}.sh")));
        command.env("PEER_PORT", address.port().to_string()).env("NEXT_PORT", next.port().to_string());
        let output = fs::File::create(exchange.path().join("output")).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        let mut jail = Self { child, address, exchange, _work: work };
        wait_for(&format!("{peer} to listen"), || {
            if let Some(outcome) = jail.child.try_wait().unwrap() {
                panic!("{peer} ended ({outcome}); it runs as root only");
            }
            TcpStream::connect(address).ok()
        });
        jail
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shares with the test.
    pub(crate) fn exchange(&self) -> &Path {
        self.exchange.path()
    }

    /// A session with it, behind EHLO.
    pub(crate) fn session(&self) -> Dialogue {
        Dialogue::connect(self.address, Ipv4Addr::LOCALHOST).greeted()
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
        // Its processes end with the first of their namespace, which ends with this one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            for name in ["output", "log"] {
                let said = fs::read(self.exchange().join(name)).unwrap_or_default();
                eprintln!("--- the peer's {name}:\n{}", String::from_utf8_lossy(&said));
            }
        }
    }
}

/// The folder with the files of a peer.
fn unpacked(peer: &str) -> PathBuf {
    let root = std::env::var_os("GATEPOST_PEERS").map(|folder| Path::new(&folder).join(peer).join("root"));
    root.filter(|root| root.is_dir())
        .unwrap_or_else(|| panic!("{peer} is missing: `cargo xtask test` unpacks Debian's mail servers"))
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
