//! Contents as a whole: what is found in good ones, and that bad ones neither hide anything nor cost much.

use std::fmt::Write as _;

use policy::facts::FACTS;
use proptest::prelude::*;

use super::*;

fn all() -> Asked {
    let facts = FACTS.iter().filter(|fact| fact.group == Group::Content).map(|fact| fact.name);
    Asked::new(facts, ["List-Id", "x-none", "received"].map(Arc::from))
}

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// What is found in a content, as `explain` shows it.
struct Shown(Found);

impl Shown {
    fn of(text: &str) -> Self {
        Self(find(&crlf(text), all()))
    }

    fn get(&self, name: &str) -> String {
        let fact = self.0.facts.iter().find(|(known, _)| *known == name);
        fact.map(|(_, state)| state.to_string()).unwrap_or_else(|| panic!("{name} wasn't found out"))
    }

    fn header(&self, name: &str) -> String {
        self.0.headers.iter().find(|(known, _)| &**known == name).unwrap().1.to_string()
    }

    fn attachments(&self) -> [String; 3] {
        ["attachment.name", "attachment.type", "attachment.media_type"].map(|name| self.get(name))
    }
}

const LETTER: &str = "Received: by a\n\
    From: =?utf-8?q?J=C3=BCrgen?= <J@Example.ORG>\n\
    Subject: =?iso-8859-1?q?Gr=FC=DFe?=\n\
    Date: Wed, 25 Nov 2026 00:00:00 +0000\n\
    Message-ID: <1@example.org>\n\
    List-Id: =?utf-8?q?Die_Liste?=\n <l.example.org>\n\
    Received: by b\n\
    MIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=\"b 1\"\n\n\
    preamble http://preamble.example/\n\
    --b 1\n\
    Content-Type: multipart/alternative; boundary=b2\n\n\
    --b2\n\
    \n\
    see https://text.example/ and\n\
    --b2\n\
    Content-Type: text/html; charset=utf-8\n\
    Content-Transfer-Encoding: quoted-printable\n\n\
    <a href=3D\"http://ht=\nml.example/\">x</a>\n\
    --b2--\n\
    --b 1\n\
    Content-Type: application/pdf; name*=utf-8''Rechnung%20%C3%BC.pdf\n\
    Content-Transfer-Encoding: base64\n\
    Content-Disposition: attachment\n\n\
    YWJj\n\
    ZGVm\n\
    --b 1--\n\
    epilogue\n";

#[test]
fn a_letter_has_its_facts() {
    let shown = Shown::of(LETTER);
    for (name, value) in [
        ("message.subject", "Grüße"),
        ("message.from_address", "J@example.org"),
        ("message.from_domain", "example.org"),
        ("message.from_count", "1"),
        ("message.has_date", "yes"),
        ("message.id", "1@example.org"),
        ("message.parts", "3"),
        ("message.is_damaged", "no"),
        ("attachment.name", "Rechnung ü.pdf"),
        ("attachment.type", "pdf"),
        ("attachment.media_type", "application/pdf"),
        ("attachment.size", "6"),
        ("attachment.count", "1"),
        ("url.domain", "text.example, html.example"),
    ] {
        assert_eq!(shown.get(name), value, "{name}");
    }
    assert_eq!(shown.header("list-id"), "Die Liste <l.example.org>");
    assert_eq!(shown.header("received"), "by a, by b");
    assert_eq!(shown.header("x-none"), "");
}

#[test]
fn a_plain_text_is_one_part_and_lacks_what_it_lacks() {
    let shown = Shown::of("To: a\n\nbegin 644 x.exe\nM111\nend\nwww.example.org\n");
    for (name, value) in [
        ("message.subject", "(none)"),
        ("message.from_address", "(none)"),
        ("message.from_count", "0"),
        ("message.has_date", "no"),
        ("message.id", "(none)"),
        ("message.parts", "1"),
        ("message.is_damaged", "no"),
        ("attachment.count", "0"),
        ("attachment.size", "0"),
        ("url.domain", "www.example.org"),
    ] {
        assert_eq!(shown.get(name), value, "{name}");
    }
}

#[test]
fn a_message_that_is_an_attachment_is_looked_into() {
    let inner = "From: x@y.example\nContent-Type: application/x; name=inner.exe\n\nMZ\n";
    let text = format!(
        "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
         Content-Type: message/rfc822\n\n{inner}--b--\n"
    );
    let shown = Shown::of(&text);
    assert_eq!(shown.attachments(), ["inner.exe", "exe", "message/rfc822, application/x"]);
    assert_eq!(shown.get("message.parts"), "2");
    assert_eq!(shown.get("message.from_address"), "a@b.example");
    assert_eq!(shown.get("attachment.size"), (crlf(inner).len() - 2).to_string());
    assert_eq!(shown.get("message.is_damaged"), "no");

    let digest = format!("Content-Type: multipart/digest; boundary=b\n\n--b\n\n{inner}--b--\n");
    assert_eq!(Shown::of(&digest).get("attachment.type"), "exe");
}

#[test]
fn an_encoded_message_is_looked_into_as_deep_as_the_limit() {
    fn base64(octets: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in octets.chunks(3) {
            let word = group.iter().fold(0_u32, |word, octet| word << 8 | u32::from(*octet))
                << (8 * (3 - group.len()));
            for place in 0..=group.len() {
                text.push(char::from(LETTERS[(word >> (18 - 6 * place) & 63) as usize]));
            }
            text.push_str(&"=".repeat(3 - group.len()));
        }
        text
    }
    let mut text = "Content-Disposition: attachment; filename=deep.exe\n\nMZ\n".to_owned();
    for depth in 1..=ENCODED_DEPTH_MAX + 1 {
        text = format!(
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{}\n",
            base64(&crlf(&text))
        );
        let shown = Shown::of(&text);
        let is_seen = depth <= ENCODED_DEPTH_MAX;
        assert_eq!(shown.get("attachment.type"), if is_seen { "exe" } else { "" }, "{depth} deep");
        assert_eq!(shown.get("message.is_damaged"), if is_seen { "no" } else { "yes" }, "{depth} deep");
    }
}

#[test]
fn names_are_taken_from_wherever_a_program_may_take_them() {
    for (fields, types) in [
        ("Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment; filename=b.exe", "txt, exe"),
        ("Content-Disposition: attachment; filename=a.txt; filename=b.exe", "txt, exe"),
        ("Content-Disposition: attachment; filename=a.txt; filename*=utf-8''b.exe", "txt, exe"),
        ("Content-Disposition: attachment; filename*0=long.; filename*1=exe", "exe"),
        ("Content-Disposition: inline; filename=\"=?utf-8?b?Yi5leGU=?=\"", "exe"),
        ("Content-Disposition: attachment; filename=\"a.pdf.exe \"", "exe"),
        ("Content-Type: text/plain\nContent-Type: application/x; name=b.exe", "exe"),
        ("Content-Type: application/x", ""),
    ] {
        let shown = Shown::of(&format!("{fields}\n\nbody\n"));
        assert_eq!(shown.get("attachment.type"), types, "{fields}");
        assert_eq!(shown.get("attachment.count"), "1", "{fields}");
    }
}

#[test]
fn what_is_broken_is_damaged() {
    for text in [
        "Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n",
        "Content-Type: multipart/mixed; boundary=b; boundary=c\n\n--b\n\nx\n--b--\n",
        "Content-Type: multipart/mixed; boundary=b\n\nno delimiter\n",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nno closing delimiter\n",
        "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\n\nx\n--b--\n",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--b--\n",
        "Content-Type: text/plain\nContent-Type: text/html\n\nx\n",
        "Content-Type: nothing\n\nx\n",
        "Content-Transfer-Encoding: x-own\n\nx\n",
        "From: a@b\nno field\n\nx\n",
        " folded from nothing\nFrom: a@b\n\nx\n",
    ] {
        assert_eq!(Shown::of(text).get("message.is_damaged"), "yes", "{text}");
    }
    for text in ["", "\n", "From: a@b\n", "From: a@b\n\n", "\nbody only\n"] {
        assert_eq!(Shown::of(text).get("message.is_damaged"), "no", "{text:?}");
    }
}

#[test]
fn delimiters_are_found_by_the_start_of_their_line() {
    let text = "Content-Type: multipart/mixed; boundary=ab\n\n--ab\nContent-Type: multipart/mixed; boundary=abc\n\n\
                --abc \n\nx--ab\n--abcd\nContent-Type: application/x\n\ny\n--abc--\n--ab-- \nz\n";
    let shown = Shown::of(text);
    assert_eq!([shown.get("message.parts"), shown.get("message.is_damaged")], ["2", "no"]);
}

/// The facts that say how much was seen of a hostile content.
fn counts(content: &str) -> [String; 4] {
    let shown = Shown::of(content);
    ["message.is_damaged", "message.parts", "attachment.count", "message.from_address"]
        .map(|name| shown.get(name))
}

#[test]
fn depth_has_its_limit() {
    let mut multiparts = "From: a@b.example\n".to_owned();
    let mut messages = "From: a@b.example\nContent-Type: message/rfc822\n\n".to_owned();
    for depth in 0..50_000 {
        write!(multiparts, "Content-Type: multipart/mixed; boundary={depth}_\n\n--{depth}_\n").unwrap();
        messages.push_str("Content-Type: message/rfc822\n\n");
    }
    assert_eq!(counts(&multiparts), ["yes", "0", "0", "a@b.example"]);
    let parts = (DEPTH_MAX + 1).to_string();
    assert_eq!(counts(&messages), ["yes", &parts, &parts, "a@b.example"]);
}

#[test]
fn parts_have_their_limit() {
    let mut content = "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n".to_owned();
    for part in 0..20_000 {
        write!(content, "--b\nContent-Type: application/x; name=a{part}.exe\n\nx\n").unwrap();
    }
    let parts = PARTS_MAX.to_string();
    assert_eq!(counts(&content), ["yes", &parts, &parts, "a@b.example"]);
}

#[test]
fn header_sections_have_their_limits() {
    let giant = format!("From: a@b.example\nSubject: {}\n\n", " x\n".repeat(FIELD_OCTETS_MAX));
    let many = format!("From: a@b.example\n{}\n", "X: y\n".repeat(FIELDS_MAX));
    let long = format!("From: a@b.example\n{}\n", "X-Long: y\n".repeat(HEADER_OCTETS_MAX / 11 + 1));
    let line = format!("From: a@b.example\nX: {}\n\n", "y".repeat(2 * HEADER_OCTETS_MAX));
    for content in [giant, many, long, line] {
        assert_eq!(counts(&content), ["yes", "1", "0", "a@b.example"]);
        let subject = Shown::of(&content).get("message.subject");
        assert!(subject.len() <= FIELD_OCTETS_MAX, "{} octets", subject.len());
    }
}

#[test]
fn a_text_beyond_the_limit_is_seen_up_to_it() {
    let content = format!(
        "From: a@b.example\n\nhttp://first.example/\n{}http://last.example/\n",
        "x\n".repeat(TEXT_OCTETS_MAX)
    );
    let shown = Shown::of(&content);
    assert_eq!([shown.get("url.domain"), shown.get("message.is_damaged")], ["first.example", "yes"]);
    let without = find(&crlf(&content), Asked::new(["message.is_damaged"], []));
    assert_eq!(without.facts, [("message.is_damaged", State::yes_or_no(true))], "whatever else is asked");
}

#[test]
fn hostile_fields_cost_no_more_than_their_length() {
    for pattern in
        ["=?a?q?", "=?utf-8?b?AAAA", "(", "<", "\\\"", "\"", "a*1=b;", "a*1*=x''b;", "a@b,", "x:;", "='"]
    {
        let mut content =
            format!("Content-Type: multipart/mixed; boundary=b\nFrom: {}\n\n", pattern.repeat(10_000));
        for _ in 0..200 {
            let value = pattern.repeat(PART_FIELD_OCTETS_MAX / pattern.len());
            write!(content, "--b\nContent-Type: a/b; {value}\nContent-Disposition: c; {value}\n\n").unwrap();
        }
        Shown::of(&content);
    }
}

#[test]
fn only_what_is_asked_for_is_found() {
    let asked = Asked::new(["message.subject", "client.ip", "message.header"], [Arc::from("List-ID")]);
    let found = find(&crlf(LETTER), asked);
    assert_eq!(found.facts.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["message.subject"]);
    assert_eq!(found.headers.len(), 1);
    assert!(Asked::new(["client.ip"], []).is_nothing());
}

/// Pieces from which contents are put together that nearly are messages.
fn scrap() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "\r\n", "--a\r\n", "--a--\r\n", "--ab\r\n", "--ab--\r\n", "--\r\n", "\n", "\r",
            "Content-Type: multipart/mixed; boundary=a\r\n", "Content-Type: multipart/digest;\r\n boundary=\"ab\"\r\n",
            "Content-Type: message/rfc822\r\n", "Content-Transfer-Encoding: base64\r\n",
            "Content-Transfer-Encoding: quoted-printable\r\n", "Content-Type: text/html; charset=utf-16\r\n",
            "Content-Disposition: attachment; filename*0*=utf-8''%e9; filename*1=\"x.exe\"\r\n",
            "From: a@b.example, \"c\" <d@e>;\r\n", "Subject: =?utf-8?q?=C3?= =?x?b?=?=\r\n",
            "http://a.example/ &#x2f; href='x=\"", "Q29udGVudC1UeXBlOiBtZXNzYWdlL3JmYzgyMg0KDQo=\r\n", "=3D=\r\n",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(scraps in prop::collection::vec(scrap(), 0..40), cut in 1_usize..50) {
        let content: String = scraps.concat();
        let whole = find(content.as_bytes(), all());
        let mut reading = Reading::new(all());
        content.as_bytes().chunks(cut).for_each(|octets| reading.read(octets));
        prop_assert_eq!(reading.finish(), whole);
    }

    #[test]
    fn any_octets_have_facts(octets in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let found = find(&octets, all());
        prop_assert_eq!(found.facts.len(), all().facts.len());
        prop_assert!(found.facts.iter().all(|(_, state)| matches!(state, State::Known(_) | State::Missing)));
    }

    #[test]
    fn any_field_has_a_value(name in "(from|subject|content-type|content-disposition|message-id)", value in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut content = format!("{name}: ").into_bytes();
        content.extend(value);
        content.extend(b"\r\n\r\nbody\r\n");
        let found = find(&content, all());
        prop_assert_eq!(found.facts.len(), all().facts.len());
    }
}
