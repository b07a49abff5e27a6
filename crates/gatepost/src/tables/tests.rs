//! Tables as a whole, as far as no server is needed: files that change, limits, what is kept over a reload.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::settings::{Keep, Limits};
use super::*;

fn settings(name: &str, kind: TableKind) -> TableSettings {
    TableSettings {
        name: name.into(),
        kind,
        keep: Keep { values: Duration::from_secs(300), absence: Duration::from_secs(60), entries: 100 },
        limits: Limits { timeout: Duration::from_secs(5), connections: 2 },
    }
}

fn inline(pairs: &[(&str, &str)]) -> TableKind {
    let pairs: Vec<(Arc<str>, Arc<str>)> =
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    TableKind::Files(InMemory::Inline(pairs.into()))
}

fn file(path: &Path) -> TableKind {
    TableKind::Files(InMemory::File(path.to_owned()))
}

fn in_runtime<T>(asked: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(asked)
}

fn texts(tables: &Tables, name: &str, key: &str) -> Result<Option<Vec<String>>, String> {
    let found = in_runtime(tables.get(name).unwrap().look_up(key));
    found
        .map(|values| values.map(|values| values.texts().map(str::to_owned).collect()))
        .map_err(|failure| failure.to_string())
}

#[test]
fn a_key_is_found_as_it_is_and_not_under_its_domain() {
    let declared =
        [settings("t", inline(&[("A@Bücher.example", "one"), ("bücher.example", "all"), (".org", "x")]))];
    let (tables, problems) = Tables::of(&declared, None, true);
    assert!(problems.is_empty());
    let one = |text: &str| Ok(Some(vec![text.to_owned()]));
    assert_eq!(texts(&tables, "t", "a@xn--bcher-kva.example"), one("one"));
    assert_eq!(texts(&tables, "t", "b@bücher.example"), Ok(None));
    assert_eq!(texts(&tables, "t", "BÜCHER.example"), one("all"));
    assert!(tables.get("u").is_none());
}

#[test]
fn a_file_that_was_never_read_fails_and_one_that_is_broken_keeps_its_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let declared = [settings("t", file(&path))];
    let (tables, problems) = Tables::of(&declared, None, true);
    assert!(problems[0].title().contains("can't read the table"));
    assert_eq!(texts(&tables, "t", "a"), Err("the table `t` can't be asked: its file can't be read".into()));
    fs::write(&path, "a one\n").unwrap();
    let (tables, problems) = Tables::of(&declared, Some(&tables), true);
    assert!(problems.is_empty());
    assert_eq!(texts(&tables, "t", "a"), Ok(Some(vec!["one".into()])));
    assert_eq!(texts(&tables, "t", "b"), Ok(None));
    fs::write(&path, "a\nnew two\n").unwrap();
    let (tables, problems) = Tables::of(&declared, Some(&tables), true);
    assert!(problems.is_empty(), "it may be half written");
    let still = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(&path).unwrap().set_modified(still).unwrap();
    let (tables, problems) = Tables::of(&declared, Some(&tables), true);
    assert_eq!(problems.len(), 1);
    assert_eq!(texts(&tables, "t", "a"), Ok(Some(vec!["one".into()])), "the old entries stay");
    assert!(tables.reload().is_empty(), "said once");
    let (tables, problems) = Tables::of(&declared, Some(&tables), true);
    assert_eq!(problems.len(), 1, "said again to whoever asks for it");
    fs::remove_file(&path).unwrap();
    assert_eq!(tables.reload().len(), 1);
    assert_eq!(texts(&tables, "t", "a"), Ok(Some(vec!["one".into()])));
}

#[test]
fn a_pattern_sees_the_key_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    fs::write(&path, "/^Chef@/c boss\n/^any@/ all\n").unwrap();
    let declared = [settings("t", TableKind::Files(InMemory::Regex(path)))];
    let (tables, problems) = Tables::of(&declared, None, true);
    assert!(problems.is_empty());
    assert_eq!(texts(&tables, "t", "Chef@example.org"), Ok(Some(vec!["boss".into()])));
    assert_eq!(texts(&tables, "t", "chef@example.org"), Ok(None));
    assert_eq!(texts(&tables, "t", "Any@example.org"), Ok(Some(vec!["all".into()])));
}

#[test]
fn a_database_that_has_moved_is_found_after_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    let database = |name: &str, value: &str| {
        let path = folder.path().join(name);
        let made = rusqlite::Connection::open(&path).unwrap();
        made.execute_batch(&format!(
            "CREATE TABLE t (k TEXT, v TEXT); INSERT INTO t VALUES ('a', '{value}')"
        ))
        .unwrap();
        fs::write(&place, format!("sqlite:{}\n", path.display())).unwrap();
    };
    let query = Template::sql("SELECT v FROM t WHERE k = {key}").unwrap();
    let declared = [settings("t", TableKind::Sql(SqlSettings { url: Secret::File(place.clone()), query }))];
    database("one", "first");
    let (tables, _) = Tables::of(&declared, None, true);
    assert_eq!(texts(&tables, "t", "a"), Ok(Some(vec!["first".into()])));
    database("two", "second");
    let (tables, _) = Tables::of(&declared, Some(&tables), true);
    assert_eq!(texts(&tables, "t", "a"), Ok(Some(vec!["second".into()])));
}

#[test]
fn a_rehearsal_asks_no_servers() {
    let declared = [settings(
        "s",
        TableKind::Socketmap { address: SocketmapAddress::Unix("/nowhere".into()), map: "m".into() },
    )];
    let (tables, _) = Tables::of(&declared, None, false);
    let failed = texts(&tables, "s", "a").unwrap_err();
    assert_eq!(failed, "the table `s` can't be asked: a rehearsal asks no servers");
    let (tables, _) = Tables::of(&declared, None, true);
    assert!(texts(&tables, "s", "a").unwrap_err().contains("unix:/nowhere: No such file"));
}

#[test]
fn a_route_stands_under_the_domain_or_one_above_it() {
    let first = inline(&[("example.org", "smtp:mx.example.net:25"), (".example.org", "lmtp:unix:/run/lmtp")]);
    let second = inline(&[("example.net", "second"), ("example.org", "never")]);
    let broken = file(Path::new("/nowhere/t"));
    let declared = [settings("one", first), settings("two", second), settings("broken", broken)];
    let (tables, _) = Tables::of(&declared, None, true);
    let ask = |names: &[&str], domain: &str| {
        let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        in_runtime(route_for(&tables, &names, domain))
    };
    let both = ["one", "two"];
    assert_eq!(ask(&both, "Example.ORG").unwrap().as_deref(), Some("smtp:mx.example.net:25"));
    assert_eq!(ask(&both, "a.b.example.org").unwrap().as_deref(), Some("lmtp:unix:/run/lmtp"));
    assert_eq!(ask(&both, "example.net").unwrap().as_deref(), Some("second"));
    assert_eq!(ask(&both, "example.com"), Ok(None));
    assert!(ask(&["broken", "one"], "example.org").is_err(), "another route may stand in it");
    assert!(ask(&["one", "broken"], "example.org").is_ok());
    assert!(ask(&["none"], "example.org").is_err());
}

#[test]
fn the_configurations_of_the_guide_load_and_show_every_type() {
    let guide = include_str!("../../../../docs/guide/tables.md");
    let mut shown = std::collections::BTreeSet::new();
    for block in guide.split("```toml\n").skip(1) {
        let mut text = block.split("```").next().unwrap().to_owned();
        if !text.contains("[domain.") {
            text.push_str("\n[domain.\"example.org\".mailbox]\npostmaster = {}\n");
        }
        let parsed = crate::config::parse(&text, "/etc/gatepost/gatepost.toml", &mut |_| Ok(String::new()));
        let parsed = parsed.unwrap_or_else(|problems| panic!("{}", problems[0]));
        assert!(parsed.warnings.is_empty(), "{}", parsed.warnings[0]);
        shown.extend(parsed.config.tables.iter().map(|table| table.kind.as_str()));
    }
    let all = ["cidr", "directory", "file", "inline", "ldap", "regex", "socketmap", "sql"];
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), all);
    let policy = guide.split("```policy\n").nth(1).unwrap().split("```").next().unwrap();
    let checked = crate::policies::check(Path::new("guide.policy"), policy);
    assert!(checked.is_ok_and(|checked| checked.warnings.is_empty()));
}

#[test]
fn the_files_of_the_guide_are_read() {
    let guide = include_str!("../../../../docs/guide/tables.md");
    let files = guide.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let mut parts = files.split("# ").skip(1);
    let folder = tempfile::tempdir().unwrap();
    let kinds: [fn(std::path::PathBuf) -> InMemory; 3] = [InMemory::File, InMemory::Cidr, InMemory::Regex];
    let mut declared = Vec::new();
    for (name, kind) in ["virtual", "office", "generated"].into_iter().zip(kinds) {
        let path = folder.path().join(name);
        fs::write(&path, format!("# {}", parts.next().unwrap())).unwrap();
        declared.push(settings(name, TableKind::Files(kind(path))));
    }
    let (tables, problems) = Tables::of(&declared, None, true);
    assert!(problems.is_empty(), "{}", problems[0]);
    let one = |text: &str| Ok(Some(vec![text.to_owned()]));
    assert_eq!(texts(&tables, "virtual", "info@example.org"), one("alice, bob@example.net"));
    assert_eq!(texts(&tables, "office", "192.0.2.77"), one("headquarters"));
    assert_eq!(texts(&tables, "generated", "User-12@example.org"), one("archive@example.org"));
    assert_eq!(texts(&tables, "generated", "user-x@example.org"), Ok(None));
}
