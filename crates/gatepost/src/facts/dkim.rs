//! DKIM: the message's signatures (RFC 6376).

use std::sync::Arc;

use policy::value::{State, Value};

use super::Findings;
use crate::net::dns::Dns;
use crate::net::mail_auth::dkim::{DkimSignature, Verification, verify};
use crate::net::mail_auth::message::SignedMessage;

/// The message's signatures, and what came of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dkim {
    /// First those that could be verified.
    pub signatures: Vec<DkimSignature>,
}

impl Dkim {
    /// Verifies the message's signatures.
    pub async fn verify(dns: &Dns, message: &SignedMessage) -> Self {
        Self { signatures: verify(dns, message).await }
    }

    /// `dkim.result`, the best of all results, and `dkim.domains`, those that pass. What can't be told now is unsure, unless a
    /// signature of the same domain passes.
    #[must_use]
    pub fn findings(&self) -> Findings {
        let passing: Vec<&DkimSignature> =
            self.signatures.iter().filter(|one| one.verification == Verification::Pass).collect();
        let unsure = self.signatures.iter().find_map(|one| match &one.verification {
            Verification::TempError(why) if !passing.iter().any(|pass| pass.domain == one.domain) => {
                Some(State::unsure(&format!("temperror: {why}")))
            }
            _ => None,
        });
        let best = self.signatures.iter().map(|one| one.verification.word()).min_by_key(|word| rank(word));
        let best = best.unwrap_or("none");
        let result = match &unsure {
            Some(unsure) if passing.is_empty() => unsure.clone(),
            _ => State::Known(Value::Choice(best)),
        };
        let mut domains: Vec<Arc<str>> = Vec::new();
        for one in passing {
            if !domains.iter().any(|domain| **domain == *one.domain) {
                domains.push(Arc::from(one.domain.as_str()));
            }
        }
        let domains = unsure.unwrap_or_else(|| State::Known(Value::Texts(domains.into())));
        vec![("dkim.result", result), ("dkim.domains", domains)]
    }
}

/// Lower ones are better.
fn rank(word: &str) -> usize {
    const ORDER: [&str; 6] = ["pass", "temperror", "policy", "fail", "neutral", "permerror"];
    ORDER.iter().position(|known| *known == word).unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(signatures: &[(&str, Verification)]) -> (String, String) {
        let signature = |(domain, verification): &(&str, Verification)| DkimSignature {
            domain: (*domain).to_owned(),
            selector: "k".into(),
            start: String::new(),
            verification: verification.clone(),
        };
        let findings = Dkim { signatures: signatures.iter().map(signature).collect() }.findings();
        (findings[0].1.to_string(), findings[1].1.to_string())
    }

    #[test]
    fn the_best_result_counts_and_what_is_unsure_stays_so() {
        let late = || Verification::TempError("time-out".into());
        let bad = || Verification::Fail("the body was changed");
        for (signatures, result, domains) in [
            (vec![], "none", ""),
            (vec![("a.example", bad()), ("b.example", Verification::Pass)], "pass", "b.example"),
            (vec![("a.example", Verification::Pass), ("a.example", Verification::Pass)], "pass", "a.example"),
            (vec![("a.example", bad()), ("", Verification::Neutral("x"))], "fail", ""),
            (vec![("a.example", late())], "unsure: temperror: time-out", "unsure: temperror: time-out"),
            (
                vec![("a.example", bad()), ("a.example", late())],
                "unsure: temperror: time-out",
                "unsure: temperror: time-out",
            ),
            (
                vec![("a.example", Verification::Pass), ("b.example", late())],
                "pass",
                "unsure: temperror: time-out",
            ),
            (vec![("a.example", Verification::Pass), ("a.example", late())], "pass", "a.example"),
        ] {
            assert_eq!(shown(&signatures), (result.to_owned(), domains.to_owned()), "{signatures:?}");
        }
    }
}
