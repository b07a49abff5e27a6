//! In which form a message goes to a server, by what that offers.
//!
//! Invariants: a body that can't be read is nobody's fault but ours, and never fails a message; what is found out is
//! found out once a message.

use std::cell::OnceCell;

use queue::body::StoredMessage;
use queue::spool::SpoolError;
use smtp::envelope::BodyType;
use smtp::extension::Extensions;

use super::content::Content;
use super::convert::{Obstacle, Plan};
use crate::deliver::attempt::Failure;

/// What a message is for a server.
#[derive(Debug)]
pub(super) struct Form {
    /// How it is converted; `None`: not.
    pub(super) plan: Option<Plan>,
    /// What the mail data are then.
    pub(super) kind: BodyType,
    /// Whether a header section needs SMTPUTF8.
    pub(super) smtputf8: bool,
    /// Why it is not converted, although the server can't take it as it is.
    pub(super) obstacle: Option<Obstacle>,
}

/// What was found out about a message when a server made it matter.
#[derive(Debug, Default)]
pub(super) struct Forms {
    /// Whether all of the mail data are ASCII.
    ascii: OnceCell<bool>,
    /// Its conversion to 7-bit mail data, and to 8-bit ones where it is binary.
    seven_bit: OnceCell<Result<Plan, Obstacle>>,
    eight_bit: OnceCell<Result<Plan, Obstacle>>,
}

impl Forms {
    /// The form for a server with these extensions. Blocks on the disk for a large body.
    ///
    /// # Errors
    /// The body can't be read.
    pub(super) fn for_server(
        &self,
        stored: &StoredMessage,
        extensions: &Extensions,
    ) -> Result<Form, Failure> {
        self.find(stored, extensions).map_err(|error| {
            tracing::error!(queue_id = %stored.id, %error, "the mail data of a message to be relayed cannot be read");
            Failure::local("4.3.0", "the mail data cannot be read")
        })
    }

    fn find(&self, stored: &StoredMessage, extensions: &Extensions) -> Result<Form, SpoolError> {
        let parameters = &stored.message.parameters;
        let (kind, smtputf8) = (parameters.body, parameters.smtputf8);
        let lacks_body = match kind {
            BodyType::SevenBit => false,
            BodyType::EightBitMime => !extensions.eight_bit_mime,
            BodyType::BinaryMime => !(extensions.binary_mime && extensions.chunking),
        };
        let lacks_utf8 = smtputf8 && !extensions.smtputf8;
        let as_stored = Form { plan: None, kind, smtputf8, obstacle: None };
        if !lacks_body && !lacks_utf8 {
            return Ok(as_stored);
        }
        // What all servers can take goes to all, whatever the client declared (RFC 6152 §3, RFC 6531 §3.2).
        if kind != BodyType::BinaryMime && self.is_ascii(stored)? {
            return Ok(Form { kind: BodyType::SevenBit, smtputf8: false, ..as_stored });
        }
        let needs_ascii_header = lacks_utf8 || !extensions.eight_bit_mime;
        let plan = if needs_ascii_header || kind != BodyType::BinaryMime {
            let without = Extensions { eight_bit_mime: false, ..extensions.clone() };
            self.plan(&self.seven_bit, stored, &without)?
        } else {
            self.plan(&self.eight_bit, stored, extensions)?
        };
        let smtputf8 = smtputf8 && !(lacks_utf8 && has_ascii_header(&plan));
        Ok(match plan {
            Ok(plan) if lacks_body => Form { kind: plan.kind(), plan: Some(plan), smtputf8, obstacle: None },
            Err(obstacle) if lacks_body => Form { smtputf8, obstacle: Some(obstacle), ..as_stored },
            Ok(_) | Err(_) => Form { smtputf8, ..as_stored },
        })
    }

    fn is_ascii(&self, stored: &StoredMessage) -> Result<bool, SpoolError> {
        if let Some(is_ascii) = self.ascii.get() {
            return Ok(*is_ascii);
        }
        let mut is_ascii = true;
        Content::new(&stored.body, None).feed(&mut |octets| is_ascii &= octets.is_ascii())?;
        Ok(*self.ascii.get_or_init(|| is_ascii))
    }

    fn plan(
        &self,
        cell: &OnceCell<Result<Plan, Obstacle>>,
        stored: &StoredMessage,
        extensions: &Extensions,
    ) -> Result<Result<Plan, Obstacle>, SpoolError> {
        if let Some(plan) = cell.get() {
            return Ok(plan.clone());
        }
        let plan = Plan::of(&stored.body, stored.message.parameters.body, extensions)?;
        if let Err(obstacle) = plan {
            tracing::info!(queue_id = %stored.id, %obstacle, "the message cannot be converted");
        }
        Ok(cell.get_or_init(|| plan).clone())
    }
}

/// Whether no header section needs SMTPUTF8.
const fn has_ascii_header(plan: &Result<Plan, Obstacle>) -> bool {
    matches!(plan, Ok(_) | Err(Obstacle::Signed | Obstacle::Encoding))
}
