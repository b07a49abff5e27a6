//! Decisions on the message itself: its attachments, its header section, its size.

use crate::site::{Site, id};

fn message(name: &str) -> String {
    format!(
        "From: ann@client.example\r\nSubject: file\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
         --b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA\r\n--b--\r\n"
    )
}

#[test]
fn programs_are_refused_at_the_end_of_the_data_and_nothing_of_them_is_kept() {
    let policy = r#"names programs = "exe", "scr"

at message {
    rule programs when any attachment.type in programs
        reject 550 5.7.1 "programs are not accepted"
}
"#;
    let mut site = Site::new(policy, "");
    let mut client = site.session(2);
    client.transaction(&["bob@example.org"]);
    let reply = client.data(message("Bill.PDF.exe").as_bytes(), "550 5.7.1");
    let explained = site.prints(&["explain", &id(&reply)]);
    assert!(explained.contains("attachment.type = exe"), "{explained}");
    client.deliver("bob@example.org", message("bill.pdf").as_bytes());
    site.server.maildir("example.org", "bob").wait_for(1);
    site.server.stop();
}

#[test]
fn header_fields_are_compared_decoded_and_folded_names_ignore_case() {
    let policy = r#"at message {
    rule list when any message.header("list-id") contains "news.example"
        reject 550 5.7.1 "no newsletters"

    rule money when message.subject contains "geld für dich"
        reject 550 5.7.1 "no money"

    rule headless when message.header("From") is missing
        reject 550 5.7.1 "no From field"

    rule big when message.size > 1 kB
        reject 552 5.3.4 "{message.size} is too large"
}
"#;
    let site = Site::new(policy, "");
    let mut client = site.session(2);
    let mut send = |content: &str, code: &str| {
        client.transaction(&["bob@example.org"]);
        client.data(content.as_bytes(), code)
    };
    let from = "From: ann@client.example\r\n";
    let reply = send(&format!("{from}LIST-ID: weekly\r\n\t<x.news.EXAMPLE>\r\n\r\nhello\r\n"), "550 5.7.1");
    assert!(reply.says("no newsletters"), "{reply}");
    let reply =
        send(&format!("{from}Subject: =?utf-8?q?Geld_f=C3=BCr?=\r\n =?utf-8?q?_dich?=\r\n\r\n"), "550 5.7.1");
    assert!(reply.says("no money"), "{reply}");
    let reply = send("Subject: x\r\n\r\nhello\r\n", "550 5.7.1");
    assert!(reply.says("no From field"), "{reply}");
    send(&format!("{from}\r\n{}", "0123456789\r\n".repeat(100)), "552 5.3.4");
    send(&format!("{from}List-Id: <other.example>\r\n\r\nhello\r\n"), "250 2.6.0");
    site.server.maildir("example.org", "bob").wait_for(1);
}
