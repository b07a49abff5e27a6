//! What the commands that read the journal print, on a journal made up for it: pages are golden.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use policy::decision::{Decision, Step, Verdict};
use policy::slot::Facts;
use policy::stage::Stage;
use policy::value::{State, Value};
use policy::{NoFiles, Policy};
use queue::queue_id::QueueId;
use smtp::catalogue;
use smtp::time::WallTime;

use super::{Cli, Command, SiteOptions, explain, policy as policy_command, replay};
use crate::journal::store::{self, Reader};
use crate::journal::{About, DecisionId, Journal, Mask, Peer, PolicyText, SessionLog, Settings};

/// 2026-11-25, ten o'clock.
const NOW: WallTime = WallTime::from_unix_millis(1_795_600_800_000);

const SETTINGS: Settings = Settings {
    enabled: true,
    days: 7,
    size_octets: 1_000_000_000,
    mask: Mask::None,
    dialogue: true,
    ids: true,
};

const POLICY: &str = r#"networks trusted = 192.0.2.0/28
dnsbl zen = "zen.example" of client.ip

at mail {
    rule domain-missing when sender.domain_exists is no
        reject 550 5.1.8 "sender domain {sender.domain} does not exist"
}

at recipient {
    rule friends when client.ip in trusted
        accept
    rule listed when zen.listed
        reject 550 5.7.1 "{client.ip} is listed: {zen.reason}"
    observe rule no-ptr when client.ptr is missing
        defer 450 4.7.25 "no PTR record"
    rule greylist when greylist.passed is no
        defer 451 4.7.1 "greylisted, try again later"
}
"#;

/// A journal with three sessions: one refused by a list, one accepted though the list timed out, one out of order.
struct Fixture {
    state: tempfile::TempDir,
    refused: DecisionId,
    out_of_order: DecisionId,
}

/// The message of the second session.
const QUEUE_ID: &str = "0000000001A";

impl Fixture {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::open_with(state.path(), SETTINGS, NOW, || NOW);
        let policy = load(POLICY);
        let text = Arc::new(PolicyText::of(&policy));
        let session = |client: &str| {
            let peer =
                Peer { client: client.parse().unwrap(), listener: SocketAddr::from(([198, 51, 100, 1], 25)) };
            journal.session(&text, peer, NOW)
        };
        let mut log = session("192.0.2.99:4711");
        let mut talk =
            Talk { log: &mut log, policy: &policy, facts: Facts::new(policy.slots().len()), now: NOW };
        let address = |text: &str| State::Known(Value::address(text.parse().unwrap()));
        talk.known(&[("client.ip", address("192.0.2.99")), ("client.refused", State::Missing)]);
        talk.decide(Stage::Connect, About::default(), None);
        talk.hear("MAIL FROM:<alice@example.net>\r\nRCPT TO:<bob@example.org>\r\n");
        talk.known(&[("sender.domain_exists", State::yes_or_no(true))]);
        talk.known(&NO_USER);
        talk.decide(Stage::Mail, FROM, None);
        talk.known(&[
            ("zen.listed", State::yes_or_no(true)),
            ("zen.reason", State::text("a source of spam")),
        ]);
        let refused = journal.id();
        talk.known(&[("client.ptr", State::Missing), ("greylist.passed", State::yes_or_no(false))]);
        talk.decide(Stage::Recipient, TO, Some(refused));
        drop(log);

        let mut log = session("192.0.2.98:4712");
        let mut talk =
            Talk { log: &mut log, policy: &policy, facts: Facts::new(policy.slots().len()), now: NOW };
        talk.known(&[("client.ip", address("192.0.2.98")), ("client.refused", State::Missing)]);
        talk.decide(Stage::Connect, About::default(), None);
        talk.known(&[("sender.domain_exists", State::yes_or_no(true))]);
        talk.known(&NO_USER);
        talk.decide(Stage::Mail, FROM, None);
        talk.known(&[("zen.listed", State::unsure("time-out")), ("client.ptr", State::Missing)]);
        talk.known(&[
            ("greylist.passed", State::yes_or_no(true)),
            ("client.may_relay", State::yes_or_no(false)),
        ]);
        talk.known(&[("auth.user", State::Missing), ("recipient.local_domain", State::yes_or_no(true))]);
        talk.known(&[("mailbox.exists", State::yes_or_no(true)), ("mailbox.moved", State::Missing)]);
        talk.known(&[
            ("mailbox.busy", State::yes_or_no(false)),
            ("mailbox.over_quota", State::yes_or_no(false)),
        ]);
        talk.known(&[("mailbox.quota_is_temporary", State::yes_or_no(false))]);
        talk.decide(Stage::Recipient, TO, None);
        talk.known(&[("message.received_count", State::number(2))]);
        talk.decide(Stage::Data, FROM, None);
        talk.decide(Stage::Message, FROM, None);
        log.stored(NOW, FROM, QUEUE_ID.parse::<QueueId>().unwrap());
        drop(log);

        let mut log = session("192.0.2.97:4713");
        let out_of_order = journal.id();
        log.refusal(NOW, About::default(), &catalogue::MAIL_FIRST.reply(), out_of_order);
        drop(log);
        journal.close();
        Self { state, refused, out_of_order }
    }

    fn reader(&self) -> Reader {
        Reader::open(&store::folder(self.state.path())).unwrap()
    }

    /// What `gatepost` with these arguments would print, with ids that are the same each time.
    fn page(&self, arguments: &[&str]) -> (String, bool) {
        let cli = Cli::try_parse_from(std::iter::once("gatepost").chain(arguments.iter().copied())).unwrap();
        let (text, found) = match cli.command {
            Command::Explain(args) => explain::answer(&args, &self.reader()).unwrap(),
            Command::Policy(args) => (policy_command::report_page(&args, &self.reader()).unwrap(), true),
            Command::Replay(args) => {
                let (text, changed) = replay::answer(&args, &self.reader()).unwrap();
                (text, changed > 0)
            }
            _ => panic!("{arguments:?}"),
        };
        let text = text.replace(&self.refused.to_string(), "aaaa-aaaa");
        (text.replace(&self.out_of_order.to_string(), "bbbb-bbbb"), found)
    }
}

/// What is known of a session without AUTH.
const NO_USER: [(&str, State); 4] = [
    ("auth.over_messages", State::Known(Value::Boolean(false))),
    ("auth.owns_sender", State::Known(Value::Boolean(true))),
    ("auth.over_recipients", State::Known(Value::Boolean(false))),
    ("auth.owns_author", State::Known(Value::Boolean(true))),
];

const FROM: About<'static> =
    About { helo: Some("mail.example.net"), reverse_path: Some("alice@example.net"), recipient: None };
const TO: About<'static> = About { recipient: Some("bob@example.org"), ..FROM };

fn load(text: &str) -> Policy {
    Policy::load("site.policy", text, &mut NoFiles)
        .unwrap_or_else(|refused| panic!("{:?}", refused.findings))
        .policy
}

struct Talk<'t> {
    log: &'t mut SessionLog,
    policy: &'t Policy,
    facts: Facts,
    now: WallTime,
}

impl Talk<'_> {
    fn known(&mut self, facts: &[(&str, State)]) {
        for (name, state) in facts {
            self.facts.set(self.policy.slot(name).unwrap_or_else(|| panic!("{name}")), state.clone());
        }
    }

    fn hear(&mut self, lines: &str) {
        self.log.heard(lines.as_bytes());
    }

    fn decide(&mut self, stage: Stage, about: About<'_>, id: Option<DecisionId>) {
        let decision: Decision = match self.policy.step(stage, &self.facts) {
            Step::Decided(decision) => decision,
            Step::Need(need) => panic!(
                "{:?}",
                need.now.iter().map(|slot| &self.policy.slots()[slot.index()].name).collect::<Vec<_>>()
            ),
        };
        assert_eq!(id.is_some(), !matches!(decision.verdict, Verdict::Accept { .. }));
        self.log.decision(self.now, stage, about, (&decision, &self.facts), id);
    }
}

/// With `UPDATE_EXPECTED` set, the test writes the pages anew, for review.
#[test]
fn pages_are_golden() {
    let fixture = Fixture::new();
    let refused = fixture.refused.to_string();
    let reply = format!("550 5.7.1 192.0.2.99 is listed: a source of spam [{}]", refused.to_uppercase());
    let out_of_order = fixture.out_of_order.to_string();
    let new = fixture.state.path().join("new.policy");
    let stricter = POLICY.replace("550 5.7.1", "554 5.7.1").replace("observe rule no-ptr", "rule no-ptr");
    fs::write(&new, stricter.replace("greylist.passed is no", "spf.result is fail")).unwrap();
    let new = new.display().to_string();
    let goldens: [(&[&str], &str, bool); 8] = [
        (&["explain", &refused], "explain-refused.txt", true),
        (&["explain", QUEUE_ID], "explain-stored.txt", true),
        (&["explain", &out_of_order], "explain-out-of-order.txt", true),
        (&["explain", "zzzz-zzzz"], "explain-not-found.txt", false),
        (&["explain", "--to", "bob@", "--since", "2026-11-20"], "explain-search.txt", true),
        (
            &["explain", "--client", "203.0.113.0/24", "--since", "2026-11-20"],
            "explain-search-none.txt",
            false,
        ),
        (&["policy", "report", "--since", "2026-11-20"], "policy-report.txt", true),
        (&["replay", &new, "--since", "2026-11-20"], "replay.txt", true),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/golden");
    for (arguments, file, wanted) in goldens {
        let (page, found) = fixture.page(arguments);
        assert_eq!(found, wanted, "{arguments:?}");
        let path: PathBuf = folder.join(file);
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &page).unwrap();
        }
        assert_eq!(page, fs::read_to_string(&path).unwrap_or_default(), "{file}");
    }
    assert_eq!(fixture.page(&["explain", &reply]), fixture.page(&["explain", &refused]));
}

#[test]
fn json_says_the_same() {
    let fixture = Fixture::new();
    let id = fixture.refused.to_string();
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&fixture.page(arguments).0).unwrap()
    };
    let explained = json(&["explain", &id, "--json"]);
    let found = &explained["found"][0];
    assert_eq!((&explained["schema"], &found["id"]), (&1.into(), &"aaaa-aaaa".into()));
    assert_eq!(found["rule"]["place"], "site.policy:12:5");
    assert_eq!(found["tried"][1]["facts"][0]["name"], "zen.listed");
    let searched = json(&["explain", "--rule", "listed", "--since", "2026-11-20", "--json"]);
    assert_eq!(searched["found"].as_array().unwrap().len(), 2);
    let report = json(&["policy", "report", "--since", "2026-11-20", "--json"]);
    let rules = report["rules"].as_array().unwrap();
    let listed = rules.iter().find(|rule| rule["name"] == "listed").unwrap();
    assert_eq!((&listed["answered"], &listed["unsure"]), (&1.into(), &1.into()));
}

#[test]
fn too_many_changes_and_a_refused_policy_have_their_exit_codes() {
    let fixture = Fixture::new();
    let policy = fixture.state.path().join("other.policy");
    fs::write(&policy, POLICY.replace("550 5.7.1", "554 5.7.1")).unwrap();
    let options = SiteOptions { config: None, state: fixture.state.path().to_owned() };
    let code = |arguments: &[&str]| {
        let cli = Cli::try_parse_from(std::iter::once("gatepost").chain(arguments.iter().copied())).unwrap();
        match cli.command {
            Command::Replay(args) => replay::run(&args, &options).map_err(|error| error.to_string()),
            _ => panic!("{arguments:?}"),
        }
    };
    let new = policy.display().to_string();
    let over = |most| code(&["replay", &new, "--since", "2026-11-20", "--fail-over", most]);
    assert_eq!(format!("{:?}", over("0")), format!("{:?}", Ok::<_, String>(ExitCode::from(3))));
    assert_eq!(format!("{:?}", over("1")), format!("{:?}", Ok::<_, String>(ExitCode::SUCCESS)));
    fs::write(&policy, "at mail { rule x reject 354 \"no\" }").unwrap();
    assert!(code(&["replay", &new]).unwrap_err().ends_with("is refused"));
    assert!(code(&["replay", &new, "--since", "soon"]).unwrap_err().contains("is no time"));
}
