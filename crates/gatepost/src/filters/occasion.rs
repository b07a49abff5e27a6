//! What a filter is asked about: the session as far as it has come, and the message once it is there.

use std::net::IpAddr;
use std::sync::Arc;

use policy::stage::Stage;
use tokio::sync::Mutex;

use super::draft::Draft;

/// The session and the stage that is decided.
#[derive(Debug)]
pub struct Occasion {
    /// The stage.
    pub stage: Stage,
    /// The client.
    pub client: IpAddr,
    /// Its port.
    pub port: u16,
    /// This server's name.
    pub hostname: String,
    /// What the client calls itself.
    pub helo: Option<String>,
    /// `SMTP`, `ESMTP`, `ESMTPS` and the like.
    pub protocol: &'static str,
    /// Whether the session is encrypted.
    pub is_tls: bool,
    /// Version of TLS and cipher suite, as far as they are known.
    pub tls: [Option<String>; 2],
    /// Who is authenticated, and by which mechanism.
    pub user: Option<(String, String)>,
    /// Counts the transactions of the session.
    pub transaction: u64,
    /// The reverse-path in brackets and its parameters, from MAIL on.
    pub mail: Option<Vec<String>>,
    /// The recipients that were accepted.
    pub recipients: Vec<Vec<String>>,
    /// The recipient that is decided upon.
    pub candidate: Option<Vec<String>>,
    /// The declared size, or that of the mail data.
    pub size_octets: u64,
    /// The queue id, once there is one.
    pub queue_id: Option<String>,
    /// The message, once its data are all there.
    pub draft: Option<Arc<Mutex<Draft>>>,
}

/// A path without its brackets.
#[must_use]
pub fn bare(path: &str) -> &str {
    path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path)
}

impl Occasion {
    /// The reverse-path without brackets; empty for the null reverse-path and before MAIL.
    #[must_use]
    pub fn sender(&self) -> &str {
        self.mail.as_deref().and_then(<[String]>::first).map_or("", |path| bare(path))
    }
}
