//! A site that names no certificate has one of its own making.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::client::{setup, site};
use super::harness::{Authority, Server, finish, program};

/// What the server shows: `openssl s_client` prints it.
fn shown(server: &Server) -> String {
    let mut command = program("openssl");
    command.args(["s_client", "-connect", &server.address().to_string(), "-starttls", "smtp", "-crlf"]);
    command.args(["-servername", "localhost", "-ign_eof", "-showcerts"]);
    let printed = finish(&mut command, b"EHLO client.example\nQUIT\n");
    let begin = printed.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("{printed}"));
    printed[begin..].split("-----END").next().unwrap().to_owned()
}

#[test]
fn it_is_made_at_the_first_start_and_kept() {
    let mut server = Server::zero_configuration();
    server.wait_for_log("a certificate was made that nobody vouches for");
    let first = shown(&server);
    let file = server.folder().join("state/tls/self-signed.pem");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    server.stop();
    server.start_again();
    assert_eq!(shown(&server), first);
    assert_eq!(server.log().matches("a certificate was made").count(), 1);
    // One that can't be read is made anew.
    server.stop();
    fs::write(&file, "nothing").unwrap();
    server.start_again();
    assert_ne!(shown(&server), first);
}

#[test]
fn a_site_that_no_longer_names_one_goes_on_with_its_own() {
    let authority = Authority::new();
    let server = site(&authority, "", "");
    assert!(!server.folder().join("state/tls/self-signed.pem").exists(), "it has another");
    server.configure(&setup(&[], "", "").config.unwrap());
    server.reload();
    server.wait_for_log("a certificate was made that nobody vouches for");
    assert!(shown(&server).contains("BEGIN CERTIFICATE"));
}
