//! Keys of `[tls]` that say how connections from clients are protected.

use super::address_form::{FileForm, NetworkForm};
use super::form::{Choice, ListOf, Maybe, Placed};
use super::key::{Key, Section};
use super::keys_out::{CA_FILE, MTA_STS, MTA_STS_PORT, TLS_DEFAULT};
use super::tls_inwards::{CertificateForm, Offer, TlsVersion};
use crate::net::tls::{CIPHER_WORDS, Cipher};

pub(crate) static CERTIFICATE: Key<ListOf<CertificateForm>> = Key::new(
    "certificate",
    ListOf { element: CertificateForm, named: "a list of such tables", or_one: true },
    "",
    "{ chain = \"/etc/letsencrypt/live/mx.example.org/fullchain.pem\", key = \"/etc/letsencrypt/live/mx.example.org/privkey.pem\" }",
    "What this server shows clients: a file of certificates in PEM, its own first and then those that lead to an authority, \
     and the file of its private key. Of several the one is shown whose name the client asks for (SNI, RFC 6066 §3), else \
     the first; two for the same name may have keys of different kinds. The files are read again when they change, and a \
     new one that can't be used never takes the place of a good one. A relative path starts at the configuration's \
     directory. Without any, a certificate that nobody vouches for is made at the first start, in the state directory.",
);
pub(crate) static MINIMUM: Key<Choice<TlsVersion>> = Key::new(
    "minimum",
    Choice { words: &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)], fallback: TlsVersion::V1_2 },
    "\"1.2\"",
    "\"1.3\"",
    "The oldest version of TLS that clients may speak. Versions before 1.2 are never spoken (RFC 8996).",
);
pub(crate) static CIPHERS: Key<ListOf<Choice<Cipher>>> = Key::new(
    "ciphers",
    ListOf {
        element: Choice { words: CIPHER_WORDS, fallback: Cipher::Aes256 },
        named: "a list of cipher suites",
        or_one: false,
    },
    "[]",
    "[\"TLS_AES_256_GCM_SHA384\", \"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\"]",
    "The cipher suites that clients may choose from, best first, by their IANA names. By default all that there are here, \
     each with forward secrecy and authenticated encryption, in the client's order.",
);
pub(crate) static OFFER: Key<Choice<Offer>> = Key::new(
    "mx",
    Choice {
        words: &[("off", Offer::Off), ("offered", Offer::Offered), ("required", Offer::Required)],
        fallback: Offer::Offered,
    },
    "\"offered\"",
    "\"off\"",
    "Whether `listen.mx` offers STARTTLS. Where it is \"required\", MAIL in clear text gets 530 5.7.0; a server that the \
     whole world may reach must not require it (RFC 3207 §4).",
);
pub(crate) static SUBMISSION: Key<Maybe<Choice<Offer>>> = Key::new(
    "submission",
    Maybe(Choice {
        words: &[("offered", Offer::Offered), ("required", Offer::Required)],
        fallback: Offer::Required,
    }),
    "",
    "\"offered\"",
    "Whether `listen.submission` requires STARTTLS: MAIL and AUTH in clear text get 530 5.7.0. By default it is \"required\", \
     and \"offered\" to clients of the loopback network.",
);
pub(crate) static CLIENT_CERTIFICATES: Key<ListOf<NetworkForm>> = Key::new(
    "client_certificates",
    ListOf { element: NetworkForm, named: "a list of networks", or_one: false },
    "[]",
    "[\"192.0.2.0/24\", \"2001:db8::/32\"]",
    "Clients that are asked for a certificate. Whatever they show, or if they show none, the session goes on: what was \
     found is a fact for the policy.",
);
pub(crate) static CLIENT_CA_FILE: Key<Placed<FileForm>> = Key::new(
    "client_ca_file",
    Placed(FileForm),
    "",
    "\"/etc/gatepost/clients-ca.pem\"",
    "A file of certificates, in PEM, of the authorities that vouch for clients, instead of the system's and those of \
     `ca_file`. A relative path starts at the configuration's directory.",
);

pub(crate) static TLS: Section = Section {
    header: "[tls]",
    sentence: "How connections are protected: those of clients to this server, with TLS 1.2 and 1.3 under its certificates, \
               and those to other servers (`default` and the rest).",
    keys: &[
        &CERTIFICATE,
        &MINIMUM,
        &CIPHERS,
        &OFFER,
        &SUBMISSION,
        &CLIENT_CERTIFICATES,
        &CLIENT_CA_FILE,
        &TLS_DEFAULT,
        &CA_FILE,
        &MTA_STS,
        &MTA_STS_PORT,
    ],
    tables: &["domain"],
};
