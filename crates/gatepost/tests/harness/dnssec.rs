//! Signatures of the DNS server of the tests: one zone from the root down, signed by one key.
//!
//! A name that has no record of a type is proved to have none; a name that doesn't exist is answered as one without any
//! records.

use std::collections::BTreeSet;
use std::time::Duration;

use gatepost::clock;
use hickory_resolver::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_resolver::proto::dnssec::rdata::sig::SigInput;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::dnssec::{DnssecSigner, SigningKey as _, TBS};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};

/// The flags of a key that signs a zone and its keys (RFC 4034 §2.1.1).
const KEY_FLAGS: u16 = 257;

/// How long signatures hold, in seconds.
const HOLDS: u32 = 3_600;

/// The key of the zone.
pub(crate) struct Signer(DnssecSigner);

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer")
    }
}

impl Signer {
    /// A key of its own.
    pub(crate) fn new() -> Self {
        let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
        let public = DNSKEY::with_flags(KEY_FLAGS, key.to_public_key().unwrap());
        Self(DnssecSigner::new(public, Box::new(key), Name::root(), Duration::from_secs(u64::from(HOLDS))))
    }

    /// The key as a file of trust anchors has it.
    pub(crate) fn trust_anchors(&self) -> String {
        format!(". 3600 IN DNSKEY {}\n", self.0.dnskey())
    }

    /// Signs the answer to a question about a name that has records of `types`.
    pub(crate) fn sign(&self, message: &mut Message, types: Vec<RecordType>) {
        let query = message.queries.first().unwrap().clone();
        if query.query_type() == RecordType::DNSKEY && query.name().is_root() {
            let key = RData::DNSSEC(DNSSECRData::DNSKEY(self.0.dnskey().clone()));
            message.answers = vec![Record::from_rdata(Name::root(), HOLDS, key)];
            message.authorities.clear();
            message.metadata.response_code = ResponseCode::NoError;
        } else if message.answers.is_empty() {
            message.metadata.response_code = ResponseCode::NoError;
            for authority in &mut message.authorities {
                authority.name = Name::root();
            }
            let next = Name::from_labels([&[0][..]]).unwrap().append_domain(query.name()).unwrap();
            let proof = NSEC::new_cover_self(next, types);
            let proof = RData::DNSSEC(DNSSECRData::NSEC(proof));
            message.authorities.push(Record::from_rdata(query.name().clone(), HOLDS, proof));
        }
        let signatures = self.signatures(&message.answers);
        message.answers.extend(signatures);
        let signatures = self.signatures(&message.authorities);
        message.authorities.extend(signatures);
    }

    fn signatures(&self, records: &[Record]) -> Vec<Record> {
        let sets: BTreeSet<(Name, RecordType)> =
            records.iter().map(|record| (record.name.clone(), record.record_type())).collect();
        let of = |name: &Name, kind| {
            let name = name.clone();
            records.iter().filter(move |record| record.name == name && record.record_type() == kind)
        };
        sets.iter().map(|(name, kind)| self.signature(name, of(name, *kind).collect())).collect()
    }

    fn signature(&self, name: &Name, records: Vec<&Record>) -> Record {
        let now = u32::try_from(clock::wall().as_unix_seconds()).unwrap();
        let first = *records.first().unwrap();
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: self.0.key().algorithm(),
            num_labels: name.num_labels(),
            original_ttl: first.ttl,
            sig_expiration: SerialNumber::new(now + HOLDS),
            sig_inception: SerialNumber::new(now - HOLDS),
            key_tag: self.0.calculate_key_tag().unwrap(),
            signer_name: Name::root(),
        };
        let signed = TBS::from_input(name, DNSClass::IN, &input, records.into_iter()).unwrap();
        let signature = RRSIG::from_sig(input, self.0.sign(&signed).unwrap());
        Record::from_rdata(name.clone(), first.ttl, RData::DNSSEC(DNSSECRData::RRSIG(signature)))
    }
}
