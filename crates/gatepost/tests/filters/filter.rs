//! A filter of Debian in a root, a process and a mount namespace of its own, with its sockets beside the test; needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::harness::wait_for;

/// A running filter; dropping it ends all of its processes.
#[derive(Debug)]
pub(crate) struct Filter {
    name: &'static str,
    child: Child,
    exchange: TempDir,
    /// Where its root is put together, inside its own mounts.
    _work: TempDir,
}

impl Filter {
    /// Starts the filter and waits until it listens at its socket.
    pub(crate) fn start(name: &'static str) -> Self {
        let files = unpacked(name);
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let (exchange, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--", "sh"]);
        command.arg(tests.join("peers/jail.sh")).arg(work.path()).arg(files).arg(exchange.path());
        command.arg(tests.join(format!("filters/{name}.sh")));
        let output = fs::File::create(exchange.path().join("output")).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        let mut filter = Self { name, child, exchange, _work: work };
        filter.wait_for_socket("socket");
        filter
    }

    /// Waits until it listens at the socket of this name, and gives the policy's word for it.
    pub(crate) fn wait_for_socket(&mut self, socket: &str) -> String {
        let path = self.exchange.path().join(socket);
        wait_for(&format!("{} to listen", self.name), || {
            if let Some(outcome) = self.child.try_wait().unwrap() {
                panic!("{} ended ({outcome}); it runs as root only", self.name);
            }
            std::os::unix::net::UnixStream::connect(&path).ok()
        });
        format!("unix:{}", path.display())
    }

    /// The policy's word for its socket.
    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.exchange.path().join("socket").display())
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // Its processes end with the first of their namespace, which ends with this one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = fs::read(self.exchange.path().join("output")).unwrap_or_default();
            eprintln!("--- what {} said:\n{}", self.name, String::from_utf8_lossy(&said));
        }
    }
}

/// The folder with the files of a filter.
fn unpacked(name: &str) -> PathBuf {
    let root = std::env::var_os("GATEPOST_PEERS").map(|folder| Path::new(&folder).join(name).join("root"));
    root.filter(|root| root.is_dir())
        .unwrap_or_else(|| panic!("{name} is missing: `cargo xtask test` unpacks Debian's filters"))
}
