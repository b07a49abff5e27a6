//! The facts that every policy can ask for: one table with name, type, stage, scope, and a sentence each.
//!
//! The checker, the reference page, completion and `explain` are printed from it. What a policy declares itself (lists of
//! addresses at a DNS zone, tables, rates) adds facts of its own: see [`crate::source`].

use crate::stage::Stage;
use crate::value::Type;

/// How long a fact holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// For the session (until STARTTLS for `tls`, until AUTH for `auth`).
    Session,
    /// For the transaction, from MAIL on.
    Transaction,
    /// For one recipient.
    Recipient,
    /// For the mail data.
    Message,
    /// For one VRFY or EXPN.
    Inquiry,
}

/// What finds a fact out. Facts of one group are found out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Known without asking anybody.
    Session,
    /// The client's PTR record, confirmed by an address look-up (`client.ptr`, `client.name`, `iprev`).
    ClientName,
    /// The MaxMind files (`client.country`, `client.asn`).
    Place,
    /// The EHLO name's address look-up.
    HeloName,
    /// The sender domain's records (`sender.domain_exists`, `sender.mx`, `sender.null_mx`).
    SenderDomain,
    /// The recipient domain's records, for domains that are relayed.
    RecipientDomain,
    /// The mailbox of the recipient.
    Mailbox,
    /// SPF (RFC 7208).
    Spf,
    /// The greylist.
    Greylist,
    /// The header section and the MIME parts of the message.
    Content,
    /// DKIM (RFC 6376).
    Dkim,
    /// DMARC.
    Dmarc,
    /// ARC (RFC 8617).
    Arc,
    /// The sum over the lists that a policy declares.
    ListScore,
    /// A source that the policy declares: its place in `Policy::sources`.
    Source(u16),
}

impl Group {
    /// Whether it is started as soon as it is known that the policy may ask, and not only when a rule waits for it.
    #[must_use]
    pub const fn starts_early(self) -> bool {
        !matches!(self, Self::Content | Self::Dkim | Self::Dmarc | Self::Arc | Self::Greylist)
    }
}

/// One fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactInfo {
    /// Its name, `group.name`.
    pub name: &'static str,
    /// The type of its value.
    pub value_type: Type,
    /// The stage from which it can be known.
    pub since: Stage,
    /// How long it holds.
    pub scope: Scope,
    /// What finds it out.
    pub group: Group,
    /// Whether there may be none.
    pub optional: bool,
    /// Whether finding it out may fail for now.
    pub fallible: bool,
    /// Whether it depends on what this server did before (greylist, rates, quota): a replay can't tell it anew.
    pub remembers: bool,
    /// Whether it takes an argument: `message.header("List-Id")`.
    pub argument: bool,
    /// What it is, in a sentence.
    pub sentence: &'static str,
}

const LISTENERS: &[&str] = &["mx", "submission", "local"];
const KINDS: &[&str] = &["domain", "literal", "malformed"];
const SPF: &[&str] = &["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"];
const DKIM: &[&str] = &["none", "pass", "fail", "policy", "neutral", "temperror", "permerror"];
const DMARC: &[&str] = &["none", "pass", "fail", "temperror", "permerror"];
const DMARC_POLICY: &[&str] = &["none", "quarantine", "reject"];
const ARC: &[&str] = &["none", "pass", "fail", "temperror", "permerror"];
const IPREV: &[&str] = &["pass", "fail", "temperror", "permerror"];
const CERTIFICATE_VERDICTS: &[&str] = &["verified", "expired", "untrusted", "invalid"];
const MAILBOX_KINDS: &[&str] = &["mailbox", "alias", "list", "forward", "moved", "relayed", "unknown"];
const INQUIRIES: &[&str] = &["vrfy", "expn"];

impl FactInfo {
    /// A fact that is always there, never fails and takes no argument.
    const fn plain(
        (name, sentence): (&'static str, &'static str),
        value_type: Type,
        (since, scope): (Stage, Scope),
        group: Group,
    ) -> Self {
        Self {
            name,
            value_type,
            since,
            scope,
            group,
            optional: false,
            fallible: false,
            remembers: false,
            argument: false,
            sentence,
        }
    }
}

macro_rules! facts {
    ($($name:literal $value_type:ident $(($choices:ident))? $since:ident $scope:ident $group:ident $([$($flag:ident)+])?, $sentence:literal;)+) => {
        /// Every fact, in the order of the reference.
        pub static FACTS: &[FactInfo] = &[$(
            FactInfo {
                $($($flag: true,)+)?
                ..FactInfo::plain(
                    ($name, $sentence),
                    Type::$value_type $(($choices))?,
                    (Stage::$since, Scope::$scope),
                    Group::$group,
                )
            }
        ),+];
    };
}

facts! {
    "server.hostname" Text Connect Session Session,
        "The name of this server, as its greeting says it.";
    "server.has_way_out" Boolean Connect Session Session,
        "Whether there is a way for mail to other domains: `relay.smart_host`, `relay.mx` or a route.";
    "listener.kind" Choice(LISTENERS) Connect Session Session,
        "Whom the listener is for that the client came to: other servers, users that submit mail, or this machine's own \
         users and programs (`sendmail`).";
    "client.ip" Address Connect Session Session,
        "The client's address.";
    "client.port" Number Connect Session Session,
        "The client's port.";
    "client.ptr" Text Connect Session ClientName [optional fallible],
        "The name of the client's PTR record, whether or not it leads back.";
    "client.name" Text Connect Session ClientName [optional fallible],
        "The name of the client's PTR record, when that name leads back to the client's address.";
    "client.asn" Number Connect Session Place [optional fallible],
        "The number of the autonomous system that announces the client's address.";
    "client.country" Text Connect Session Place [optional fallible],
        "The country of the client's address, as ISO 3166 two letters.";
    "client.tls" Boolean Connect Session Session,
        "Whether the session is encrypted.";
    "client.connections" Number Connect Session Session [remembers],
        "How many connections the client's address has open, this one included.";
    "client.trusted" Boolean Connect Session Session,
        "Whether the client is one of `clients.trusted` of the configuration.";
    "client.may_relay" Boolean Connect Session Session,
        "Whether the client is one of `clients.relay` of the configuration and there is a way for what it relays.";
    "client.refused" Text Connect Session Session [optional],
        "What the client is told when it is one of `clients.refused` of the configuration.";
    "client.early" Boolean Connect Session Session,
        "Whether the client sent something before the greeting (RFC 5321 §4.3.1).";
    "iprev.result" Choice(IPREV) Connect Session ClientName [fallible],
        "Whether address, PTR name and address agree (RFC 8601 §2.7.3).";
    "helo.name" Text Helo Session Session,
        "What the client called itself in EHLO or HELO.";
    "helo.kind" Choice(KINDS) Helo Session Session,
        "Whether the name is a domain name, an address literal or neither.";
    "helo.extended" Boolean Helo Session Session,
        "Whether it was EHLO.";
    "helo.resolves" Boolean Helo Session HeloName [fallible],
        "Whether the name has an address.";
    "helo.matches" Boolean Helo Session HeloName [fallible],
        "Whether one of the name's addresses is the client's.";
    "auth.user" Text Auth Session Session [optional],
        "The user that AUTH established.";
    "auth.mechanism" Text Auth Session Session [optional],
        "The mechanism of the AUTH exchange.";
    "auth.owns_sender" Boolean Mail Transaction Session [fallible],
        "Whether the user may send from the reverse-path (`[auth.senders]`); `yes` without a user and for the null reverse-path.";
    "auth.over_messages" Boolean Mail Transaction Session [remembers],
        "Whether the user has submitted as many messages as he may in 24 hours.";
    "auth.over_recipients" Boolean Recipient Recipient Session [remembers],
        "Whether the user has submitted mail to as many recipients as he may in 24 hours.";
    "auth.owns_author" Boolean Message Message Session [fallible],
        "Whether the user may send from every address of the From field; `yes` without a user.";
    "tls.version" Text Helo Session Session [optional],
        "The version of TLS, as `TLSv1.3`.";
    "tls.cipher" Text Helo Session Session [optional],
        "The cipher suite.";
    "tls.sni" Text Helo Session Session [optional],
        "The name that the client asked for (SNI).";
    "tls.client_certificate" Text Helo Session Session [optional],
        "The subject of a client certificate that was verified, as `CN=alice, O=Example`; without a subject its first name.";
    "tls.client_fingerprint" Text Helo Session Session [optional],
        "SHA-256 of the client's certificate, in lower-case hexadecimal, whether or not an authority vouches for it: the client holds its key.";
    "tls.client_verdict" Choice(CERTIFICATE_VERDICTS) Helo Session Session [optional],
        "What came of looking at the client's certificate.";
    "sender.address" Text Mail Transaction Session,
        "The reverse-path's mailbox; the empty text for the null reverse-path.";
    "sender.local" Text Mail Transaction Session,
        "Its local part.";
    "sender.domain" Text Mail Transaction Session,
        "Its domain, in A-labels; for the null reverse-path the empty text.";
    "sender.null" Boolean Mail Transaction Session,
        "Whether it is the null reverse-path.";
    "sender.local_domain" Boolean Mail Transaction Session,
        "Whether its domain is served here.";
    "sender.declared_size" Octets Mail Transaction Session [optional],
        "The size that MAIL declared (RFC 1870).";
    "sender.domain_exists" Boolean Mail Transaction SenderDomain [fallible],
        "Whether the sender's domain has an MX or an address record; `yes` for the null reverse-path and for literals.";
    "sender.mx" Texts Mail Transaction SenderDomain [fallible],
        "The names of the sender domain's MX records.";
    "sender.null_mx" Boolean Mail Transaction SenderDomain [fallible],
        "Whether the sender's domain has a null MX (RFC 7505).";
    "spf.result" Choice(SPF) Mail Transaction Spf [fallible],
        "The result of SPF for the reverse-path, or for the EHLO name when that is null (RFC 7208).";
    "spf.domain" Text Mail Transaction Spf [fallible],
        "The domain that SPF was checked for.";
    "spf.explanation" Text Mail Transaction Spf [optional fallible],
        "The explanation that the domain publishes for `fail`.";
    "spf.helo_result" Choice(SPF) Mail Transaction Spf [fallible],
        "The result of SPF for the EHLO name.";
    "recipient.address" Text Recipient Recipient Session,
        "The forward-path's mailbox.";
    "recipient.local" Text Recipient Recipient Session,
        "Its local part.";
    "recipient.domain" Text Recipient Recipient Session,
        "Its domain, in A-labels.";
    "recipient.local_domain" Boolean Recipient Recipient Session,
        "Whether its domain is served here.";
    "recipient.index" Number Recipient Recipient Session,
        "Its place among the RCPT commands of the transaction, from 1.";
    "recipient.count" Number Recipient Recipient Session,
        "How many recipients the transaction has already.";
    "recipient.null_mx" Boolean Recipient Recipient RecipientDomain [fallible],
        "Whether the domain of a recipient that isn't local has a null MX (RFC 7505); `no` for local ones.";
    "mailbox.kind" Choice(MAILBOX_KINDS) Recipient Recipient Mailbox [fallible],
        "What the recipient's address is here; `relayed` when its domain isn't local.";
    "mailbox.exists" Boolean Recipient Recipient Mailbox [fallible],
        "Whether a local recipient exists; `yes` for domains that aren't local.";
    "mailbox.moved" Text Recipient Recipient Mailbox [optional fallible],
        "Where the mailbox has moved to.";
    "mailbox.forward" Text Recipient Recipient Mailbox [optional fallible],
        "Where the mailbox's mail is forwarded to, when that may be disclosed.";
    "mailbox.busy" Boolean Recipient Recipient Mailbox [fallible],
        "Whether the mailbox is marked busy.";
    "mailbox.over_quota" Boolean Recipient Recipient Mailbox [fallible remembers],
        "Whether the mailbox is over its quota, or would be with the declared size.";
    "mailbox.quota_is_temporary" Boolean Recipient Recipient Mailbox,
        "Whether the configuration wants an over-full mailbox to be a temporary condition.";
    "mailbox.quota_percent" Number Recipient Recipient Mailbox [optional fallible remembers],
        "How much of its quota the mailbox uses, in per cent.";
    "greylist.passed" Boolean Recipient Recipient Greylist [fallible remembers],
        "Whether this client, sender and recipient have waited long enough, or need not wait.";
    "greylist.age" Duration Recipient Recipient Greylist [optional fallible remembers],
        "How long ago this client, sender and recipient were first seen.";
    "dnsbl.score" Number Connect Session ListScore [fallible],
        "The sum of the weights of the declared lists on which the client's address is.";
    "message.size" Octets Message Message Session,
        "The size of the mail data.";
    "message.recipients" Number Data Message Session,
        "How many recipients were accepted.";
    "message.received_count" Number Message Message Session,
        "How many Received fields the header section has.";
    "message.header" Texts Message Message Content [fallible argument],
        "The values of the header fields of that name, decoded, in order.";
    "message.subject" Text Message Message Content [optional fallible],
        "The decoded Subject.";
    "message.from_address" Text Message Message Content [optional fallible],
        "The address in the From field.";
    "message.from_domain" Text Message Message Content [optional fallible],
        "The domain of the address in the From field.";
    "message.from_count" Number Message Message Content [fallible],
        "How many addresses the From fields hold.";
    "message.has_date" Boolean Message Message Content [fallible],
        "Whether there is a Date field.";
    "message.id" Text Message Message Content [optional fallible],
        "The Message-ID.";
    "message.parts" Number Message Message Content [fallible],
        "How many MIME parts there are.";
    "message.is_damaged" Boolean Message Message Content [fallible],
        "Whether the MIME structure is broken or beyond the parser's limits.";
    "attachment.name" Texts Message Message Content [fallible],
        "The file names of the attachments.";
    "attachment.type" Texts Message Message Content [fallible],
        "The endings of the attachments' file names, in lower case and without the dot.";
    "attachment.media_type" Texts Message Message Content [fallible],
        "The declared media types of the attachments, as `application/pdf`.";
    "attachment.size" Octets Message Message Content [fallible],
        "The size of the largest attachment, decoded; 0 without one.";
    "attachment.count" Number Message Message Content [fallible],
        "How many attachments there are.";
    "url.domain" Texts Message Message Content [fallible],
        "The domains of the URLs in the text and HTML parts.";
    "dkim.result" Choice(DKIM) Message Message Dkim [fallible],
        "The best result among the message's DKIM signatures (RFC 6376).";
    "dkim.domains" Texts Message Message Dkim [fallible],
        "The domains whose DKIM signatures verify.";
    "dmarc.result" Choice(DMARC) Message Message Dmarc [fallible],
        "The result of DMARC for the domain in the From field.";
    "dmarc.policy" Choice(DMARC_POLICY) Message Message Dmarc [optional fallible],
        "What that domain's DMARC record wants done with what fails.";
    "dmarc.domain" Text Message Message Dmarc [optional fallible],
        "The domain whose DMARC record counted.";
    "arc.result" Choice(ARC) Message Message Arc [fallible],
        "The result of the ARC chain (RFC 8617).";
    "arc.domain" Text Message Message Arc [optional fallible],
        "The domain of the last ARC seal.";
    "inquiry.command" Choice(INQUIRIES) Verify Inquiry Session,
        "Whether it is VRFY or EXPN.";
    "inquiry.text" Text Verify Inquiry Session,
        "What it asks for.";
}

/// The fact of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static FactInfo> {
    FACTS.iter().find(|fact| fact.name == name)
}
