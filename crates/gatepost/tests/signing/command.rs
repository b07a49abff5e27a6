//! `gatepost dkim`, from a new key to a record in the DNS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{DnsServer, Fault};

fn gatepost(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("dkim").args(arguments).arg("--state").arg(folder.join("state"));
    if folder.join("gatepost.toml").exists() {
        command.arg("--config").arg(folder.join("gatepost.toml"));
    }
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The text of the record that was printed: its strings put together.
fn record(printed: &str, selector: &str) -> String {
    let (_, rest) = printed.split_once(&format!("{selector}._domainkey.example.org. IN TXT ")).unwrap();
    let end = if rest.starts_with('(') { "\n)" } else { "\n" };
    let (strings, _) = rest.split_once(end).unwrap();
    strings.split('"').skip(1).step_by(2).collect()
}

#[test]
fn a_key_is_made_configured_and_found_in_the_dns() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rsa = gatepost(folder, &["new", "Example.org", "--selector", "r1"]);
    let ed25519 = gatepost(folder, &["new", "example.org", "--type", "ed25519", "--selector", "e1"]);
    let mut keys = Vec::new();
    for (output, selector) in [(&rsa, "r1"), (&ed25519, "e1")] {
        let printed = printed(output);
        assert!(output.status.success(), "{printed}");
        let file = folder.join(format!("state/dkim/example.org.{selector}.pem"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let (_, line) = printed.split_once("[dkim.\"example.org\"]\nkeys = [").unwrap();
        keys.push(line.split_once(']').unwrap().0.to_owned());
    }
    let again = gatepost(folder, &["new", "example.org", "--selector", "r1"]);
    assert!(!again.status.success() && printed(&again).contains("is there already"), "{}", printed(&again));

    let server = DnsServer::start();
    let config = format!(
        "{}\n[dkim.\"example.org\"]\nkeys = [{}]\n[domain.\"example.org\".mailbox]\npostmaster = {{}}\n",
        server.config(),
        keys.join(", ")
    );
    fs::write(folder.join("gatepost.toml"), config).unwrap();
    let shown = gatepost(folder, &["show"]);
    let records = [record(&printed(&rsa), "r1"), record(&printed(&ed25519), "e1")];
    assert_eq!([record(&printed(&shown), "r1"), record(&printed(&shown), "e1")], records);
    assert!(printed(&shown).contains("; RSA, 2048 bits\n"), "{}", printed(&shown));

    let check = || {
        let output = gatepost(folder, &["check", "example.org"]);
        (output.status.success(), printed(&output))
    };
    let (good, said) = check();
    assert!(!good && said.matches(": missing").count() == 2, "{said}");
    let put = |name: &str, text: &str| {
        let strings: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
        server.add_txt(&format!("{name}._domainkey.example.org"), &strings);
    };
    put("r1", &records[0]);
    put("e1", "v=DKIM1; k=ed25519; p=");
    let (good, said) = check();
    assert!(
        !good && said.contains("r1._domainkey.example.org: ok\n") && said.contains(": revoked"),
        "{said}"
    );
    server.remove("e1._domainkey.example.org");
    put("e1", &records[1]);
    assert_eq!(check(), (true, "r1._domainkey.example.org: ok\ne1._domainkey.example.org: ok\n".to_owned()));
    server.spoil("r1._domainkey.example.org", Fault::ServerFailure);
    let (good, said) = check();
    assert!(!good && said.contains("can't be told now"), "{said}");
}

#[test]
fn what_can_not_be_made_or_used_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (arguments, words) in [
        (&["new", "example.org", "--bits", "1024"][..], "2048, 3072 or 4096"),
        (&["new", "not a domain"], "invalid value"),
        (&["new", "example.org", "--out", "/nowhere/at/all.pem"], "cannot write"),
    ] {
        let output = gatepost(folder, arguments);
        assert!(!output.status.success() && printed(&output).contains(words), "{}", printed(&output));
    }
    let config = "[dkim.\"example.org\"]\nkeys = { selector = \"a\", file = \"a.pem\" }\n\
                  [domain.\"example.org\".mailbox]\npostmaster = {}\n";
    fs::write(folder.join("gatepost.toml"), config).unwrap();
    let missing = gatepost(folder, &["show"]);
    assert!(
        !missing.status.success() && printed(&missing).contains("gatepost.toml:2:"),
        "{}",
        printed(&missing)
    );
    fs::write(folder.join("a.pem"), include_str!("../../src/sign/testdata/rsa-1024.pem")).unwrap();
    let short = gatepost(folder, &["show"]);
    assert!(!short.status.success() && printed(&short).contains("2048 to 8192 bits"), "{}", printed(&short));
    fs::write(folder.join("a.pem"), include_str!("../../src/sign/testdata/rsa-pkcs1.pem")).unwrap();
    fs::set_permissions(folder.join("a.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = gatepost(folder, &["show"]);
    assert!(open.status.success() && printed(&open).contains("its mode is 644"), "{}", printed(&open));
}
