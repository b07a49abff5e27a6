//! A reader of DSNs that takes nothing but the exact form, written apart from the composer, for its tests.

use smtp::limits::TEXT_LINE_OCTETS_MAX;

/// Field names with their values, unfolded.
pub(super) type FieldList = Vec<(String, String)>;

/// A DSN as it reads.
#[derive(Debug)]
pub(super) struct ReadDsn {
    pub(super) header: FieldList,
    pub(super) parts: Vec<ReadPart>,
    /// The fields of the second part by block: first the message's, then each recipient's.
    pub(super) blocks: Vec<FieldList>,
}

/// A part, decoded.
#[derive(Debug)]
pub(super) struct ReadPart {
    pub(super) content_type: String,
    pub(super) encoding: String,
    pub(super) content: Vec<u8>,
}

impl ReadDsn {
    /// The readable part.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.parts[0].content).unwrap()
    }

    /// The value of a field in a block.
    pub(super) fn field(&self, block: usize, name: &str) -> Option<&str> {
        find(&self.blocks[block], name)
    }
}

/// The value of a field.
pub(super) fn find<'a>(fields: &'a FieldList, name: &str) -> Option<&'a str> {
    fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// Reads a DSN. Panics with what is wrong.
pub(super) fn read(mail_data: &[u8]) -> ReadDsn {
    check_lines(mail_data);
    let (head, body) = split_once(mail_data, b"\r\n\r\n").expect("an empty line behind the header section");
    let header = fields(std::str::from_utf8(head).unwrap());
    let boundary = boundary(find(&header, "Content-Type").unwrap());
    let names: Vec<&str> = header.iter().map(|(name, _)| name.as_str()).collect();
    let eight_bit = names.last() == Some(&"Content-Transfer-Encoding");
    assert_eq!(
        names[..names.len() - usize::from(eight_bit)],
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    );
    let delimiter = format!("\r\n--{boundary}");
    let mut pieces = Vec::new();
    let mut rest = body;
    while let Some((piece, after)) = split_once(rest, delimiter.as_bytes()) {
        pieces.push(piece);
        rest = after;
    }
    assert_eq!(rest, b"--\r\n", "the end is not the closing boundary");
    assert_eq!(pieces.len(), 4, "a preamble and three parts");
    let parts: Vec<ReadPart> = pieces[1..].iter().map(|piece| part(piece)).collect();
    assert_eq!(eight_bit, parts.iter().any(|part| part.encoding == "8bit"));
    assert!(parts[0].content_type.starts_with("text/plain; charset="));
    assert!(matches!(
        parts[1].content_type.as_str(),
        "message/delivery-status" | "message/global-delivery-status"
    ));
    let blocks = blocks(&parts[1]);
    ReadDsn { header, parts, blocks }
}

fn check_lines(octets: &[u8]) {
    assert!(octets.ends_with(b"\r\n"), "the last line has no end");
    for line in octets[..octets.len() - 1].split(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\r").expect("a bare LF");
        assert!(line.len() <= TEXT_LINE_OCTETS_MAX, "a line of {} octets", line.len());
        assert!(!line.iter().any(|octet| matches!(octet, 0 | b'\r')), "a NUL or bare CR");
    }
}

fn split_once<'a>(octets: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = octets.windows(separator.len()).position(|window| window == separator)?;
    Some((&octets[..at], &octets[at + separator.len()..]))
}

fn fields(text: &str) -> FieldList {
    let mut fields = FieldList::new();
    for line in text.split("\r\n") {
        assert!(!line.trim().is_empty(), "a line of white space in {text:?}");
        assert!(!line.chars().any(char::is_control), "a control in {line:?}");
        match line.strip_prefix(' ') {
            Some(more) => {
                let (_, value) = fields.last_mut().expect("a field before its continuation");
                value.push(' ');
                value.push_str(more);
            }
            None => {
                let (name, value) = line.split_once(": ").expect("a field name");
                assert!(
                    !name.is_empty()
                        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
                );
                assert!(fields.iter().all(|(other, _)| other != name), "{name} stands twice");
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    fields
}

fn boundary(content_type: &str) -> &str {
    content_type
        .strip_prefix("multipart/report; report-type=delivery-status; boundary=\"")
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|boundary| (1..=70).contains(&boundary.len()) && !boundary.contains('"'))
        .expect("a boundary")
}

fn part(piece: &[u8]) -> ReadPart {
    let (head, content) =
        split_once(piece, b"\r\n\r\n").expect("an empty line behind the part's header section");
    let head =
        std::str::from_utf8(head).unwrap().strip_prefix("\r\n").expect("nothing else on the boundary's line");
    let fields = fields(head);
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Content-Description", "Content-Type", "Content-Transfer-Encoding"]);
    let encoding = fields[2].1.clone();
    let content = match encoding.as_str() {
        "7bit" => {
            assert!(content.is_ascii());
            content.to_vec()
        }
        "8bit" => {
            assert!(!content.is_ascii(), "7bit would do");
            content.to_vec()
        }
        "quoted-printable" => decode(content),
        other => panic!("encoding {other}"),
    };
    ReadPart { content_type: fields[1].1.clone(), encoding, content }
}

fn decode(encoded: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut lines = std::str::from_utf8(encoded).unwrap().split("\r\n").peekable();
    while let Some(line) = lines.next() {
        assert!(line.len() <= 76 && !line.ends_with([' ', '\t']));
        let (mut rest, soft) = line.strip_suffix('=').map_or((line, false), |line| (line, true));
        while let Some(octet) = rest.bytes().next() {
            assert!(matches!(octet, b'\t' | b' '..=b'~'));
            if octet == b'=' {
                assert!(!rest[1..3].bytes().any(|digit| digit.is_ascii_lowercase()));
                content.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                rest = &rest[3..];
            } else {
                content.push(octet);
                rest = &rest[1..];
            }
        }
        if lines.peek().is_some() && !soft {
            content.extend_from_slice(b"\r\n");
        }
    }
    content
}

/// The blocks of fields; each name may stand where RFC 3464 §2.2 and §2.3 say, in their order.
fn blocks(part: &ReadPart) -> Vec<FieldList> {
    const MESSAGE: [&str; 4] =
        ["Original-Envelope-Id", "Reporting-MTA", "Arrival-Date", "X-Gatepost-Queue-Id"];
    const RECIPIENT: [&str; 8] = [
        "Original-Recipient",
        "Final-Recipient",
        "Action",
        "Status",
        "Remote-MTA",
        "Diagnostic-Code",
        "Last-Attempt-Date",
        "Will-Retry-Until",
    ];
    let text = std::str::from_utf8(&part.content).unwrap().strip_suffix("\r\n").unwrap();
    let blocks: Vec<FieldList> = text.split("\r\n\r\n").map(fields).collect();
    assert!(blocks.len() >= 2, "no recipient");
    for (number, block) in blocks.iter().enumerate() {
        let (known, must): (&[&str], &[&str]) = if number == 0 {
            (&MESSAGE, &["Reporting-MTA"])
        } else {
            (&RECIPIENT, &["Final-Recipient", "Action", "Status"])
        };
        let places = block
            .iter()
            .map(|(name, _)| known.iter().position(|known| known == name).expect("a known field"));
        assert!(places.is_sorted_by(|one, next| one < next), "order of {block:?}");
        assert!(must.iter().all(|name| find(block, name).is_some()), "too few fields in {block:?}");
    }
    blocks
}
