//! Policy services: what one is asked, and that its connection serves again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;

use super::site;

#[test]
fn a_service_is_asked_for_each_recipient_over_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (asked, questions) = mpsc::channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            loop {
                let question: Vec<String> =
                    lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                if question.is_empty() {
                    break;
                }
                let is_bob = question.iter().any(|line| line == "recipient=bob@example.org");
                asked.send((number, question)).unwrap();
                let action = if is_bob { "554 5.7.1 not for bob" } else { "DUNNO" };
                (&stream).write_all(format!("action={action}\n\n").as_bytes()).unwrap();
            }
        }
    });
    let server = site(&format!("service greylist-d = \"unix:{}\" apply\n", path.display()));
    let mut client = server.session();
    client.ask_for("MAIL FROM:<ann@example.net> SIZE=100", "250");
    client.ask_for("RCPT TO:<alice@example.org>", "250");
    let refused = client.ask("RCPT TO:<bob@example.org>");
    assert!(refused.says("not for bob") && refused.is(&refused.to_string()[..3]), "{refused}");
    let (first, question) = questions.recv().unwrap();
    let says = |line: &str| assert!(question.iter().any(|known| known == line), "{line} in {question:?}");
    says("request=smtpd_access_policy");
    says("protocol_state=RCPT");
    says("protocol_name=ESMTP");
    says("client_address=127.0.0.1");
    says("helo_name=client.example");
    says("sender=ann@example.net");
    says("recipient=alice@example.org");
    says("size=100");
    let (second, other) = questions.recv().unwrap();
    assert_eq!(first, second, "the connection is used again");
    let instance = |question: &[String]| question.iter().find(|line| line.starts_with("instance=")).cloned();
    assert_eq!(instance(&question), instance(&other), "of one transaction");
}
