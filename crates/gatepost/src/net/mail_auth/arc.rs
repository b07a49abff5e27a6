//! ARC: the chain of those who handled a message, each vouching for what it saw (RFC 8617).

use std::collections::BTreeSet;

use mail_auth::Parameters;
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::verify::VerifySignature as _;

use super::dkim::{Verification, verification};
use super::message::SignedMessage;
use super::records::{Records, verifier};
use crate::net::dns::Dns;

/// Most sets in a chain (RFC 8617 §4.2.1).
const SETS_MAX: usize = 50;

/// What came of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArcChain {
    /// The result.
    pub verification: Verification,
    /// Who sealed last, in lower case.
    pub domain: Option<String>,
}

/// Verifies the message's chain.
pub async fn verify(dns: &Dns, message: &SignedMessage) -> ArcChain {
    let none = ArcChain { verification: Verification::None, domain: None };
    let parsed = match message.parsed() {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return none,
        Err(too_much) => return ArcChain { verification: Verification::PermError(too_much.why()), ..none },
    };
    let (signatures, seals) = (&parsed.ams_headers, &parsed.as_headers);
    if signatures.is_empty() && seals.is_empty() && parsed.aar_headers.is_empty() && !parsed.has_arc_errors {
        return none;
    }
    let domain = seals.iter().max_by_key(|seal| seal.header.i).map(|seal| seal.header.d.clone());
    let failed = |why| ArcChain { verification: Verification::Fail(why), domain: domain.clone() };
    if parsed.has_arc_errors || signatures.len() != seals.len() || signatures.len() > SETS_MAX {
        return failed("the chain is broken");
    }
    let algorithms = signatures.iter().map(|one| one.header.a).chain(seals.iter().map(|one| one.header.a));
    if algorithms.into_iter().any(|algorithm| matches!(algorithm, Algorithm::RsaSha1)) {
        return failed("signed with SHA-1");
    }
    let named = signatures.iter().max_by_key(|one| one.header.i).map(|one| one.header.domain_key());
    let names = seals.iter().map(|one| one.header.domain_key()).chain(named);
    let mut records = Records::default();
    records.add_keys(dns, names.collect::<BTreeSet<_>>()).await;
    let verification = match verifier() {
        Some(verifier) => {
            let output = verifier.verify_arc(Parameters::new(&parsed).with_txt_cache(&records)).await;
            match verification(output.result()) {
                // A chain has no other bad ends (RFC 8617 §4.4).
                Verification::None | Verification::Neutral(_) => Verification::Fail("the chain is broken"),
                other => other,
            }
        }
        None => Verification::TempError("the verifier could not be set up".into()),
    };
    ArcChain { verification, domain }
}
