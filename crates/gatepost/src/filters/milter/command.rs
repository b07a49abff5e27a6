//! What a filter is told: the commands of the server's side, as frames.

use std::net::IpAddr;

use super::frame::put;
use super::options::{Agreed, MacroStage};

/// What ends a transaction that brought no message.
pub const ABORT: u8 = b'A';
/// A piece of the body.
pub const BODY: u8 = b'B';
/// The end of the message.
pub const END_OF_MESSAGE: u8 = b'E';
/// The end of the header section.
pub const END_OF_FIELDS: u8 = b'N';
/// DATA.
pub const DATA: u8 = b'T';
/// The end of the session.
pub const QUIT: u8 = b'Q';
const CONNECT: u8 = b'C';
const HELO: u8 = b'H';
const MAIL: u8 = b'M';
const RECIPIENT: u8 = b'R';
const FIELD: u8 = b'L';
const MACROS: u8 = b'D';

/// Who has connected: `name` is the client's, or its address in brackets.
pub fn connect(wire: &mut Vec<u8>, name: &str, address: IpAddr, port: u16) {
    let mut content = octets(name);
    content.push(if address.is_ipv4() { b'4' } else { b'6' });
    content.extend_from_slice(&port.to_be_bytes());
    content.extend_from_slice(&octets(&address.to_string()));
    put(wire, CONNECT, &content);
}

/// What the client calls itself.
pub fn helo(wire: &mut Vec<u8>, name: &str) {
    put(wire, HELO, &octets(name));
}

/// MAIL: the reverse-path in brackets, and its parameters.
pub fn mail(wire: &mut Vec<u8>, words: &[String]) {
    put(wire, MAIL, &joined(words));
}

/// RCPT: the forward-path in brackets, and its parameters.
pub fn recipient(wire: &mut Vec<u8>, words: &[String]) {
    put(wire, RECIPIENT, &joined(words));
}

/// A header field; lines of its value are separated by LF.
pub fn field(wire: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let mut content = without_nul(name);
    content.push(0);
    content.extend_from_slice(&without_nul(value));
    content.push(0);
    put(wire, FIELD, &content);
}

/// The macros of the step that follows, as far as the filter wants them; nothing when there are none.
pub fn macros(wire: &mut Vec<u8>, agreed: &Agreed, stage: MacroStage, macros: &[(&str, String)]) {
    let step = match stage {
        MacroStage::Connect => CONNECT,
        MacroStage::Helo => HELO,
        MacroStage::Mail => MAIL,
        MacroStage::Recipient => RECIPIENT,
        MacroStage::Data => DATA,
        MacroStage::EndOfMessage => END_OF_MESSAGE,
        MacroStage::EndOfFields => END_OF_FIELDS,
    };
    let mut content = vec![step];
    for (name, value) in macros.iter().filter(|(name, _)| agreed.wants(stage, name)) {
        content.extend_from_slice(&octets(name));
        content.extend_from_slice(&octets(value));
    }
    if content.len() > 1 {
        put(wire, MACROS, &content);
    }
}

fn joined(words: &[String]) -> Vec<u8> {
    words.iter().flat_map(|word| octets(word)).collect()
}

/// A text with the NUL that ends it.
fn octets(text: &str) -> Vec<u8> {
    let mut octets = without_nul(text.as_bytes());
    octets.push(0);
    octets
}

/// NUL would end the text early: what follows would be taken for another one.
fn without_nul(octets: &[u8]) -> Vec<u8> {
    octets.iter().map(|octet| if *octet == 0 { b' ' } else { *octet }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Frame, first};
    use super::super::options::agreed;
    use super::*;

    fn sent(tell: impl FnOnce(&mut Vec<u8>)) -> (char, Vec<u8>) {
        let mut wire = Vec::new();
        tell(&mut wire);
        let (frame, octets) = first(&wire).unwrap().unwrap();
        assert_eq!(octets, wire.len());
        (char::from(frame.kind), frame.content)
    }

    #[test]
    fn commands_are_written_as_libmilter_reads_them() {
        let connected = sent(|wire| connect(wire, "a.example", "192.0.2.1".parse().unwrap(), 25));
        assert_eq!(connected, ('C', b"a.example\x004\0\x19192.0.2.1\0".to_vec()));
        let connected = sent(|wire| connect(wire, "[::1]", "::1".parse().unwrap(), 1));
        assert_eq!(connected, ('C', b"[::1]\x006\0\x01::1\0".to_vec()));
        let words = [String::from("<a@b.example>"), String::from("SIZE=1")];
        assert_eq!(sent(|wire| mail(wire, &words)), ('M', b"<a@b.example>\0SIZE=1\0".to_vec()));
        assert_eq!(sent(|wire| field(wire, b"X", b"a\0b")), ('L', b"X\0a b\0".to_vec()));
    }

    #[test]
    fn macros_stand_before_their_step() {
        let content = [6_u32, 0, 0].into_iter().flat_map(u32::to_be_bytes).collect();
        let agreed = agreed(&Frame { kind: b'O', content }).unwrap();
        let given = [("j", String::from("mx")), ("{daemon_name}", String::from("x"))];
        let sent = sent(|wire| macros(wire, &agreed, MacroStage::Connect, &given));
        assert_eq!(sent, ('D', b"Cj\0mx\0{daemon_name}\0x\0".to_vec()));
        let mut nothing = Vec::new();
        macros(&mut nothing, &agreed, MacroStage::Helo, &[]);
        assert!(nothing.is_empty());
    }
}
