//! MariaDB, with a data directory of its own on a Unix socket.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use super::harness::Running;
use super::{Source, exercise, get, private, site};

struct MariaDb {
    running: Option<Running>,
    folder: TempDir,
}

impl MariaDb {
    fn new() -> Self {
        let folder = private::folder();
        let mut install = private::command(Path::new("/usr/bin/mariadb-install-db"));
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=4M"]);
        private::run(install.arg(format!("--datadir={}", folder.path().join("files").display())), "");
        let mut this = Self { folder, running: None };
        this.start();
        this
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn client(&self) -> std::process::Command {
        let mut client = private::command(Path::new("/usr/bin/mariadb"));
        client.args(["--no-defaults", "--user=root"]).arg(format!("--socket={}", self.socket().display()));
        client
    }
}

impl Source for MariaDb {
    fn stop(&mut self) {
        self.running.take().unwrap().stop(Signal::TERM);
    }

    fn start(&mut self) {
        let mut command = private::command(Path::new("/usr/sbin/mariadbd"));
        command.args(["--no-defaults", "--skip-networking", "--skip-log-bin", "--skip-name-resolve"]);
        command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=4M"]);
        command.arg(format!("--datadir={}", self.folder.path().join("files").display()));
        command.arg(format!("--socket={}", self.socket().display()));
        command.arg(format!("--pid-file={}", self.folder.path().join("pid").display()));
        let is_ready = || private::succeeds(self.client().args(["--execute", "SELECT 1"]));
        self.running = Some(Running::start(command, self.folder.path().join("log"), is_ready));
    }

    fn add_new(&mut self) {
        private::run(&mut self.client(), "INSERT INTO mail.users VALUES ('new@example.org', 7, 1);");
    }
}

#[test]
fn mailboxes_and_aliases_stand_in_mariadb() {
    let mut mariadb = MariaDb::new();
    private::run(
        &mut mariadb.client(),
        "CREATE DATABASE mail CHARACTER SET utf8mb4; USE mail;
         CREATE TABLE users (address varchar(320) PRIMARY KEY, number int unsigned, active boolean);
         INSERT INTO users VALUES ('bob@example.org', 4000000000, true), ('zoe@example.org', 2, true),
            ('late@example.org', 3, true), ('o''brien@example.org', 4, true);
         CREATE TABLE aliases (address varchar(320), goto text, created datetime DEFAULT now());
         INSERT INTO aliases (address, goto) VALUES ('sales@example.org', 'bob@example.org, zoe@example.org');",
    );
    let url = format!("mysql://root@localhost/mail?socket={}", mariadb.socket().display());
    let keep = "timeout = \"20s\"\ncache = \"1h\"\nnegative_cache = \"1h\"";
    let tables = format!(
        "[table.users]\ntype = \"sql\"\nurl = \"{url}\"\n{keep}\n\
         query = \"SELECT number, active FROM users WHERE address = {{address}}\"\n\
         [table.aliases]\ntype = \"sql\"\nurl = \"{url}\"\n{keep}\n\
         query = \"SELECT goto FROM aliases WHERE address = CONCAT({{local_part}}, '@', {{domain}})\"\n\
         [table.typed]\ntype = \"sql\"\nurl = \"{url}\"\nquery = \"SELECT created FROM aliases WHERE address = {{key}}\""
    );
    let server = site(&tables, Vec::new());
    assert_eq!(get(&server, "users", "bob@example.org"), (0, "number: 4000000000\nactive: 1\n".into()));
    assert_eq!(get(&server, "typed", "sales@example.org").0, 75);
    exercise(&server, &mut mariadb);
}
