//! Tables of real servers: PostgreSQL, MariaDB, SQLite, OpenLDAP and a scripted socketmap, asked by a running Gatepost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;
#[path = "tables/ldap.rs"]
mod ldap;
#[path = "tables/mariadb.rs"]
mod mariadb;
#[path = "tables/postgres.rs"]
mod postgres;
#[path = "tables/private.rs"]
mod private;
#[path = "tables/socketmap.rs"]
mod socketmap;
#[path = "tables/sqlite.rs"]
mod sqlite;

use std::process::{Command, Output};

use harness::{Peer, Server, Setup};

/// What a source does while a site asks it.
trait Source {
    /// Ends it.
    fn stop(&mut self);
    /// Starts it again, with what it had.
    fn start(&mut self);
    /// Adds a mailbox `new@example.org`.
    fn add_new(&mut self);
}

/// A site whose mailbox `alice` is declared; `tables` declares the tables `users` and `aliases`.
fn site(tables: &str, files: Vec<(&'static str, String)>) -> Server {
    let config = format!(
        "hostname = \"mx.example.org\"\npostmaster = \"alice\"\nqueue.retry_first = \"1s\"\n\
         verify.vrfy_clients = [\"127.0.0.1\"]\nverify.expn_clients = [\"127.0.0.1\"]\n\
         [domain.\"example.org\"]\nmailboxes_from = [\"users\"]\naliases_from = [\"aliases\"]\nmailbox.alice = {{}}\n\
         {tables}\n"
    );
    Server::start(Setup { config: Some(config), files, ..Setup::default() })
}

/// The reply to RCPT for a mailbox of example.org.
fn rcpt(server: &Server, local_part: &str, code: &str) {
    let mut client = server.session();
    client.ask_for("MAIL FROM:<sender@client.example>", "250 2.1.0");
    client.ask_for(&format!("RCPT TO:<{local_part}@example.org>"), code);
}

/// What `gatepost table` says of the site.
fn table(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("table").args(arguments).arg("--config").arg(server.folder().join("gatepost.toml"));
    command.output().unwrap()
}

fn get(server: &Server, name: &str, key: &str) -> (i32, String) {
    let output = table(server, &["get", name, key]);
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Local parts that try to be more than a key.
const INJECTIONS: [&str; 6] = [
    "\"'; DROP TABLE users; --\"",
    "\"' OR '1'='1\"",
    "\"x\\\" OR 1=1 --\"",
    "\"*)(mail=*\"",
    "*",
    "\"\\\\2a\"",
];

/// What every source must do. `users` has `bob`, `zoe`, `late` and `o'brien`; `aliases` sends `sales` to `bob` and `zoe`.
/// Answers are kept for an hour.
fn exercise(server: &Server, source: &mut dyn Source) {
    rcpt(server, "bob", "250 2.1.5");
    rcpt(server, "BOB+folder", "250 2.1.5");
    rcpt(server, "o'brien", "250 2.1.5");
    rcpt(server, "sales", "250 2.1.5");
    rcpt(server, "nobody", "550 5.1.1");
    rcpt(server, "new", "550 5.1.1");
    for local_part in INJECTIONS {
        rcpt(server, local_part, "550 5.1.1");
    }
    server.session().deliver("sales@example.org", b"Subject: to both\r\n\r\n");
    for local_part in ["bob", "zoe"] {
        let letter = server.maildir("example.org", local_part).wait_for_one();
        assert_eq!(letter.content, b"Subject: to both\r\n\r\n");
    }
    server.session().ask_for("VRFY bob@example.org", "250");
    assert!(server.session().ask("EXPN sales@example.org").says("zoe@example.org"));

    source.stop();
    rcpt(server, "bob", "250 2.1.5");
    rcpt(server, "nobody", "550 5.1.1");
    rcpt(server, "late", "451 4.3.0");
    server.session().ask_for("VRFY late@example.org", "252");
    server.session().ask_for("EXPN late@example.org", "252");
    server.session().deliver("alice@example.org", b"Subject: goes on\r\n\r\n");
    server.maildir("example.org", "alice").wait_for_one();
    assert_eq!(get(server, "users", "bob@example.org").0, 75);

    source.start();
    rcpt(server, "late", "250 2.1.5");
    assert_eq!(get(server, "users", "bob@example.org").0, 0);
    assert_eq!(get(server, "users", "no@example.org"), (1, "no entry\n".into()));
    let (code, values) = get(server, "aliases", "Sales@Example.ORG");
    assert!(code == 0 && values.contains("bob@example.org") && values.contains("zoe"), "{values}");

    source.add_new();
    rcpt(server, "new", "550 5.1.1");
    server.reload();
    rcpt(server, "new", "250 2.1.5");
}

#[test]
fn the_tables_of_a_configuration_are_listed() {
    let server = site(
        "[table.users]\ntype = \"inline\"\nentries = { \"bob@example.org\" = \"1\" }\n\
         [table.aliases]\ntype = \"directory\"\npath = \"none\"\n[table.spare]\ntype = \"regex\"\npath = \"spare\"",
        vec![("spare", "/^x/ 1\n".into())],
    );
    let output = table(&server, &["list"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "users  inline  mailboxes of example.org\naliases  directory  aliases of example.org\n\
         spare  regex  no domain uses it\n"
    );
    let output = table(&server, &["get", "user", "bob@example.org"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `users`?"));
    rcpt(&server, "bob", "451 4.3.0");
    std::fs::create_dir(server.folder().join("none")).unwrap();
    rcpt(&server, "bob", "250 2.1.5");
    std::fs::write(server.folder().join("none/sales@example.org"), "bob\n").unwrap();
    server.session().deliver("sales@example.org", b"Subject: by a file\r\n\r\n");
    server.maildir("example.org", "bob").wait_for_one();
}

#[test]
fn a_table_says_where_the_mail_for_a_domain_goes() {
    const TAKEN: &[&str] = &["250 2.0.0 taken"];
    let (one, below, rest) = (Peer::start(TAKEN), Peer::start(TAKEN), Peer::start(TAKEN));
    let site = |routes: &str| {
        format!(
            "hostname = \"mx.example.org\"\nqueue.retry_first = \"1s\"\n[relay]\nsmart_host = \"{}\"\n\
             routes_from = [\"routes\"]\n[domain.\"example.org\".mailbox]\npostmaster = {{}}\n\
             [route.named]\nto = \"smtp://{}\"\n[table.routes]\n{routes}",
            rest.address(),
            below.address()
        )
    };
    let entries = format!(
        "\"one.example\" = \"smtp://{}\"\n\".below.example\" = \"route:named\"\n\"broken.example\" = \"smtp:nowhere\"\n\
         \"gone.example\" = \"route:none\"\n",
        one.address()
    );
    let server = Server::with_config(&site(&format!("type = \"inline\"\n[table.routes.entries]\n{entries}")));
    for recipient in ["a@One.example", "b@deep.below.example", "c@else.example"] {
        server.session().deliver(recipient, b"Subject: routed\r\n\r\n");
    }
    for (peer, recipient) in
        [(&one, "a@One.example"), (&below, "b@deep.below.example"), (&rest, "c@else.example")]
    {
        let seen = peer.wait_for(1);
        assert!(seen.commands.iter().any(|command| command.contains(recipient)), "{:?}", seen.commands);
    }
    for recipient in ["d@broken.example", "e@gone.example"] {
        server.session().deliver(recipient, b"Subject: it waits\r\n\r\n");
        server.wait_for_line(&[recipient, "outcome=\"deferred\""]);
    }
    let failing = Server::with_config(&site("type = \"directory\"\npath = \"routes\""));
    failing.session().deliver("f@else.example", b"Subject: it waits, too\r\n\r\n");
    failing.wait_for_log("the route can't be looked up now");
    assert_eq!(rest.seen().messages.len(), 1, "a table that fails is not one without the route");
    std::fs::create_dir(failing.folder().join("routes")).unwrap();
    rest.wait_for(2);
}
