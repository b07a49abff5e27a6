//! The keys of the way out: relaying, routes, signatures and the protection of connections; see [`keys`](super::keys).

use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::address_form::{DomainForm, FileForm, SmartHostForm};
use super::agent::ArgumentForm;
use super::form::{Choice, Count, Flag, ListOf, Maybe, Placed, Time, WordForm};
use super::key::{Documented, Key, Section};
use super::keys::{TABLE_NAMES, keys};
use super::route::{HopForm, PatternForm, SourceForm, TlsChoice};
use super::signing::{KeyFileForm, SignedFieldForm};
use super::table_source::TextForm;

/// Longest life of a signature that can be set, in seconds (ours).
const EXPIRES_SECONDS_MAX: u64 = Duration::from_secs(365 * 86_400).as_secs();

/// The words for what is asked of TLS; the last one is of no use as a default.
const TLS_WORDS: &[(&str, TlsChoice)] = &[
    ("off", TlsChoice::Off),
    ("opportunistic", TlsChoice::Opportunistic),
    ("encrypted", TlsChoice::Encrypted),
    ("verified", TlsChoice::Verified),
    ("dane", TlsChoice::Dane),
];

/// What is asked of TLS.
pub(super) const TLS_LEVEL: Choice<TlsChoice> =
    Choice { words: TLS_WORDS, fallback: TlsChoice::Opportunistic };

keys! {
    RELAYING = "[relay]", &[], "How mail for other domains leaves.";

    ROUTES_FROM: Key<ListOf<TextForm>> = "routes_from", TABLE_NAMES, "[]", "[\"routes\"]",
        "Tables (`[table.\"…\"]`) that say where the mail for a domain goes, when no `[route]` does: the value under \
         `example.org`, or under `.example.org` for a domain below it, is written as a route's `to`, or is `route:NAME`. A domain \
         that none of them has goes the way of all other mail; while a table fails its mail waits.";
    SMART_HOST: Key<ListOf<SmartHostForm>> = "smart_host",
        ListOf { element: SmartHostForm, named: "a list of hosts with ports", or_one: true }, "[]",
        "\"mail.example.net:587\"",
        "The server that takes all mail for other domains that has no route; with a list the next one is tried when one \
         can't be reached. Without one and without `mx`, forwards and aliases to other domains are accepted and wait in the \
         queue until there is a way, or until their lifetime ends.";
    MX: Key<Flag> = "mx", Flag, "false", "true",
        "Whether mail for other domains that has neither a route nor a smart host goes to the MX hosts of its domain (RFC \
         5321 §5.1).";
    MX_PORT: Key<Count> = "mx_port", Count { min: 1, max: 65_535 }, "25", "2525",
        "The port of MX hosts; another one is for tests.";
    MX_LOOPBACK: Key<Flag> = "mx_loopback", Flag, "false", "true",
        "Whether MX hosts may have addresses of the loopback network, for tests. In the wild such an address is a domain's \
         mistake or its owner's joke, and no host.";
    USER: Key<Maybe<WordForm>> = "user", Maybe(WordForm("a user's name")), "", "\"gate@example.net\"",
        "Who to log in as at the smart hosts (AUTH PLAIN); over TLS only, but for loopback.";
    PASSWORD_FILE: Key<Placed<FileForm>> = "password_file", Placed(FileForm), "", "\"relay.password\"",
        "The file whose first line is the password. A relative path starts at the configuration's directory. It is read again \
         when it changes.";
    RELAY_TLS: Key<Maybe<Choice<TlsChoice>>> = "tls",
        Maybe(TLS_LEVEL),
        "", "\"verified\"",
        "What is asked of TLS. \"off\": none. \"opportunistic\": TLS when it is offered, whatever the certificate (RFC \
         7435). \"encrypted\": TLS with any certificate, or no mail. \"verified\": TLS with a certificate of a trusted \
         authority for the host's name, or no mail. \"dane\": TLS with a certificate that a TLSA record names which DNSSEC \
         proves (RFC 7672), or no mail; a host's addresses are then those of the DNS alone. By default \"verified\" where there is a password, else \
         \"opportunistic\".";
    SOURCE_IPV4: Key<Maybe<SourceForm<Ipv4Addr>>> = "source_ipv4",
        Maybe(SourceForm("an IPv4 address", PhantomData)), "", "\"192.0.2.25\"",
        "The local address of connections to IPv4 hosts; by default the system chooses.";
    SOURCE_IPV6: Key<Maybe<SourceForm<Ipv6Addr>>> = "source_ipv6",
        Maybe(SourceForm("an IPv6 address", PhantomData)), "", "\"2001:db8::25\"",
        "The local address of connections to IPv6 hosts; by default the system chooses.";
    OUT_CONNECTIONS: Key<Maybe<Count>> = "connections", Maybe(Count { min: 1, max: 1_000 }), "", "5",
        "Most deliveries at a time; to each domain where they go to its MX hosts. By default 20, and 64 to a smart host; fewer \
         while the server wants less.";
    OUT_RATE: Key<Maybe<Count>> = "rate", Maybe(Count { min: 1, max: 60_000 }), "", "60",
        "Most messages a minute, to each domain where they go to its MX hosts; the rest waits in the queue. By default there is \
         no such limit.";
}

pub(crate) static ROUTE_DOMAINS: Key<ListOf<PatternForm>> = Key::new(
    "domains",
    ListOf { element: PatternForm, named: "a list of domains", or_one: true },
    "[]",
    "[\"example.net\", \"*.example.com\"]",
    "The domains whose mail goes this way: a domain, `*.` and a domain for all below it, or `*` for all. The closest one \
     counts.",
);
pub(crate) static ROUTE_TO: Key<ListOf<HopForm>> = Key::new(
    "to",
    ListOf { element: HopForm, named: "a list of them", or_one: true },
    "",
    "\"lmtp:/run/dovecot/lmtp\"",
    "Where its mail goes; with a list the next one is tried when one can't be reached.",
);
pub(crate) static ROUTE_COMMAND: Key<ListOf<ArgumentForm>> = Key::new(
    "command",
    ListOf { element: ArgumentForm, named: "a list: a program and its arguments", or_one: false },
    "",
    "[\"/usr/local/bin/archive\", \"--for\", \"{recipient}\"]",
    "Instead of `to`: the program that delivers, run once for each recipient, with the message on its standard input. Its \
     arguments may hold `{recipient}`, `{local_part}`, `{sub_address}`, `{domain}`, `{reverse_path}` and `{queue_id}`, \
     and a brace that is meant is written twice; no shell ever sees them. It says with its exit code what became of the \
     message, as `docs/guide/routing.md` lists.",
);
pub(crate) static ROUTE_RUN_AS: Key<Placed<WordForm>> = Key::new(
    "run_as",
    Placed(WordForm("an account")),
    "\"nobody\"",
    "\"vmail\"",
    "The account that the command runs under when Gatepost runs as root, by its name or by numbers (\"5000:5000\"); never \
     root. Otherwise the command runs under Gatepost's own account.",
);
pub(crate) static ROUTE_TIMEOUT: Key<Time> = Key::new(
    "timeout",
    Time { min_seconds: 1, max_seconds: 3_600 },
    "\"5m\"",
    "\"30s\"",
    "How long the command may run; then it is killed with all that it started, and the message is tried again later.",
);

/// Routes have the keys of `[relay]` that say how a server is used.
pub(crate) static ROUTE: Section = Section {
    header: "[route.\"NAME\"]",
    sentence: "Ways for mail of some domains, one table for each; they go before `[relay]`.",
    keys: &[
        &ROUTE_DOMAINS,
        &ROUTE_TO,
        &ROUTE_COMMAND,
        &ROUTE_RUN_AS,
        &ROUTE_TIMEOUT,
        &OUT_CONNECTIONS,
        &OUT_RATE,
        &USER,
        &PASSWORD_FILE,
        &RELAY_TLS,
        &SOURCE_IPV4,
        &SOURCE_IPV6,
    ],
    tables: &[],
};

pub(crate) static TLS_DEFAULT: Key<Choice<TlsChoice>> = Key::new(
    "default",
    Choice { words: TLS_WORDS.split_at(4).0, fallback: TlsChoice::Opportunistic },
    "\"opportunistic\"",
    "\"encrypted\"",
    "What is asked of the MX hosts of domains that have neither TLSA records nor a policy of their own, and that neither \
     `[tls.domain]` nor `tls` of the way there names; see `relay.tls`.",
);
pub(crate) static CA_FILE: Key<Placed<FileForm>> = Key::new(
    "ca_file",
    Placed(FileForm),
    "",
    "\"/etc/ssl/site-ca.pem\"",
    "A file of certificates, in PEM, of authorities that are trusted beside the system's. A relative path starts at the \
     configuration's directory. It is read again when it changes.",
);
pub(crate) static MTA_STS: Key<Flag> = Key::new(
    "mta_sts",
    Flag,
    "true",
    "false",
    "Whether the policies that domains publish for their MX hosts hold (MTA-STS, RFC 8461): under one that is enforced mail \
     goes to hosts that it names, with certificates for their names, or not at all. TLSA records go first.",
);
pub(crate) static MTA_STS_PORT: Key<Count> = Key::new(
    "mta_sts_port",
    Count { min: 1, max: 65_535 },
    "443",
    "8443",
    "The port at which policies are fetched; another one is for tests.",
);

keys! {
    TLS_DOMAIN = "[tls.domain]", &[],
    "What is asked of the MX hosts of some domains: a line each, a domain or `\"*.\"` and a domain for all below it, and what \
     is asked. The closest one counts. It goes before `tls` of the way there and before what the domain itself asks by TLSA \
     records or MTA-STS, which then has no say.";

    TLS_DOMAIN_LEVEL: Key<Maybe<Choice<TlsChoice>>> = "\"example.org\"", Maybe(TLS_LEVEL), "", "\"verified\"",
        "What is asked, in the words of `relay.tls`: \"opportunistic\" lets mail go to hosts whose TLSA records or policy are \
         broken, \"dane\" and \"verified\" hold for hosts that publish nothing.";
}

keys! {
    DKIM = "[dkim.\"example.org\"]", &[],
    "A domain whose mail is signed with DKIM (RFC 6376); one table for each. Mail is signed when it leaves, if a client that \
     may relay or has authenticated handed it in, or this server made it, and its From field names the domain or one below \
     it that has no table of its own. When a signature can't be made the mail waits: it never leaves without.";

    DKIM_KEYS: Key<ListOf<KeyFileForm>> = "keys",
        ListOf { element: KeyFileForm, named: "a list of such tables", or_one: true }, "",
        "{ selector = \"s2026\", file = \"dkim/example.org.s2026.pem\" }",
        "The keys, each with the selector under which it stands in the DNS and the file of its private part in PEM; RSA of \
         2048 to 8192 bits (RFC 8301) or Ed25519 (RFC 8463). Every key makes a signature of its own. `gatepost dkim new` \
         makes one. A relative path starts at the configuration's directory.";
    DKIM_HEADERS: Key<ListOf<SignedFieldForm>> = "headers",
        ListOf { element: SignedFieldForm, named: "a list of header fields", or_one: false },
        "[\"Sender\", \"Date\", \"Message-ID\", \"MIME-Version\", \"Content-Type\", \
         \"Content-Transfer-Encoding\", \"Content-ID\", \"Content-Description\", \"In-Reply-To\", \
         \"References\", \"Resent-Date\", \"Resent-From\", \"Resent-To\", \"Resent-Cc\", \
         \"Resent-Message-ID\", \"List-Id\", \"List-Help\", \"List-Unsubscribe\", \
         \"List-Unsubscribe-Post\", \"List-Subscribe\", \"List-Post\", \"List-Owner\"]",
        "[\"Date\", \"Message-ID\", \"X-Ticket\"]",
        "Header fields that are signed when they are there, and then once more than that, so that nobody can add another.";
    DKIM_OVERSIGN: Key<ListOf<SignedFieldForm>> = "oversign",
        ListOf { element: SignedFieldForm, named: "a list of header fields", or_one: false },
        "[\"From\", \"To\", \"Cc\", \"Subject\", \"Reply-To\"]", "[\"From\", \"Subject\"]",
        "Header fields that nobody may add: signed once more than they are there, also when they are not. From is always one.";
    DKIM_EXPIRES: Key<Maybe<Time>> = "expires",
        Maybe(Time { min_seconds: 3_600, max_seconds: EXPIRES_SECONDS_MAX }), "", "\"14d\"",
        "How long a signature is good (`x=`). By default it does not expire. It should be longer than mail may wait.";
}

keys! {
    ARC = "[arc]", &[],
    "Who seals mail that came from outside and goes on to another address (RFC 8617): what this server found out of it when \
     it came. With this section SPF, DKIM, DMARC and ARC of such mail are verified whatever the policy asks for.";

    ARC_DOMAIN: Key<Placed<DomainForm>> = "domain", Placed(DomainForm), "", "\"example.org\"",
        "The domain that seals.";
    ARC_SELECTOR: Key<Placed<DomainForm>> = "selector", Placed(DomainForm), "", "\"arc2026\"",
        "The name under which the key stands in the DNS.";
    ARC_KEY: Key<Placed<FileForm>> = "key", Placed(FileForm), "", "\"dkim/example.org.arc2026.pem\"",
        "The file with the private key, as for DKIM; some verifiers know RSA only. A relative path starts at the \
         configuration's directory.";
}

keys! {
    SRS = "[srs]", &[],
    "The Sender Rewriting Scheme: mail from elsewhere that is forwarded to another domain leaves with a reverse-path of this \
     site, so that it passes SPF there. Bounces to that are led back, for 21 days and only from the null reverse-path; what \
     was forged or has expired is refused, 550 5.1.1.";

    SRS_DOMAIN: Key<Placed<DomainForm>> = "domain", Placed(DomainForm), "", "\"example.org\"",
        "The domain of rewritten addresses, a domain of this site; it needs an MX record for this server and an SPF record.";
    SRS_SECRETS: Key<Placed<FileForm>> = "secrets_file", Placed(FileForm), "", "\"srs.secrets\"",
        "A file with a secret a line. The first makes addresses, all are accepted: put a new one on top, and take the old \
         one out three weeks later. Secrets of postsrsd and libsrs2 go on as they are. A relative path starts at the \
         configuration's directory.";
}
