//! The service: it carries out one request and gives the answers to whoever asked.
//!
//! Invariants: an answer goes out before the next page of the queue is read; where the asker has gone nothing further
//! is begun.

use std::fmt;
use std::io;
use std::sync::Arc;

use queue::spool::{Spool, SpoolError};
use queue::wait::block_on;
use tokio::runtime::Handle;

use super::answer::{Answer, Done, Failure, FailureKind, Reloaded, Status};
use super::census;
use super::request::Request;
use crate::site::Site;

/// Who asks.
pub trait Asker {
    /// Takes one answer.
    ///
    /// # Errors
    /// [`Gone`]: nobody wants to hear more.
    fn tell(&mut self, answer: Answer) -> Result<(), Gone>;

    /// Reads what follows the request: the mail data of an import. 0 is its end.
    ///
    /// # Errors
    /// The rest doesn't come.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Nobody waits for answers any more, or the server is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Why a request ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// It failed.
    Failed(Failure),
    /// Nobody wants to hear more.
    Gone,
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<SpoolError> for Stop {
    fn from(error: SpoolError) -> Self {
        Self::Failed(error.into())
    }
}

/// The program that the service is part of: a server, or a command that has the spool to itself.
pub trait Program: Send + Sync + fmt::Debug {
    /// The site in force.
    ///
    /// # Errors
    /// A sentence on why there is none.
    fn site(&self) -> Result<Arc<Site>, String>;

    /// Where tables can be asked over the network.
    fn runtime(&self) -> &Handle;

    /// How the server is but for its queue; `None` when no server runs.
    fn status(&self) -> Option<Status>;

    /// Puts the configuration as it is now in force; `None` when no server runs.
    fn reload(&self) -> Option<Reloaded>;

    /// Begins to end the server; false when none runs.
    fn stop(&self) -> bool;
}

/// Carries out requests. It blocks on the disk and on the spool's commits: each request wants a thread that may.
#[derive(Debug)]
pub struct Service<S> {
    pub(super) spool: Arc<S>,
    pub(super) program: Box<dyn Program>,
}

impl<S: Spool> Service<S> {
    /// A service for the queue in `spool`.
    #[must_use]
    pub fn new(spool: Arc<S>, program: Box<dyn Program>) -> Self {
        Self { spool, program }
    }

    /// Carries out a request; the last answer is `Done` or `Failed`.
    ///
    /// # Errors
    /// [`Gone`]: the answers were not wanted to their end.
    pub fn answer(&self, request: Request, asker: &mut dyn Asker) -> Result<(), Gone> {
        let last = match self.carry_out(request, asker) {
            Ok(done) => Answer::Done(done),
            Err(Stop::Failed(failure)) => Answer::Failed(failure),
            Err(Stop::Gone) => return Err(Gone),
        };
        asker.tell(last)
    }

    fn carry_out(&self, request: Request, asker: &mut dyn Asker) -> Result<Done, Stop> {
        match request {
            Request::List { filter, text, limit } => self.list(&filter, text.as_deref(), limit, asker),
            Request::Show { id } => self.show(id, asker),
            Request::Cat { id } => self.cat(id, asker),
            Request::Export { filter } => self.export(&filter, asker),
            Request::Import { message } => self.import(&message, asker),
            Request::Order { filter, order } => self.order(&filter, &order, asker),
            Request::Census { limit } => self.census(limit, asker),
            Request::Status => self.status(asker),
            Request::Reload => match self.program.reload() {
                Some(reloaded) => {
                    asker.tell(Answer::Reloaded(reloaded))?;
                    Ok(Done::default())
                }
                None => Err(no_server().into()),
            },
            Request::Stop if self.program.stop() => Ok(Done::default()),
            Request::Stop => Err(no_server().into()),
        }
    }

    fn status(&self, asker: &mut dyn Asker) -> Result<Done, Stop> {
        let Some(mut status) = self.program.status() else { return Err(no_server().into()) };
        status.queue = census::totals(&block_on(self.spool.census())?);
        status.fault = self.spool.fault();
        status.no_room = self.spool.room(None).err().map(|why| why.to_string());
        asker.tell(Answer::Status(Box::new(status)))?;
        Ok(Done::default())
    }
}

fn no_server() -> Failure {
    Failure::new(
        FailureKind::NotFound,
        "no server is running here: `gatepost run` starts one, and --state names its directory",
    )
}
