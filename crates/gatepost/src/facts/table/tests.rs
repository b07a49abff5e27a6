//! Tables as a whole: what stands under which key, what is wrong with files, reading again, a million entries.

use std::fmt::Write as _;
use std::fs;

use policy::facts::Scope;
use policy::slot::Slot;
use policy::source::Source;
use policy::span::Span;
use policy::stage::Stage;
use proptest::prelude::*;

use super::*;
use crate::config::{self, SourceFile};
use crate::tables::key;

fn source(contents: Contents) -> Source {
    Source {
        name: "t".into(),
        shadow: false,
        since: Stage::Connect,
        scope: Scope::Session,
        kind: SourceKind::Table { contents, key: Slot(0) },
        span: Span::default(),
    }
}

fn parse(contents: &Contents, text: &str) -> Result<Entries, Vec<Problem>> {
    let keys = match contents {
        Contents::Cidr(_) => Keys::Networks,
        Contents::Regex(_) => Keys::Patterns,
        _ => Keys::Texts,
    };
    read::entries(keys, &Arc::new(SourceFile { name: "t".into(), text: text.into() }))
}

/// A table that was read from `text`.
fn table(contents: Contents, text: &str) -> Tables {
    let entries = parse(&contents, text).unwrap_or_else(|problems| panic!("{}", problems[0]));
    let table = Table::new(0, contents, Path::new(""));
    table.put(Some(Arc::new(entries)));
    Tables { tables: vec![table] }
}

/// Key and value in the table, as `explain` shows them.
fn look_up(tables: &Tables, key: &State) -> String {
    let [(Field::Value, value), (Field::Key, key)] = tables.look_up(0, key) else {
        panic!("two facts are expected")
    };
    format!("{key} -> {value}")
}

fn text_in(tables: &Tables, text: &str) -> String {
    look_up(tables, &State::text(text))
}

fn address_in(tables: &Tables, address: &str) -> String {
    look_up(tables, &State::Known(Value::address(address.parse().unwrap())))
}

const FILE: fn() -> Contents = || Contents::File("t".into());
const CIDR: fn() -> Contents = || Contents::Cidr("t".into());
const REGEX: fn() -> Contents = || Contents::Regex("t".into());

#[test]
fn a_text_is_found_under_its_closest_key() {
    let tables = table(
        FILE(),
        "# comment\n\nanna@example.org\tone # no comment\nEXAMPLE.net   two\r\n.example.net three\n@example.org four\n\
         \"two words\\\"\" five\n192.0.2.1 six\n.org seven\n",
    );
    for (text, found) in [
        ("Anna@EXAMPLE.org", "anna@example.org -> one # no comment"),
        ("bert@example.org", "@example.org -> four"),
        ("bert@x.example.org", ".org -> seven"),
        ("x@example.net", "example.net -> two"),
        ("example.net", "example.net -> two"),
        ("mx.a.example.net", ".example.net -> three"),
        ("Two Words\"", "two words\" -> five"),
        ("example.com", "(none) -> (none)"),
        ("", "(none) -> (none)"),
    ] {
        assert_eq!(text_in(&tables, text), found, "{text}");
    }
    assert_eq!(address_in(&tables, "::ffff:192.0.2.1"), "192.0.2.1 -> six");
    assert_eq!(address_in(&tables, "192.0.2.2"), "(none) -> (none)");
    let several = State::Known(Value::Texts(["a.example", "b.example.net"].map(Arc::from).into()));
    assert_eq!(look_up(&tables, &several), ".example.net -> three");
}

#[test]
fn an_address_is_found_under_its_longest_prefix() {
    let tables = table(
        CIDR(),
        "0.0.0.0/0 all\n192.0.2.0/24 net\n192.0.2.128/25 half\n192.0.2.7 one\n2001:db8::/32 six\n",
    );
    for (address, found) in [
        ("192.0.2.7", "192.0.2.7/32 -> one"),
        ("192.0.2.8", "192.0.2.0/24 -> net"),
        ("192.0.2.200", "192.0.2.128/25 -> half"),
        ("203.0.113.1", "0.0.0.0/0 -> all"),
        ("2001:db8:1::1", "2001:db8::/32 -> six"),
        ("::1", "(none) -> (none)"),
    ] {
        assert_eq!(address_in(&tables, address), found, "{address}");
    }
    assert_eq!(text_in(&tables, "192.0.2.7"), "192.0.2.7/32 -> one");
    assert_eq!(text_in(&tables, "mx.example.org"), "(none) -> (none)");
}

#[test]
fn the_first_pattern_that_matches_counts() {
    let tables = table(
        REGEX(),
        "/^dyn-\\d+\\./ dynamic\n/a\\/b/ slash\n/Case/c counted\n/case|other/ not counted\n/^x y$/x free\n",
    );
    for (text, found) in [
        ("DYN-17.example.org", "/^dyn-\\d+\\./ -> dynamic"),
        ("a/b", "/a\\/b/ -> slash"),
        ("Case", "/Case/c -> counted"),
        ("case", "/case|other/ -> not counted"),
        ("OTHER", "/case|other/ -> not counted"),
        ("xy", "/^x y$/x -> free"),
        ("nothing", "(none) -> (none)"),
    ] {
        assert_eq!(text_in(&tables, text), found, "{text}");
    }
}

#[test]
fn what_is_not_known_of_the_key_is_not_known_of_the_table() {
    let tables = table(FILE(), "a b\n");
    assert_eq!(look_up(&tables, &State::Missing), "(none) -> (none)");
    assert_eq!(look_up(&tables, &State::unsure("time-out")), "unsure: time-out -> unsure: time-out");
    assert!(look_up(&tables, &State::NotAsked).starts_with("unsure: "));
    let [(_, state), _] = tables.look_up(7, &State::text("a"));
    assert_eq!(state, State::unsure("the table can't be read"));
}

#[test]
fn what_is_wrong_has_its_place() {
    for (contents, text, place, title) in [
        (FILE(), "a b\n c d\n", "t:2:2", "an entry begins with white space"),
        (FILE(), "a b\nkey\n", "t:2:1", "a key without a value"),
        (FILE(), "a b\nb c\nA d\n", "t:3:1", "`A` stands twice in the table"),
        (FILE(), "\"a b\n", "t:1:1", "a quotation mark has no partner"),
        (FILE(), "\"a\"b\n", "t:1:4", "no white space behind the key"),
        (FILE(), "\"a\"ü\n", "t:1:4", "no white space behind the key"),
        (CIDR(), "192.0.2.7/24 x\n", "t:1:1", "`192.0.2.7/24` has bits set right of its prefix"),
        (CIDR(), "# x\nmx.example.org x\n", "t:2:1", "`mx.example.org` is not a network"),
        (CIDR(), "10.0.0.0/8 x\n10.0.0.0/8 y\n", "t:2:1", "`10.0.0.0/8` stands twice in the table"),
        (REGEX(), "^a b\n", "t:1:1", "not a pattern"),
        (REGEX(), "/a b\n", "t:1:1", "not a pattern"),
        (REGEX(), "/a(/ b\n", "t:1:1", "not a regular expression"),
        (REGEX(), "/a/q b\n", "t:1:4", "unknown flags `q`"),
        (REGEX(), "/a/ b\n/a{1000}{1000}/ b\n", "t:2:1", "not a regular expression"),
        (REGEX(), "/a/\n", "t:1:1", "a key without a value"),
    ] {
        let problems = parse(&contents, text).unwrap_err();
        assert!(problems[0].to_string().contains(place), "{text}");
        assert_eq!((problems[0].place().to_string().as_str(), problems[0].title()), (place, title), "{text}");
    }
    let long = format!("{} v\nk {}\n", "k".repeat(2_000), "v".repeat(10_000));
    assert_eq!(parse(&FILE(), &long).unwrap_err().len(), 2);
    assert_eq!(parse(&FILE(), &"key\n".repeat(1_000)).unwrap_err().len(), 20, "nobody reads a thousand");
}

#[test]
fn a_table_of_the_policy_needs_no_file() {
    let pairs =
        [("A@B.example", "one"), ("a@b.example", "two")].map(|(key, value)| (key.into(), value.into()));
    let (tables, problems) =
        Tables::of(&[source(Contents::Inline(pairs.into()))], Path::new("/nowhere"), &Tables::default());
    assert_eq!(problems, []);
    assert_eq!(text_in(&tables, "a@b.example"), "a@b.example -> one");
    assert_eq!(tables.reload(), []);
}

#[test]
fn a_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t");
    let sources = [source(FILE())];
    let of = |before: &Tables| Tables::of(&sources, directory.path(), before);
    let (never, problems) = of(&Tables::default());
    assert!(problems[0].title().starts_with("can't read the table"), "{}", problems[0]);
    assert_eq!(text_in(&never, "key"), "unsure: the table can't be read -> unsure: the table can't be read");

    fs::write(&file, "key one\n").unwrap();
    assert_eq!(never.reload(), []);
    assert_eq!(text_in(&never, "key"), "key -> one");
    let tables = never;

    let (again, problems) = of(&tables);
    assert_eq!(problems, []);
    let entries = |tables: &Tables| tables.tables[0].current().unwrap();
    assert!(Arc::ptr_eq(&entries(&tables), &entries(&again)), "the file is as it was");
    let tables = again;

    fs::write(&file, "key three\nkey four\n").unwrap();
    let problems = tables.reload();
    assert!(problems[0].place().to_string().ends_with("t:2:1"), "{}", problems[0]);
    assert_eq!(text_in(&tables, "key"), "key -> one");
    assert_eq!(tables.reload(), [], "one report a change");

    // A reload of the policy keeps what was good.
    let (tables, problems) = of(&tables);
    assert_eq!(problems.len(), 1);
    assert_eq!(text_in(&tables, "key"), "key -> one");

    fs::remove_file(&file).unwrap();
    assert_eq!(tables.reload().len(), 1);
    assert_eq!(text_in(&tables, "key"), "key -> one");
    fs::write(&file, "key five\n").unwrap();
    assert_eq!(tables.reload(), []);
    assert_eq!(text_in(&tables, "key"), "key -> five");
}

#[test]
fn a_million_entries_are_found() {
    const ENTRIES: u32 = 1_000_000;
    let mut text = String::new();
    let mut networks = String::new();
    for number in 0..ENTRIES {
        writeln!(text, "user{number}@domain{}.example value{number}", number % 1_000).unwrap();
        let address = std::net::Ipv4Addr::from_bits(number << 8);
        writeln!(networks, "{address}/24 value{}", number % 10).unwrap();
    }
    let texts = table(FILE(), &text);
    assert_eq!(
        text_in(&texts, "user999999@domain999.example"),
        "user999999@domain999.example -> value999999"
    );
    assert_eq!(text_in(&texts, "user999999@domain998.example"), "(none) -> (none)");
    let networks = table(CIDR(), &networks);
    assert_eq!(address_in(&networks, "15.66.63.9"), "15.66.63.0/24 -> value9");
    assert_eq!(address_in(&networks, "99.0.0.1"), "(none) -> (none)");
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z]{1,8}@[a-z]{1,5}\\.example",
        "\\.?[a-z]{1,5}\\.(example|org)",
        "@[a-zü]{1,5}\\.example",
        "[^\\s\"#/]{1,12}"
    ]
}

proptest! {
    #[test]
    fn every_entry_is_found_under_its_key(entries in prop::collection::btree_map(key(), "[!-~]{1,9}", 0..50)) {
        let mut text = String::new();
        let mut kept = std::collections::BTreeMap::new();
        for (key, value) in entries {
            // Keys that differ in case alone are one.
            if kept.insert(key::normal(&key).into_owned(), value.clone()).is_none() {
                writeln!(text, "{key}  {value}").unwrap();
            } else {
                kept.clear();
                text.clear();
            }
        }
        let tables = table(FILE(), &text);
        for (key, value) in kept {
            prop_assert_eq!(text_in(&tables, &key), format!("{key} -> {value}"));
        }
    }

    #[test]
    fn no_file_makes_the_reader_panic(text in ".{0,200}", lines in prop::collection::vec("[/\"#@. \\\\a-c(\\[{ü]{0,12}", 0..20)) {
        for text in [text, lines.join("\n")] {
            for contents in [FILE(), CIDR(), REGEX()] {
                match parse(&contents, &text) {
                    Ok(entries) => drop(entries.of_text("a@b.example")),
                    Err(problems) => prop_assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.to_string().is_empty())),
                }
            }
        }
    }

    /// The closest network is the one that trying all would find.
    #[test]
    fn the_longest_prefix_is_found(networks in prop::collection::btree_set((any::<u8>(), 0_u8..=32), 0..30), address in any::<u8>()) {
        let network = |(octet, bits): (u8, u8)| config::Network::of([192, 0, octet, octet].into(), bits);
        let networks: std::collections::BTreeSet<String> = networks.into_iter().map(|pair| network(pair).to_string()).collect();
        let text: String = networks.iter().map(|network| format!("{network} x\n")).collect();
        let address: std::net::IpAddr = [192, 0, address, address].into();
        let holding = networks.iter().map(|network| network.parse::<config::Network>().unwrap()).filter(|network| network.contains(address));
        let best = holding.max_by_key(config::Network::prefix_bits);
        let expected = best.map_or("(none) -> (none)".to_owned(), |network| format!("{network} -> x"));
        prop_assert_eq!(address_in(&table(CIDR(), &text), &address.to_string()), expected);
    }
}
