//! `gatepost check` says what is wrong with certificates, and where; a server does not start with what can't be used.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::client::{NAME, setup};
use super::harness::{Authority, Setup};

/// The exit code, and what is said.
fn said(setup: &Setup, change: impl FnOnce(&TempDir)) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gatepost.toml"), setup.config.as_ref().unwrap()).unwrap();
    for (name, text) in &setup.files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    change(&folder);
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output =
        command.args(["check", "--config", "gatepost.toml"]).current_dir(folder.path()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn private(folder: &TempDir) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in fs::read_dir(folder.path()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_good_certificate_is_not_worth_a_word() {
    let authority = Authority::new();
    for names in [&[NAME][..], &["*.example.org"], &["other.example", NAME]] {
        let good = authority.certify_for(names, (2020, 2100));
        let (code, text) = said(&setup(&[("mx", &good)], "", ""), private);
        assert!(code == 0 && text.contains(" 0 warnings"), "{names:?}: {text}");
    }
}

#[test]
fn what_is_doubtful_is_a_warning_at_its_place() {
    let authority = Authority::new();
    for (certificate, words) in [
        (authority.certify_for(&[NAME], (2020, 2021)), "the certificate `mx.pem` has expired"),
        (authority.certify_for(&[NAME], (2090, 2100)), "the certificate `mx.pem` is not good yet"),
        (
            authority.certify_for(&["other.example"], (2020, 2100)),
            "the certificate `mx.pem` names nothing of this site",
        ),
        (authority.certify_for(&["mail.example.org"], (2020, 2100)), "no certificate names `mx.example.org`"),
    ] {
        let (code, text) = said(&setup(&[("mx", &certificate)], "", ""), private);
        assert!(code == 0 && text.contains(words), "{words}: {text}");
        assert!(text.contains("gatepost.toml:3:26"), "{words}: {text}");
        assert!(text.contains("help: "), "{words}: {text}");
    }
    let good = authority.certify(NAME, 2100);
    let (_, text) = said(&setup(&[("mx", &good)], "", ""), |_| {});
    assert!(text.contains("chmod 600 mx.key"), "{text}");
}

#[test]
fn what_can_not_be_used_is_an_error_at_its_place() {
    let authority = Authority::new();
    let good = authority.certify(NAME, 2100);
    let other = authority.certify(NAME, 2100);
    let cases: [(&str, String, &str, &str); 7] = [
        ("mx.pem", String::new(), "no certificate in `mx.pem`", ":3:26"),
        ("mx.pem", good.key_pem(), "it holds a private key, which belongs under `key`", ":3:26"),
        ("mx.key", String::new(), "no private key in `mx.key`", ":3:42"),
        ("mx.key", good.chain_pem(), "it holds a certificate, which belongs under `chain`", ":3:42"),
        ("mx.key", other.key_pem(), "the key `mx.key` is not that of the certificate `mx.pem`", ":3:42"),
        (
            "mx.key",
            good.key_pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            "it is encrypted",
            ":3:42",
        ),
        ("mx.pem", [other.chain_pem(), good.chain_pem()].concat(), "must stand first", ":3:42"),
    ];
    for (file, text, words, place) in cases {
        let (code, said) = said(&setup(&[("mx", &good)], "", ""), |folder| {
            fs::write(folder.path().join(file), text).unwrap();
        });
        assert!(code == 1 && said.contains(words) && said.contains(place), "{words}: {said}");
    }
    for (file, place) in [("mx.pem", ":3:26"), ("mx.key", ":3:42")] {
        let (code, said) = said(&setup(&[("mx", &good)], "", ""), |folder| {
            fs::remove_file(folder.path().join(file)).unwrap();
        });
        let words = format!("can't read `{file}`: No such file");
        assert!(code == 1 && said.contains(&words) && said.contains(place), "{said}");
    }
    let tls = "client_certificates = [\"127.0.0.1\"]\nclient_ca_file = \"none.pem\"";
    let (code, text) = said(&setup(&[("mx", &good)], tls, ""), private);
    assert!(code == 1 && text.contains("can't use `none.pem`"), "{text}");
}

#[test]
fn a_reload_with_a_broken_certificate_changes_nothing() {
    let authority = Authority::new();
    let server = super::client::site(&authority, "", "");
    let config = fs::read_to_string(server.folder().join("gatepost.toml")).unwrap();
    fs::write(server.folder().join("gatepost.toml"), config.replace("mx.pem", "none.pem")).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("configuration not reloaded, the old one stays in force");
    let client = std::sync::Arc::new(super::client::trusting(&authority));
    super::client::Client::start(&server, &client).send();
}
