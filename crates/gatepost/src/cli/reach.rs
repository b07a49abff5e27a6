//! Who answers a command's requests: a running server over its control socket, or else its spool, opened here.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use queue::kernel_disk::KernelDisk;
use queue::log_spool::{LogSpool, Options};
use tokio::runtime::{Handle, Runtime};

use super::{SiteOptions, WrongUsage};
use crate::control::{
    Answer, Asker, Client, Done, Failure, FailureKind, Gone, Program, Reloaded, Request, Service, Status,
    Unreachable,
};
use crate::server::{spool_folder, unusable};
use crate::site::{self, Site};

/// How often a spool that another program has is tried (ours: about ten seconds, for commands that are given together
/// and for a server that is starting).
const TRIES_MAX: u32 = 100;

/// Wait between these.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Who answers.
#[derive(Debug)]
pub(super) enum Reach {
    /// A running server.
    Running {
        /// Its state directory.
        state: PathBuf,
        /// The connection; none behind a request that broke it.
        client: Option<Client>,
    },
    /// Nobody: the spool is opened.
    Alone(Box<Service<LogSpool<KernelDisk>>>),
}

impl Reach {
    /// Connects to the server, or opens the spool if none runs.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub(super) fn open(options: &SiteOptions) -> anyhow::Result<Self> {
        for _ in 0..TRIES_MAX {
            if let Some(reach) = Self::running(options)? {
                return Ok(reach);
            }
            match open_spool(&options.state) {
                Ok(spool) => {
                    let alone = Alone { options: options.clone(), runtime: super::runtime()? };
                    let service = Service::new(Arc::new(spool), Box::new(alone));
                    return Ok(Self::Alone(Box::new(service)));
                }
                Err(error) if error.kind() == ErrorKind::ResourceBusy => thread::sleep(TRY_AGAIN),
                Err(error) => return Err(Unreachable::new(format!("{error}")).into()),
            }
        }
        let why = format!(
            "another program has the spool in {} and does not listen at a control socket: a server that is ending, or \
             another command; try again",
            options.state.display()
        );
        Err(Unreachable::new(why).into())
    }

    /// Connects to the server, if one runs.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub(super) fn running(options: &SiteOptions) -> Result<Option<Self>, Unreachable> {
        let client = Client::connect(&options.state)?;
        Ok(client.map(|client| Self::Running { state: options.state.clone(), client: Some(client) }))
    }

    /// Asks, hands each answer but the last to `take`, and gives what was done.
    ///
    /// # Errors
    /// What the answer says, in the kinds of errors that the exit codes go by; and what `take` says.
    pub(super) fn ask(
        &mut self,
        request: Request,
        take: &mut dyn FnMut(Answer) -> anyhow::Result<()>,
    ) -> anyhow::Result<Done> {
        self.ask_with(request, &mut io::empty(), take)
    }

    /// As [`Reach::ask`], with the mail data of an import.
    ///
    /// # Errors
    /// As [`Reach::ask`].
    pub(super) fn ask_with(
        &mut self,
        request: Request,
        body: &mut dyn Read,
        take: &mut dyn FnMut(Answer) -> anyhow::Result<()>,
    ) -> anyhow::Result<Done> {
        match self {
            Self::Running { state, client } => {
                let mut connected = match client.take() {
                    Some(connected) => connected,
                    None => Client::connect(state)?
                        .ok_or_else(|| Unreachable::new("the server has ended meanwhile"))?,
                };
                let done = connected.ask(&request, Some(body), take)?.map_err(failed)?;
                *client = Some(connected);
                Ok(done)
            }
            Self::Alone(service) => {
                let mut taker = Taker { body, take, last: None, error: None };
                let heard = service.answer(request, &mut taker);
                match (taker.error, taker.last, heard) {
                    (Some(error), ..) => Err(error),
                    (None, Some(Ok(done)), _) => Ok(done),
                    (None, Some(Err(failure)), _) => Err(failed(failure)),
                    (None, None, _) => Err(Unreachable::new("the spool did not answer").into()),
                }
            }
        }
    }
}

/// The error that makes the exit code of a failure.
fn failed(failure: Failure) -> anyhow::Error {
    match failure.kind {
        FailureKind::Usage => WrongUsage(failure.why).into(),
        FailureKind::Busy | FailureKind::Refused => Unreachable::new(failure.why).into(),
        FailureKind::NotFound | FailureKind::Unavailable => failure.into(),
    }
}

fn open_spool(state: &Path) -> io::Result<LogSpool<KernelDisk>> {
    let folder = spool_folder(state);
    if !folder.is_dir() {
        let why = format!(
            "there is no spool in {}; --state names the directory that the server was run with",
            state.display()
        );
        return Err(io::Error::new(ErrorKind::NotFound, why));
    }
    let salt = getrandom::u64().map_err(|_| io::Error::other("the system has no random numbers"))?;
    match LogSpool::at(&folder, Options::new(salt)) {
        Ok((spool, _)) => Ok(spool),
        Err(error) => {
            let error = io::Error::from(error);
            let kind = error.kind();
            if kind == ErrorKind::ResourceBusy {
                return Err(error);
            }
            Err(io::Error::new(kind, format!("{:#}", unusable(&folder, error))))
        }
    }
}

/// Takes answers where no server runs.
struct Taker<'a> {
    body: &'a mut dyn Read,
    take: &'a mut dyn FnMut(Answer) -> anyhow::Result<()>,
    last: Option<Result<Done, Failure>>,
    error: Option<anyhow::Error>,
}

impl Asker for Taker<'_> {
    fn tell(&mut self, answer: Answer) -> Result<(), Gone> {
        match answer {
            Answer::Done(done) => self.last = Some(Ok(done)),
            Answer::Failed(failure) => self.last = Some(Err(failure)),
            answer => {
                if let Err(error) = (self.take)(answer) {
                    self.error = Some(error);
                    return Err(Gone);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

/// A command that has the spool to itself.
#[derive(Debug)]
struct Alone {
    options: SiteOptions,
    runtime: Runtime,
}

impl Program for Alone {
    fn site(&self) -> Result<Arc<Site>, String> {
        let refused = |problems: Vec<crate::config::Problem>| {
            super::show(&problems);
            String::from("the configuration is refused")
        };
        let loaded = site::read(self.options.config.as_deref(), &super::user()).map_err(refused)?;
        let (site, _) = Site::rehearsing(loaded.config, None, &self.options.state, false).map_err(refused)?;
        Ok(Arc::new(site))
    }

    fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    fn status(&self) -> Option<Status> {
        None
    }

    fn reload(&self) -> Option<Reloaded> {
        None
    }

    fn stop(&self) -> bool {
        false
    }
}
