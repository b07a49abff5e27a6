//! AUTH exchanges: what a session hears of each step, guesses counted and slowed.
//!
//! Invariants: nothing is checked for whoever has guessed too often; a wrong password is answered a fixed time after it came,
//! whether the user is there or not; a store that fails is 454.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use smtp::server::{AuthOutcome, AuthStep, Session};
use smtp::time::Timestamp;

use super::decide::Client;
use crate::auth::{
    Asked, Attempt, Authenticator, Channel, Checked, Credentials, Exchange, Mechanism, Step, prepared_name,
};
use crate::clock;
use crate::site::Site;

/// Octets of chance in the server's part of a nonce (ours: more than RFC 5802 §5.1 asks for).
const NONCE_OCTETS: usize = 18;

/// Seconds of a minute, in which waits are told.
const MINUTE_SECONDS: u64 = 60;

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Login {
    exchange: Exchange,
    mechanism: Mechanism,
    /// The user's name, once it is known.
    account: String,
    /// Counted from the moment on at which the name is known.
    attempt: Option<Attempt>,
}

/// What an exchange is part of.
pub(super) struct Door<'a> {
    pub(super) users: &'a Authenticator,
    pub(super) site: &'a Site,
    pub(super) client: &'a Client,
    pub(super) session: &'a Session,
    /// Where the client connected to.
    pub(super) listener: IpAddr,
}

impl Door<'_> {
    /// Takes a step of the exchange.
    pub(super) async fn step(&self, login: &mut Option<Box<Login>>, step: &AuthStep) -> AuthOutcome {
        let now = clock::monotonic();
        if step.first {
            let begun = Mechanism::named(&step.mechanism)
                .and_then(|mechanism| begin(mechanism, channel(self.site, self.client)));
            *login = begun.map(Box::new);
        }
        // It comes back unless the exchange has ended.
        let Some(mut current) = login.take() else { return AuthOutcome::Unavailable };
        let response = match step.response.as_ref().map(|text| STANDARD.decode(text)) {
            None => None,
            Some(Ok(response)) => Some(response),
            Some(Err(_)) => return AuthOutcome::Malformed,
        };
        let next = match current.exchange.respond(response.as_deref()) {
            Step::FindKeys(user) => match self.find_keys(&mut current, user, now).await {
                Ok(step) => step,
                Err(outcome) => return outcome,
            },
            Step::Check(credentials) => return self.check(&mut current, credentials, now).await,
            other => other,
        };
        match next {
            Step::Challenge(challenge) => {
                *login = Some(current);
                AuthOutcome::Challenge(STANDARD.encode(challenge))
            }
            Step::Accepted(user) => self.accepted(&mut current, user, now),
            Step::Rejected => self.rejected(&mut current, now).await,
            Step::Malformed | Step::FindKeys(_) | Step::Check(_) => AuthOutcome::Malformed,
        }
    }

    /// Begins to count, once it is known whom the exchange is about.
    fn begin(&self, login: &mut Login, account: String, now: Timestamp) -> Result<(), AuthOutcome> {
        let client = (self.client.address, self.site.config.is_limited(self.client.address));
        let guesses = &self.site.config.auth.guesses;
        let begun = self.users.guard.begin(client, &account, guesses, now);
        login.account = account;
        match begun {
            Ok(attempt) => {
                login.attempt = Some(attempt);
                Ok(())
            }
            Err(wait) => {
                let (client, user) = (&self.client.name, &login.account);
                tracing::warn!(target: "gatepost::auth", client, user, ?wait, "too many failed logins: nothing is checked");
                Err(AuthOutcome::Throttled { minutes: wait.as_secs().div_ceil(MINUTE_SECONDS).max(1) })
            }
        }
    }

    async fn find_keys(&self, login: &mut Login, user: String, now: Timestamp) -> Result<Step, AuthOutcome> {
        self.begin(login, user, now)?;
        match self.users.keys(self.asked(), &login.account).await {
            Ok(Some(keys)) => Ok(login.exchange.keys(keys)),
            Ok(None) => Err(AuthOutcome::NeedsTransition),
            Err(why) => Err(self.unavailable(login, &why)),
        }
    }

    async fn check(&self, login: &mut Login, credentials: Credentials, now: Timestamp) -> AuthOutcome {
        if let Err(outcome) = self.begin(login, credentials.user.clone(), now) {
            return outcome;
        }
        match self.users.check(self.asked(), credentials).await {
            Ok(Checked::Accepted(user)) => self.accepted(login, user, now),
            Ok(Checked::Rejected) => self.rejected(login, now).await,
            Err(why) => self.unavailable(login, &why),
        }
    }

    fn asked(&self) -> Asked<'_> {
        let is_secured = self.session.is_tls() || self.client.address.is_loopback();
        Asked {
            backend: &self.site.config.auth.backend,
            tables: &self.site.services.tables,
            asker: (self.client.address, self.listener, is_secured),
        }
    }

    fn accepted(&self, login: &mut Login, user: String, now: Timestamp) -> AuthOutcome {
        if let Some(attempt) = &mut login.attempt {
            attempt.succeeded(now);
        }
        let (client, mechanism) = (&self.client.name, login.mechanism.name());
        tracing::info!(target: "gatepost::auth", client, user, mechanism, "logged in");
        AuthOutcome::Accepted(user)
    }

    async fn rejected(&self, login: &mut Login, now: Timestamp) -> AuthOutcome {
        if login.attempt.is_none()
            && let Err(outcome) = self.begin(login, String::new(), now)
        {
            return outcome;
        }
        let (client, user, mechanism) = (&self.client.name, &login.account, login.mechanism.name());
        tracing::warn!(target: "gatepost::auth", client, user, mechanism, "login failed");
        let guesses = &self.site.config.auth.guesses;
        let wait = login.attempt.as_mut().map(|attempt| attempt.failed(guesses));
        let end = now + wait.unwrap_or(Duration::ZERO);
        tokio::time::sleep_until(clock::instant(end)).await;
        AuthOutcome::Rejected
    }

    fn unavailable(&self, login: &mut Login, why: &str) -> AuthOutcome {
        if let Some(attempt) = &mut login.attempt {
            attempt.undone();
        }
        tracing::error!(target: "gatepost::auth", client = self.client.name, why, "a login can't be checked");
        AuthOutcome::Unavailable
    }
}

/// The mechanisms that the client's connection can carry beside those that every connection can.
pub(super) fn bound_mechanisms(site: &Site, client: &Client) -> Vec<String> {
    site.config.auth.offered_on(&channel(site, client))
}

/// What TLS knows of the connection, as far as the site goes by it.
fn channel(site: &Site, client: &Client) -> Channel {
    let Some(secured) = client.tls.as_deref() else { return Channel::default() };
    let offered = &site.config.auth.mechanisms;
    let binds = offered.contains(&Mechanism::ScramSha256Plus);
    // Of all the world's authorities some would vouch for anybody's name.
    let vouches = site.config.inward_tls.client_ca_file.is_some() && offered.contains(&Mechanism::External);
    let certificate = secured.certificate.as_ref().filter(|certificate| vouches && certificate.is_verified());
    Channel {
        exporter: secured.exporter.filter(|_| binds).map(Vec::from),
        server_end_point: None,
        certificate_user: certificate
            .and_then(|certificate| prepared_name(certificate.user.as_deref().unwrap_or_default())),
    }
}

fn begin(mechanism: Mechanism, channel: Channel) -> Option<Login> {
    let mut nonce = [0; NONCE_OCTETS];
    getrandom::fill(&mut nonce).ok()?;
    let exchange = Exchange::begin(mechanism, channel, STANDARD.encode(nonce));
    Some(Login { exchange, mechanism, account: String::new(), attempt: None })
}
