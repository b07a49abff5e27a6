//! DKIM: who has signed a message (RFC 6376, RFC 8301, RFC 8463).
//!
//! Invariants: only a signature that covers the From field and the whole body, made with SHA-256 and a key that is long
//! enough, passes; a key that can't be looked up is `temperror`.

use std::collections::BTreeSet;

use mail_auth::common::crypto::Algorithm;
use mail_auth::common::headers::Header;
use mail_auth::common::verify::VerifySignature as _;
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::{AuthenticatedMessage, DkimOutput, DnsError, Error, Parameters};

use super::message::SignedMessage;
use super::records::{Records, verifier};
use super::tag_list::{items, tags, value};
use crate::net::dns::Dns;

/// Most names in `h=` of a signature that is verified (ours).
const SIGNED_FIELDS_MAX: usize = 200;

/// Most signatures that are spoken of, of those that were verified and those that could not be (ours).
const SHOWN_MAX: usize = 20;

/// What came of a signature, or of a chain of them (RFC 8601 §2.7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// There is none.
    None,
    /// It verifies.
    Pass,
    /// It doesn't; why.
    Fail(&'static str),
    /// It may verify, but such signatures don't count; why.
    Policy(&'static str),
    /// It can't be understood; why.
    Neutral(&'static str),
    /// It can't be told now; why.
    TempError(String),
    /// It can't be verified, now or later; why.
    PermError(&'static str),
}

impl Verification {
    /// The word for it in header fields and policies.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Policy(_) => "policy",
            Self::Neutral(_) => "neutral",
            Self::TempError(_) => "temperror",
            Self::PermError(_) => "permerror",
        }
    }

    /// Why it didn't pass.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::None | Self::Pass => None,
            Self::Fail(why) | Self::Policy(why) | Self::Neutral(why) | Self::PermError(why) => Some(why),
            Self::TempError(why) => Some(why),
        }
    }
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimSignature {
    /// Who signed, in lower case; empty when the signature can't be understood.
    pub domain: String,
    /// Under which key.
    pub selector: String,
    /// The start of the signature, which tells it from others (RFC 6008 §4).
    pub start: String,
    /// What came of it.
    pub verification: Verification,
}

/// Verifies the signatures of the message: first those that could be verified, then those that could not.
pub async fn verify(dns: &Dns, message: &SignedMessage) -> Vec<DkimSignature> {
    let mut parsed = match message.parsed() {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Vec::new(),
        Err(too_much) => return vec![DkimSignature::unknown(Verification::PermError(too_much.why()))],
    };
    let refused = refuse(&mut parsed);
    let records = keys(dns, &parsed).await;
    let verified = verified(&parsed, &records).await;
    let mut signatures: Vec<_> = verified.iter().map(DkimSignature::of).chain(refused).collect();
    signatures.truncate(SHOWN_MAX);
    signatures
}

/// The keys that the signatures of the message want.
pub(super) async fn keys(dns: &Dns, message: &AuthenticatedMessage<'_>) -> Records {
    let mut records = Records::default();
    let names = message.dkim_headers.iter().map(|header| header.header.domain_key());
    records.add_keys(dns, names.collect::<BTreeSet<_>>()).await;
    records
}

/// The library's results for what is left of the message after [`refuse`].
pub(super) async fn verified<'m>(
    message: &'m AuthenticatedMessage<'m>,
    records: &'m Records,
) -> Vec<DkimOutput<'m>> {
    match verifier() {
        Some(verifier) => verifier.verify_dkim(Parameters::new(message).with_txt_cache(records)).await,
        None => {
            let fault = || Error::Dns(DnsError::Resolver("the verifier could not be set up".into()));
            let output = |header: &'m Header<'m, Signature>| {
                DkimOutput::temp_err(fault()).with_signature(&header.header)
            };
            message.dkim_headers.iter().map(output).collect()
        }
    }
}

/// Takes the signatures out of the message that are not to be verified, and says why.
pub(super) fn refuse(message: &mut AuthenticatedMessage<'_>) -> Vec<DkimSignature> {
    let mut refused = Vec::new();
    for broken in std::mem::take(&mut message.errors) {
        if broken.name.eq_ignore_ascii_case(b"DKIM-Signature") {
            refused.push(DkimSignature::unknown(reason(&broken.header)));
        } else {
            message.errors.push(broken);
        }
    }
    message.dkim_headers.retain_mut(|header| {
        let verdict = objection(header);
        // Reports and signatures for others (RFC 6651, RFC 6541) would look up more.
        header.header.r = false;
        header.header.atps = None;
        match verdict {
            Some(verification) => {
                refused.push(DkimSignature { verification, ..DkimSignature::named(&header.header) });
                false
            }
            None => true,
        }
    });
    refused
}

/// What the library lets pass and the RFCs don't.
fn objection(header: &Header<'_, Signature>) -> Option<Verification> {
    let Some(tags) = tags(header.value) else { return Some(Verification::Neutral("malformed tag list")) };
    if value(&tags, "v") != Some("1") {
        return Some(Verification::Neutral("unknown version"));
    }
    let signed = value(&tags, "h").unwrap_or_default();
    if !items(signed).any(|name| name.eq_ignore_ascii_case("From")) {
        return Some(Verification::PermError("From is not signed"));
    }
    if items(signed).count() > SIGNED_FIELDS_MAX {
        return Some(Verification::Policy("too many signed fields"));
    }
    if value(&tags, "q").is_some_and(|methods| !items(methods).any(|method| method.starts_with("dns/txt"))) {
        return Some(Verification::PermError("unknown query method"));
    }
    if value(&tags, "l").is_some() {
        return Some(Verification::Policy("the body is signed in part only"));
    }
    matches!(header.header.a, Algorithm::RsaSha1).then_some(Verification::Policy("signed with SHA-1"))
}

impl DkimSignature {
    const fn unknown(verification: Verification) -> Self {
        Self { domain: String::new(), selector: String::new(), start: String::new(), verification }
    }

    fn named(signature: &Signature) -> Self {
        /// Characters of the signature that tell it from others (RFC 6008 §4).
        const START: usize = 8;
        let start = base64_start(&signature.b, START);
        Self {
            domain: signature.d.clone(),
            selector: signature.s.clone(),
            start,
            verification: Verification::None,
        }
    }

    fn of(output: &DkimOutput<'_>) -> Self {
        let named = output.signature().map_or_else(|| Self::unknown(Verification::None), Self::named);
        Self { verification: verification(output.result()), ..named }
    }
}

/// The first `characters` of the octets in base64 (RFC 4648 §4).
fn base64_start(octets: &[u8], characters: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| octets.get(at / 8).map_or(0, |octet| usize::from(octet >> (7 - at % 8) & 1));
    let sextet = |at: usize| (at * 6..at * 6 + 6).fold(0, |value, place| value << 1 | bit(place));
    let shown = characters.min(octets.len() * 8 / 6);
    (0..shown).filter_map(|at| ALPHABET.get(sextet(at))).map(|octet| char::from(*octet)).collect()
}

/// The result in words of RFC 8601 §2.7.1, which the library uses otherwise: a signature that doesn't verify is `fail`.
pub(super) fn verification(result: &mail_auth::DkimResult) -> Verification {
    use mail_auth::DkimResult;
    match result {
        DkimResult::Pass => Verification::Pass,
        DkimResult::None => Verification::None,
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => reason(error),
        DkimResult::TempError(Error::Dns(DnsError::Resolver(why))) => Verification::TempError(why.clone()),
        DkimResult::TempError(_) => Verification::TempError("the verifier has failed".into()),
    }
}

fn reason(error: &Error) -> Verification {
    use mail_auth::arc::ArcError;
    match error {
        Error::Dkim(DkimError::FailedBodyHashMatch) | Error::Arc(ArcError::FailedBodyHashMatch) => {
            Verification::Fail("the body was changed")
        }
        Error::Crypto(_) => Verification::Fail("the signature does not verify"),
        Error::Dkim(DkimError::SignatureExpired) | Error::Arc(ArcError::SignatureExpired) => {
            Verification::Fail("the signature has expired")
        }
        Error::Dkim(DkimError::SignatureLength) | Error::Arc(ArcError::SignatureLength) => {
            Verification::Policy("the body is signed in part only")
        }
        Error::Dkim(DkimError::FailedAuidMatch) => {
            Verification::PermError("the identity is not the domain's")
        }
        Error::Dkim(DkimError::RevokedPublicKey) => Verification::PermError("the key was revoked"),
        Error::Dkim(DkimError::UnsupportedKeyType) => Verification::PermError("the key may not be used"),
        Error::Dns(DnsError::RecordNotFound(_)) => Verification::PermError("there is no key"),
        Error::Dns(DnsError::InvalidRecordType) => Verification::PermError("the key record is malformed"),
        Error::Dns(DnsError::Resolver(why)) => Verification::TempError(why.clone()),
        Error::Arc(ArcError::ChainTooLong) => Verification::Fail("the chain is too long"),
        Error::Arc(_) => Verification::Fail("the chain is broken"),
        Error::Dkim(_) => Verification::Neutral("unknown version, algorithm or canonicalisation"),
        _ => Verification::Neutral("malformed signature"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_known_by_its_start() {
        assert_eq!(base64_start(b"hello world", 8), "aGVsbG8g");
        assert_eq!(base64_start(b"he", 8), "aG");
        assert_eq!(base64_start(b"", 8), "");
    }

    #[test]
    fn what_the_rfcs_forbid_is_refused_before_it_is_verified() {
        for (tags, expected) in [
            ("v=1; a=rsa-sha256; h=from", None),
            ("v=1; a=rsa-sha256; h=To : FROM", None),
            ("a=rsa-sha256; h=from", Some(Verification::Neutral("unknown version"))),
            ("v=1; a=rsa-sha256; h=to:subject", Some(Verification::PermError("From is not signed"))),
            ("v=1; a=rsa-sha1; h=from", Some(Verification::Policy("signed with SHA-1"))),
            ("v=1; a=rsa-sha256; h=from; l=5", Some(Verification::Policy("the body is signed in part only"))),
            ("v=1; a=rsa-sha256; h=from; l=0", Some(Verification::Policy("the body is signed in part only"))),
            ("v=1; a=rsa-sha256; h=from; q=http", Some(Verification::PermError("unknown query method"))),
            ("v=1; a=rsa-sha256; h=from; h=from", Some(Verification::Neutral("malformed tag list"))),
        ] {
            let field = format!("DKIM-Signature: {tags}; d=a.example; s=k; bh=aGVsbG8=; b=aGVsbG8=\r\n\r\n");
            let message = SignedMessage::of(field.as_bytes());
            let refused = refuse(&mut message.parsed().unwrap().unwrap());
            assert_eq!(refused.first().map(|signature| signature.verification.clone()), expected, "{tags}");
        }
    }
}
