//! `HELP STATUS`: how the server is, with counts for those who may see them (RFC 5321 §4.2.2).

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use queue::spool::Spool;
use smtp::catalogue;
use smtp::reply::Reply;

use super::Reception;
use crate::clock;
use crate::site::Site;

/// The reply: version, uptime and listeners, and for a trusted client the counts of sessions and of the queue.
pub(super) fn reply<S: Spool>(reception: &Reception<S>, site: &Site, client: IpAddr) -> Reply {
    let uptime = uptime(clock::monotonic().since(reception.started));
    let listeners: Vec<String> = reception.listening.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{} on {}\nup {uptime}\nlistening on {}",
        crate::PRODUCT,
        site.settings.hostname,
        listeners.join(", ")
    );
    if site.config.is_trusted(client) {
        let (messages, recipients) = queue_counts(&*reception.spool);
        text.push_str(&format!(
            "\nsessions: {} open, {} messages accepted, {} replies of 4yz and 5yz\nqueue: {messages} messages, {recipients} recipients",
            reception.admission.connections(),
            reception.accepted.load(Ordering::Relaxed),
            reception.refused.load(Ordering::Relaxed),
        ));
    }
    catalogue::STATUS.with_text(text)
}

/// Days, hours, minutes and seconds, those that count.
fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let shown: Vec<String> = parts
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() { String::from("0 s") } else { shown.join(" ") }
}

/// Messages and recipients in the queue; the spool counts them in memory.
fn queue_counts<S: Spool>(spool: &S) -> (u64, u64) {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    let mut census = pin!(spool.census());
    match census.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(census)) => (census.messages, census.recipients),
        Poll::Ready(Err(_)) | Poll::Pending => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_shows_what_counts() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_600, "1 h 0 min"), (90_061, "1 d 1 h")]
        {
            assert_eq!(uptime(Duration::from_secs(seconds)), text);
        }
    }
}
