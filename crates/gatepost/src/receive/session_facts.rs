//! Facts that a session knows without asking anybody: client, names, envelope, sizes.
//!
//! Normal forms are made here, once: domains are A-labels in lower case, addresses never IPv4-mapped.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use policy::stage::Stage;
use policy::value::{State, Value};
use smtp::address::{Domain, ForwardPath, Mailbox, ReversePath};
use smtp::envelope::{BodyType, MailParameters, Recipient};
use smtp::server::{Question, Session};

use super::admission::Admission;
use super::decide::Client;
use crate::auth::Authenticator;
use crate::clock;
use crate::filters::draft::Lent;
use crate::filters::occasion::Occasion;
use crate::mailboxes::{LookedUp, Meaning, QuotaUsage, Standing, folded_domain};
use crate::net::tls::ClientCertificate;
use crate::site::Site;
use crate::srs::Bounce;

/// The server around a session.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) site: &'a Site,
    pub(super) client: &'a Client,
    /// Who is connected.
    pub(super) connections: &'a Admission,
    /// How full mailboxes are.
    pub(super) quota: &'a QuotaUsage,
    /// What users have submitted.
    pub(super) users: &'a Authenticator,
}

/// What is looked at for a fact.
pub(super) struct View<'a> {
    pub(super) site: &'a Site,
    pub(super) client: &'a Client,
    pub(super) session: &'a Session,
    /// Who is connected.
    connections: &'a Admission,
    /// Octets of mail data and Received fields in them, once they are all there.
    message: Option<(u64, u32)>,
    /// `vrfy` or `expn`, and what it asks for.
    inquiry: Option<(&'static str, &'a str)>,
    /// How full mailboxes are.
    quota: &'a QuotaUsage,
    users: &'a Authenticator,
    /// What tables say of the recipient's address; found when it is first asked for and may stand in one.
    looked_up: &'a OnceLock<LookedUp>,
    /// What the recipient's address is here; found when it is first asked for.
    address: OnceLock<Option<Address<'a>>>,
    /// Whether the recipient's domain is taken for one that is served here.
    is_local: bool,
}

/// What a recipient's address is here.
pub(super) struct Address<'a> {
    pub(super) meaning: Meaning,
    pub(super) standing: Option<Standing<'a>>,
}

impl<'a> View<'a> {
    /// What is looked at for the facts of a question; of a message that is there, how many Received fields it has.
    pub(super) fn new(
        Around { site, client, connections, quota, users }: Around<'a>,
        session: &'a Session,
        received_fields: u32,
        question: &'a Question,
        looked_up: &'a OnceLock<LookedUp>,
    ) -> Self {
        let message = match question {
            Question::Message { size_octets } => Some((*size_octets, received_fields)),
            _ => None,
        };
        let inquiry = match question {
            Question::Verify(text) | Question::VerifyConcealed(text) => Some(("vrfy", text.as_str())),
            Question::Expand(text) => Some(("expn", text.as_str())),
            _ => None,
        };
        Self {
            site,
            client,
            session,
            connections,
            message,
            inquiry,
            quota,
            users,
            looked_up,
            address: OnceLock::new(),
            is_local: false,
        }
    }

    /// The same, with the recipient's domain taken for one that is served here if `is_local`.
    pub(super) fn taking_for_local(self, is_local: bool) -> Self {
        Self { is_local, ..self }
    }

    /// What the recipient's address is here; `None` where no recipient is decided upon.
    pub(super) fn recipient(&self) -> Option<&Address<'_>> {
        let find = || {
            let path = &self.session.candidate()?.forward_path;
            if let Some(bounce) = self.site.bounce(path, 0) {
                return Some(Address { meaning: self.meaning_of(bounce), standing: None });
            }
            let nothing = LookedUp::nothing_ever();
            let known = self.site.directory.with(self.looked_up.get().unwrap_or(nothing));
            let meaning = match known.meaning(path) {
                Meaning::NotLocal if self.is_local => Meaning::Unknown,
                meaning => meaning,
            };
            Some(Address { meaning, standing: known.standing(path) })
        };
        self.address.get_or_init(find).as_ref()
    }

    /// Whether tables must be asked before it is known what the recipient's address is here.
    pub(super) fn awaits_tables(&self) -> bool {
        self.site.directory.has_tables()
            && self.looked_up.get().is_none()
            && self.session.candidate().is_some()
    }

    /// Asks the tables what the recipient's address is here.
    pub(super) async fn look_up_recipient(&self) {
        let Some(candidate) = self.session.candidate().filter(|_| self.awaits_tables()) else { return };
        let path = &candidate.forward_path;
        let looked_up = self.site.look_up(|known| {
            let _ = (known.meaning(path), known.standing(path));
        });
        // Nobody else fills it: a view is one question's.
        let _ = self.looked_up.set(looked_up.await);
    }

    /// What an address is that was rewritten here: a way back for bounces, and for nothing else.
    fn meaning_of(&self, bounce: Bounce) -> Meaning {
        let envelope = self.session.envelope();
        let is_bounce = envelope.is_some_and(|envelope| envelope.reverse_path == ReversePath::Null);
        match bounce {
            Bounce::To(address) if is_bounce => Meaning::Forward { address, disclosed: false },
            Bounce::To(_) | Bounce::Nobody => Meaning::Unknown,
        }
    }

    /// Octets that a Maildir holds; only one that was not looked at lately costs a walk through it.
    pub(super) fn used(&self, maildir: &Path) -> io::Result<u64> {
        tokio::task::block_in_place(|| self.quota.used_octets(maildir, clock::monotonic()))
    }
}

/// The state of the fact `name`; `None` when a session does not know such a fact by itself.
pub(super) fn state(name: &str, view: &View<'_>) -> Option<State> {
    // Names are short: looking at each octet costs less than preparing a search.
    let (group, _) = name.split_at_checked(name.bytes().position(|octet| octet == b'.')?)?;
    match group {
        "listener" => {
            (name == "listener.kind").then(|| State::Known(Value::Choice(view.client.listener.role())))
        }
        "server" if name == "server.has_way_out" => Some(State::yes_or_no(view.site.config.has_way_out())),
        "server" => Some(State::text(&view.site.settings.hostname)),
        "client" => client(name, view),
        "helo" => hello(name, view.session),
        "tls" => tls(name, view.client),
        "auth" => auth(name, view),
        "sender" => sender(name, view),
        "recipient" => recipient(name, view),
        "message" => message(name, view),
        "inquiry" => inquiry(name, view),
        _ => None,
    }
}

/// What filters are asked about.
pub(super) fn occasion(view: &View<'_>, stage: Stage, transaction: u64, draft: Option<&Lent>) -> Occasion {
    let session = view.session;
    let envelope = session.envelope();
    let words = |recipient: &Recipient| vec![recipient.forward_path.to_string()];
    let user =
        session.user().map(|user| (user.to_owned(), session.mechanism().unwrap_or_default().to_owned()));
    let declared = envelope.and_then(|envelope| envelope.parameters.size_octets);
    let text = |name: &str| match state(name, view) {
        Some(State::Known(value)) => Some(value.to_string()),
        _ => None,
    };
    Occasion {
        stage,
        client: view.client.address,
        port: view.client.port,
        hostname: view.site.settings.hostname.clone(),
        helo: session.hello_name().map(str::to_owned),
        protocol: session.protocol(),
        is_tls: session.is_tls(),
        tls: ["tls.version", "tls.cipher"].map(text),
        user,
        transaction,
        mail: envelope.map(|envelope| mail_words(&envelope.reverse_path, &envelope.parameters)),
        recipients: envelope
            .map(|envelope| envelope.recipients.iter().map(words).collect())
            .unwrap_or_default(),
        candidate: session.candidate().map(words),
        size_octets: view.message.map(|(octets, _)| octets).or(declared).unwrap_or_default(),
        queue_id: draft.map(|(_, id)| id.clone()),
        draft: draft.map(|(draft, _)| Arc::clone(draft)),
    }
}

/// The reverse-path and the parameters of MAIL that a filter may want to know.
fn mail_words(path: &ReversePath, parameters: &MailParameters) -> Vec<String> {
    let mut words = vec![path.to_string()];
    words.extend(parameters.size_octets.map(|octets| format!("SIZE={octets}")));
    match parameters.body {
        BodyType::SevenBit => {}
        BodyType::EightBitMime => words.push(String::from("BODY=8BITMIME")),
        BodyType::BinaryMime => words.push(String::from("BODY=BINARYMIME")),
    }
    if parameters.smtputf8 {
        words.push(String::from("SMTPUTF8"));
    }
    words
}

fn client(name: &str, view: &View<'_>) -> Option<State> {
    let address = view.client.address;
    let config = &view.site.config;
    Some(match name {
        "client.ip" => State::Known(Value::address(address)),
        "client.port" => State::number(u64::from(view.client.port)),
        "client.tls" => State::yes_or_no(view.session.is_tls()),
        "client.connections" => State::number(u64::from(view.connections.connections_of(address))),
        "client.trusted" => State::yes_or_no(config.is_trusted(address)),
        "client.may_relay" => State::yes_or_no(view.client.may_relay(config)),
        "client.refused" => match config.refused(address) {
            None => State::Missing,
            Some(refused) => State::text(&refused_text(refused.text.as_deref(), view)),
        },
        "client.early" => State::yes_or_no(view.client.early),
        _ => return None,
    })
}

/// What a refused client is told: the configuration's words, or the catalogue's.
fn refused_text<'a>(own: Option<&'a str>, view: &View<'_>) -> Cow<'a, str> {
    own.map_or_else(|| Cow::Owned(format!("no SMTP service for {} here", view.client.name)), Cow::Borrowed)
}

fn hello(name: &str, session: &Session) -> Option<State> {
    Some(match name {
        "helo.name" => State::text_or_missing(session.hello_name().map(folded_domain).as_deref()),
        "helo.kind" => State::Known(Value::Choice(match session.hello_name() {
            Some(name) if name.starts_with('[') => "literal",
            Some(name) if name.parse::<Domain>().is_ok() => "domain",
            _ => "malformed",
        })),
        "helo.extended" => State::yes_or_no(session.is_extended()),
        _ => return None,
    })
}

fn tls(name: &str, client: &Client) -> Option<State> {
    let secured = client.tls.as_deref();
    let certificate = secured.and_then(|secured| secured.certificate.as_ref());
    let text = State::text_or_missing;
    Some(match name {
        "tls.version" => text(secured.map(|secured| secured.version)),
        "tls.cipher" => text(secured.map(|secured| secured.cipher)),
        "tls.sni" => text(secured.and_then(|secured| secured.sni.as_deref())),
        "tls.client_certificate" => {
            let verified = certificate.filter(|certificate| certificate.is_verified());
            text(verified.map(|certificate| certificate.subject.as_str()))
        }
        "tls.client_fingerprint" => {
            text(certificate.and_then(|certificate| certificate.fingerprint.as_deref()))
        }
        "tls.client_verdict" => {
            let verdict = |certificate: &ClientCertificate| State::Known(Value::Choice(certificate.verdict));
            certificate.map_or(State::Missing, verdict)
        }
        _ => return None,
    })
}

fn auth(name: &str, view: &View<'_>) -> Option<State> {
    let user = view.session.user();
    let submitter = || view.client.submitter(view.session);
    let limits = view.client.daily_limits(&view.site.config);
    let usage = &view.users.usage;
    Some(match name {
        "auth.user" => State::text_or_missing(user),
        "auth.mechanism" => State::text_or_missing(view.session.mechanism()),
        // What a user's are is found out before it is asked for.
        "auth.owns_sender" | "auth.owns_author" if user.is_none() => State::yes_or_no(true),
        "auth.over_messages" => State::yes_or_no(
            submitter().is_some_and(|user| usage.is_over_messages(&user, limits, clock::monotonic())),
        ),
        "auth.over_recipients" => {
            let more = u32::try_from(accepted(view)).unwrap_or(u32::MAX);
            State::yes_or_no(
                submitter()
                    .is_some_and(|user| usage.is_over_recipients(&user, more, limits, clock::monotonic())),
            )
        }
        _ => return None,
    })
}

fn sender(name: &str, view: &View<'_>) -> Option<State> {
    let envelope = view.session.envelope();
    let path = envelope.map(|envelope| &envelope.reverse_path);
    let mailbox = path.and_then(ReversePath::mailbox);
    let empty = || State::text("");
    Some(match name {
        "sender.address" => mailbox.map_or_else(empty, |mailbox| State::text(&address_text(mailbox))),
        "sender.local" => mailbox.map_or_else(empty, |mailbox| State::text(mailbox.local_part.as_str())),
        "sender.domain" => mailbox.map_or_else(empty, |mailbox| State::text(&domain_text(&mailbox.domain))),
        "sender.null" => State::yes_or_no(mailbox.is_none()),
        "sender.local_domain" => {
            State::yes_or_no(mailbox.is_some_and(|mailbox| view.site.directory.is_local(&mailbox.domain)))
        }
        "sender.declared_size" => envelope
            .and_then(|envelope| envelope.parameters.size_octets)
            .map_or(State::Missing, State::number),
        _ => return None,
    })
}

fn recipient(name: &str, view: &View<'_>) -> Option<State> {
    let path = view.session.candidate().map(|candidate| &candidate.forward_path);
    // A postmaster without a domain is the one of the first domain (RFC 5321 §4.5.1).
    let mailbox = match path {
        Some(ForwardPath::Mailbox(mailbox)) => Some(Cow::Borrowed(mailbox)),
        Some(ForwardPath::Postmaster) => view.site.directory.postmaster().map(Cow::Owned),
        None => None,
    };
    let of = |text: fn(&Mailbox) -> String| {
        mailbox.as_deref().map_or(State::Missing, |mailbox| State::text(&text(mailbox)))
    };
    Some(match name {
        "recipient.address" if path == Some(&ForwardPath::Postmaster) => State::text("postmaster"),
        "recipient.address" => of(address_text),
        "recipient.local" => of(|mailbox| mailbox.local_part.as_str().to_owned()),
        "recipient.domain" => of(|mailbox| domain_text(&mailbox.domain)),
        "recipient.local_domain" => State::yes_or_no(
            path == Some(&ForwardPath::Postmaster)
                || mailbox.is_some_and(|mailbox| view.site.directory.is_local(&mailbox.domain)),
        ),
        "recipient.index" => State::number(u64::from(view.session.recipients_tried())),
        "recipient.count" => State::number(accepted(view)),
        _ => return None,
    })
}

fn message(name: &str, view: &View<'_>) -> Option<State> {
    Some(match (name, view.message) {
        ("message.recipients", _) => State::number(accepted(view)),
        ("message.size", Some((octets, _))) => State::number(octets),
        ("message.received_count", Some((_, count))) => State::number(u64::from(count)),
        _ => return None,
    })
}

fn inquiry(name: &str, view: &View<'_>) -> Option<State> {
    let (command, text) = view.inquiry?;
    Some(match name {
        "inquiry.command" => State::Known(Value::Choice(command)),
        "inquiry.text" => State::text(text),
        _ => return None,
    })
}

fn accepted(view: &View<'_>) -> u64 {
    view.session.envelope().map_or(0, |envelope| envelope.recipients.len() as u64)
}

/// A mailbox as policies compare it: its domain in normal form, its local part as it was given.
pub(super) fn address_text(mailbox: &Mailbox) -> String {
    let mut text = String::with_capacity(64);
    // Writing to a string cannot fail.
    let _ = write!(text, "{}@", mailbox.local_part);
    text.push_str(&domain_text(&mailbox.domain));
    text
}

/// A domain as policies compare it: A-labels in lower case; a literal stands with its brackets.
pub(super) fn domain_text(domain: &Domain) -> String {
    match domain {
        Domain::Name(name) => folded_domain(name.as_str()).into_owned(),
        Domain::Literal(_) => domain.to_string(),
    }
}
