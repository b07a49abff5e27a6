//! Addresses in tables: the order of look-ups, what values mean, what a failing table leaves open.

use std::path::Path;

use smtp::address::ForwardPath;

use super::*;
use crate::config::{self, Config};
use crate::mailboxes::{Destination, ExpandAnswer, Meaning, Undeliverable, VerifyAnswer};

const SITE: &str = r#"
hostname = "mx.example.org"
postmaster = "alice"
relay.smart_host = "mail.example.net:25"

[table.aliases]
type = "inline"
[table.aliases.entries]
"sales@example.org" = "bob, carol@elsewhere.example , \"a,b\"@elsewhere.example"
"bob@example.org" = "bob@EXAMPLE.net"
"copy@example.org" = "copy@example.org,dave@elsewhere.example"
"lonely@example.org" = "lonely"
"chain@example.org" = "sales"
"round@example.org" = "about"
"about@example.org" = "round"
"alice@example.org" = "never@elsewhere.example"
"list+news@example.org" = "bob"
"program@example.org" = "|/bin/cat"
"include@example.org" = ":include:/etc/all"
"@sub.example" = "@example.org"
"@all.example" = "bob@example.org"

[table.users]
type = "inline"
[table.users.entries]
"bob@example.org" = "quota=2 kB"
"copy@example.org" = "maildir=/srv/copy/Maildir"
"zoe@example.org" = "x"
"zoe+full@example.org" = "x"
"broken@example.org" = "quota=much"
"member@example.org" = "1"

[table.failing]
type = "file"
path = "/nowhere/table"

[domain."example.org"]
aliases = ["example.net"]
aliases_from = ["aliases"]
mailboxes_from = ["users"]
mailbox.alice = {}
mailbox.team = { members = ["member", "copy", "nobody@failing.example"] }
mailbox.help = { alias = "bob" }

[domain."sub.example"]
aliases_from = ["aliases"]
[domain."all.example"]
aliases_from = ["aliases"]
catch_all = "alice@example.org"
[domain."failing.example"]
mailboxes_from = ["users", "failing"]
mailbox.carol = {}
[domain."declared.example"]
catch_all = "bob@example.org"
"#;

struct Case {
    directory: Directory,
    tables: Tables,
}

impl Case {
    fn new() -> Self {
        let config = config();
        let (tables, problems) = Tables::of(&config.tables, None, true);
        assert_eq!(problems.len(), 1, "of the table that isn't there");
        Self { directory: Directory::new(config.mailboxes, Path::new("/state")), tables }
    }

    fn look_up(&self, ask: impl Fn(Known<'_>) + Send) -> LookedUp {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.directory.look_up(&self.tables, ask))
    }

    fn ends(&self, text: &str) -> Vec<String> {
        let path = path(text);
        let looked_up = self.look_up(|known| drop(known.resolve(&path)));
        let resolved = self.directory.with(&looked_up).resolve(&path);
        resolved
            .into_iter()
            .map(|end| {
                let way = match end.destination {
                    Destination::Maildir(maildir) => maildir.display().to_string(),
                    Destination::Relay => "relay".into(),
                    Destination::Route(name) => format!("route {name}"),
                    Destination::Discard => "discard".into(),
                    Destination::Undeliverable(Undeliverable::Unsure(_)) => "unsure".into(),
                    Destination::Undeliverable(why) => format!("{why:?}"),
                };
                format!("{} {way}", end.mailbox)
            })
            .collect()
    }

    fn meaning(&self, text: &str) -> Meaning {
        let path = path(text);
        let looked_up = self.look_up(|known| drop(known.meaning(&path)));
        self.directory.with(&looked_up).meaning(&path)
    }
}

fn config() -> Config {
    let parsed = config::parse(SITE, "site.toml", &mut |_| Ok(String::new()));
    parsed
        .unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })
        .config
}

fn path(text: &str) -> ForwardPath {
    format!("<{text}>").parse().unwrap()
}

#[test]
fn mail_goes_where_aliases_and_mailboxes_of_tables_lead() {
    let case = Case::new();
    let bob = "bob@example.org /state/maildir/example.org/bob";
    assert_eq!(case.ends("Zoe@Example.NET"), ["zoe@example.org /state/maildir/example.org/zoe"]);
    assert_eq!(case.ends("bob@example.org"), [bob], "an alias to itself is its mailbox");
    let sales = [bob, "carol@elsewhere.example relay", "\"a,b\"@elsewhere.example relay"];
    assert_eq!(case.ends("sales@example.org"), sales);
    assert_eq!(case.ends("chain@example.org"), sales);
    assert_eq!(case.ends("help@example.org"), [bob], "a declared alias leads into a table");
    assert_eq!(
        case.ends("copy@example.org"),
        ["copy@example.org /srv/copy/Maildir", "dave@elsewhere.example relay"]
    );
    assert_eq!(
        case.ends("alice@example.org"),
        ["alice@example.org /state/maildir/example.org/alice"],
        "declared"
    );
    assert_eq!(case.ends("nobody@example.org"), ["nobody@example.org Unknown"]);
    assert_eq!(
        case.ends("lonely@example.org"),
        ["lonely@example.org Unknown"],
        "an alias to nothing but itself"
    );
    assert_eq!(case.ends("round@example.org"), ["round@example.org TooManyAliases"]);
}

#[test]
fn the_whole_address_comes_first_then_its_name_then_the_domain() {
    let case = Case::new();
    assert_eq!(
        case.ends("zoe+full@example.org"),
        ["zoe+full@example.org /state/maildir/example.org/zoe+full"]
    );
    assert_eq!(case.ends("zoe+x@example.org"), ["zoe@example.org /state/maildir/example.org/zoe"]);
    let bob = "bob@example.org /state/maildir/example.org/bob";
    assert_eq!(case.ends("list+news@example.org"), [bob]);
    assert_eq!(case.ends("list+else@example.org"), ["list+else@example.org Unknown"]);
    assert_eq!(
        case.ends("zoe@sub.example"),
        ["zoe@example.org /state/maildir/example.org/zoe"],
        "the name is kept"
    );
    assert_eq!(case.ends("any@all.example"), [bob], "a table's catch-all before the declared one");
    assert_eq!(case.ends("any@declared.example"), [bob], "a declared catch-all leads into a table");
    assert_eq!(case.ends("any@elsewhere.example"), ["any@elsewhere.example relay"]);
}

#[test]
fn what_can_not_be_known_is_neither_there_nor_missing() {
    let case = Case::new();
    assert_eq!(case.ends("any@failing.example"), ["any@failing.example unsure"]);
    assert!(matches!(case.meaning("any@failing.example"), Meaning::Unsure(why) if why.contains("`failing`")));
    assert_eq!(case.meaning("carol@failing.example"), Meaning::Mailbox, "declared");
    for text in ["program", "include", "broken"] {
        assert_eq!(case.ends(&format!("{text}@example.org")), [format!("{text}@example.org unsure")]);
    }
    let team = case.ends("team@example.org");
    assert_eq!(team[0], "member@example.org /state/maildir/example.org/member");
    assert_eq!((team.len(), team[3].as_str()), (4, "nobody@failing.example unsure"));
    let unasked = case.directory.resolve(&path("zoe@example.org"));
    assert!(matches!(&unasked[0].destination, Destination::Undeliverable(Undeliverable::Unsure(_))));
}

#[test]
fn an_address_means_what_the_tables_say() {
    let case = Case::new();
    assert_eq!(case.meaning("zoe@example.org"), Meaning::Mailbox);
    assert_eq!(case.meaning("copy@example.org"), Meaning::Mailbox);
    assert_eq!(case.meaning("sales@example.org"), Meaning::Alias);
    assert_eq!(case.meaning("nobody@example.org"), Meaning::Unknown);
    assert_eq!(case.meaning("zoe@elsewhere.example"), Meaning::NotLocal);
    let bob = path("help@example.org");
    let looked_up = case.look_up(|known| assert!(known.standing(&bob).is_none_or(|bob| !bob.is_busy())));
    let known = case.directory.with(&looked_up);
    let over = |used| known.standing(&bob).unwrap().over_quota(None, |_| Ok(used)).unwrap();
    assert_eq!((over(1_999), over(2_000)), (false, true), "its quota stands in the table");
}

#[test]
fn vrfy_and_expn_are_told_what_stands_in_tables() {
    let case = Case::new();
    let verify = |text: &str| {
        let looked_up = case.look_up(|known| drop(known.verify(text)));
        case.directory.with(&looked_up).verify(text)
    };
    let expand = |text: &str| {
        let looked_up = case.look_up(|known| drop(known.expand(text)));
        case.directory.with(&looked_up).expand(text)
    };
    let mailbox = |text: &str| text.parse::<Mailbox>().unwrap();
    assert_eq!(verify("zoe@example.org"), VerifyAnswer::Mailbox(mailbox("zoe@example.org")));
    assert_eq!(verify("nobody@example.org"), VerifyAnswer::Unknown);
    assert_eq!(verify("any@failing.example"), VerifyAnswer::Unsure);
    assert_eq!(verify("zoe"), VerifyAnswer::Unsure, "a user may be in the domain that fails");
    let ExpandAnswer::Members(members) = expand("sales@example.org") else { panic!("an alias") };
    assert_eq!(members[..2], ["bob@example.org", "carol@elsewhere.example"].map(mailbox));
    assert_eq!(expand("any@failing.example"), ExpandAnswer::Unsure);
}

#[test]
fn values_are_split_at_commas_outside_quotation_marks() {
    let parts = |text: &'static str| split(text).collect::<Vec<_>>();
    assert_eq!(parts("a@x, b@y ,,c"), ["a@x", "b@y", "c"]);
    assert_eq!(parts("\"a,b\"@x,\"c\\\",d\"@y"), ["\"a,b\"@x", "\"c\\\",d\"@y"]);
    assert!(parts("").is_empty() && parts(" , ").is_empty());
}

#[test]
fn settings_of_mailboxes_are_named_or_written() {
    let of = |pairs: &[(&str, &str)]| {
        let mut values = Values::default();
        for (name, text) in pairs {
            values.push(&Arc::from(*name), (*text).to_owned()).unwrap();
        }
        settings(&values)
    };
    let quota = |pairs: &[(&str, &str)]| of(pairs).unwrap().quota_octets;
    assert_eq!(quota(&[("address", "a@x"), ("quota", "2048")]), Some(2_048));
    assert_eq!(quota(&[("", "quota = 1 MB")]), Some(1_000_000));
    assert_eq!(quota(&[("quota", "0")]), None);
    assert_eq!(quota(&[("", "1")]), None);
    assert!(of(&[("QUOTA", "much")]).is_err() && of(&[("maildir", "{home}")]).is_err());
    assert!(of(&[("maildir", "/srv/{local_part}")]).unwrap().maildir.is_some());
}
