//! Orders: what is to be done with the recipients that match, page by page.
//!
//! Invariants: an order meets the recipients that match and no others; a page is carried out whole before its progress
//! is told, so whoever goes away leaves no message half ordered.

use std::collections::HashSet;

use queue::delivery::RecipientState;
use queue::message::Destination;
use queue::postmaster::{AddressPattern, Entry, Query};
use queue::spool::{Spool, SpoolError, Window};
use queue::wait::block_on;
use smtp::address::Mailbox;
use smtp::time::WallTime;

use super::answer::{Answer, Done, Failure, FailureKind, Outcome, Progress};
use super::listing::{Pages, count};
use super::replace::Replacement;
use super::request::{Filter, Order, Redirection, Selection, way};
use super::service::{Asker, Program, Service, Stop};
use crate::clock;
use crate::deliver::Way;

impl<S: Spool> Service<S> {
    pub(super) fn order(&self, filter: &Filter, order: &Order, asker: &mut dyn Asker) -> Result<Done, Stop> {
        let selection = filter.selection().map_err(Failure::usage)?;
        let replacement = match order {
            Order::Drop { bounce: true } => Some(Replacement::bounce(&*self.program)?),
            Order::Redirect { to: Redirection::Mailbox(mailbox) } => {
                Some(Replacement::other_mailbox(&*self.program, mailbox)?)
            }
            _ => None,
        };
        let plain = match &replacement {
            Some(_) => None,
            None => Some(plain(order)?),
        };
        if let Some(queue::postmaster::Order::Redirect(destination)) = &plain {
            check_route(&*self.program, destination)?;
        }
        let total = self.spool.messages();
        let mut done = Done::default();
        let mut bounced = 0;
        let mut pages = Pages::new(&*self.spool, &selection);
        while let Some(page) = pages.next()? {
            if let Some(replacement) = &replacement {
                for (entry, _) in &page {
                    count(&mut done, entry);
                    bounced += self.replace(replacement, &selection, entry, &mut done)?;
                }
            } else if let Some(order) = &plain {
                page.iter().for_each(|(entry, _)| count(&mut done, entry));
                if matches!(order, queue::postmaster::Order::Retry { .. }) {
                    self.open_windows(&page);
                }
                self.order_page(&selection, &page, order)?;
            }
            asker.tell(Answer::Progress(Progress { done: done.messages, total }))?;
        }
        if matches!(order, Order::Drop { bounce: true }) {
            done.outcome = Some(Outcome::Bounced(bounced));
        }
        let (messages, recipients) = (done.messages, done.recipients);
        tracing::info!(target: "gatepost::control", ?order, messages, recipients, "an order was carried out");
        Ok(done)
    }

    /// Lets the destinations of a page be tried at once that were let alone because nobody was there.
    fn open_windows(&self, page: &[(Entry, bool)]) {
        let states = page.iter().flat_map(|(entry, _)| &entry.recipients).map(|(_, state)| state);
        let destinations: HashSet<&Destination> = states.map(|state| &state.destination).collect();
        for destination in destinations {
            // As much as it got before: how much that may be is not known here.
            let window = self.spool.window(destination);
            self.spool.set_window(destination, Window { opens: WallTime::default(), ..window });
        }
    }

    fn order_page(
        &self,
        selection: &Selection,
        page: &[(Entry, bool)],
        order: &queue::postmaster::Order,
    ) -> Result<(), SpoolError> {
        let whole = page.iter().filter(|(_, in_part)| !in_part);
        let ids: Vec<_> = whole.map(|(entry, _)| entry.id).collect();
        if !ids.is_empty() {
            // Their reverse-path has matched, and looking at it again reads each from the disk.
            let query = Query { ids, reverse_path: None, ..selection.query.clone() };
            block_on(self.spool.order(&query, order.clone()))?;
        }
        for (entry, _) in page.iter().filter(|(_, in_part)| *in_part) {
            for query in entry.recipients.iter().filter_map(|ends| exact(entry, ends)) {
                let phase = selection.query.phase;
                block_on(self.spool.order(&Query { phase, ..query }, order.clone()))?;
            }
        }
        Ok(())
    }
}

/// A recipient of an entry and how it stood.
pub(super) type Ends = (Mailbox, RecipientState);

/// The query for exactly that recipient of an entry, where it goes now.
pub(super) fn exact(entry: &Entry, (mailbox, state): &Ends) -> Option<Query> {
    // What a mailbox prints is a pattern for it.
    let recipient: AddressPattern = mailbox.to_string().parse().ok()?;
    Some(Query {
        ids: vec![entry.id],
        recipient: Some(recipient),
        destination: Some(state.destination.clone()),
        ..Query::default()
    })
}

/// Refuses a route that the configuration doesn't have: mail would go back to where it went before.
fn check_route(program: &dyn Program, destination: &Destination) -> Result<(), Failure> {
    let Way::Route { name, .. } = Way::of(destination) else { return Ok(()) };
    let site = program.site().map_err(|why| Failure::new(FailureKind::Unavailable, why))?;
    if site.config.route(name).is_some() {
        return Ok(());
    }
    let names = site.config.routes.iter().map(|route| &*route.name);
    let near = policy::nearest::did_you_mean(name, names).map(|near| format!("; {near}")).unwrap_or_default();
    Err(Failure::usage(format!("the configuration has no route `{name}`{near}")))
}

/// The spool's order.
fn plain(order: &Order) -> Result<queue::postmaster::Order, Failure> {
    Ok(match order {
        Order::Hold => queue::postmaster::Order::Hold,
        Order::Release => queue::postmaster::Order::Release,
        Order::Retry => queue::postmaster::Order::Retry { due: clock::wall() },
        Order::Drop { .. } => queue::postmaster::Order::Drop,
        Order::Redirect { to: Redirection::Destination(key) } => {
            queue::postmaster::Order::Redirect(way(key).map_err(Failure::usage)?)
        }
        Order::Redirect { to: Redirection::Mailbox(mailbox) } => {
            return Err(Failure::usage(format!("`{mailbox}` is no way for the same recipient")));
        }
    })
}
