//! A running server, as the control service sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use queue::spool::Spool;
use smtp::time::WallTime;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::answer::{Census, Reloaded, Status};
use super::form::Time;
use super::service::Program;
use crate::receive::Reception;
use crate::reload::Reloads;
use crate::site::Site;
use crate::{PRODUCT, clock};

/// A running server.
#[derive(Debug)]
pub struct Running<S> {
    /// Where mail comes in.
    pub reception: Arc<Reception<S>>,
    /// The configuration's file; `None` is the zero configuration.
    pub configuration: Option<PathBuf>,
    /// When it started.
    pub started: WallTime,
    /// How the configuration is put in force.
    pub reloads: Arc<Reloads>,
    /// Rung when the server is to end.
    pub end: Arc<Notify>,
    /// The server's runtime.
    pub runtime: Handle,
}

impl<S: Spool + std::fmt::Debug> Program for Running<S> {
    fn site(&self) -> Result<Arc<Site>, String> {
        Ok(self.reception.sites.current())
    }

    fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn status(&self) -> Option<Status> {
        let reception = &self.reception;
        Some(Status {
            product: PRODUCT.to_owned(),
            hostname: reception.sites.current().settings.hostname.clone(),
            pid: std::process::id(),
            started: Time(self.started),
            uptime_seconds: clock::monotonic().since(reception.started).as_secs(),
            listening: reception.listening.iter().map(ToString::to_string).collect(),
            configuration: self.configuration.as_ref().map(|file| file.display().to_string()),
            loaded: Time(self.reloads.loaded()),
            draining: *reception.draining.borrow(),
            sessions: u64::from(reception.admission.connections()),
            accepted: reception.accepted.load(Ordering::Relaxed),
            refused: reception.refused.load(Ordering::Relaxed),
            fault: None,
            no_room: None,
            queue: Census::default(),
        })
    }

    fn reload(&self) -> Option<Reloaded> {
        Some(self.reloads.now())
    }

    fn stop(&self) -> bool {
        tracing::info!("told to stop at the control socket");
        self.end.notify_one();
        true
    }
}
