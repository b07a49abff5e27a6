//! A socketmap: a scripted server that answers from its memory, or fails as it is told.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use super::{Source, exercise, rcpt, site};

#[derive(Default)]
struct Memory {
    answers: HashMap<String, String>,
    /// What it says instead, whatever it is asked; nothing: it hangs up.
    fails_with: Option<&'static str>,
    asked: Vec<String>,
}

struct Map {
    folder: TempDir,
    memory: Arc<Mutex<Memory>>,
}

impl Map {
    fn start(answers: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let answers = answers.iter().map(|(key, value)| ((*key).to_owned(), format!("OK {value}")));
        let memory = Arc::new(Mutex::new(Memory { answers: answers.collect(), ..Memory::default() }));
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let shared = Arc::clone(&memory);
        // The threads end with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || drop(serve(stream.unwrap(), &shared)));
            }
        });
        Self { folder, memory }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn fail_with(&self, answer: Option<&'static str>) {
        self.memory.lock().unwrap().fails_with = answer;
    }

    fn asked(&self, question: &str) -> usize {
        self.memory.lock().unwrap().asked.iter().filter(|asked| *asked == question).count()
    }
}

fn serve(mut stream: UnixStream, memory: &Mutex<Memory>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = Vec::new();
    while reader.read_until(b':', &mut length)? > 0 {
        let octets = str::from_utf8(&length[..length.len() - 1]).unwrap().parse::<usize>().unwrap();
        length.clear();
        let mut question = vec![0; octets + 1];
        reader.read_exact(&mut question)?;
        assert_eq!(question.pop(), Some(b','));
        let question = String::from_utf8(question).unwrap();
        let answer = {
            let mut memory = memory.lock().unwrap();
            let found = memory.answers.get(&question).cloned().unwrap_or_else(|| "NOTFOUND ".into());
            memory.asked.push(question);
            memory.fails_with.map_or(found, str::to_owned)
        };
        if answer.is_empty() {
            break;
        }
        stream.write_all(format!("{}:{answer},", answer.len()).as_bytes())?;
    }
    Ok(())
}

impl Source for Map {
    fn stop(&mut self) {
        self.fail_with(Some("TEMP the backend is down"));
    }

    fn start(&mut self) {
        self.fail_with(None);
    }

    fn add_new(&mut self) {
        self.memory.lock().unwrap().answers.insert("users new@example.org".into(), "OK 1".into());
    }
}

const ANSWERS: &[(&str, &str)] = &[
    ("users bob@example.org", "1"),
    ("users zoe@example.org", "1"),
    ("users late@example.org", ""),
    ("users o'brien@example.org", "1"),
    ("aliases sales@example.org", "bob@example.org, zoe@example.org"),
];

fn tables(map: &Map, keep: &str) -> String {
    let one = |name: &str| {
        format!(
            "[table.{name}]\ntype = \"socketmap\"\naddress = \"unix:{}\"\nmap = \"{name}\"\ntimeout = \"20s\"\n{keep}\n",
            map.socket().display()
        )
    };
    one("users") + &one("aliases")
}

#[test]
fn mailboxes_and_aliases_stand_behind_a_socketmap() {
    let mut map = Map::start(ANSWERS);
    let server = site(&tables(&map, "cache = \"1h\"\nnegative_cache = \"1h\""), Vec::new());
    exercise(&server, &mut map);
}

#[test]
fn no_answer_but_notfound_refuses_anybody_for_good() {
    let map = Map::start(ANSWERS);
    let server = site(&tables(&map, "cache = \"0s\"\nnegative_cache = \"0s\""), Vec::new());
    rcpt(&server, "nobody", "550 5.1.1");
    for failure in ["TEMP x", "TIMEOUT x", "PERM no such map", "what?", ""] {
        map.fail_with(Some(failure));
        rcpt(&server, "nobody", "451 4.3.0");
        rcpt(&server, "bob", "451 4.3.0");
    }
    map.fail_with(None);
    rcpt(&server, "bob", "250 2.1.5");
}

#[test]
fn answers_are_kept_and_failures_are_not() {
    let map = Map::start(ANSWERS);
    let server = site(&tables(&map, ""), Vec::new());
    for _ in 0..3 {
        rcpt(&server, "bob", "250 2.1.5");
        rcpt(&server, "nobody", "550 5.1.1");
    }
    assert_eq!((map.asked("users bob@example.org"), map.asked("users nobody@example.org")), (1, 1));
    map.fail_with(Some("TEMP x"));
    rcpt(&server, "zoe", "451 4.3.0");
    rcpt(&server, "zoe", "451 4.3.0");
    assert_eq!(map.asked("aliases zoe@example.org"), 2);
}

/// What was accepted is delivered once the table is back: a failing table is no reason to send mail back.
#[test]
fn mail_waits_for_a_table_that_fails_behind_the_reply() {
    let map = Map::start(ANSWERS);
    let server = site(&tables(&map, "cache = \"0s\"\nnegative_cache = \"0s\""), Vec::new());
    let mut client = server.session();
    client.transaction(&["sales@example.org"]);
    map.fail_with(Some("TEMP x"));
    client.data(b"Subject: it waits\r\n\r\n", "250 2.6.0");
    server.wait_for_log("the address can't be looked up now");
    map.fail_with(None);
    for local_part in ["bob", "zoe"] {
        let letter = server.maildir("example.org", local_part).wait_for_one();
        assert_eq!(letter.content, b"Subject: it waits\r\n\r\n");
    }
    server.wait_for_empty_queue();
}

const POLICY: &str = r#"
table blocked = external "blocked" keyed by sender.address
table office = external "office" keyed by client.ip

at mail {
    rule not-asked-for when blocked.key == "free@client.example"
        accept

    rule blocked-sender when blocked is present
        reject 550 5.7.1 "<{sender.address}> may not send here: {blocked}"
        unsure defer 451 4.7.0 "cannot look up <{sender.address}>"

    rule in-the-office when office is present
        tag "office"
}
"#;

#[test]
fn a_policy_asks_a_table_of_the_configuration() {
    let map = Map::start(&[
        ("blocked spam@client.example", "spam from there"),
        ("blocked free@client.example", "x"),
    ]);
    let tables = tables(&map, "")
        + &format!(
            "[table.blocked]\ntype = \"socketmap\"\naddress = \"unix:{}\"\nmap = \"blocked\"\ncache = \"0s\"\n\
         negative_cache = \"0s\"\n[table.office]\ntype = \"cidr\"\npath = \"office\"\n",
            map.socket().display()
        );
    let files = vec![("site.policy", POLICY.to_owned()), ("office", "127.0.0.0/24 here\n".to_owned())];
    let mut server = site(&format!("{tables}[policy]\nfile = \"site.policy\""), files);
    let mail = |sender: &str, code: &str| server.session().ask_for(&format!("MAIL FROM:<{sender}>"), code);
    mail("SPAM@client.example", "550 5.7.1");
    assert!(mail("spam@client.example", "550 5.7.1").says("spam from there"));
    mail("free@client.example", "250 2.1.0");
    mail("other@client.example", "250 2.1.0");
    server.session().deliver("alice@example.org", b"Subject: tagged\r\n\r\n");
    server.wait_for_log("tags=\"office\"");
    map.fail_with(Some("TEMP x"));
    mail("spam@client.example", "451 4.7.0");
    mail("other@client.example", "451 4.7.0");
    map.fail_with(None);
    mail("other@client.example", "250 2.1.0");
    server.stop();
    let config = server.folder().join("gatepost.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[table.office]", "[table.offices]")).unwrap();
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = check.arg("check").arg("--config").arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("no table \"office\"") && said.contains("`offices`"),
        "{said}"
    );
}
