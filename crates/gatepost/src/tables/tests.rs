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
    assert_eq!(problems.len(), 1);
    assert_eq!(texts(&tables, "t", "a"), Ok(Some(vec!["one".into()])), "the old entries stay");
    assert!(tables.reload().is_empty(), "said once");
    fs::remove_file(&path).unwrap();
    assert_eq!(tables.reload().len(), 1);
    assert_eq!(texts(&tables, "t", "a"), Ok(Some(vec!["one".into()])));
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
