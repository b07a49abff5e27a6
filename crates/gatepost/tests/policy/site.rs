//! A site with a policy: the server, the DNS that it asks, and the commands that look at what it has recorded.

use std::process::{Command, Output};

use crate::harness::{Dialogue, DnsServer, Reply, Server, Setup, wait_for};

/// A running server under a policy.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) dns: DnsServer,
}

/// The configuration without its `[dns]`: nobody is trusted, nobody relays.
const CONFIG: &str = r#"
hostname = "mx.example.org"
postmaster = "alice"
limits.new_connections_per_minute = 1000000
limits.connections_per_address = 1000
limits.errors = 10000
limits.connections_per_network = 1000
[policy]
file = "site.policy"
deadline = "60s"
[domain."example.org".mailbox]
alice = {}
bob = {}
erin = { moved = "erin@new.example" }
"#;

/// Nobody is trusted, nobody relays.
const NOBODY: &str = "[clients]\nrelay = []\ntrusted = []\n";

impl Site {
    /// A site under `policy`, in a DNS with `records`.
    pub(crate) fn new(policy: &str, records: &str) -> Self {
        Self::with(policy, records, NOBODY, vec![])
    }

    /// The same with more tables in its configuration, and more files beside it.
    pub(crate) fn with(
        policy: &str,
        records: &str,
        tables: &str,
        mut files: Vec<(&'static str, String)>,
    ) -> Self {
        let dns = DnsServer::with(records);
        let tables =
            if tables.contains("[clients]") { tables.to_owned() } else { format!("{NOBODY}{tables}") };
        let config = format!("{CONFIG}\n{tables}\n{}", dns.config());
        files.push(("site.policy", policy.to_owned()));
        let server = Server::start(Setup { config: Some(config), files, ..Setup::default() });
        Self { server, dns }
    }

    /// A session from `127.0.0.{last}`, behind EHLO.
    pub(crate) fn session(&self, last: u8) -> Dialogue {
        self.server.session_from(last)
    }

    /// Writes a file beside the configuration.
    pub(crate) fn write(&self, name: &str, content: &str) {
        self.server.write(name, content);
    }

    /// What the program does with these arguments, this site's state and configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let folder = self.server.folder();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(arguments).arg("--state").arg(folder.join("state"));
        command.arg("--config").arg(folder.join("gatepost.toml")).current_dir(folder);
        command.output().unwrap()
    }

    /// What the program prints, once it ends well: what was just recorded is not on the disk at once.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        wait_for(&format!("{arguments:?} to end well"), || {
            let output = self.command(arguments);
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        })
    }

    /// Takes the queue id out of a reply to the end of data.
    pub(crate) fn queue_id(reply: &Reply) -> String {
        let text = reply.to_string();
        let word = |word: &&str| word.len() >= 10 && word.chars().all(|one| one.is_ascii_alphanumeric());
        let found = text.split([' ', '[', ']', ',', '.']).rfind(word);
        found.unwrap_or_else(|| panic!("no queue id in {text}")).to_owned()
    }
}

/// The id in brackets at the end of a refusal.
pub(crate) fn id(reply: &Reply) -> String {
    let text = reply.to_string();
    let id = text.strip_suffix(']').and_then(|text| text.rsplit_once('['));
    id.unwrap_or_else(|| panic!("no id at the end of {text}")).1.to_owned()
}
