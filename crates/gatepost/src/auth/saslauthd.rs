//! saslauthd of Cyrus SASL, asked over its socket: the way to PAM and to whatever else it is set up for.
//!
//! Invariants: what is no clear yes or no is a failure.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::exchange::Credentials;

/// The name under which PAM knows this service.
const SERVICE: &str = "smtp";

/// Octets of an answer, at most (ours; Cyrus SASL's own has 1024).
const ANSWER_OCTETS_MAX: u16 = 4_096;

/// Whether saslauthd takes the credentials.
///
/// # Errors
/// When it can't be asked, or says nothing that is a yes or a no.
pub(crate) async fn check(socket: &Path, credentials: &Credentials) -> Result<bool, String> {
    let failed = |error: std::io::Error| format!("saslauthd at {}: {error}", socket.display());
    let mut stream = UnixStream::connect(socket).await.map_err(failed)?;
    let request = request(credentials).ok_or("a name or a password is too long for saslauthd")?;
    stream.write_all(&request).await.map_err(failed)?;
    let octets = stream.read_u16().await.map_err(failed)?;
    let mut answer = Vec::with_capacity(usize::from(octets.min(ANSWER_OCTETS_MAX)));
    let limit = u64::from(octets.min(ANSWER_OCTETS_MAX));
    stream.take(limit).read_to_end(&mut answer).await.map_err(failed)?;
    match answer.get(..2) {
        Some(b"OK") => Ok(true),
        Some(b"NO") => Ok(false),
        _ => Err(String::from("saslauthd says neither yes nor no")),
    }
}

/// Name, password, service and realm, each counted in two octets.
fn request(credentials: &Credentials) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    for text in [credentials.user.as_str(), credentials.password.as_sent(), SERVICE, ""] {
        request.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
        request.extend_from_slice(text.as_bytes());
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::super::preparation::Password;
    use super::*;

    async fn asked(answer: &'static [u8]) -> Result<bool, String> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("mux");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 21];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
            request
        });
        let credentials = Credentials { user: "bob".into(), password: Password::read(b"secret").unwrap() };
        let checked = check(&socket, &credentials).await;
        assert_eq!(&server.await.unwrap(), b"\0\x03bob\0\x06secret\0\x04smtp\0\0");
        checked
    }

    #[tokio::test]
    async fn only_a_clear_yes_or_no_is_one() {
        assert_eq!(asked(b"\0\x02OK").await, Ok(true));
        assert_eq!(asked(b"\0\x02NO").await, Ok(false));
        assert!(asked(b"\0\x05maybe").await.is_err());
        assert!(asked(b"").await.is_err());
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_a_failure() {
        let credentials = Credentials { user: "bob".into(), password: Password::read(b"secret").unwrap() };
        assert!(check(Path::new("/nowhere/mux"), &credentials).await.is_err());
    }
}
