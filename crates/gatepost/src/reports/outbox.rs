//! How a report leaves: as mail of the site through the spool, or by HTTPS.

use std::sync::Arc;
use std::time::Duration;

use queue::body::Body;
use queue::message::{Origin, QueuedMessage, QueuedRecipient};
use queue::spool::{Arrival, Spool, SpoolError};
use smtp::address::{ForwardPath, Mailbox, ReversePath};
use smtp::envelope::{MailParameters, Notify, RcptParameters};
use smtp::time::WallTime;
use url::Url;

use crate::deliver;
use crate::net::https;
use crate::site::Site;

/// Longest wait for a server that takes reports (ours).
const POST_TIMEOUT: Duration = Duration::from_secs(60);

/// Puts a mail into the spool. Nobody is told when it can't be delivered: reports of reports would go round.
///
/// # Errors
/// Nothing was taken.
pub(crate) async fn queue<S: Spool>(
    site: &Site,
    spool: &S,
    reverse_path: &Mailbox,
    recipients: &[Mailbox],
    mail_data: Vec<u8>,
    now: WallTime,
) -> Result<(), SpoolError> {
    let own = ReversePath::Mailbox(reverse_path.clone());
    let paths: Vec<ForwardPath> = recipients.iter().cloned().map(ForwardPath::Mailbox).collect();
    let looked_up = site.look_up(|known| paths.iter().for_each(|path| drop(known.resolve(path)))).await;
    let known = site.directory.with(&looked_up);
    let parameters = RcptParameters { notify: Some(Notify::NEVER), original: None };
    // Mail for a list carries its owner's reverse-path.
    let mut parts: Vec<(ReversePath, Vec<QueuedRecipient>)> = Vec::new();
    for path in &paths {
        for resolved in known.resolve(path) {
            let reverse_path = resolved.reverse_path(&own);
            let recipient = QueuedRecipient {
                destination: deliver::destination(&site.config, &resolved, &parameters),
                mailbox: resolved.mailbox,
                accepted_as: path.clone(),
                parameters: parameters.clone(),
            };
            match parts.iter_mut().find(|(known, _)| *known == reverse_path) {
                Some((_, part)) if part.iter().any(|known| known.mailbox == recipient.mailbox) => {}
                Some((_, part)) => part.push(recipient),
                None => parts.push((reverse_path, vec![recipient])),
            }
        }
    }
    let arrival = |(reverse_path, recipients)| Arrival {
        id: spool.allot(now),
        message: QueuedMessage {
            reverse_path,
            parameters: MailParameters::default(),
            received: now,
            origin: Origin { client: "report".to_owned(), helo: String::new(), submitted: true },
            hold: None,
            recipients,
        },
        body: Body::Memory(mail_data.clone()),
    };
    spool.enqueue_all(parts.into_iter().map(arrival).collect()).await
}

/// Posts a compressed TLS report (RFC 8460 §5.4).
///
/// # Errors
/// The server has not taken it, in words.
pub(super) async fn post(site: &Site, url: &Url, file: Vec<u8>) -> Result<(), String> {
    let dns = Arc::clone(site.services.dns()?);
    let authorities = site.services.authorities()?;
    let host = url.domain().ok_or("the URL names no host")?;
    let client = https::client(&dns, &authorities, host, site.config.relaying.mx_loopback)?;
    let request = client
        .post(url.clone())
        .header(reqwest::header::CONTENT_TYPE, "application/tlsrpt+gzip")
        .body(file)
        .timeout(POST_TIMEOUT);
    let response = request.send().await.map_err(|error| https::reasons(&error))?;
    if response.status().is_success() {
        Ok(())
    } else {
        Err(format!("the server answered {}", response.status()))
    }
}
