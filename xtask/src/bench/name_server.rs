//! A name server on loopback for policies that ask: one domain that sends mail, and nothing else.
//!
//! It answers over UDP from a thread of its own, which ends with the process.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use anyhow::{Context as _, Result};

/// Octets of a message's header (RFC 1035 §4.1.1).
const HEADER_OCTETS: usize = 12;

/// Octets of the type and the class behind a name.
const TYPE_AND_CLASS_OCTETS: usize = 4;

/// Octets of a request that are read (RFC 1035 §4.2.1).
const REQUEST_OCTETS_MAX: usize = 512;

/// Seconds for which answers may be kept: longer than a run.
const TIME_TO_LIVE: u32 = 86_400;

/// The types that are answered (RFC 1035 §3.2.2).
const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;
const TYPE_PTR: u16 = 12;
const TYPE_MX: u16 = 15;
const TYPE_TXT: u16 = 16;

/// Starts the server and gives where it listens.
///
/// # Errors
/// When no port can be had.
pub(super) fn start() -> Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a name server")?;
    let address = socket.local_addr().context("a socket without an address")?;
    thread::spawn(move || {
        let mut request = [0; REQUEST_OCTETS_MAX];
        while let Ok((octets, client)) = socket.recv_from(&mut request) {
            if let Some(response) = respond(request.get(..octets).unwrap_or_default()) {
                // Whoever asked asks again.
                let _ = socket.send_to(&response, client);
            }
        }
    });
    Ok(address)
}

/// The response to a request; `None` when that is none.
fn respond(request: &[u8]) -> Option<Vec<u8>> {
    let question = request.get(HEADER_OCTETS..)?;
    let (name, name_octets) = read_name(question)?;
    let question = question.get(..name_octets + TYPE_AND_CLASS_OCTETS)?;
    let record_type = u16::from_be_bytes(question.get(name_octets..name_octets + 2)?.try_into().ok()?);
    let (exists, data) = records(&name, record_type);
    let mut response = request.get(..2)?.to_vec();
    // A response, recursion desired and available; code 3 says that there is no such name.
    response.extend([0x81, if exists { 0x80 } else { 0x83 }]);
    let (answers, authorities) = (u16::from(data.is_some()), u16::from(data.is_none()));
    for count in [1, answers, authorities, 0] {
        response.extend(u16::to_be_bytes(count));
    }
    response.extend(question);
    match data {
        // The owner is the name in the question.
        Some(data) => put_record(&mut response, &[0xc0, HEADER_OCTETS as u8], record_type, &data),
        None => put_record(&mut response, &[0], TYPE_SOA, &start_of_authority()),
    }
    Some(response)
}

/// The name in lower case with dots, and how many octets it takes.
fn read_name(octets: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), 0);
    loop {
        let length = usize::from(*octets.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name.to_ascii_lowercase(), at));
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(str::from_utf8(octets.get(at..at + length)?).ok()?);
        at += length;
    }
}

/// Whether the name exists, and its record of that type.
fn records(name: &str, record_type: u16) -> (bool, Option<Vec<u8>>) {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    match name {
        "client.example" => {
            let data = match record_type {
                TYPE_A => Some(Ipv4Addr::LOCALHOST.octets().to_vec()),
                TYPE_MX => Some([vec![0, 10], name_data("mx.client.example")].concat()),
                TYPE_TXT => Some(text("v=spf1 ip4:127.0.0.0/8 -all")),
                _ => None,
            };
            (true, data)
        }
        "_dmarc.client.example" => (true, (record_type == TYPE_TXT).then(|| text("v=DMARC1; p=none"))),
        "mx.client.example" => (true, (record_type == TYPE_A).then(|| Ipv4Addr::LOCALHOST.octets().to_vec())),
        name if name.ends_with(".in-addr.arpa") => {
            (true, (record_type == TYPE_PTR).then(|| name_data("mx.client.example")))
        }
        _ => (false, None),
    }
}

fn name_data(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.') {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

/// What says for how long it may be remembered that there is nothing (RFC 2308 §5).
fn start_of_authority() -> Vec<u8> {
    let mut data = [name_data("ns.client.example"), name_data("hostmaster.client.example")].concat();
    for number in [1, TIME_TO_LIVE, TIME_TO_LIVE, TIME_TO_LIVE, TIME_TO_LIVE] {
        data.extend(u32::to_be_bytes(number));
    }
    data
}

fn put_record(response: &mut Vec<u8>, owner: &[u8], record_type: u16, data: &[u8]) {
    response.extend(owner);
    response.extend(record_type.to_be_bytes());
    // Of the class Internet.
    response.extend(1u16.to_be_bytes());
    response.extend(TIME_TO_LIVE.to_be_bytes());
    response.extend((data.len() as u16).to_be_bytes());
    response.extend(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, record_type: u16) -> Vec<u8> {
        let mut octets = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        octets.extend(name_data(name));
        octets.extend(record_type.to_be_bytes());
        octets.extend(1u16.to_be_bytes());
        octets
    }

    #[test]
    fn what_there_is_is_told_and_the_rest_denied() {
        let response = respond(&request("Client.Example", TYPE_A)).unwrap();
        assert_eq!(response[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 1]);
        assert!(response.ends_with(&[0, 4, 127, 0, 0, 1]));
        let response = respond(&request("4.3.2.1.lists.example", TYPE_A)).unwrap();
        assert_eq!(response[2..10], [0x81, 0x83, 0, 1, 0, 0, 0, 1]);
        assert_eq!(respond(&[0; 13]), None);
    }
}
