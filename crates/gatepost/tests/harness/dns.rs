//! A DNS server that a test writes the records of: recursive to who asks, authoritative for everything, by UDP and TCP.
//!
//! A name that has no record, and none below it, is NXDOMAIN; a name without the record that was asked for has none.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gatepost::config::DnsSettings;
use gatepost::net::dns_name::{absolute, to_text};
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::dnssec::Signer;

/// What a question gets instead of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED.
    Refused,
    /// Nothing at all.
    Silence,
    /// The answer, so much later.
    Delay(Duration),
    /// Over UDP an answer that was cut; over TCP the answer.
    Truncated,
    /// A cut answer, over TCP too.
    AlwaysTruncated,
    /// A referral to other servers.
    Referral,
    /// Octets that are no DNS message.
    Garbage,
    /// The answer, signed by somebody else.
    Forged,
    /// The answer without signatures.
    Unsigned,
}

/// The server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Script>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Script {
    records: BTreeMap<String, Vec<RData>>,
    faults: Vec<(String, Option<RecordType>, Fault)>,
    questions: Vec<String>,
    time_to_live: u32,
    signer: Option<Signer>,
    /// The zones that are not signed.
    unsigned: Vec<String>,
}

impl DnsServer {
    /// A server without records on a port of its own.
    pub(crate) fn start() -> Self {
        let (datagrams, connections) = (0..100)
            .find_map(|_| {
                let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
                let connections = TcpListener::bind(datagrams.local_addr().ok()?).ok()?;
                Some((datagrams, connections))
            })
            .expect("a port that is free for UDP and TCP");
        let address = datagrams.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.script.lock().unwrap().time_to_live = 300;
        let (by_udp, by_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || serve_datagrams(&datagrams, &by_udp));
        thread::spawn(move || serve_connections(&connections, &by_tcp));
        Self { address, shared }
    }

    /// A server with these records, see [`DnsServer::add`].
    pub(crate) fn with(records: &str) -> Self {
        let server = Self::start();
        server.add(records);
        server
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Settings that ask it.
    pub(crate) fn settings(&self) -> DnsSettings {
        DnsSettings {
            servers: vec![self.address],
            timeout: self.patience(),
            attempts: 1,
            cache_entries: 1_000,
            dnssec: false,
            trust_anchors: None,
        }
    }

    /// The table of a configuration that asks it.
    pub(crate) fn config(&self) -> String {
        let seconds = self.patience().as_secs();
        format!("[dns]\nservers = [\"{}\"]\ntimeout = \"{seconds}s\"\nattempts = 1\n", self.address)
    }

    /// How long its answers are waited for: not so long where it is told to give none.
    fn patience(&self) -> Duration {
        let is_silent = self.script().faults.iter().any(|(_, _, fault)| *fault == Fault::Silence);
        Duration::from_secs(if is_silent { 5 } else { 30 })
    }

    /// Adds records, one a line: `example.org MX 10 mx.example.org`. A TXT record is the rest of its line; a line that
    /// starts with `#` says nothing.
    pub(crate) fn add(&self, records: &str) {
        for line in records.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.splitn(3, ' ');
            let (name, kind) = (words.next().unwrap(), words.next().expect(line));
            self.add_one(name, kind, words.next().unwrap_or_default());
        }
    }

    /// Adds one record, whose name may hold spaces.
    pub(crate) fn add_one(&self, name: &str, kind: &str, value: &str) {
        self.add_record(name, record_data(kind, value));
    }

    /// Adds one TXT record of several strings.
    pub(crate) fn add_txt(&self, name: &str, strings: &[&[u8]]) {
        self.add_record(name, RData::TXT(TXT::from_bytes(strings.to_vec())));
    }

    /// Adds a record.
    pub(crate) fn add_record(&self, name: &str, record: RData) {
        self.script().records.entry(key(name)).or_default().push(record);
    }

    /// Takes away all records of a name.
    pub(crate) fn remove(&self, name: &str) {
        self.script().records.remove(&key(name));
    }

    /// Spoils every answer about a name.
    pub(crate) fn spoil(&self, name: &str, fault: Fault) {
        self.script().faults.push((key(name), None, fault));
    }

    /// Spoils the answers about a name's records of one type.
    pub(crate) fn spoil_type(&self, name: &str, record_type: RecordType, fault: Fault) {
        self.script().faults.push((key(name), Some(record_type), fault));
    }

    /// Spoils nothing any more.
    pub(crate) fn mend(&self) {
        self.script().faults.clear();
    }

    /// Signs every answer from now on, as one zone from the root down. The text is a file of trust anchors.
    pub(crate) fn sign(&self) -> String {
        let signer = Signer::new();
        let anchors = signer.trust_anchors();
        self.script().signer = Some(signer);
        anchors
    }

    /// Signs nothing of this zone: it is delegated without a DS record.
    pub(crate) fn leave_unsigned(&self, zone: &str) {
        self.add_one(zone, "NS", "ns.test");
        self.script().unsigned.push(key(zone));
    }

    /// How long answers may be kept from now on, in seconds.
    pub(crate) fn keep_for(&self, seconds: u32) {
        self.script().time_to_live = seconds;
    }

    /// Every question so far, as `MX example.org`.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.script().questions.clone()
    }

    /// How often the question came, as `MX example.org`.
    pub(crate) fn asked(&self, question: &str) -> usize {
        self.script().questions.iter().filter(|asked| *asked == question).count()
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Both threads wait for something to come.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(&[], self.address);
        }
        let _ = TcpStream::connect(self.address);
    }
}

/// The name as questions have it.
fn key(name: &str) -> String {
    absolute(name).map_or_else(|| name.to_owned(), |name| to_text(&name))
}

/// The name that `text` is, whatever octets its labels have.
fn name(text: &str) -> Name {
    if matches!(text, "" | ".") {
        return Name::root();
    }
    absolute(text).unwrap_or_else(|| panic!("{text:?} is no name"))
}

fn record_data(kind: &str, value: &str) -> RData {
    match kind {
        "A" => RData::A(A(value.parse().expect(value))),
        "AAAA" => RData::AAAA(AAAA(value.parse().expect(value))),
        "CNAME" => RData::CNAME(CNAME(name(value))),
        "NS" => RData::NS(NS(name(value))),
        "PTR" => RData::PTR(PTR(name(value))),
        "MX" => {
            let (preference, exchange) = value.split_once(' ').expect(value);
            RData::MX(MX::new(preference.parse().expect(value), name(exchange)))
        }
        "TXT" => RData::TXT(TXT::from_bytes(value.as_bytes().chunks(255).collect())),
        "TLSA" => {
            let words: Vec<&str> = value.split(' ').collect();
            let [usage, selector, matching, digest] = words[..] else { panic!("{value}") };
            let [usage, selector, matching] =
                [usage, selector, matching].map(|word| word.parse::<u8>().unwrap());
            let octet = |at: usize| u8::from_str_radix(&digest[at..at + 2], 16).unwrap();
            let digest = (0..digest.len()).step_by(2).map(octet).collect();
            RData::TLSA(TLSA::new(usage.into(), selector.into(), matching.into(), digest))
        }
        _ => panic!("a record of type {kind} can't be written"),
    }
}

/// What is sent back; `None` is silence.
struct Response {
    message: Vec<u8>,
    delay: Duration,
}

impl Script {
    fn fault(&self, name: &str, record_type: RecordType) -> Option<Fault> {
        let meant = |(at, only, _): &&(String, Option<RecordType>, Fault)| {
            at == name && only.is_none_or(|only| only == record_type)
        };
        self.faults.iter().rev().find(meant).map(|(_, _, fault)| *fault)
    }

    fn respond(&mut self, request: &[u8], by_tcp: bool) -> Option<Response> {
        let request = Message::from_vec(request).ok()?;
        let query = request.queries.first()?.clone();
        let asked = to_text(query.name());
        self.questions.push(format!("{} {asked}", query.query_type()));

        let mut message = Message::response(request.metadata.id, OpCode::Query);
        message.metadata.recursion_desired = request.metadata.recursion_desired;
        message.metadata.recursion_available = true;
        message.add_query(query.clone());
        let mut delay = Duration::ZERO;
        match self.fault(&asked, query.query_type()) {
            Some(Fault::Silence) => return None,
            Some(Fault::Garbage) => return Some(Response { message: b"no DNS".to_vec(), delay }),
            Some(Fault::ServerFailure) => message.metadata.response_code = ResponseCode::ServFail,
            Some(Fault::Refused) => message.metadata.response_code = ResponseCode::Refused,
            Some(Fault::Truncated) if !by_tcp => message.metadata.truncation = true,
            Some(Fault::AlwaysTruncated) => message.metadata.truncation = true,
            Some(Fault::Referral) => {
                let server = RData::NS(NS(name("ns.elsewhere.example")));
                message.add_authority(Record::from_rdata(query.name().clone(), 300, server));
            }
            other => {
                if let Some(Fault::Delay(wait)) = other {
                    delay = wait;
                }
                self.answer(&mut message, query.name(), query.query_type());
                self.sign(&mut message, (&asked, query.query_type()), other);
            }
        }
        let octets = message.to_vec().unwrap();
        let room = usize::from(request.edns.as_ref().map_or(512, |edns| edns.max_payload().max(512)));
        if by_tcp || octets.len() <= room {
            return Some(Response { message: octets, delay });
        }
        message.metadata.truncation = true;
        message.answers.clear();
        Some(Response { message: message.to_vec().unwrap(), delay })
    }

    /// Signs the answer to a question, if it is to be signed.
    fn sign(&self, message: &mut Message, (asked, record_type): (&str, RecordType), fault: Option<Fault>) {
        let Some(signer) = &self.signer else { return };
        let is_in = |zone: &String| {
            asked.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let types: Vec<RecordType> = match self.unsigned.iter().find(|zone| is_in(zone)) {
            // What stands above says that the zone has no keys.
            Some(zone) if zone == asked && record_type == RecordType::DS => vec![RecordType::NS],
            Some(_) => return,
            None => {
                let records = self.records.get(asked).map(Vec::as_slice).unwrap_or_default();
                records.iter().map(RData::record_type).collect()
            }
        };
        match fault {
            Some(Fault::Unsigned) => {}
            Some(Fault::Forged) => Signer::new().sign(message, types),
            _ => signer.sign(message, types),
        }
    }

    fn answer(&self, message: &mut Message, asked: &Name, record_type: RecordType) {
        let mut at = asked.clone();
        for _ in 0..8 {
            let records = self.records.get(&to_text(&at)).map(Vec::as_slice).unwrap_or_default();
            let wanted: Vec<_> =
                records.iter().filter(|record| record.record_type() == record_type).cloned().collect();
            let alias = records.iter().find_map(|record| match record {
                RData::CNAME(target) => Some(target.0.clone()),
                _ => None,
            });
            if let (true, Some(target)) = (wanted.is_empty(), alias) {
                let record = RData::CNAME(CNAME(target.clone()));
                message.add_answer(Record::from_rdata(at.clone(), self.time_to_live, record));
                at = target;
                continue;
            }
            for record in &wanted {
                message.add_answer(Record::from_rdata(at.clone(), self.time_to_live, record.clone()));
            }
            if wanted.is_empty() {
                let below = format!(".{}", to_text(&at));
                if records.is_empty() && !self.records.keys().any(|name| name.ends_with(&below)) {
                    message.metadata.response_code = ResponseCode::NXDomain;
                }
                let soa = SOA::new(name("ns.test"), name("admin.test"), 1, 60, 60, 60, self.time_to_live);
                message.add_authority(Record::from_rdata(
                    asked.base_name(),
                    self.time_to_live,
                    RData::SOA(soa),
                ));
            }
            return;
        }
    }
}

fn serve_datagrams(socket: &UdpSocket, shared: &Arc<Shared>) {
    let mut request = [0; 4_096];
    while let Ok((octets, client)) = socket.recv_from(&mut request) {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let response = shared.script.lock().unwrap().respond(&request[..octets], false);
        let Some(Response { message, delay }) = response else { continue };
        if delay.is_zero() {
            let _ = socket.send_to(&message, client);
            continue;
        }
        let socket = socket.try_clone().unwrap();
        thread::spawn(move || {
            thread::sleep(delay);
            let _ = socket.send_to(&message, client);
        });
    }
}

fn serve_connections(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(connection), shared) = (connection, Arc::clone(shared)) else { continue };
        thread::spawn(move || serve_connection(connection, &shared));
    }
}

fn serve_connection(mut connection: TcpStream, shared: &Shared) {
    let mut length = [0; 2];
    while connection.read_exact(&mut length).is_ok() {
        let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
        if connection.read_exact(&mut request).is_err() {
            return;
        }
        let response = shared.script.lock().unwrap().respond(&request, true);
        let Some(Response { message, delay }) = response else { continue };
        thread::sleep(delay);
        let size = u16::try_from(message.len()).unwrap().to_be_bytes();
        if connection.write_all(&[size.as_slice(), &message].concat()).is_err() {
            return;
        }
    }
}
