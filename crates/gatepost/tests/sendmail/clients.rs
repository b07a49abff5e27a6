//! Programs that send through `sendmail`, and messages in every form that they give it.

use std::fs;
use std::thread;

use crate::harness::{finish, program};
use crate::{Machine, run, text, uid, user};

#[test]
fn cron_sends_what_a_job_printed() {
    let machine = Machine::new();
    let message = "From: root (Cron Daemon)\nTo: alice\nSubject: Cron <root@host> date\n\
                   Content-Type: text/plain; charset=UTF-8\n\ndone: \u{fc}\n.\nno newline at the end";
    machine.sends("-FCronDaemon -i -odi -oem -oi -t -f root", message.as_bytes());
    let letter = machine.alice(1).remove(0);
    assert_eq!(letter.return_path, "<root@example.org>");
    let by = format!("by mx.example.org (Gatepost, from userid {}) id ", uid());
    assert!(letter.received.starts_with(&by), "{}", letter.received);
    let content = text(&letter.content);
    let (header, body) = content.split_once("\r\n\r\n").unwrap();
    assert!(header.starts_with("From: root (Cron Daemon)\r\nTo: alice\r\n"), "{header}");
    assert!(header.contains("\r\nDate: ") && header.contains("\r\nMessage-ID: <"), "{header}");
    assert_eq!(body, "done: \u{fc}\r\n.\r\nno newline at the end\r\n");
}

#[test]
fn the_sender_is_the_user_unless_he_says_otherwise() {
    let machine = Machine::new();
    machine.sends("alice", b"hello\n.\nnot sent\n");
    let letter = machine.alice(1).remove(0);
    let own = format!("{}@example.org", user());
    assert_eq!(letter.return_path, format!("<{own}>"));
    let content = text(&letter.content);
    assert!(content.starts_with("From: ") && content.contains(&own), "{content}");
    assert!(content.ends_with("\r\n\r\nhello\r\n"), "a lone dot ends it: {content}");
    machine.sends("-fwww@example.net -F J\u{f6}rg alice", b"\n");
    let letter = machine.alice(2).remove(1);
    assert_eq!(letter.return_path, "<www@example.net>");
    assert!(text(&letter.content).starts_with("From: =?utf-8?B?SsO2cmc=?= <www@example.net>\r\n"));
}

#[test]
fn blind_copies_arrive_and_are_not_shown() {
    let machine = Machine::new();
    machine.sends("-t root", b"To: Alice <alice@example.org>\nBcc: postmaster,\n alice\nSubject: s\n\nx\n");
    let shown = text(&machine.alice(1).remove(0).content);
    assert!(!shown.to_lowercase().contains("bcc"), "{shown}");
    for other in ["root", "postmaster"] {
        machine.server.maildir("example.org", other).wait_for_one();
    }
}

#[test]
fn git_sends_a_patch() {
    let machine = Machine::new();
    let patch = machine.server.folder().join("0001.patch");
    let mail = "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n\
                From: A U Thor <author@example.org>\nDate: Wed, 25 Nov 2026 14:00:00 +0000\n\
                Subject: [PATCH] one\n\n---\n f | 1 +\n";
    fs::write(&patch, mail).unwrap();
    let sendmail = machine.server.folder().join("sendmail");
    let mut git = program("git");
    git.current_dir(machine.server.folder()).env("GATEPOST_STATE", machine.state());
    git.env("HOME", machine.server.folder()).env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_NAME"), "A U Thor").env(format!("GIT_{who}_EMAIL"), "author@example.org");
    }
    git.args(["send-email", "--confirm=never", "--suppress-cc=all", "--from=author@example.org"]);
    git.args(["--to=alice@example.org", "--sendmail-cmd"]).arg(sendmail).arg(&patch);
    finish(&mut git, b"");
    let letter = machine.alice(1).remove(0);
    assert_eq!(letter.delivered_to, "alice@example.org");
    assert!(text(&letter.content).contains("Subject: [PATCH] one\r\n"));
}

#[test]
fn s_nail_sends_a_message() {
    let machine = Machine::new();
    let mut nail = program("s-nail");
    nail.env("GATEPOST_STATE", machine.state()).env("MAILRC", "/dev/null");
    nail.arg("-S").arg(format!("mta={}", machine.server.folder().join("sendmail").display()));
    nail.args(["-S", "sendwait", "-r", "root@example.org", "-s", "from s-nail", "alice@example.org"]);
    finish(&mut nail, b"hello\n.\nlast\n");
    let letter = machine.alice(1).remove(0);
    assert_eq!(letter.return_path, "<root@example.org>");
    assert!(text(&letter.content).ends_with("hello\r\n.\r\nlast\r\n"));
}

#[test]
fn python_sends_a_message() {
    let machine = Machine::new();
    let script = "import subprocess, sys\n\
        from email.message import EmailMessage\n\
        m = EmailMessage()\n\
        m['To'] = 'alice@example.org'\n\
        m['Subject'] = 'from Python'\n\
        m.set_content('hello')\n\
        subprocess.run([sys.argv[1], '-t', '-oi'], input=m.as_bytes(), check=True)\n";
    let mut python = program("python3");
    python.env("GATEPOST_STATE", machine.state()).args(["-c", script]);
    python.arg(machine.server.folder().join("sendmail"));
    finish(&mut python, b"");
    assert!(text(&machine.alice(1).remove(0).content).contains("Subject: from Python\r\n"));
}

#[test]
fn another_user_sends_and_is_known_by_his_number() {
    let machine = Machine::new();
    let (mut command, expected) = machine.command_of_another("alice");
    let ran = run(&mut command, b"hello\n");
    assert_eq!((ran.exit, ran.said.as_str()), (0, ""));
    let letter = machine.alice(1).remove(0);
    assert!(letter.received.contains(&format!("from userid {expected})")), "{}", letter.received);
}

#[test]
fn smtp_is_spoken_on_standard_input() {
    let machine = Machine::new();
    let dialogue = b"EHLO me\r\nMAIL FROM:<root@example.org>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n\
                     Subject: spoken\r\n\r\nx\r\n.\r\nQUIT\r\n";
    let ran = machine.sendmail("-bs", dialogue);
    assert_eq!(ran.exit, 0, "{}", ran.said);
    assert!(
        ran.printed.starts_with("220 example.org") && ran.printed.contains("\r\n221 "),
        "{}",
        ran.printed
    );
    assert!(text(&machine.alice(1).remove(0).content).starts_with("Subject: spoken\r\n"));
}

#[test]
fn many_send_at_once() {
    const CALLERS: usize = 40;
    let machine = Machine::new();
    thread::scope(|scope| {
        for number in 0..CALLERS {
            let machine = &machine;
            scope.spawn(move || machine.sends("alice", format!("number {number}\n").as_bytes()));
        }
    });
    let mut bodies: Vec<String> = machine
        .alice(CALLERS)
        .iter()
        .map(|letter| text(&letter.content).rsplit_once("\r\n\r\n").unwrap().1.to_owned())
        .collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), CALLERS);
}

#[test]
fn a_long_message_is_sent_whole_and_a_longer_one_refused() {
    let machine = Machine::new();
    let line = format!("{}\n", "x".repeat(99));
    let message = format!("Subject: long\n\n{}", line.repeat(490_000));
    machine.sends("-i alice", message.as_bytes());
    let content = machine.alice(1).remove(0).content;
    assert!(text(&content).ends_with(&format!("\r\n\r\n{}", line.replace('\n', "\r\n").repeat(490_000))));
    let ran = machine.sendmail("-i alice", line.repeat(520_000).as_bytes());
    assert_eq!(ran.exit, 65, "{}", ran.said);
    assert!(ran.said.contains("552 5.3.4"), "{}", ran.said);
}
