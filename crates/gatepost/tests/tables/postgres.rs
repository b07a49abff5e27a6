//! PostgreSQL, in a cluster of its own on a Unix socket.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use super::harness::Running;
use super::{Source, exercise, get, private, site};

struct Postgres {
    running: Option<Running>,
    folder: TempDir,
}

/// A program of the newest version that is installed.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten();
    let newest = versions.map(|entry| entry.unwrap().path()).max().unwrap_or_default();
    newest.join("bin").join(name)
}

impl Postgres {
    fn new() -> Self {
        let folder = private::folder();
        let mut initdb = private::command(&program("initdb"));
        initdb.args(["--auth=trust", "--username=gatepost", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        private::run(initdb.arg("--pgdata").arg(folder.path().join("cluster")), "");
        let mut this = Self { folder, running: None };
        this.start();
        this
    }

    fn socket(&self) -> &Path {
        self.folder.path()
    }

    fn psql(&self, text: &str) {
        let mut psql = private::command(&program("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--username=gatepost", "--dbname=postgres"]);
        psql.args(["--set=ON_ERROR_STOP=1", "--host"]).arg(self.socket());
        private::run(&mut psql, text);
    }
}

impl Source for Postgres {
    fn stop(&mut self) {
        self.running.take().unwrap().stop(Signal::INT);
    }

    fn start(&mut self) {
        let mut command = private::command(&program("postgres"));
        // Nothing in it outlives the test, so nothing is synced.
        command.args(["-F", "-c", "listen_addresses=", "-D"]).arg(self.folder.path().join("cluster"));
        command.arg("-k").arg(self.socket());
        let is_ready = || {
            let mut isready = private::command(&program("pg_isready"));
            private::succeeds(isready.arg("--host").arg(self.socket()))
        };
        self.running = Some(Running::start(command, self.folder.path().join("log"), is_ready));
    }

    fn add_new(&mut self) {
        self.psql("INSERT INTO users VALUES ('new@example.org', NULL, true);");
    }
}

#[test]
fn mailboxes_and_aliases_stand_in_postgresql() {
    let mut postgres = Postgres::new();
    postgres.psql(
        "CREATE TABLE users (address varchar PRIMARY KEY, quota bigint, active boolean NOT NULL);
         INSERT INTO users VALUES ('bob@example.org', 1000000, true), ('zoe@example.org', NULL, true),
            ('late@example.org', NULL, true), ('o''brien@example.org', NULL, true), ('gone@example.org', NULL, false);
         CREATE TABLE aliases (local text, domain text, goto text, created timestamp DEFAULT now());
         INSERT INTO aliases VALUES ('sales', 'example.org', 'bob@example.org'), ('sales', 'example.org', 'zoe');
         CREATE VIEW old AS SELECT * FROM aliases;",
    );
    let url = format!("postgres://gatepost@localhost/postgres?host={}", postgres.socket().display());
    let keep = "timeout = \"20s\"\ncache = \"1h\"\nnegative_cache = \"1h\"";
    let tables = format!(
        "[table.users]\ntype = \"sql\"\nurl_file = \"url\"\n{keep}\n\
         query = \"SELECT quota FROM users WHERE address = {{address}} AND active\"\n\
         [table.aliases]\ntype = \"sql\"\nurl = \"{url}\"\n{keep}\n\
         query = \"SELECT goto FROM aliases WHERE local = {{local_part}} AND domain = {{domain}}\"\n\
         [table.broken]\ntype = \"sql\"\nurl = \"{url}\"\nquery = \"SELECT x FROM nothing WHERE y = {{key}}\"\n\
         [table.typed]\ntype = \"sql\"\nurl = \"{url}\"\nquery = \"SELECT created FROM aliases WHERE local = {{key}}\""
    );
    let server = site(&tables, vec![("url", format!("{url}\n"))]);
    exercise_with_faults(&server, &mut postgres);
}

fn exercise_with_faults(server: &super::Server, postgres: &mut Postgres) {
    assert_eq!(get(server, "users", "bob@example.org"), (0, "quota: 1000000\n".into()));
    assert_eq!(get(server, "users", "zoe@example.org"), (0, "an entry without values\n".into()));
    assert_eq!(get(server, "users", "gone@example.org").0, 1);
    assert_eq!(get(server, "broken", "x").0, 75);
    let output = super::table(server, &["get", "typed", "sales"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(75) && said.contains("`created`"), "{said}");
    exercise(server, postgres);
}
