//! Configurations as a whole: the ones that must load, the broken ones with their diagnostics, the reference.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::clock;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn no_tables(_: &Path) -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

/// A configuration with tables, in the text of a case: `--- name` starts a table.
fn parse_case(text: &str) -> Result<Parsed, Vec<Problem>> {
    let mut parts = text.split("\n--- ");
    let main = parts.next().unwrap_or_default();
    let tables: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('\n')).collect();
    parse(main, "gatepost.toml", &mut |path| {
        let table = tables.iter().find(|(name, _)| Path::new(name) == path);
        table.map_or_else(|| no_tables(path), |(_, text)| Ok((*text).to_owned()))
    })
}

fn rendered(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n\n")).collect()
}

fn config(text: &str) -> Config {
    parse_case(text).unwrap_or_else(|problems| panic!("{}", rendered(&problems))).config
}

const SMALLEST: &str = "[domain.\"example.org\".mailbox]\npostmaster = {}\n";

/// Each `cases/*.toml` is a configuration, with tables after `--- name`, and beside it stands what is said about it.
/// With `UPDATE_EXPECTED` set, the test writes the diagnostics anew, for review.
#[test]
fn every_broken_configuration_has_its_diagnostics() {
    let directory = here("src/config/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    let mut failures = String::new();
    for case in &cases {
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        let said = match parse_case(&fs::read_to_string(case).unwrap()) {
            Ok(parsed) => parsed.warnings,
            Err(problems) => {
                assert!(problems.iter().any(|problem| problem.severity() == Severity::Error), "{name}");
                problems
            }
        };
        assert!(!said.is_empty(), "{name}: nothing is wrong with it");
        let said = rendered(&said);
        let expected = case.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            failures.push_str(&format!("== {name}\n{said}"));
        }
    }
    assert!(failures.is_empty(), "diagnostics that are not the expected ones:\n{failures}");
    assert!(cases.len() >= 25, "only {} cases", cases.len());
}

#[test]
fn the_postmaster_is_found_however_his_domain_is_written() {
    for postmaster in
        ["postmaster@xn--bcher-kva.example", "postmaster@BÜCHER.example", "postmaster@[192.0.2.1]"]
    {
        let text = format!(
            "hostname = \"mx.example.org\"\npostmaster = \"{postmaster}\"\n\n[listen]\nmx = [\"192.0.2.1:25\"]\n\n\
             [domain.\"bücher.example\".mailbox]\npostmaster = {{}}\n\n[domain.\"example.org\".mailbox]\nx = {{}}\n"
        );
        let parsed = parse_case(&text).unwrap_or_else(|problems| panic!("{}", rendered(&problems)));
        assert!(parsed.warnings.is_empty(), "{}", rendered(&parsed.warnings));
    }
}

#[test]
fn the_reference_is_in_step() {
    let file = here("../../docs/reference/configuration.md");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&file, reference()).unwrap();
    }
    assert_eq!(fs::read_to_string(file).unwrap(), reference());
}

#[test]
fn the_reference_names_every_key_once() {
    let reference = reference();
    for section in keys::SECTIONS {
        for key in section.keys {
            assert!(reference.contains(&format!("### `{}`", key.name())), "{}", key.name());
        }
    }
}

#[test]
fn the_configurations_in_the_reference_load() {
    let reference = reference();
    let mut loaded = 0;
    for block in reference.split("```toml\n").skip(1) {
        config(block.split("```").next().unwrap());
        loaded += 1;
    }
    let table = reference.split("```text\n").nth(1).and_then(|block| block.split("```").next()).unwrap();
    let text = format!("[domain.\"example.org\"]\ntables = [\"table\"]\n--- table\n{table}");
    assert_eq!(config(&text).mailboxes.domains[0].entries.len(), 7, "six and the postmaster");
    assert_eq!(loaded, 1);
}

#[test]
fn a_site_without_a_file_receives_for_postmaster_and_the_user() {
    let loaded = zero_configuration("mike").unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.listen.mx, ["127.0.0.1:2525".parse().unwrap()]);
    assert_eq!(config.hostname.as_str(), "localhost");
    let [domain] = config.mailboxes.domains.as_slice() else { panic!("one domain is expected") };
    let names: Vec<&str> = domain.entries.iter().map(|entry| entry.local_part.as_str()).collect();
    assert_eq!((domain.name.as_str(), names), ("localhost", vec!["postmaster", "mike"]));
}

#[test]
fn a_user_whose_name_is_no_mailbox_is_left_out() {
    for user in ["", "postmaster", "Postmaster", "a b", "x\" = 1", "@", "\n", "..", "ü"] {
        let config =
            zero_configuration(user).unwrap_or_else(|problems| panic!("{}", rendered(&problems))).config;
        assert_eq!(config.mailboxes.domains[0].entries.len(), 1, "{user:?}");
    }
}

#[test]
fn the_example_says_what_it_is_for() {
    let loaded = load(&here("../../examples/every-code/gatepost.toml"))
        .unwrap_or_else(|problems| panic!("{}", rendered(&problems)));
    let titles: Vec<&str> = loaded.warnings.iter().map(Problem::title).collect();
    assert_eq!(titles, ["no way for mail to `carol@elsewhere.example`"]);
    let config = loaded.config;
    assert_eq!(config.hostname.as_str(), "mx.example.org");
    assert_eq!(config.limits.message_octets, 1_048_576);
    assert_eq!((config.limits.recipients, config.limits.errors), (10, 20));
    assert_eq!(
        (config.limits.connections_per_address, config.limits.command_timeout),
        (5, Duration::from_secs(10))
    );
    let [one, three, nine] = ["127.0.0.1", "127.0.0.3", "127.0.0.9"].map(|text| text.parse().unwrap());
    assert!(config.is_trusted(one) && !config.is_trusted(three));
    assert!(!config.may_relay(one) && config.is_limited(one));
    assert!(
        config.refused(nine).is_some_and(|refused| refused.text.is_some()) && config.refused(one).is_none()
    );
    assert!(
        any_contains(&config.verify.vrfy_clients, one) && !any_contains(&config.verify.vrfy_clients, three)
    );
    assert!(
        any_contains(&config.verify.expn_clients, one) && !any_contains(&config.verify.expn_clients, three)
    );
}

#[test]
fn what_is_not_written_is_the_default() {
    let config = config(SMALLEST);
    assert_eq!(config.limits.message_octets, 50_000_000);
    assert_eq!(config.limits.recipients, 1_000);
    assert_eq!(config.limits.command_timeout, Duration::from_secs(300));
    assert_eq!(config.limits.data_timeout, Duration::from_secs(180));
    assert_eq!(config.queue.lifetime, Duration::from_secs(5 * 86_400));
    assert_eq!(config.clients.early_talkers, EarlyTalkers::Note);
    assert_eq!(config.verify.vrfy, OtherClients::Conceal);
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.relaying.smart_hosts, []);
}

#[test]
fn what_is_written_counts() {
    let config = config(&format!(
        "limits.recipients = 7\nrelay.smart_host = \"[2001:db8::1]:587\"\nqueue.retry_first = \"90s\"\n\
         clients.early_talkers = \"refuse\"\nclients.greeting_delay = \"2s\"\nlog.level = \"debug\"\n{SMALLEST}"
    ));
    assert_eq!(config.limits.recipients, 7);
    let host = Host::Address("2001:db8::1".parse().unwrap());
    assert_eq!(config.relaying.smart_hosts, [SmartHost { host, port: 587 }]);
    assert_eq!(config.queue.first, Duration::from_secs(90));
    assert_eq!((config.clients.early_talkers, config.log_level), (EarlyTalkers::Refuse, LogLevel::Debug));
}

#[test]
fn dns_servers_have_port_53_unless_another_is_written() {
    assert_eq!(config(SMALLEST).dns.servers, []);
    let written = "dns.servers = [\"192.0.2.53\", \"::1\", \"[::1]\", \"[::1]:5353\", \"192.0.2.53:5353\"]";
    let dns = config(&format!("{written}\ndns.attempts = 3\ndns.dnssec = true\n{SMALLEST}")).dns;
    let servers: Vec<String> = dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.53:53", "[::1]:53", "[::1]:53", "[::1]:5353", "192.0.2.53:5353"]);
    assert_eq!((dns.timeout, dns.attempts, dns.dnssec), (Duration::from_secs(3), 3, true));
}

#[test]
fn nobody_relays_without_a_way() {
    let local = "127.0.0.1".parse().unwrap();
    let without = config(SMALLEST);
    assert!(!without.may_relay(local) && !without.is_limited(local));
    let with = config(&format!("relay.smart_host = \"mail.example.net:25\"\n{SMALLEST}"));
    assert!(with.may_relay(local) && with.may_relay("::1".parse().unwrap()));
    assert!(!with.may_relay("192.0.2.1".parse().unwrap()) && with.is_limited("192.0.2.1".parse().unwrap()));
}

#[test]
fn clients_are_counted_in_their_network() {
    assert_eq!(client_network("192.0.2.77".parse().unwrap()).to_string(), "192.0.2.0/24");
    assert_eq!(client_network("2001:db8::7:1".parse().unwrap()).to_string(), "2001:db8::/64");
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gatepost-config-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_table_is_read_again_when_it_changes_and_the_configuration_is_not() {
    let site = Scratch::new("reload");
    let head = "[domain.\"example.org\"]\ntables = [\"addresses\"]\n";
    let file = site.write("gatepost.toml", head);
    site.write("addresses", "postmaster\n");
    let mut loaded = load(&file).unwrap();
    assert!(!loaded.tables.changed());

    site.write("gatepost.toml", "half an edit");
    site.write("addresses", "postmaster\nalice\n");
    assert!(loaded.tables.changed());
    let parsed = loaded.tables.reload().unwrap();
    assert_eq!(parsed.config.mailboxes.domains[0].entries.len(), 2);
    assert!(!loaded.tables.changed());

    let now = clock::wall();
    assert!(loaded.tables.in_flux(now) && !loaded.tables.in_flux(now + STILL), "written just now");

    site.write("addresses", "postmaster\nalice: nobody\n");
    assert!(loaded.tables.changed());
    let problems = loaded.tables.reload().unwrap_err();
    assert!(problems[0].place().to_string().ends_with("addresses:2:8"), "{}", rendered(&problems));
    assert!(!loaded.tables.changed(), "one report a change");

    fs::remove_file(site.0.join("addresses")).unwrap();
    assert!(loaded.tables.changed());
    assert!(loaded.tables.reload().is_err());
    site.write("addresses", "postmaster\n");
    assert!(loaded.tables.changed());
    assert!(loaded.tables.reload().is_ok());
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name() {
    let site = Scratch::new("mark");
    let file = site.write("gatepost.toml", "\u{FEFF}[domain.\"example.org\"]\ntables = [\"addresses\"]\n");
    site.write("addresses", "\u{FEFF}postmaster\n");
    let loaded = load(&file).unwrap();
    assert!(loaded.config.mailboxes.domains[0].entries[0].local_part.is_postmaster());
}

#[test]
fn a_file_of_places_that_cannot_be_used_is_a_problem_at_its_key() {
    let site = Scratch::new("geo");
    site.write("asn.mmdb", "not in MaxMind's format");
    let text = format!("geo.country = \"none.mmdb\"\ngeo.asn = \"asn.mmdb\"\n{SMALLEST}");
    let problems = load(&site.write("gatepost.toml", &text)).unwrap_err();
    let places: Vec<String> = problems.iter().map(|problem| problem.place().to_string()).collect();
    assert!(
        places[0].ends_with("gatepost.toml:1:15") && places[1].ends_with("gatepost.toml:2:11"),
        "{places:?}"
    );
    assert!(problems[0].title().contains("none.mmdb"), "{}", rendered(&problems));
}

#[test]
fn a_configuration_that_is_not_there_is_a_problem() {
    let problems = load(Path::new("/nowhere/gatepost.toml")).unwrap_err();
    assert!(problems[0].title().starts_with("can't read the configuration `/nowhere/gatepost.toml`"));
    let text = problems[0].to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("help: a path that does not start with `/`"), "{text}");
}

#[test]
fn no_text_makes_the_reader_panic() {
    let whole = fs::read_to_string(here("../../examples/every-code/gatepost.toml")).unwrap();
    for end in (0..whole.len()).step_by(7).filter(|end| whole.is_char_boundary(*end)) {
        let _ = parse(&whole[..end], "cut.toml", &mut no_tables);
    }
    let table = "a: {x=\"é\"\n \"q\\\"\": é@é, #\n:\n\"\n,: ,\n b\n";
    for end in (0..=table.len()).filter(|end| table.is_char_boundary(*end)) {
        let _ = parse_case(&format!("[domain.\"example.org\"]\ntables = [\"t\"]\n--- t\n{}", &table[..end]));
    }
}

#[test]
fn the_closest_domain_says_what_is_asked_of_tls() {
    let config = config(&format!(
        "[dns]\ndnssec = true\n[tls]\ndefault = \"encrypted\"\n[tls.domain]\n\"Example.org\" = \"off\"\n\
         \"*.example.org\" = \"verified\"\n\"*.deep.example.org\" = \"dane\"\n\"bücher.example\" = \"opportunistic\"\n{SMALLEST}"
    ));
    assert_eq!(config.tls.default, TlsChoice::Encrypted);
    for (domain, level) in [
        ("example.org", Some(TlsChoice::Off)),
        ("a.example.org", Some(TlsChoice::Verified)),
        ("deep.example.org", Some(TlsChoice::Verified)),
        ("a.deep.example.org", Some(TlsChoice::Dane)),
        ("xn--bcher-kva.example", Some(TlsChoice::Opportunistic)),
        ("elsewhere.example", None),
        ("notexample.org", None),
    ] {
        assert_eq!(config.tls.of_domain(domain), level, "{domain}");
    }
}
