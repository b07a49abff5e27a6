//! The directory, asked as the server asks it.

use std::cell::Cell;
use std::path::Path;

use super::*;
use crate::config;

const SITE: &str = r#"
hostname = "mx.example.org"
postmaster = "alice"
listen.mx = ["127.0.0.1:2525", "[::1]:2525"]
relay.smart_host = "mail.example.net:25"

[domain."example.org"]
aliases = ["example.net", "bücher.example"]

[domain."example.org".mailbox]
alice = {}
bob = { quota = "1 kB" }
"bob+full" = { full = true }
"two words" = {}
"zoë" = {}
carol = { forward = "carol@elsewhere.example", disclose = true }
dave = { forward = "dave@elsewhere.example" }
erin = { moved = "erin@new.example" }
frank = { busy = true }
grace = { full = true }
heidi = { full = true, over_quota = "defer" }
team = { members = ["alice", "bob", "info", "carol", "alice"], owner = "alice" }
info = { alias = ["bob", "dave@elsewhere.example"] }
help = { alias = "frank" }
desk = { alias = "help" }
ring = { alias = "carol" }
spam = { discard = true }

[domain."catch.example"]
catch_all = "grace@example.org"
subaddress = ""
mailbox.alice = {}
mailbox."a+b" = {}

[domain."other.example"]
catch_all = "all@elsewhere.example"
subaddress = "-"
mailbox.alice = { alias = "alice@example.org" }
mailbox.postmaster = { members = ["alice"] }
"#;

fn directory() -> Directory {
    let mut no_tables = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let parsed = config::parse(SITE, "site.toml", &mut no_tables).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    Directory::new(parsed.config.mailboxes, Path::new("/state"))
}

fn path(text: &str) -> ForwardPath {
    format!("<{text}>").parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn mailbox(text: &str) -> Mailbox {
    text.parse().unwrap()
}

/// What an address is, or why its mailbox takes nothing now.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Means(Meaning),
    Busy,
    OverQuota { temporary: bool },
}

fn ask(
    directory: &Directory,
    text: &str,
    size_octets: Option<u64>,
    used: impl FnOnce(&Path) -> io::Result<u64>,
) -> io::Result<Answer> {
    let path = path(text);
    if let Some(standing) = directory.declared().standing(&path) {
        if standing.is_busy() {
            return Ok(Answer::Busy);
        }
        if standing.over_quota(size_octets, used)? {
            return Ok(Answer::OverQuota { temporary: standing.quota_is_temporary() });
        }
    }
    Ok(Answer::Means(directory.declared().meaning(&path)))
}

fn answer(text: &str) -> Answer {
    ask(&directory(), text, None, |_| Ok(0)).unwrap()
}

fn resolved(text: &str) -> Vec<(String, Destination)> {
    let resolved = directory().resolve(&path(text));
    resolved.into_iter().map(|one| (one.mailbox.to_string(), one.destination)).collect()
}

fn maildir(path: &str) -> Destination {
    Destination::Maildir(PathBuf::from("/state/maildir").join(path))
}

#[test]
fn each_role_has_its_answer() {
    assert_eq!(answer("alice@example.org"), Answer::Means(Meaning::Mailbox));
    assert_eq!(answer("info@example.org"), Answer::Means(Meaning::Alias));
    assert_eq!(answer("team@example.org"), Answer::Means(Meaning::List));
    assert_eq!(answer("spam@example.org"), Answer::Means(Meaning::Mailbox));
    assert_eq!(answer("frank@example.org"), Answer::Busy);
    assert_eq!(answer("grace@example.org"), Answer::OverQuota { temporary: false });
    assert_eq!(answer("heidi@example.org"), Answer::OverQuota { temporary: true });
    assert_eq!(answer("nobody@example.org"), Answer::Means(Meaning::Unknown));
    assert_eq!(answer("alice@elsewhere.example"), Answer::Means(Meaning::NotLocal));
    let moved = Answer::Means(Meaning::Moved { address: mailbox("erin@new.example") });
    assert_eq!(answer("erin@example.org"), moved);
    let forward = |text, disclosed| Answer::Means(Meaning::Forward { address: mailbox(text), disclosed });
    assert_eq!(answer("carol@example.org"), forward("carol@elsewhere.example", true));
    assert_eq!(answer("dave@example.org"), forward("dave@elsewhere.example", false));
}

#[test]
fn names_are_found_however_they_are_written() {
    for text in [
        "ALICE@EXAMPLE.ORG",
        "\"alice\"@example.org",
        "\"al\\ice\"@example.org",
        "alice@example.net",
        "alice@bücher.example",
        "alice@XN--BCHER-KVA.example",
        "alice+lists@example.org",
        "alice+a+b@example.org",
        "alice@[127.0.0.1]",
        "alice@[IPv6:::1]",
        "\"two words\"@example.org",
        "ZOE\u{308}@example.org",
    ] {
        assert_eq!(answer(text), Answer::Means(Meaning::Mailbox), "{text}");
    }
    for text in ["alic@example.org", "+alice@example.org", "alice-x@example.org", "\"alice \"@example.org"] {
        assert_eq!(answer(text), Answer::Means(Meaning::Unknown), "{text}");
    }
    for text in ["alice@[127.0.0.2]", "alice@[x:y]", "alice@sub.example.org", "alice@xn--u\u{308}.example"] {
        assert_eq!(answer(text), Answer::Means(Meaning::NotLocal), "{text}");
    }
}

#[test]
fn a_full_name_goes_before_its_subaddress() {
    assert_eq!(answer("bob+full@example.org"), Answer::OverQuota { temporary: false });
    assert_eq!(answer("bob+more@example.org"), Answer::Means(Meaning::Mailbox));
    assert_eq!(answer("a+b@catch.example"), Answer::Means(Meaning::Mailbox));
    assert_eq!(
        resolved("alice-x@other.example"),
        [("alice@example.org".into(), maildir("example.org/alice"))]
    );
}

#[test]
fn postmaster_is_accepted_everywhere() {
    for text in [
        "Postmaster",
        "postmaster@example.org",
        "POSTMASTER@example.net",
        "postmaster+x@example.org",
        "postmaster@[127.0.0.1]",
        "postmaster@catch.example",
        "postmaster@MX.example.org",
    ] {
        assert_eq!(answer(text), Answer::Means(Meaning::Alias), "{text}");
        assert_eq!(resolved(text), [("alice@example.org".into(), maildir("example.org/alice"))], "{text}");
    }
    assert_eq!(resolved("postmaster@other.example").len(), 1, "its own");
    assert_eq!(
        answer("alice@mx.example.org"),
        Answer::Means(Meaning::Unknown),
        "the host's name has no other mailbox"
    );
    assert!(directory().is_local(&"mx.example.org".parse().unwrap()));
}

#[test]
fn a_postmaster_over_quota_is_accepted() {
    let text = "postmaster = \"bob\"\n[domain.\"example.org\".mailbox]\nbob = { quota = 10 }\ninfo = { alias = \"bob\" }";
    let parsed = config::parse(text, "site.toml", &mut |_| Ok(String::new())).unwrap();
    let directory = Directory::new(parsed.config.mailboxes, Path::new("/state"));
    let ask = |text| ask(&directory, text, None, |_| Ok(10)).unwrap();
    assert_eq!(ask("Postmaster"), Answer::Means(Meaning::Alias));
    assert_eq!(ask("postmaster@example.org"), Answer::Means(Meaning::Alias));
    assert_eq!(ask("bob@example.org"), Answer::OverQuota { temporary: false });
    assert_eq!(ask("info@example.org"), Answer::OverQuota { temporary: false });
}

#[test]
fn aliases_of_one_mailbox_answer_as_it_does() {
    assert_eq!(answer("help@example.org"), Answer::Busy);
    assert_eq!(answer("desk@example.org"), Answer::Busy);
    assert_eq!(answer("anything@catch.example"), Answer::OverQuota { temporary: false });
    assert_eq!(answer("ring@example.org"), Answer::Means(Meaning::Alias), "an alias discloses no forward");
    assert_eq!(answer("anything@other.example"), Answer::Means(Meaning::Alias));
}

#[test]
fn a_quota_counts_what_is_there_and_what_is_declared() {
    let directory = directory();
    let asked = Cell::new(0);
    let ask = |text, size_octets, used| {
        ask(&directory, text, size_octets, |maildir| {
            assert_eq!(maildir, Path::new("/state/maildir/example.org/bob"));
            asked.set(asked.get() + 1);
            Ok(used)
        })
        .unwrap()
    };
    let over = Answer::OverQuota { temporary: false };
    assert_eq!(ask("bob@example.org", None, 999), Answer::Means(Meaning::Mailbox));
    assert_eq!(ask("bob@example.org", None, 1_000), over);
    assert_eq!(ask("bob@example.org", Some(500), 500), Answer::Means(Meaning::Mailbox));
    assert_eq!(ask("bob@example.org", Some(501), 500), over);
    assert_eq!(ask("bob@example.org", Some(u64::MAX), 1), over);
    assert_eq!(asked.get(), 5);
    assert_eq!(ask("alice@example.org", Some(u64::MAX), 0), Answer::Means(Meaning::Mailbox), "no quota");
    assert_eq!(asked.get(), 5, "nothing is measured without a quota");
    let percent =
        |text: &str| directory.declared().standing(&path(text)).unwrap().quota_percent(|_| Ok(505)).unwrap();
    assert_eq!((percent("bob@example.org"), percent("alice@example.org")), (Some(50), None));
    assert_eq!(percent("grace@example.org"), Some(100), "full, whatever it holds");
}

#[test]
fn a_quota_that_can_not_be_measured_refuses_nothing_for_good() {
    let failed = ask(&directory(), "bob@example.org", None, |_| Err(io::Error::other("no disk")));
    assert_eq!(failed.unwrap_err().to_string(), "no disk");
}

#[test]
fn mail_goes_where_its_address_leads() {
    let relay = |text: &str| (text.to_owned(), Destination::Relay);
    let undeliverable = |text: &str, why| (text.to_owned(), Destination::Undeliverable(why));
    assert_eq!(resolved("Alice+x@example.net"), [("alice@example.org".into(), maildir("example.org/alice"))]);
    assert_eq!(resolved("zoë@example.org"), [("zoë@example.org".into(), maildir("example.org/zoë"))]);
    assert_eq!(resolved("dave@example.org"), [relay("dave@elsewhere.example")]);
    assert_eq!(resolved("any@elsewhere.example"), [relay("any@elsewhere.example")]);
    assert_eq!(resolved("any@other.example"), [relay("all@elsewhere.example")]);
    assert_eq!(resolved("spam@example.org"), [("spam@example.org".into(), Destination::Discard)]);
    assert_eq!(resolved("no@example.org"), [undeliverable("no@example.org", Undeliverable::Unknown)]);
    assert_eq!(resolved("help@example.org"), [undeliverable("frank@example.org", Undeliverable::Busy)]);
    let moved = Undeliverable::Moved(mailbox("erin@new.example"));
    assert_eq!(resolved("erin@example.org"), [undeliverable("erin@example.org", moved)]);
    let full = Undeliverable::OverQuota { temporary: true };
    assert_eq!(resolved("heidi@example.org"), [undeliverable("heidi@example.org", full)]);
}

#[test]
fn a_list_goes_to_each_member_once_in_its_owners_name() {
    let resolved = directory().resolve(&path("team@example.org"));
    let names: Vec<String> = resolved.iter().map(|one| one.mailbox.to_string()).collect();
    assert_eq!(
        names,
        ["alice@example.org", "bob@example.org", "dave@elsewhere.example", "carol@elsewhere.example"]
    );
    assert!(resolved.iter().all(|one| one.list_owner == Some(mailbox("alice@example.org"))));
    assert_eq!(resolved[0].quota, None);
    assert_eq!(resolved[1].quota, Some(Quota { limit_octets: 1_000, over_quota: OverQuota::Reject }));
    assert_eq!(directory().resolve(&path("info@example.org"))[0].list_owner, None);
}

#[test]
fn resolving_ends_even_where_the_entries_go_round() {
    let local_part = |text: &str| LocalPart::new(text).unwrap();
    let alias = |from: &str, to: &[&str]| Entry {
        local_part: local_part(from),
        role: Role::Alias(to.iter().map(|to| mailbox(&format!("{to}@x.example"))).collect()),
    };
    let mut entries = vec![alias("one", &["two"]), alias("two", &["one", "two"])];
    entries.extend((0..40).map(|number| alias(&format!("n{number}"), &[&format!("n{}", number + 1)])));
    let crowd: Vec<String> = (0..RESOLVED_MAX + 5).map(|number| format!("u{number}")).collect();
    entries.push(alias("crowd", &crowd.iter().map(String::as_str).collect::<Vec<_>>()));
    let hostname = "x.example".parse().unwrap();
    let domain = LocalDomain { entries, ..LocalDomain::empty("x.example".parse().unwrap()) };
    let maildir = PathTemplate::parse("{local_part}").unwrap();
    let declared = Declared::new(&hostname, Vec::new(), vec![domain], None, maildir);
    let directory = Directory::new(declared, Path::new("/state"));
    let too_many = Destination::Undeliverable(Undeliverable::TooManyAliases);
    assert_eq!(directory.resolve(&path("one@x.example"))[0].destination, too_many, "a circle");
    assert_eq!(directory.resolve(&path("n0@x.example"))[0].destination, too_many);
    let crowd = directory.resolve(&path("crowd@x.example"));
    assert_eq!((crowd.len(), &crowd[RESOLVED_MAX].destination), (RESOLVED_MAX + 1, &too_many));
}

#[test]
fn vrfy_is_told_what_there_is() {
    let directory = directory();
    let is = |text: &str| VerifyAnswer::Mailbox(mailbox(text));
    assert_eq!(directory.declared().verify("bob"), is("bob@example.org"));
    assert_eq!(directory.declared().verify(" <BOB+x@example.net> "), is("bob@example.org"));
    assert_eq!(directory.declared().verify("\"two words\""), is("\"two words\"@example.org"));
    assert_eq!(directory.declared().verify("team"), is("team@example.org"));
    assert_eq!(directory.declared().verify("dave"), is("dave@example.org"), "not disclosed");
    assert_eq!(
        directory.declared().verify("postmaster"),
        is("postmaster@example.org"),
        "of the first domain"
    );
    assert_eq!(directory.declared().verify("any@catch.example"), is("grace@example.org"));
    let forward = VerifyAnswer::Forward {
        mailbox: mailbox("carol@example.org"),
        address: mailbox("carol@elsewhere.example"),
    };
    assert_eq!(directory.declared().verify("carol"), forward);
    assert_eq!(
        directory.declared().verify("erin"),
        VerifyAnswer::Moved { address: mailbox("erin@new.example") }
    );
    let candidates =
        ["alice@example.org", "alice@catch.example", "alice@other.example"].map(mailbox).to_vec();
    assert_eq!(directory.declared().verify("alice"), VerifyAnswer::Ambiguous { candidates });
    for text in ["nobody", "nobody@example.org", "Alice Liddell"] {
        assert_eq!(directory.declared().verify(text), VerifyAnswer::Unknown, "{text}");
    }
    assert_eq!(directory.declared().verify("any@elsewhere.example"), VerifyAnswer::NotLocal);
    for text in ["", "<>", "a@b@c", "alice@", "\"open"] {
        assert_eq!(directory.declared().verify(text), VerifyAnswer::Malformed, "{text}");
    }
}

#[test]
fn expn_is_told_the_members() {
    let directory = directory();
    let members =
        ["alice@example.org", "bob@example.org", "info@example.org", "carol@example.org"].map(mailbox);
    let ExpandAnswer::Members(told) = directory.declared().expand("team") else { panic!("team is a list") };
    assert_eq!(told[..4], members);
    let info = ["bob@example.org", "dave@elsewhere.example"].map(mailbox).to_vec();
    assert_eq!(directory.declared().expand("<info@example.org>"), ExpandAnswer::Members(info));
    assert_eq!(directory.declared().expand("bob"), ExpandAnswer::Mailbox(mailbox("bob@example.org")));
    assert_eq!(
        directory.declared().expand("dave"),
        ExpandAnswer::Mailbox(mailbox("dave@example.org")),
        "not disclosed"
    );
    assert_eq!(directory.declared().expand("nobody"), ExpandAnswer::Unknown);
    assert_eq!(directory.declared().expand("team@elsewhere.example"), ExpandAnswer::NotLocal);
    assert_eq!(directory.declared().expand("a@b@c"), ExpandAnswer::Malformed);
    assert!(matches!(directory.declared().expand("alice"), ExpandAnswer::Ambiguous { .. }));
}
