//! Tests of what becomes of a message before it is sent.

use super::*;

fn order(recipients: &[&str], from_header: bool) -> Order {
    let recipients = recipients.iter().map(|one| (*one).to_owned()).collect();
    Order { recipients, from_header, ..Order::new("alice".into()) }
}

/// What is sent of `content`, and to whom.
#[track_caller]
fn sent(order: &Order, content: &[u8]) -> (Vec<String>, String) {
    let content = Content::Memory(content.to_vec());
    let ready = Message::new(order, &content).unwrap().ready("example.org").unwrap();
    let mut octets = Vec::new();
    ready.mail_data().read_to_end(&mut octets).unwrap();
    let recipients = ready.recipients.iter().map(ToString::to_string).collect();
    (recipients, String::from_utf8(octets).unwrap())
}

#[track_caller]
fn recipients(header: &str) -> Vec<String> {
    sent(&order(&[], true), format!("{header}\n\nbody\n").as_bytes()).0
}

#[test]
fn recipients_are_found_in_every_form() {
    assert_eq!(recipients("To: root"), ["root@example.org"]);
    assert_eq!(recipients("To: bob@example.net"), ["bob@example.net"]);
    assert_eq!(
        recipients("To: Bob <bob@example.net>,\n \"Eve, the other\" <eve@example.net>\nCC: root"),
        ["bob@example.net", "eve@example.net", "root@example.org"]
    );
    assert_eq!(
        recipients(
            "To: friends: a@example.net, b@example.net;\nBcc: c@example.net (a comment, with a comma)"
        ),
        ["a@example.net", "b@example.net", "c@example.net"]
    );
    assert_eq!(recipients("To: undisclosed-recipients:;\nBcc: a@example.net"), ["a@example.net"]);
    assert_eq!(recipients("To: a@example.net\nCc: a@example.net"), ["a@example.net"], "each once");
    assert_eq!(
        recipients("To: a@example.net\nResent-To: b@example.net\nResent-Bcc: c@example.net"),
        ["b@example.net", "c@example.net"]
    );
    assert_eq!(recipients("To: root, www-data"), ["root@example.org", "www-data@example.org"]);
    assert_eq!(recipients("To: root (Cron Daemon)"), ["root@example.org"]);
}

#[test]
fn those_of_the_command_line_are_added() {
    let (all, _) = sent(&order(&["x@example.net, y"], true), b"To: z@example.net\n\n");
    assert_eq!(all, ["x@example.net", "y@example.org", "z@example.net"]);
    let (all, _) = sent(&order(&["\"a b\"@example.net", "<c>"], false), b"\n");
    assert_eq!(all, ["\"a b\"@example.net", "c@example.org"]);
}

#[test]
fn what_nobody_gets_or_is_no_address_is_refused() {
    for (order, content, exit) in [
        (order(&[], true), "Subject: x\n\n", Exit::Usage),
        (order(&[], false), "To: a@example.net\n\n", Exit::Usage),
        (order(&["a b@c d"], false), "\n", Exit::Data),
        (order(&["a@-.example"], false), "\n", Exit::Data),
        // No reader of header fields here knows quoted local parts: nobody else may get it.
        (order(&[], true), "To: \"a b\"@example.net\n\n", Exit::Data),
    ] {
        let stop = Message::new(&order, &Content::Memory(content.into())).unwrap_err();
        assert_eq!(stop.exit, exit, "{stop}");
    }
}

#[test]
fn blind_copies_go_and_the_author_is_added() {
    let (_, text) = sent(
        &order(&["b"], true),
        b"Bcc: x@example.net,\n y@example.net\nSubject: s\nReturn-Path: <>\n\nBcc: stays\n",
    );
    assert_eq!(text, "From: alice@example.org\r\nSubject: s\r\n\r\nBcc: stays\r\n");
    let (_, text) = sent(&order(&["b"], false), b"from: me\r\n\r\nx");
    assert_eq!(text, "from: me\r\n\r\nx\r\n");
}

#[test]
fn a_message_without_a_header_section_gets_one() {
    for (content, body) in [
        ("hello\nworld", "hello\r\nworld\r\n"),
        ("a sentence: with a colon\n", "a sentence: with a colon\r\n"),
        ("\nSubject: body\n", "Subject: body\r\n"),
        (" indented\n", " indented\r\n"),
        ("", ""),
        (".\n..\n", ".\r\n..\r\n"),
    ] {
        let (_, text) = sent(&order(&["b"], false), content.as_bytes());
        assert_eq!(text, format!("From: alice@example.org\r\n\r\n{body}"), "{content:?}");
    }
    let (_, text) = sent(&order(&["b"], false), b"From alice Wed Nov 25\nSubject: s\nnot a field\nmore");
    assert_eq!(text, "From: alice@example.org\r\nSubject: s\r\n\r\nnot a field\r\nmore\r\n");
}

#[test]
fn lines_end_with_crlf_and_nuls_go() {
    let (_, text) =
        sent(&order(&["b"], false), b"From: a\nX: b\rBcc: c\0\n\none\rtwo\r\nthr\0ee\r\r\nfour\n\nfive\r");
    assert_eq!(text, "From: a\r\nX: b Bcc: c\r\n\r\none\r\ntwo\r\nthree\r\nfour\r\n\r\nfive\r\n");
}

#[test]
fn reverse_paths_are_as_they_are_given() {
    for (given, expected) in [
        (None, "<alice@example.org>"),
        (Some(""), "<>"),
        (Some("<>"), "<>"),
        (Some("root"), "<root@example.org>"),
        (Some("Bob <bob@example.net>"), "<bob@example.net>"),
    ] {
        let order = Order { reverse_path: given.map(str::to_owned), ..order(&["b"], false) };
        let content = Content::Memory(Vec::new());
        let ready = Message::new(&order, &content).unwrap().ready("example.org").unwrap();
        assert_eq!(ready.reverse_path.to_string(), expected);
    }
}

#[test]
fn names_of_authors_are_quoted_or_encoded_and_add_no_line() {
    let author: Mailbox = "root@example.org".parse().unwrap();
    for (name, field) in [
        ("CronDaemon", "From: CronDaemon <root@example.org>\r\n"),
        ("Alice A. \"Q\"", "From: \"Alice A. \\\"Q\\\"\" <root@example.org>\r\n"),
        ("J\u{f6}rg", "From: =?utf-8?B?SsO2cmc=?= <root@example.org>\r\n"),
        ("x\r\nBcc: y", "From: \"xBcc: y\" <root@example.org>\r\n"),
        (" ", "From: root@example.org\r\n"),
    ] {
        assert_eq!(author_field(Some(name), &author), field);
    }
    let long = "\u{fc}".repeat(60);
    let field = author_field(Some(&long), &author);
    assert!(field.lines().all(|line| line.len() <= 100), "{field}");
}
