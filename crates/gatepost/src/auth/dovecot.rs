//! Dovecot's authentication server, asked over its socket (protocol 1: https://doc.dovecot.org, "Dovecot Authentication
//! Protocol").
//!
//! Invariants: a line, the greeting and the whole exchange are bounded; what is no clear yes or no is a failure.

use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::exchange::Credentials;

/// Octets of an exchange with the server, at most (ours: its greeting has some hundred).
const ANSWER_OCTETS_MAX: u64 = 64 * 1024;

/// Who asks, for the server's log and its own limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    /// The client.
    pub(crate) client: IpAddr,
    /// Where it connected to.
    pub(crate) listener: IpAddr,
    /// Whether nobody can read along: TLS, or the loopback network.
    pub(crate) is_secured: bool,
}

/// Whether the server takes the credentials: the name that it has for the user, or none.
///
/// # Errors
/// When it can't be asked, or says nothing that is a yes or a no.
pub(crate) async fn check(
    socket: &Path,
    credentials: &Credentials,
    asker: Asker,
) -> Result<Option<String>, String> {
    let failed = |error: std::io::Error| format!("Dovecot at {}: {error}", socket.display());
    let stream = UnixStream::connect(socket).await.map_err(failed)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(ANSWER_OCTETS_MAX));
    let greeting = format!("VERSION\t1\t1\nCPID\t{}\n", std::process::id());
    writer.write_all(greeting.as_bytes()).await.map_err(failed)?;
    let mut line = String::new();
    loop {
        read_line(&mut reader, &mut line).await.map_err(failed)?;
        match line.split_once('\t').unwrap_or((&line, "")) {
            ("VERSION", version) if !version.starts_with("1\t") => {
                return Err(format!("Dovecot speaks another version of its protocol: {version}"));
            }
            ("DONE", _) => break,
            _ => {}
        }
    }
    let request = request(credentials, asker);
    writer.write_all(request.as_bytes()).await.map_err(failed)?;
    loop {
        read_line(&mut reader, &mut line).await.map_err(failed)?;
        if let Some(answer) = answer(&line, &credentials.user) {
            return answer;
        }
    }
}

async fn read_line(
    reader: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut String,
) -> std::io::Result<()> {
    line.clear();
    reader.read_line(line).await?;
    if line.pop() == Some('\n') { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

/// The request, with the response last as the protocol wants it.
fn request(credentials: &Credentials, asker: Asker) -> String {
    let response = format!("\0{}\0{}", credentials.user, credentials.password.as_sent());
    let secured = if asker.is_secured { "\tsecured" } else { "" };
    format!(
        "AUTH\t1\tPLAIN\tservice=smtp{secured}\tlip={}\trip={}\tnologin\tresp={}\n",
        asker.listener,
        asker.client,
        STANDARD.encode(response)
    )
}

/// What a line says; `None` when it isn't about the request.
fn answer(line: &str, user: &str) -> Option<Result<Option<String>, String>> {
    let mut fields = line.split('\t');
    let verdict = fields.next()?;
    if !matches!(verdict, "OK" | "FAIL" | "CONT") || fields.next() != Some("1") {
        return None;
    }
    let fields: Vec<&str> = fields.collect();
    Some(match verdict {
        "OK" => {
            let named = fields.iter().find_map(|field| field.strip_prefix("user="));
            Ok(Some(named.unwrap_or(user).to_owned()))
        }
        "FAIL" if fields.iter().any(|field| matches!(*field, "temp" | "code=temp_fail")) => {
            Err(String::from("Dovecot cannot check a password just now"))
        }
        "FAIL" => Ok(None),
        _ => Err(String::from("Dovecot wants more than a password")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::preparation::Password;
    use super::*;

    #[test]
    fn the_request_has_its_response_last() {
        let credentials = Credentials { user: "bob".into(), password: Password::read(b"secret").unwrap() };
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let asker = Asker { client: address, listener: address, is_secured: true };
        assert_eq!(
            request(&credentials, asker),
            "AUTH\t1\tPLAIN\tservice=smtp\tsecured\tlip=192.0.2.1\trip=192.0.2.1\tnologin\tresp=AGJvYgBzZWNyZXQ=\n"
        );
    }

    #[test]
    fn only_a_clear_yes_or_no_is_one() {
        assert_eq!(answer("OK\t1\tuser=Bob", "bob"), Some(Ok(Some("Bob".into()))));
        assert_eq!(answer("OK\t1", "bob"), Some(Ok(Some("bob".into()))));
        assert_eq!(answer("FAIL\t1\tuser=bob", "bob"), Some(Ok(None)));
        assert!(answer("FAIL\t1\tuser=bob\ttemp", "bob").unwrap().is_err());
        assert!(answer("FAIL\t1\tcode=temp_fail\tuser=bob", "bob").unwrap().is_err());
        assert!(answer("CONT\t1\t", "bob").unwrap().is_err());
        assert_eq!((answer("OK\t2\tuser=x", "bob"), answer("SPID\t1", "bob")), (None, None));
    }
}
