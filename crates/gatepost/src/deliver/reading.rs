//! Reading stored messages: their header sections, and bodies that may come from the disk.

use queue::body::StoredMessage;
use queue::spool::LARGE_BODY_OCTETS;

use crate::net::mail_auth::message::end_of_header_section;

/// Largest part of a header section that is looked at, in octets (ours).
const HEADER_OCTETS_MAX: usize = 1024 * 1024;

/// Does what reads a body of this size; the disk may be waited for when it is large. Needs a runtime with several threads, or none.
pub(super) fn reading<T>(size_octets: u64, read: impl FnOnce() -> T) -> T {
    if size_octets > LARGE_BODY_OCTETS { tokio::task::block_in_place(read) } else { read() }
}

/// The header section without the empty line behind it, as far as it stands in the first [`HEADER_OCTETS_MAX`]; what can
/// be read of it when the body can't be.
pub(crate) fn header_section(stored: &StoredMessage) -> Vec<u8> {
    reading(stored.body.size_octets(), || {
        let mut header = Vec::new();
        let mut reader = stored.body.reader();
        while let Ok(Some(chunk)) = reader.next_chunk() {
            let searched = header.len().saturating_sub(3);
            header.extend_from_slice(chunk);
            if let Some(end) = end_of_header_section(&header, searched) {
                header.truncate(end.saturating_sub(2));
                break;
            }
            if header.len() >= HEADER_OCTETS_MAX {
                header.truncate(HEADER_OCTETS_MAX);
                break;
            }
        }
        header
    })
}

/// Whether a field of this name, which ends with its colon, says just this in one line; letters' case is disregarded.
pub(super) fn has_field(header: &[u8], name: &[u8], value: &[u8]) -> bool {
    header.split(|octet| *octet == b'\n').any(|line| {
        line.split_at_checked(name.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(name) && rest.trim_ascii().eq_ignore_ascii_case(value)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_says_what_stands_behind_its_name() {
        let header = b"Received: x\r\nDelivered-to:  Anna@Example.org \r\nTLS-Required: no\r\n";
        assert!(has_field(header, b"delivered-to:", b"anna@example.org"));
        assert!(has_field(header, b"tls-required:", b"no"));
        assert!(!has_field(header, b"delivered-to:", b"anna@example") && !has_field(header, b"to:", b"x"));
    }
}
