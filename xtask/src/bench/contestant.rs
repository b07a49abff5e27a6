//! The servers that are measured: Gatepost, the bare minimum, and Postfix when it can be had.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{postfix, starter};
use crate::server::{Server, free_address};
use crate::workspace::Workspace;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Contestant {
    /// The release build of this tree.
    Gatepost,
    /// The same under a policy that asks for facts, all of them known already.
    Starter,
    /// The bare minimum of `receiver.rs`.
    Bare,
    /// Debian's Postfix, unpacked and not installed.
    Postfix,
}

impl Contestant {
    pub(super) const ALL: [Self; 4] = [Self::Gatepost, Self::Starter, Self::Bare, Self::Postfix];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gatepost => "gatepost",
            Self::Starter => "gatepost with starter.policy",
            Self::Bare => "bare minimum",
            Self::Postfix => "postfix",
        }
    }

    /// The name of its folder in a run.
    pub(super) fn folder(self) -> String {
        self.name().replace([' ', '.'], "-")
    }

    /// Whether it takes part where mail is relayed.
    pub(super) const fn relays(self) -> bool {
        matches!(self, Self::Gatepost | Self::Postfix)
    }

    /// Starts it in the empty folder `folder` and waits until it greets; with a `next_server` it relays
    /// mail for other domains to that, for every client.
    ///
    /// # Errors
    /// When it can't be had or doesn't start.
    pub(super) fn start(
        self,
        workspace: &Workspace,
        folder: &Path,
        next_server: Option<SocketAddr>,
    ) -> Result<Server> {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        let mut server = match self {
            Self::Gatepost => start_gatepost(workspace, folder, next_server, "")?,
            Self::Starter => starter::start(workspace, folder)?,
            Self::Bare => start_bare(folder)?,
            Self::Postfix => postfix::start(workspace, folder, next_server)?,
        };
        server.wait_until_ready()?;
        Ok(server)
    }
}

/// Starts the release build with the configuration of the bench and `more` at its end.
///
/// # Errors
/// When it can't be started.
pub(super) fn start_gatepost(
    workspace: &Workspace,
    folder: &Path,
    next_server: Option<SocketAddr>,
    more: &str,
) -> Result<Server> {
    let address = free_address()?;
    let configuration = folder.join("gatepost.toml");
    let text = include_str!("gatepost.toml").replace("127.0.0.1:2525", &address.to_string());
    let text = match next_server {
        Some(next_server) => {
            text.replace("relay = []", "relay = [\"127.0.0.0/8\"]")
                + &format!("\n[relay]\nsmart_host = \"{next_server}\"\n")
        }
        None => text,
    };
    fs::write(&configuration, format!("{text}\n{more}")).context("can't write a configuration")?;
    let mut command = Command::new(workspace.program("release", "gatepost"));
    command.args(["run", "--config"]).arg(&configuration).arg("--state").arg(folder.join("state"));
    Server::spawn(&mut command, address, &folder.join("log"))
}

fn start_bare(folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(env::current_exe().context("can't find this program")?);
    command.args(["bench-receiver", "--listen", &address.to_string(), "--directory"]).arg(folder);
    Server::spawn(&mut command, address, &folder.join("log"))
}
