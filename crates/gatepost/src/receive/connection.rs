//! One connection: moves octets between the socket and the session, and carries out the session's actions.
//!
//! An idle connection holds no buffer: input is read into one that the thread owns, output is freed once written.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use queue::spool::{Spool, SpoolError};
use smtp::catalogue;
use smtp::envelope::Envelope;
use smtp::reply::{Reply, Severity};
use smtp::server::{Action, AuthStep, CommitOutcome, Event, Question, Session};
use smtp::time::Timestamp;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::Reception;
use super::admission::Place;
use super::decide::{self, Client};
use super::incoming::{self, Incoming};
use super::inspection::Inspection;
use super::login::{self, Door, Login};
use super::output::Output;
use super::ruling::Ruling;
use super::wire::Wire;
use crate::clock;
use crate::config::ListenerKind;
use crate::journal::Peer;
use crate::net::tls::Unsecured;

/// How long replies wait for a client that does not read (RFC 5321 §4.5.3.2 has minutes for its side).
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a closing connection is read on, so that the client sees the last reply and not a reset (ours).
const LINGER: Duration = Duration::from_secs(2);

/// A connection that is served.
struct Connection<S> {
    reception: Arc<Reception<S>>,
    wire: Wire,
    /// Where the client connected to.
    listener: IpAddr,
    client: Client,
    session: Session,
    ruling: Ruling,
    actions: Vec<Action>,
    output: Output,
    incoming: Option<Box<Incoming>>,
    login: Option<Box<Login>>,
    closing: bool,
}

/// Serves `stream` to its end. `refused` is the reply that admission gave instead of a place.
pub(super) async fn serve<S: Spool>(
    reception: Arc<Reception<S>>,
    stream: TcpStream,
    (peer, kind): (Peer, ListenerKind),
    refused: Option<&'static catalogue::Entry>,
    place: Place,
) {
    serve_over(reception, Wire::Clear(stream), (peer, kind, None), refused).await;
    drop(place);
}

/// Serves a user or program of this machine.
pub(super) async fn serve_local<S: Spool>(
    reception: Arc<Reception<S>>,
    stream: UnixStream,
    uid: u32,
    refused: Option<&'static catalogue::Entry>,
) {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let peer = Peer { client: nowhere, listener: nowhere };
    serve_over(reception, Wire::Local(stream), (peer, ListenerKind::Local, Some(uid)), refused).await;
}

async fn serve_over<S: Spool>(
    reception: Arc<Reception<S>>,
    wire: Wire,
    (peer, kind, local_uid): (Peer, ListenerKind, Option<u32>),
    refused: Option<&'static catalogue::Entry>,
) {
    let site = reception.sites.current();
    let address = peer.client.ip().to_canonical();
    let ruling = Ruling::new(&reception, &site, peer);
    let client = Client {
        address,
        port: peer.client.port(),
        name: address.to_string(),
        listener: kind,
        local_uid,
        refused,
        early: false,
        tls: None,
    };
    let session = Session::new(
        Arc::clone(site.settings_for(kind, address)),
        decide::rights(&site, address),
        client.name.clone(),
        clock::monotonic(),
    );
    let session = if kind == ListenerKind::Submissions { session.over_tls() } else { session };
    let greeting_delay =
        if local_uid.is_some() { Duration::ZERO } else { site.config.clients.greeting_delay };
    drop(site);
    let draining = reception.draining.clone();
    let mut connection = Connection {
        reception,
        wire,
        listener: peer.listener.ip(),
        client,
        session,
        ruling,
        actions: Vec::new(),
        output: Output::default(),
        incoming: None,
        login: None,
        closing: false,
    };
    if let Err(error) = connection.run(greeting_delay, draining).await {
        tracing::debug!(client = connection.client.name, %error, "connection lost");
    }
}

impl<S: Spool> Connection<S> {
    async fn run(&mut self, greeting_delay: Duration, mut draining: watch::Receiver<bool>) -> io::Result<()> {
        // Who is turned away costs no handshake.
        if self.session.is_tls() && (self.client.refused.is_some() || !Box::pin(self.secure()).await) {
            return Ok(());
        }
        if !self.wait_before_greeting(greeting_delay).await? {
            return Ok(());
        }
        if *draining.borrow_and_update() {
            self.event(Event::ShuttingDown).await?;
        }
        self.event(Event::Connected).await?;
        let mut armed = self.session.deadline();
        let mut timer: Pin<Box<Sleep>> = Box::pin(tokio::time::sleep_until(clock::instant(armed)));
        let mut drained = false;
        while !self.closing {
            // The timer is only moved when it would ring too late; one that rings early is set again.
            let deadline = self.session.deadline();
            if deadline < armed {
                armed = deadline;
                timer.as_mut().reset(clock::instant(armed));
            }
            tokio::select! {
                biased;
                read = self.receive() => match read? {
                    0 => return self.hang_up().await,
                    _ => self.carry_out(clock::monotonic()).await?,
                },
                () = &mut timer => {
                    self.event(Event::TimedOut).await?;
                    armed = self.session.deadline();
                    timer.as_mut().reset(clock::instant(armed));
                }
                changed = draining.changed(), if !drained => {
                    drained = changed.is_err() || *draining.borrow_and_update();
                    if drained {
                        self.event(Event::ShuttingDown).await?;
                    }
                }
            }
        }
        self.linger().await
    }

    /// Waits, if the site wants that, for a client that cannot; `false` when the client has closed.
    async fn wait_before_greeting(&mut self, delay: Duration) -> io::Result<bool> {
        let (wire, session, actions) = (&mut self.wire, &mut self.session, &mut self.actions);
        let mut take =
            |received: &[u8]| session.handle(clock::monotonic(), Event::Received(received), actions);
        let read = if delay == Duration::ZERO || self.client.refused.is_some() {
            wire.read_now(&mut take).await?
        } else {
            tokio::time::timeout(delay, wire.read(&mut take)).await.ok().transpose()?
        };
        self.client.early = matches!(read, Some(1..));
        Ok(read != Some(0))
    }

    /// Waits for octets and hands them to the session; how many, 0 at the end.
    async fn receive(&mut self) -> io::Result<usize> {
        let (session, actions) = (&mut self.session, &mut self.actions);
        let take = |received: &[u8]| session.handle(clock::monotonic(), Event::Received(received), actions);
        self.wire.read(take).await
    }

    async fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        let now = clock::monotonic();
        self.session.handle(now, event, &mut self.actions);
        self.carry_out(now).await
    }

    /// Carries out the actions, and those that their answers bring, until the session waits for the client.
    async fn carry_out(&mut self, mut now: Timestamp) -> io::Result<()> {
        let mut actions = Vec::new();
        while !self.actions.is_empty() {
            mem::swap(&mut actions, &mut self.actions);
            for action in actions.drain(..) {
                match action {
                    Action::Commit(envelope) => {
                        // Whoever waits for the disk has heard everything before it.
                        self.flush().await?;
                        let outcome = self.commit(&envelope).await;
                        self.session.handle(now, Event::Committed(outcome), &mut self.actions);
                    }
                    Action::Ask(question) => self.ask(now, &question).await,
                    Action::Open => self.open().await,
                    Action::StartTls => {
                        // The handshake must not begin before the client has heard that it may.
                        self.flush().await?;
                        let secured = Box::pin(self.secure()).await;
                        now = clock::monotonic();
                        if secured {
                            self.session.handle(now, Event::TlsStarted, &mut self.actions);
                        }
                    }
                    Action::Authenticate(step) => self.authenticate(now, &step).await,
                    other => self.act(other),
                }
            }
        }
        self.actions = Vec::new();
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        // Sessions that have something to say at the same time say it one right after the other: a reply of its own each
        // time would wake whoever waits for it, on this processor too.
        tokio::task::yield_now().await;
        if self.output.write(&mut self.wire).await? {
            return Ok(());
        }
        match tokio::time::timeout(WRITE_TIMEOUT, self.output.flush(&mut self.wire)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Has the connection secured. Otherwise it is closing: who wanted TLS is never served in clear text.
    async fn secure(&mut self) -> bool {
        let site = self.reception.sites.current();
        let (wire, tls) = (mem::replace(&mut self.wire, Wire::Lost), site.tls.as_ref());
        let (Wire::Clear(stream), Some(tls)) = (wire, tls) else {
            tracing::error!(client = self.client.name, "no TLS: there is no certificate");
            self.closing = true;
            return false;
        };
        let why = match tls.secure(stream, self.client.address).await {
            Ok((stream, secured)) => {
                tracing::debug!(target: "gatepost::session", client = self.client.name, ?secured, "secured");
                self.wire = Wire::Secured(stream);
                self.client.tls = Some(Box::new(secured));
                self.session.offer_also(login::bound_mechanisms(&site, &self.client));
                self.login = None;
                self.ruling.secured();
                return true;
            }
            Err(Unsecured::ClearText(stream)) if !self.session.is_tls() => {
                self.wire = Wire::Clear(stream);
                return self.hear_clear_text().await;
            }
            Err(Unsecured::ClearText(_)) => String::from("no TLS, but clear text came"),
            Err(Unsecured::Failed(error, stream)) => {
                self.wire = Wire::Clear(stream);
                error.to_string()
            }
            Err(Unsecured::Closed) => String::from("the client has closed"),
            Err(Unsecured::TimedOut) => String::from("it took too long"),
        };
        tracing::info!(
            target: "gatepost::session",
            client = self.client.name,
            helo = self.session.hello_name(),
            "TLS handshake failed: {why}"
        );
        self.closing = true;
        false
    }

    /// Clear text behind STARTTLS is the session's to judge, and to close for.
    async fn hear_clear_text(&mut self) -> bool {
        self.closing = !matches!(self.receive().await, Ok(1..));
        false
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(reply) => {
                let reply = self.ruling.mark(&self.reception, &mut self.session, reply);
                if matches!(reply.code().severity(), Severity::Transient | Severity::Permanent) {
                    self.reception.refused.fetch_add(1, Ordering::Relaxed);
                    self.log_refusal(&reply);
                }
                let output = self.output.buffer();
                let start = output.len();
                reply.write(output);
                self.ruling.said(output.get(start..).unwrap_or_default());
            }
            Action::Write(content) => {
                if let Some(incoming) = &mut self.incoming {
                    incoming.write(&*self.reception.spool, &content);
                }
            }
            Action::Discard => {
                self.incoming = None;
                self.ruling.abandoned();
            }
            Action::Notice(notice) => {
                tracing::warn!(target: "gatepost::session", client = self.client.name, ?notice, "noticed");
            }
            Action::Close => self.closing = true,
            // They wait, so they are carried out by the caller.
            Action::Commit(_)
            | Action::Ask(_)
            | Action::Open
            | Action::StartTls
            | Action::Authenticate(_) => {}
        }
    }

    /// Has a question decided. A client that is gone meanwhile is only seen when the answer is written.
    async fn ask(&mut self, now: Timestamp, question: &Question) {
        let Self { reception, client, session, ruling, incoming, .. } = self;
        let deciding = ruling.decide(reception, client, session, incoming.as_deref_mut(), question);
        // On the heap, so that an idle connection keeps no room for a decision under way.
        let decision = Box::pin(deciding).await;
        self.session.handle(now, Event::Decided(decision), &mut self.actions);
    }

    /// Takes an AUTH exchange a step further.
    async fn authenticate(&mut self, now: Timestamp, step: &AuthStep) {
        let Self { reception, client, session, login, listener, .. } = self;
        let (site, listener) = (reception.sites.current(), *listener);
        let door = Door { users: &reception.users, site: &site, client, session, listener };
        let outcome = Box::pin(door.step(login, step)).await;
        self.session.handle(now, Event::Authenticated(outcome), &mut self.actions);
    }

    async fn open(&mut self) {
        let Some(envelope) = self.session.envelope() else { return };
        let site = self.reception.sites.current();
        let inspection = Inspection::new(self.ruling.policy(), &site);
        let looked_up = incoming::look_up(&site, (envelope, self.ruling.effects())).await;
        let incoming = Incoming::begin(
            &*self.reception.spool,
            (&site, &looked_up),
            &self.client,
            &self.session,
            (envelope, self.ruling.effects()),
            (inspection, clock::wall()),
        );
        self.incoming = Some(Box::new(incoming));
    }

    async fn commit(&mut self, envelope: &Envelope) -> CommitOutcome {
        let stored = match self.incoming.take() {
            Some(incoming) => {
                let helo = self.session.hello_name().unwrap_or_default();
                let site = self.reception.sites.current();
                let effects = self.ruling.effects();
                let spool = &*self.reception.spool;
                incoming.commit(spool, (&self.client, helo), &site, (envelope, effects)).await
            }
            None => Err(SpoolError::Unavailable(String::from("no message is open"))),
        };
        match stored {
            Ok((queue_id, size_octets)) => {
                self.reception.accepted.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    target: "gatepost::accept",
                    %queue_id,
                    client = self.client.name,
                    local_uid = self.client.local_uid,
                    reverse_path = %envelope.reverse_path,
                    recipients = envelope.recipients.len(),
                    size_octets,
                    tls = self.client.tls.as_deref().map(|secured| secured.version),
                    tags = self.ruling.effects().tags(),
                    "accepted"
                );
                self.ruling.stored(&self.reception, (&self.client, &self.session), queue_id);
                CommitOutcome::Stored(queue_id.to_string())
            }
            Err(error) => {
                tracing::error!(client = self.client.name, %error, "a message was not taken");
                self.ruling.abandoned();
                let entry = match error {
                    SpoolError::NoRoom(_) => catalogue::NO_ROOM,
                    _ => catalogue::LOCAL_FAULT,
                };
                CommitOutcome::Refused(entry.refuse(&[]))
            }
        }
    }

    fn log_refusal(&self, reply: &Reply) {
        let reverse_path = self.session.envelope().map(|envelope| envelope.reverse_path.to_string());
        tracing::info!(
            target: "gatepost::refuse",
            client = self.client.name,
            local_uid = self.client.local_uid,
            helo = self.session.hello_name(),
            reverse_path,
            rule = reply.name(),
            "{reply}"
        );
    }

    /// Ends a connection that the client has closed.
    async fn hang_up(&mut self) -> io::Result<()> {
        match self.wire {
            Wire::Secured(_) => tokio::time::timeout(LINGER, self.wire.end()).await.unwrap_or(Ok(())),
            Wire::Clear(_) | Wire::Local(_) | Wire::Lost => Ok(()),
        }
    }

    /// Ends the connection so that the client reads the last reply: closing with input unread would reset it.
    async fn linger(&mut self) -> io::Result<()> {
        let drained = async {
            self.wire.end().await?;
            while self.wire.read(|_| {}).await? > 0 {}
            Ok(())
        };
        tokio::time::timeout(LINGER, drained).await.unwrap_or(Ok(()))
    }
}
