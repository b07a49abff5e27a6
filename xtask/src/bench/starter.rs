//! Gatepost under `examples/policies/starter.policy`, with a name server of its own and with every fact known already.
//!
//! Changed is only what would refuse the load: how many recipients a client may name in an hour, and how long the
//! greylist lets it wait.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::script::SINK;
use super::{contestant, name_server};
use crate::dialogue::{Dialogue, loopback_source};
use crate::server::Server;
use crate::workspace::Workspace;

/// What stands in the policy, and what this load needs in its place.
const CHANGES: [(&str, &str); 2] =
    [("per_client > 200", "per_client > 1000000000"), ("wait 5min", "wait 1s")];

/// Longer than the greylist of [`CHANGES`] lets wait.
const GREYLIST_WAIT: Duration = Duration::from_millis(1_500);

/// Starts it in the folder and makes the greylist know its clients.
///
/// # Errors
/// When it doesn't start, or answers otherwise than the policy would.
pub(super) fn start(workspace: &Workspace, folder: &Path) -> Result<Server> {
    let path = workspace.root.join("examples/policies/starter.policy");
    let mut policy = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    // The tests at its end are for the numbers as they stand there.
    if let Some((rules, _)) = policy.split_once("\ngiven ") {
        policy = rules.to_owned() + "\n";
    }
    for (old, new) in CHANGES {
        ensure!(policy.contains(old), "{} has no `{old}` any more", path.display());
        policy = policy.replace(old, new);
    }
    fs::write(folder.join("starter.policy"), policy).context("can't write a policy")?;
    let name_server = name_server::start()?;
    let more = format!("[policy]\nfile = \"starter.policy\"\n\n[dns]\nservers = [\"{name_server}\"]\n");
    let mut server = contestant::start_gatepost(workspace, folder, None, &more)?;
    server.wait_until_ready()?;
    meet_greylist(&server)?;
    Ok(server)
}

/// Every client of the load is in the network of the first.
fn meet_greylist(server: &Server) -> Result<()> {
    let source: Ipv4Addr = loopback_source(0);
    let mut dialogue = Dialogue::open(server.address(), source)?;
    dialogue.ask(b"EHLO client.bench.example\r\n", 250)?;
    let recipient = format!("RCPT TO:<{SINK}>\r\n");
    for (code, wait) in [(451, GREYLIST_WAIT), (250, Duration::ZERO)] {
        dialogue.ask(b"MAIL FROM:<source@client.example>\r\n", 250)?;
        dialogue.ask(recipient.as_bytes(), code)?;
        dialogue.ask(b"RSET\r\n", 250)?;
        thread::sleep(wait);
    }
    Ok(())
}
