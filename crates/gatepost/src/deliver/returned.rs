//! Mail that nobody took although its sender was told that it would go: he hears of it as of any that can't be delivered.

use queue::body::Body;
use queue::dsn::{self, Action, Notice, Original, Report};
use queue::message::{Origin, QueuedMessage, QueuedRecipient};
use queue::spool::{Arrival, Spool, SpoolError};
use smtp::address::{ForwardPath, Mailbox, ReversePath};
use smtp::client::RemoteReply;
use smtp::envelope::{MailParameters, RcptParameters};

use super::{errand, notices, route};
use crate::clock;
use crate::site::Site;

/// A message that is sent back.
#[derive(Debug)]
pub(crate) struct Returned<'a> {
    /// To whom.
    pub(crate) reverse_path: ReversePath,
    /// Its header section, which is shown.
    pub(crate) header: &'a [u8],
    /// Who handed it in.
    pub(crate) uid: u32,
}

/// Tells the sender who doesn't get it, and why; nobody where there is none.
///
/// # Errors
/// Nobody was told.
pub(crate) async fn send_back<S: Spool>(
    site: &Site,
    spool: &S,
    returned: Returned<'_>,
    refused: &[(Mailbox, RemoteReply)],
) -> Result<(), SpoolError> {
    let now = clock::wall();
    for (mailbox, reply) in refused {
        tracing::warn!(local_uid = returned.uid, reverse_path = %returned.reverse_path, recipient = %mailbox, "sent back: {reply}");
    }
    let recipients = refused.iter().map(|(mailbox, _)| QueuedRecipient {
        mailbox: mailbox.clone(),
        accepted_as: ForwardPath::Mailbox(mailbox.clone()),
        parameters: RcptParameters::default(),
        destination: route::Way::Local.key(),
    });
    let message = QueuedMessage {
        reverse_path: returned.reverse_path,
        parameters: MailParameters::default(),
        received: now,
        hold: None,
        origin: Origin { client: String::from("sendmail"), helo: String::new(), submitted: true },
        recipients: recipients.collect(),
    };
    let told: Vec<(String, String)> =
        refused.iter().map(|(_, reply)| (status(reply), reply.to_string())).collect();
    let mut arrivals = Vec::new();
    for (recipients, told) in message.recipients.chunks(dsn::REPORTS_MAX).zip(told.chunks(dsn::REPORTS_MAX)) {
        let report = |(recipient, (status, diagnostic))| Report {
            recipient,
            action: Action::Failed,
            status,
            diagnostic: Some(diagnostic),
            remote: None,
        };
        let reports: Vec<Report<'_>> = recipients.iter().zip(told.iter().map(borrowed)).map(report).collect();
        let notice = Notice {
            reporting_mta: &site.config.hostname,
            queue_id: spool.allot(now),
            message: &message,
            original: Original::HeaderSection(returned.header),
            reports: &reports,
            now,
            random: errand::random(),
        };
        for draft in notices::addressed_all(site, dsn::compose(&notice), now).await {
            arrivals.push(Arrival {
                id: spool.allot(now),
                message: draft.message,
                body: Body::Memory(draft.body),
            });
        }
    }
    if arrivals.is_empty() { Ok(()) } else { spool.enqueue_all(arrivals).await }
}

const fn borrowed(told: &(String, String)) -> (&str, &str) {
    (told.0.as_str(), told.1.as_str())
}

/// The enhanced status code of a permanent failure (RFC 3463 §2), also of what was only tried for too long.
fn status(reply: &RemoteReply) -> String {
    match reply.enhanced {
        Some(enhanced) => format!("5.{}.{}", enhanced.subject, enhanced.detail),
        None => String::from("5.0.0"),
    }
}
