//! What is read of a message's content while it passes: facts for the policy, what signatures need, forged results.
//!
//! Invariant: nothing is read that neither the policy can ask for nor a seal vouches for nor a report tells of, but for fields
//! that others forged in this server's name.

use std::sync::Arc;

use crate::facts::content::{Found, Reading};
use crate::facts::forged_results::ForgedResults;
use crate::net::mail_auth::message::{Passing, SignedMessage};
use crate::policies::InForce;
use crate::site::Site;

/// A content that passes.
#[derive(Debug)]
pub(super) struct Inspection {
    content: Option<Box<Reading>>,
    signed: Option<Box<Passing>>,
    forged: ForgedResults,
    /// Whether filters read the message.
    pub(super) for_filters: bool,
}

/// What was found in it.
#[derive(Debug, Default)]
pub(super) struct Inspected {
    /// The facts of the content.
    pub(super) content: Option<Found>,
    /// What verifying the signatures needs.
    pub(super) signed: Option<Arc<SignedMessage>>,
}

impl Inspection {
    /// For what the policy of a site can ask for, and what the site itself does with the message.
    pub(super) fn new(policy: &InForce, site: &Site) -> Self {
        let asked = &policy.content;
        Self {
            content: (!asked.is_nothing()).then(|| Box::new(Reading::new(asked.clone()))),
            signed: (policy.verifies || site.leaving.signing.seals() || site.config.reports.dmarc)
                .then(Box::default),
            forged: ForgedResults::new(&site.own_names),
            for_filters: policy.filters.reads_content(),
        }
    }

    /// Reads the next octets and adds to `kept` what stays of them.
    pub(super) fn pass(&mut self, octets: &[u8], kept: &mut Vec<u8>) {
        if let Some(content) = &mut self.content {
            content.read(octets);
        }
        if let Some(signed) = &mut self.signed {
            signed.read(octets);
        }
        self.forged.pass(octets, kept);
    }

    /// What was found, at the end of the data; what was held back goes to `kept`.
    pub(super) fn finish(&mut self, kept: &mut Vec<u8>) -> Inspected {
        self.forged.finish(kept);
        Inspected {
            content: self.content.take().map(|content| content.finish()),
            signed: self.signed.take().map(|signed| Arc::new(signed.finish())),
        }
    }

    /// How many forged fields were taken out.
    pub(super) const fn forged(&self) -> usize {
        self.forged.removed()
    }
}
