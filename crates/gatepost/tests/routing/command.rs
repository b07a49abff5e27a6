//! Delivery by commands, which are shell scripts here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::harness::{Server, wait_for};
use super::{NAME, REST, assert_says, report, send, with_ways};

/// A site whose mailboxes' mail a shell script gets, with what `more` says of the route.
fn with_command(script: &str, more: &str) -> Server {
    let placeholders =
        "\"{recipient}\", \"{local_part}\", \"{sub_address}\", \"{domain}\", \"{reverse_path}\"";
    let config = format!(
        "{NAME}[route.agent]\ncommand = [\"/bin/sh\", \"-c\", '''{script}''', \"agent\", {placeholders}]\n\
         {more}\n{REST}[domain.\"example.org\"]\nroute = \"agent\"\n\
         [domain.\"example.org\".mailbox]\npostmaster = {{}}\nanna = {{}}\nbert = {{}}\n\"zoë\" = {{}}\n\"-rf\" = {{}}\n",
    );
    Server::with_config(&config)
}

/// A directory that any account may write in: the server may be root, and its commands never are.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

#[test]
fn a_command_gets_each_recipients_message_and_says_what_became_of_it() {
    let folder = open_folder();
    let script = "[ \"$2\" = bert ] && {{ echo no such bert here >&2; exit 67; }}\n\
                  {{ printf \"%s|\" \"$@\"; echo; tr \"\\0\" \" \" </proc/self/environ; echo; id -u; cat; }} >FOLDER/part\n\
                  mv FOLDER/part FOLDER/whole\n";
    let server = with_command(&script.replace("FOLDER", &folder.path().display().to_string()), "");
    send(&server, &["anna+lists@example.org", "bert@example.org"]);
    let report = report(&server);
    server.wait_for_empty_queue();
    let written = fs::read_to_string(folder.path().join("whole")).unwrap();
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("anna@example.org|anna|lists|example.org|sender@client.example|"));
    let environment = lines.next().unwrap();
    assert!(environment.contains("PATH=/usr/local/bin:/usr/bin:/bin"), "{environment}");
    assert!(!environment.contains("USER=") && !environment.contains("HOME="), "{environment}");
    assert_ne!(lines.next(), Some("0"), "a command never runs as root");
    let message = "Return-Path: <sender@client.example>\nDelivered-To: anna@example.org\n\
                   X-Original-To: anna+lists@example.org\nReceived: from";
    assert!(written.contains(message) && written.ends_with("\n\nhello\n"), "{written}");
    let said = "the delivery command ended with 67 (no such user): no such bert here";
    assert_says(&report, &["bert@example.org", "Status: 5.1.1", said]);
}

#[test]
fn a_sub_address_is_known_in_every_script_and_case() {
    let folder = open_folder();
    let script = "printf \"%s|\" \"$@\" >FOLDER/part; mv FOLDER/part FOLDER/whole";
    let server = with_command(&script.replace("FOLDER", &folder.path().display().to_string()), "");
    let mut client = server.session();
    client.ask_for("MAIL FROM:<sender@client.example> SMTPUTF8", "250 2.1.0");
    client.ask_for("RCPT TO:<ZOË+Lists@example.org>", "250 2.1.5");
    client.data(b"Subject: x\r\n\r\nhello\r\n", "250 2.6.0");
    server.wait_for_empty_queue();
    let written = fs::read_to_string(folder.path().join("whole")).unwrap();
    assert_eq!(written, "zoë@example.org|zoë|Lists|example.org|sender@client.example|");
}

#[test]
fn a_command_that_says_not_now_is_run_again() {
    let folder = open_folder();
    let script = "mkdir FOLDER/one 2>&1 && exit 75; mkdir FOLDER/two 2>&1 && kill -9 $$; exit 0";
    let server = with_command(&script.replace("FOLDER", &folder.path().display().to_string()), "");
    send(&server, &["anna@example.org"]);
    server.wait_for_empty_queue();
    for words in ["ended with 75 (not now)", "ended by signal 9", "attempts=3", "outcome=\"delivered\""] {
        server.wait_for_log(words);
    }
    assert!(server.maildir("client.example", "sender").files().is_empty());
}

#[test]
fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let folder = open_folder();
    let pid = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! >{}; yes", pid.display());
    let server = with_command(&script, "timeout = \"1s\"");
    send(&server, &["anna@example.org"]);
    server.wait_for_log("did not end within 1 s: y y y");
    let sleeper = fs::read_to_string(&pid).unwrap();
    // One that was killed is a zombie until its new parent has heard of it.
    let process = format!("/proc/{}/stat", sleeper.trim());
    wait_for("the end of what the command started", || {
        let stat = fs::read_to_string(&process).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn no_address_becomes_an_option_and_a_missing_command_is_no_failure() {
    let server = with_command("exit 0", "");
    send(&server, &["-rf@example.org"]);
    assert_says(&report(&server), &["Status: 5.1.3", "is not handed to a command"]);
    let route = "[route.gone]\ndomains = \"example.net\"\ncommand = [\"/nonexistent/agent\"]\n";
    let server = with_ways(route);
    send(&server, &["anna@example.net"]);
    server.wait_for_log("the delivery command cannot be started");
    server.wait_for_log("is_shut_off=true");
    assert!(server.maildir("client.example", "sender").files().is_empty());
}

#[test]
fn a_message_of_several_megabytes_goes_through_a_command() {
    let folder = open_folder();
    let counted = folder.path().join("counted");
    let server = with_command(&format!("grep -c ^x >{}", counted.display()), "");
    let mut client = server.session();
    client.transaction(&["anna@example.org"]);
    let lines = 60_000;
    let body = "x234567890123456789012345678901234567890123456789012345678901234567890\r\n".repeat(lines);
    client.data(format!("Subject: large\r\n\r\n{body}").as_bytes(), "250 2.6.0");
    drop(client);
    server.wait_for_empty_queue();
    assert_eq!(fs::read_to_string(counted).unwrap().trim(), lines.to_string());
}
