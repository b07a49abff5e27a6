//! The queue in numbers, in all and by destination.

use queue::message::Destination;
use queue::postmaster::{DestinationCensus, Query};
use queue::spool::{Spool, SpoolError};
use queue::wait::block_on;

use super::answer::{Answer, Census, DestinationRow, Done};
use super::form::Time;
use super::service::{Asker, Service, Stop};

/// Destinations that are told of without a limit of the asker's (ours: each one's oldest messages are looked up).
const DESTINATIONS_DEFAULT: u64 = 100;

/// Messages of a destination that are looked at for its last reply (ours).
const LOOKED_AT: usize = 10;

/// The totals.
pub(super) fn totals(census: &queue::postmaster::Census) -> Census {
    Census {
        messages: census.messages,
        recipients: census.recipients,
        held: census.held,
        deferred: census.deferred,
        active: census.under_way,
        octets: census.octets,
        oldest: census.oldest.map(Time),
        destinations: census.destinations.len() as u64,
    }
}

impl<S: Spool> Service<S> {
    pub(super) fn census(&self, limit: Option<u64>, asker: &mut dyn Asker) -> Result<Done, Stop> {
        let census = block_on(self.spool.census())?;
        let totals = totals(&census);
        let (messages, recipients, active) = (totals.messages, totals.recipients, totals.active);
        asker.tell(Answer::Census(totals))?;
        let mut destinations = census.destinations;
        destinations.sort_by_key(|(_, row)| std::cmp::Reverse(row.recipients));
        let limit = usize::try_from(limit.unwrap_or(DESTINATIONS_DEFAULT)).unwrap_or(usize::MAX);
        for (destination, counts) in destinations.into_iter().take(limit) {
            let row = self.row(&destination, &counts)?;
            asker.tell(Answer::Destination(row))?;
        }
        Ok(Done { messages, recipients, active, ..Done::default() })
    }

    fn row(
        &self,
        destination: &Destination,
        counts: &DestinationCensus,
    ) -> Result<DestinationRow, SpoolError> {
        let only = Query { destination: Some(destination.clone()), ..Query::default() };
        let entries = block_on(self.spool.list(&only, None, LOOKED_AT))?;
        let states = || entries.iter().flat_map(|entry| &entry.recipients).map(|(_, state)| state);
        Ok(DestinationRow {
            destination: destination.to_string(),
            recipients: counts.recipients,
            held: counts.held,
            deferred: counts.deferred,
            active: counts.under_way,
            oldest: counts.oldest.map(Time),
            next_due: counts.next_due.map(Time),
            last_reply: states().find_map(|state| state.last_reply.clone()),
        })
    }
}
