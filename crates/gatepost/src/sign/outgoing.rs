//! What is signed when a message leaves, and by whom.
//!
//! Invariants: the site's own mail is signed by the domain of its author and never sealed, what passes through is sealed
//! and never signed as the site's; a message is hashed and signed once for all servers that get the same of it.

use std::sync::Arc;

use mail_parser::MessageParser;
use queue::message::{QueuedMessage, QueuedRecipient};
use queue::queue_id::QueueId;
use quick_cache::sync::Cache;
use smtp::address::{DomainName, ForwardPath};
use smtp::time::WallTime;

use super::NotSigned;
use super::arc::Sealer;
use super::content::{Content, Hashed};
use super::dkim::DkimDomain;
use super::header::HeaderSection;
use super::key::SigningKey;
use crate::mailboxes::domain_key;

/// Messages whose signatures are kept (ours: those that leave for many servers at a time; about 2 kB each).
const KEPT_MAX: usize = 1_000;

/// How long signatures are used again, in seconds (ours: they tell their time).
const KEPT_SECONDS: u64 = 600;

/// Who signs, and what was signed lately.
#[derive(Debug)]
pub struct Signing {
    /// The server's own name.
    hostname: String,
    /// The names under which it vouches.
    own_names: Arc<[String]>,
    domains: Vec<DkimDomain>,
    sealer: Option<Sealer>,
    kept: Cache<(QueueId, u8), Kept>,
}

/// Signatures of a message.
#[derive(Debug, Clone)]
struct Kept {
    made: WallTime,
    fields: Arc<str>,
}

/// What a message gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A signature of its author's domain.
    Signature,
    /// A seal on what others say of it.
    Seal,
}

/// Why a message can't leave now.
#[derive(Debug)]
pub enum SignFault<E> {
    /// It can't be read.
    Read(E),
    /// No signature was made.
    NotSigned,
}

impl<E: std::fmt::Display> std::fmt::Display for SignFault<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(formatter, "{error}"),
            Self::NotSigned => NotSigned.fmt(formatter),
        }
    }
}

impl Signing {
    /// For a server that vouches as `hostname` and under `own_names`.
    #[must_use]
    pub fn new(
        (hostname, own_names): (&str, Arc<[String]>),
        domains: Vec<DkimDomain>,
        sealer: Option<Sealer>,
    ) -> Self {
        Self { hostname: hostname.to_owned(), own_names, domains, sealer, kept: Cache::new(KEPT_MAX) }
    }

    /// Whether what passes through is sealed.
    #[must_use]
    pub const fn seals(&self) -> bool {
        self.sealer.is_some()
    }

    /// Every key that signs or seals, with the domain and the selector that its record stands at. A key that does both
    /// comes twice.
    pub fn keys(&self) -> impl Iterator<Item = (&DomainName, &DomainName, &SigningKey)> {
        let of_domains = self
            .domains
            .iter()
            .flat_map(|domain| domain.keys.iter().map(move |key| (&domain.domain, &key.selector, &key.key)));
        let of_sealer = self.sealer.as_ref().map(|sealer| (&sealer.domain, &sealer.selector, &sealer.key));
        of_domains.chain(of_sealer)
    }

    /// What the message gets when it leaves for `recipients`; `None`: it leaves as it is.
    #[must_use]
    pub fn wants<'m>(
        &self,
        message: &QueuedMessage,
        mut recipients: impl Iterator<Item = &'m QueuedRecipient>,
    ) -> Option<Wanted> {
        if message.origin.submitted {
            return (!self.domains.is_empty()).then_some(Wanted::Signature);
        }
        (self.seals() && recipients.any(is_forwarded)).then_some(Wanted::Seal)
    }

    /// The header fields that go in front of the message, each ended by CRLF; none when no domain of ours wrote it, or
    /// nothing is to be vouched for. `feed` gives the mail data as they will be sent, without those fields; `form` tells
    /// different mail data of one message apart. Blocks as `feed` does.
    ///
    /// # Errors
    /// When the mail data can't be read or the signature can't be made: the message must wait.
    pub fn fields<E>(
        &self,
        (queue_id, form): (QueueId, u8),
        wanted: Wanted,
        now: WallTime,
        feed: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), E>,
    ) -> Result<Arc<str>, SignFault<E>> {
        if let Some(kept) = self.kept.get(&(queue_id, form))
            && now.since(kept.made).as_secs() <= KEPT_SECONDS
            && kept.made.as_unix_millis() <= now.as_unix_millis()
        {
            return Ok(kept.fields);
        }
        let mut content = Content::default();
        feed(&mut |octets| content.read(octets)).map_err(SignFault::Read)?;
        let fields: Arc<str> = match content.finish() {
            Some(hashed) => self.made(wanted, &hashed, now).map_err(|NotSigned| SignFault::NotSigned)?.into(),
            None => {
                tracing::warn!(%queue_id, "the header section is too long to be signed");
                Arc::from("")
            }
        };
        self.kept.insert((queue_id, form), Kept { made: now, fields: Arc::clone(&fields) });
        Ok(fields)
    }

    fn made(&self, wanted: Wanted, hashed: &Hashed, now: WallTime) -> Result<String, NotSigned> {
        match (wanted, &self.sealer) {
            (Wanted::Signature, _) => match self.domain_of(hashed) {
                Some(domain) => domain.sign(hashed, now),
                None => Ok(String::new()),
            },
            (Wanted::Seal, Some(sealer)) => sealer.seal(hashed, (&self.hostname, &self.own_names), now),
            (Wanted::Seal, None) => Ok(String::new()),
        }
    }

    /// The domain that signs for the author: his own, or the nearest above it that has keys.
    fn domain_of(&self, hashed: &Hashed) -> Option<&DkimDomain> {
        let author = author_domain(&hashed.header_section)?;
        let mut name = author.as_str();
        loop {
            let signs = |domain: &&DkimDomain| domain.domain.as_str().eq_ignore_ascii_case(name);
            if let Some(domain) = self.domains.iter().find(signs) {
                return Some(domain);
            }
            (_, name) = name.split_once('.')?;
        }
    }
}

/// Whether the mail goes to another address than the one it was accepted for.
#[must_use]
pub fn is_forwarded(recipient: &QueuedRecipient) -> bool {
    !matches!(&recipient.accepted_as, ForwardPath::Mailbox(mailbox) if *mailbox == recipient.mailbox)
}

/// The domain of the first address in the one From field, in lower case and A-labels. A message with several such fields
/// has no author that anybody could vouch for (RFC 5322 §3.6).
fn author_domain(header_section: &[u8]) -> Option<String> {
    let section = HeaderSection::new(header_section);
    let mut fields = section.named("From");
    let field = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    let field = [b"From:", field.value, b"\r\n\r\n"].concat();
    let message = MessageParser::default().parse_headers(field.as_slice())?;
    let address = message.from()?.first()?.address()?.to_owned();
    let (_, domain) = address.rsplit_once('@')?;
    domain_key(domain.trim_end_matches('.')).map(|domain| domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use queue::message::{Destination, Origin};
    use smtp::address::ReversePath;
    use smtp::envelope::{MailParameters, RcptParameters};

    use super::super::key::SigningKey;
    use super::*;
    use crate::sign::DkimKey;

    const NOW: WallTime = WallTime::from_unix_millis(1_794_000_000_000);

    fn signing() -> Signing {
        let key = |pem| SigningKey::from_pem(pem).unwrap();
        let domain = |name: &str| DkimDomain {
            domain: name.parse().unwrap(),
            keys: vec![DkimKey {
                selector: "k".parse().unwrap(),
                key: key(include_str!("testdata/rfc8463-ed25519.pem")),
            }],
            headers: Vec::new(),
            oversigned: vec!["From".into()],
            expires_seconds: None,
        };
        let sealer = Sealer {
            domain: "example.org".parse().unwrap(),
            selector: "arc".parse().unwrap(),
            key: key(include_str!("testdata/rsa-pkcs8.pem")),
        };
        let own_names = Arc::from([String::from("mx.example.org")]);
        let domains = vec![domain("example.org"), domain("deep.example.org")];
        Signing::new(("mx.example.org", own_names), domains, Some(sealer))
    }

    fn signed_by(from: &str) -> Option<String> {
        let message = format!("{from}Subject: x\r\n\r\nhi\r\n");
        let fields = signing()
            .fields((QueueId::from_number(1).unwrap(), 0), Wanted::Signature, NOW, |read| {
                read(message.as_bytes());
                Ok::<(), Infallible>(())
            })
            .unwrap();
        let (_, domain) = fields.split_once(" d=")?;
        domain.split_once(';').map(|(domain, _)| domain.to_owned())
    }

    #[test]
    fn the_author_s_domain_signs_or_the_nearest_above_it() {
        for (from, domain) in [
            ("From: a@example.org\r\n", Some("example.org")),
            ("from: Alice <A@Example.ORG>\r\n", Some("example.org")),
            ("From: \"b@other.example\" <a@mail.example.org>\r\n", Some("example.org")),
            ("From: a@x.deep.example.org, b@other.example\r\n", Some("deep.example.org")),
            ("From: =?utf-8?q?=C3=A4?=\r\n <a@deep.example.org>\r\n", Some("deep.example.org")),
            ("From: a@other.example\r\n", None),
            ("From: a@notexample.org\r\n", None),
            ("From: a@org\r\n", None),
            ("From: a@example.org\r\nFrom: b@example.org\r\n", None),
            ("From: nobody\r\n", None),
            ("From: <>\r\n", None),
            ("", None),
        ] {
            assert_eq!(signed_by(from).as_deref(), domain, "{from}");
        }
    }

    fn message(submitted: bool, accepted_as: &str) -> QueuedMessage {
        QueuedMessage {
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            received: NOW,
            origin: Origin { submitted, ..Origin::default() },
            hold: None,
            recipients: vec![QueuedRecipient {
                mailbox: "bob@other.example".parse().unwrap(),
                accepted_as: accepted_as.parse().unwrap(),
                parameters: RcptParameters::default(),
                destination: Destination::new("relay"),
            }],
        }
    }

    #[test]
    fn what_others_wrote_is_sealed_when_it_is_forwarded_and_never_signed() {
        for (submitted, accepted_as, wanted) in [
            (true, "<bob@other.example>", Some(Wanted::Signature)),
            (true, "<alias@example.org>", Some(Wanted::Signature)),
            (false, "<alias@example.org>", Some(Wanted::Seal)),
            (false, "<bob@other.example>", None),
        ] {
            let message = message(submitted, accepted_as);
            assert_eq!(signing().wants(&message, message.recipients.iter()), wanted, "{accepted_as}");
        }
    }

    #[test]
    fn a_message_is_read_and_signed_once_while_its_signature_is_young() {
        let signing = signing();
        let mut reads = 0;
        let mut sign = |form, later: u64| {
            let now = WallTime::from_unix_millis(NOW.as_unix_millis() + later * 1_000);
            signing
                .fields((QueueId::from_number(7).unwrap(), form), Wanted::Signature, now, |read| {
                    reads += 1;
                    read(b"From: a@example.org\r\n\r\n");
                    Ok::<(), Infallible>(())
                })
                .unwrap();
            reads
        };
        assert_eq!([sign(0, 0), sign(0, 60), sign(1, 60), sign(0, 600), sign(0, 601)], [1, 1, 2, 2, 3]);
    }

    #[test]
    fn what_can_not_be_read_is_not_sent() {
        let fields =
            signing().fields((QueueId::from_number(1).unwrap(), 0), Wanted::Seal, NOW, |_| Err("torn"));
        assert!(matches!(fields, Err(SignFault::Read("torn"))));
    }
}
