//! Debian's Postfix as a peer to measure: its package is downloaded and unpacked under the target directory, and runs
//! from there with a configuration, a queue and a log of its own. Nothing is installed and no user is made.
//!
//! Mail for the sink is accepted durably into Postfix's queue and delivered to its `discard` transport. Needs root,
//! because Postfix changes to users of its own: here those of Debian's base system that nothing else runs as.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::script::SINK;
use crate::server::{Server, free_address};
use crate::workspace::Workspace;
use crate::{peers, process};

/// The user and the group that stand in for `postfix` and `postdrop`, with their fixed numbers in Debian's base system.
const MAIL_OWNER: (&str, u32) = ("news", 9);
const SETGID_GROUP: (&str, u32) = ("games", 60);

/// Folders of the queue that belong to the mail owner, readable by it alone.
const PRIVATE_QUEUES: [&str; 11] = [
    "incoming", "active", "deferred", "bounce", "defer", "corrupt", "flush", "saved", "trace", "hold",
    "private",
];

/// Starts Postfix's master in `folder`.
///
/// # Errors
/// When the package can't be had, this process isn't root, or the master can't be started.
pub(super) fn start(workspace: &Workspace, folder: &Path, next_server: Option<SocketAddr>) -> Result<Server> {
    ensure!(rustix::process::geteuid().is_root(), "Postfix runs only when started by root");
    let package = unpack(workspace)?;
    let address = free_address()?;
    let configuration = folder.join("etc");
    make_folders(folder)?;
    let log = folder.join("postfix.log");
    fs::write(configuration.join("main.cf"), main_cf(&package, folder, &log, next_server))
        .context("can't write main.cf")?;
    fs::write(configuration.join("master.cf"), master_cf(&address.to_string()))
        .context("can't write master.cf")?;
    fs::write(configuration.join("dynamicmaps.cf"), "").context("can't write dynamicmaps.cf")?;
    let mut master = Command::new(package.join("usr/lib/postfix/sbin/master"));
    master.args(["-s", "-c"]).arg(&configuration);
    master.env("MAIL_CONFIG", &configuration).env("LD_LIBRARY_PATH", package.join("usr/lib/postfix"));
    Server::spawn(&mut master, address, &folder.join("log"))
}

/// The unpacked package, once it is certain that its libraries are there.
fn unpack(workspace: &Workspace) -> Result<PathBuf> {
    let root = peers::POSTFIX.provide(workspace)?;
    let smtpd = root.join("usr/lib/postfix/sbin/smtpd");
    let libraries = process::capture(
        Command::new("ldd").arg(&smtpd).env("LD_LIBRARY_PATH", root.join("usr/lib/postfix")),
    )?;
    if let Some(missing) = libraries.lines().find(|line| line.contains("not found")) {
        bail!("Postfix lacks a library; install Debian's package of it: {}", missing.trim());
    }
    Ok(root)
}

fn make_folders(folder: &Path) -> Result<()> {
    let queue = folder.join("queue");
    let owner = MAIL_OWNER.1;
    // Postfix's processes run as another user and must find their way in.
    for above in folder.ancestors().take_while(|path| path.parent().is_some()) {
        let mode = fs::metadata(above).context("can't look at a folder")?.permissions().mode();
        ensure!(mode & 0o001 != 0, "{} can't be entered by Postfix's user; build elsewhere", above.display());
    }
    for (name, owner, group, mode) in
        [("etc", 0, 0, 0o755), ("data", owner, 0, 0o700), ("queue", 0, 0, 0o755), ("queue/pid", 0, 0, 0o755)]
    {
        make_folder(&folder.join(name), owner, group, mode)?;
    }
    for name in PRIVATE_QUEUES {
        make_folder(&queue.join(name), owner, 0, 0o700)?;
    }
    make_folder(&queue.join("public"), owner, SETGID_GROUP.1, 0o710)?;
    make_folder(&queue.join("maildrop"), owner, SETGID_GROUP.1, 0o730)
}

fn make_folder(path: &Path, owner: u32, group: u32, mode: u32) -> Result<()> {
    let failed = || format!("can't make {}", path.display());
    fs::create_dir_all(path).with_context(failed)?;
    chown(path, Some(owner), Some(group)).with_context(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(failed)
}

fn main_cf(package: &Path, folder: &Path, log: &Path, next_server: Option<SocketAddr>) -> String {
    let relay_host = next_server.map(|next| format!("[{}]:{}", next.ip(), next.port())).unwrap_or_default();
    let (package, folder, log) = (package.display(), folder.display(), log.display());
    let (owner, group) = (MAIL_OWNER.0, SETGID_GROUP.0);
    format!(
        "compatibility_level = 3.6
config_directory = {folder}/etc
meta_directory = {folder}/etc
data_directory = {folder}/data
queue_directory = {folder}/queue
daemon_directory = {package}/usr/lib/postfix/sbin
command_directory = {package}/usr/sbin
shlib_directory = {package}/usr/lib/postfix
import_environment = MAIL_CONFIG LD_LIBRARY_PATH TZ LANG=C
mail_owner = {owner}
setgid_group = {group}
maillog_file = {log}
maillog_file_prefixes = /
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mx.bench.example
mydestination =
alias_maps =
alias_database =
virtual_mailbox_domains = bench.example
virtual_mailbox_maps = inline:{{ {{ {SINK} = sink }} }}
virtual_transport = discard:
mynetworks = 127.0.0.0/8
relayhost = {relay_host}
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 100000
smtpd_hard_error_limit = 100000
smtpd_client_connection_count_limit = 0
default_process_limit = 250
in_flow_delay = 0
"
    )
}

fn master_cf(address: &str) -> String {
    format!(
        "{address} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
discard unix - - n - - discard
smtp unix - - n - - smtp
scache unix - - n - 1 scache
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"
    )
}
