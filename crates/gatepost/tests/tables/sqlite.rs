//! SQLite: a file that is there, gone, and there again.

use std::path::PathBuf;

use super::{Source, exercise, site};

struct File {
    path: PathBuf,
}

impl File {
    fn batch(&self, text: &str) {
        rusqlite::Connection::open(&self.path).unwrap().execute_batch(text).unwrap();
    }

    fn away(&self) -> PathBuf {
        self.path.with_extension("away")
    }
}

impl Source for File {
    fn stop(&mut self) {
        std::fs::rename(&self.path, self.away()).unwrap();
    }

    fn start(&mut self) {
        std::fs::rename(self.away(), &self.path).unwrap();
    }

    fn add_new(&mut self) {
        self.batch("INSERT INTO users VALUES ('new@example.org')");
    }
}

#[test]
fn mailboxes_and_aliases_stand_in_an_sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File { path: folder.path().join("mail.sqlite") };
    file.batch(
        "CREATE TABLE users (address TEXT PRIMARY KEY);
         INSERT INTO users VALUES ('bob@example.org'), ('zoe@example.org'), ('late@example.org'), ('o''brien@example.org');
         CREATE TABLE aliases (address TEXT, goto TEXT);
         INSERT INTO aliases VALUES ('sales@example.org', 'bob'), ('sales@example.org', 'zoe@example.org');
         INSERT INTO aliases SELECT address, address FROM users;",
    );
    let url = format!("sqlite:{}", file.path.display());
    let keep = "timeout = \"20s\"\ncache = \"1h\"\nnegative_cache = \"1h\"";
    let tables = format!(
        "[table.users]\ntype = \"sql\"\nurl = \"{url}\"\n{keep}\n\
         query = \"SELECT 1 FROM users WHERE address = {{address}}\"\n\
         [table.aliases]\ntype = \"sql\"\nurl = \"{url}\"\n{keep}\n\
         query = \"SELECT goto || '@example.org' FROM aliases WHERE address = {{address}} AND goto NOT LIKE '%@%' \
         UNION SELECT goto FROM aliases WHERE address = {{address}} AND goto LIKE '%@%'\""
    );
    exercise(&site(&tables, Vec::new()), &mut file);
}
