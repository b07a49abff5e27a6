//! Other programs that the policy asks: milters, policy services, ClamAV and Rspamd.
//!
//! Invariants: one that fails is unsure, and never a reason to refuse for good; each wait and each answer has a limit; what
//! no policy declares costs nothing.

pub mod clamd;
pub mod connection;
pub mod draft;
pub mod fields;
pub mod milter;
pub mod occasion;
pub mod rspamd;
pub mod service;
pub mod verdict;

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use policy::source::{Filter, FilterKind, Source, SourceKind};
use policy::stage::Stage;
use policy::value::State;
use tokio::sync::Mutex;

use clamd::Clamd;
use draft::Draft;
use milter::{Dialogue, Milter};
use occasion::Occasion;
use rspamd::Rspamd;
use service::Service;
use verdict::{FieldStates, unsure};

/// Longest wait for all that is said of a message (Postfix's `milter_content_timeout`).
const CONTENT_TIME_MAX: Duration = Duration::from_secs(300);

/// The filters that a policy declares, by their places among its sources.
#[derive(Debug, Default)]
pub struct Filters {
    places: Vec<Option<Place>>,
    /// Whether one of them reads the message.
    reads_content: bool,
}

#[derive(Debug)]
struct Place {
    name: Arc<str>,
    filter: Filter,
    asked: Asked,
}

/// Whom to ask.
#[derive(Debug, Clone)]
enum Asked {
    Milter(Arc<Milter>),
    Service(Arc<Service>),
    Clamd(Arc<Clamd>),
    Rspamd(Arc<Rspamd>),
}

/// What milters were told of one session.
#[derive(Debug, Default)]
pub struct Dialogues {
    open: Lock<Vec<(u16, Arc<Mutex<Dialogue>>)>>,
    /// Tells sessions apart.
    pub session: u64,
}

impl Filters {
    /// Those of `sources`, with the connections of `old` where the same is declared.
    #[must_use]
    pub fn of(sources: &[Source], old: &Self) -> Self {
        let place = |source: &Source| {
            let SourceKind::Filter(filter) = &source.kind else { return None };
            let known = old.places.iter().flatten().find(|place| {
                place.name == source.name
                    && Filter { client_name: filter.client_name, ..place.filter.clone() } == *filter
            });
            let asked = known.map_or_else(|| Asked::new(filter), |place| place.asked.clone());
            Some(Place { name: Arc::clone(&source.name), filter: filter.clone(), asked })
        };
        let places: Vec<Option<Place>> = sources.iter().map(place).collect();
        let reads = |place: &Place| place.filter.kind != FilterKind::Service;
        let reads_content = places.iter().flatten().any(reads);
        Self { places, reads_content }
    }

    /// Whether one of them reads messages.
    #[must_use]
    pub const fn reads_content(&self) -> bool {
        self.reads_content
    }

    /// The milters' places among the sources: their facts are of one stage.
    pub fn milters(&self) -> impl Iterator<Item = u16> {
        (0..).zip(&self.places).filter_map(|(number, place)| {
            place.as_ref().filter(|place| place.filter.kind == FilterKind::Milter).map(|_| number)
        })
    }

    /// Whether a filter stands at this place.
    #[must_use]
    pub fn has(&self, place: u16) -> bool {
        self.places.get(usize::from(place)).is_some_and(Option::is_some)
    }

    /// Longest wait for all that the filter says of a stage.
    #[must_use]
    pub fn patience(&self, place: u16, stage: Stage) -> Duration {
        let timeout =
            self.places.get(usize::from(place)).and_then(Option::as_ref).map(|place| place.filter.timeout);
        match (timeout, stage) {
            (None, _) => Duration::ZERO,
            (Some(_), Stage::Message) => CONTENT_TIME_MAX,
            (Some(timeout), _) => timeout,
        }
    }

    /// Asks the filter at this place. `client_name` is what is known of the client's name.
    pub async fn ask(
        &self,
        place: u16,
        (occasion, dialogues): (&Occasion, &Dialogues),
        client_name: &State,
    ) -> FieldStates {
        let Some(Some(known)) = self.places.get(usize::from(place)) else { return Vec::new() };
        let kind = SourceKind::Filter(known.filter.clone());
        let asking = known.ask(place, (occasion, dialogues), client_name);
        let answer = tokio::time::timeout(self.patience(place, occasion.stage), asking).await;
        match answer.unwrap_or_else(|_| Err("time-out".to_owned())) {
            Ok(facts) => facts,
            Err(why) => {
                tracing::warn!(filter = &*known.name, stage = occasion.stage.name(), %why, "a filter can't be asked");
                unsure(kind.fields(), &why)
            }
        }
    }
}

impl Asked {
    fn new(filter: &Filter) -> Self {
        match filter.kind {
            FilterKind::Milter => Self::Milter(Arc::new(Milter::new(filter))),
            FilterKind::Service => Self::Service(Arc::new(Service::new(filter))),
            FilterKind::Clamav => Self::Clamd(Arc::new(Clamd::new(filter))),
            FilterKind::Rspamd => Self::Rspamd(Arc::new(Rspamd::new(filter))),
        }
    }
}

impl Place {
    async fn ask(
        &self,
        place: u16,
        (occasion, dialogues): (&Occasion, &Dialogues),
        client_name: &State,
    ) -> Result<FieldStates, String> {
        let name = client_name.value().map(ToString::to_string);
        match &self.asked {
            Asked::Milter(milter) => {
                let dialogue = dialogues.of(place, milter);
                let mut dialogue = dialogue.lock().await;
                let name = name.unwrap_or_else(|| format!("[{}]", occasion.client));
                dialogue.ask(occasion, &name).await.map(|verdict| verdict.facts())
            }
            Asked::Service(service) => {
                let instance = format!("{:x}.{}", dialogues.session, occasion.transaction);
                service.ask(occasion, name.as_deref(), &instance).await
            }
            Asked::Clamd(clamd) => clamd.scan(&read(occasion).await?).await,
            Asked::Rspamd(rspamd) => rspamd.scan(occasion, name.as_deref(), &read(occasion).await?).await,
        }
    }
}

/// The message as it is now; its body is not copied.
async fn read(occasion: &Occasion) -> Result<Draft, String> {
    match &occasion.draft {
        Some(draft) => Ok(draft.lock().await.clone()),
        None => Err("the message can't be read".to_owned()),
    }
}

impl Dialogues {
    /// For one session.
    #[must_use]
    pub fn new() -> Self {
        let mut octets = [0; 8];
        // Without chance, sessions are told apart by their clients and senders alone.
        let _ = getrandom::fill(&mut octets);
        Self { open: Lock::default(), session: u64::from_le_bytes(octets) }
    }

    fn of(&self, place: u16, milter: &Arc<Milter>) -> Arc<Mutex<Dialogue>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, dialogue)) = open.iter().find(|(known, _)| *known == place) {
            return Arc::clone(dialogue);
        }
        let dialogue = Arc::new(Mutex::new(Dialogue::new(Arc::clone(milter))));
        open.push((place, Arc::clone(&dialogue)));
        dialogue
    }
}
