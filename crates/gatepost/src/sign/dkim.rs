//! DKIM signatures (RFC 6376, RFC 8301, RFC 8463): which fields they cover, and how they are made.
//!
//! Invariants: From is always signed, and once more than it is there; the whole body is (no `l=`); each key of a domain
//! makes a signature of its own.

use smtp::address::DomainName;
use smtp::time::WallTime;

use super::NotSigned;
use super::content::Hashed;
use super::field::TagField;
use super::header::{HeaderSection, relaxed};
use super::key::SigningKey;

/// Fields that are signed when they are there, and then once more, so that nobody can add another.
pub const DEFAULT_HEADERS: [&str; 22] = [
    "Sender",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-ID",
    "Content-Description",
    "In-Reply-To",
    "References",
    "Resent-Date",
    "Resent-From",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
];

/// Fields that nobody may add: signed once more than they are there, also when they are not.
pub const DEFAULT_OVERSIGNED: [&str; 5] = ["From", "To", "Cc", "Subject", "Reply-To"];

/// Fields that change on the way, or that others add (RFC 6376 §5.4).
pub const UNSIGNABLE: [&str; 10] = [
    "Return-Path",
    "Received",
    "Received-SPF",
    "Authentication-Results",
    "DKIM-Signature",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
    "Bcc",
    "Delivered-To",
];

/// A domain that signs.
#[derive(Debug)]
pub struct DkimDomain {
    /// Who signs, in A-labels.
    pub domain: DomainName,
    /// Its keys; at least one.
    pub keys: Vec<DkimKey>,
    /// Fields that are signed when they are there.
    pub headers: Vec<String>,
    /// Fields that nobody may add.
    pub oversigned: Vec<String>,
    /// After how many seconds the signatures expire; `None`: never.
    pub expires_seconds: Option<u64>,
}

/// A key with the name under which it stands in the DNS.
#[derive(Debug)]
pub struct DkimKey {
    /// Its selector.
    pub selector: DomainName,
    /// The key.
    pub key: SigningKey,
}

impl DkimDomain {
    /// The DKIM-Signature fields, each ended by CRLF: one a key.
    pub(super) fn sign(&self, hashed: &Hashed, now: WallTime) -> Result<String, NotSigned> {
        let section = HeaderSection::new(&hashed.header_section);
        let names = signed_names(&section, &self.headers, &self.oversigned);
        let input = section.hashed(names.iter().map(String::as_str));
        let seconds = now.as_unix_millis() / 1_000;
        let mut fields = String::new();
        for DkimKey { selector, key } in &self.keys {
            let mut field = TagField::new("DKIM-Signature")
                .tag("v", "1")
                .tag("a", key.algorithm().as_str())
                .tag("c", "relaxed/relaxed")
                .tag("d", self.domain.as_str())
                .tag("s", selector.as_str())
                .tag("t", &seconds.to_string());
            if let Some(expires) = self.expires_seconds {
                field = field.tag("x", &seconds.saturating_add(expires).to_string());
            }
            let field = field.tag("h", &names.join(":")).tag("bh", &hashed.body_hash).unsigned();
            fields.push_str(&signed(field, &input, key)?);
        }
        Ok(fields)
    }
}

/// The field with its signature over `input` and itself (RFC 6376 §3.7).
pub(super) fn signed(field: TagField, input: &[u8], key: &SigningKey) -> Result<String, NotSigned> {
    let mut hashed = input.to_vec();
    relaxed(field.name(), field.value().as_bytes(), &mut hashed);
    let signature = key.sign(&hashed)?;
    Ok(field.signed(&signature))
}

/// The names of `h=`, in lower case: a name as often as its field is there and once more; without the field only if it
/// is of `oversigned`.
pub(super) fn signed_names(
    section: &HeaderSection<'_>,
    headers: &[String],
    oversigned: &[String],
) -> Vec<String> {
    let mut names = Vec::new();
    for name in oversigned.iter().chain(headers) {
        let name = name.to_ascii_lowercase();
        if names.contains(&name) {
            continue;
        }
        let count = section.count(&name);
        let is_oversigned = oversigned.iter().any(|known| known.eq_ignore_ascii_case(&name));
        if count > 0 || is_oversigned {
            names.extend(std::iter::repeat_n(name, count + 1));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::content::Content;
    use super::*;

    fn hashed(message: &str) -> Hashed {
        let mut content = Content::default();
        content.read(message.as_bytes());
        content.finish().unwrap()
    }

    fn domain() -> DkimDomain {
        let key = |selector: &str, pem| DkimKey {
            selector: selector.parse().unwrap(),
            key: SigningKey::from_pem(pem).unwrap(),
        };
        DkimDomain {
            domain: "football.example.com".parse().unwrap(),
            keys: vec![
                key("brisbane", include_str!("testdata/rfc8463-ed25519.pem")),
                key("test", include_str!("testdata/rsa-pkcs8.pem")),
            ],
            headers: DEFAULT_HEADERS.map(String::from).to_vec(),
            oversigned: DEFAULT_OVERSIGNED.map(String::from).to_vec(),
            expires_seconds: Some(86_400),
        }
    }

    #[test]
    fn each_key_makes_a_signature_of_its_own() {
        let message = hashed("From: a@football.example.com\r\nDate: x\r\nTo: b@c\r\nTo: d@e\r\n\r\nhi\r\n");
        let fields = domain().sign(&message, WallTime::from_unix_millis(1_528_637_909_000)).unwrap();
        let [first, second] = fields
            .split_inclusive("\r\n")
            .fold(Vec::<String>::new(), |mut all, line| {
                match all.last_mut() {
                    Some(last) if line.starts_with('\t') => last.push_str(line),
                    _ => all.push(line.to_owned()),
                }
                all
            })
            .try_into()
            .unwrap();
        for (field, a, s) in [(first, "ed25519-sha256", "brisbane"), (second, "rsa-sha256", "test")] {
            let field = field.replace("\r\n\t", " ");
            assert!(field.starts_with(&format!(
                "DKIM-Signature: v=1; a={a}; c=relaxed/relaxed; d=football.example.com; s={s}; t=1528637909;"
            )), "{field}");
            let tight = field.replace(' ', "");
            assert!(
                tight.contains(";x=1528724309;h=from:from:to:to:to:cc:subject:reply-to:date:date;bh="),
                "{tight}"
            );
        }
    }

    #[test]
    fn from_is_signed_whatever_the_message_is() {
        let section = HeaderSection::new(b"Subject: x\r\n");
        let names = signed_names(&section, &["Subject".into(), "List-Id".into()], &["From".into()]);
        assert_eq!(names, ["from", "subject", "subject"]);
    }
}
