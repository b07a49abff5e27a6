//! Messages before and after their conversion.

use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use proptest::prelude::*;
use queue::body::Body;
use queue::memory_spool::MemorySpool;
use queue::spool::Spool as _;
use smtp::time::WallTime;

use super::*;
use crate::deliver::relay::tests::{queued, store};

async fn stored(message: &[u8]) -> StoredBody {
    store(queued(&["bob@example.net"], BodyType::EightBitMime), message).await.body
}

fn run(plan: &Plan, message: &[u8], cut: usize) -> Vec<u8> {
    let mut converter = plan.converter();
    let mut out = Vec::new();
    for octets in message.chunks(cut) {
        out.extend_from_slice(converter.read(octets));
    }
    out.extend_from_slice(converter.finish());
    out
}

/// The message as a server without (or, for a binary one, with) 8BITMIME gets it, at every cut the same.
fn converted_for(message: &[u8], kind: BodyType, eight_bit_mime: bool) -> Result<Vec<u8>, Obstacle> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = runtime.block_on(stored(message));
    let extensions = Extensions { eight_bit_mime, ..Extensions::default() };
    let plan = Plan::of(&body, kind, &extensions).unwrap()?;
    let whole = run(&plan, message, message.len().max(1));
    assert_eq!(plan.size_octets(), whole.len() as u64);
    for cut in [1, 2, 3, 7, 64] {
        assert_eq!(run(&plan, message, cut), whole, "cut every {cut}");
    }
    if !eight_bit_mime {
        assert!(whole.is_ascii(), "{}", whole.escape_ascii());
        assert_eq!(plan.kind(), BodyType::SevenBit);
    }
    Ok(whole)
}

fn converted(message: &str) -> Result<String, Obstacle> {
    let message = message.replace('\n', "\r\n");
    let converted = converted_for(message.as_bytes(), BodyType::EightBitMime, false)?;
    same_parts(message.as_bytes(), &converted);
    Ok(String::from_utf8(converted).unwrap().replace("\r\n", "\n"))
}

/// What every part decodes to.
fn parts(message: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    let message = MessageParser::new().parse(message).unwrap();
    let part = |part: &mail_parser::MessagePart<'_>| {
        let kind = part.content_type().map(|kind| format!("{}/{:?}", kind.ctype(), kind.subtype()));
        let octets = match &part.body {
            PartType::Multipart(_) | PartType::Message(_) => Vec::new(),
            _ => part.contents().to_vec(),
        };
        (kind, octets)
    };
    message.parts.iter().map(part).collect()
}

fn same_parts(before: &[u8], after: &[u8]) {
    for ((kind, octets), (kind_after, octets_after)) in parts(before).into_iter().zip(parts(after)) {
        if kind.is_some() {
            assert_eq!(kind, kind_after);
        }
        // Whether the last line's end is a part's or a delimiter's, and whether octets without a charset are shown, is
        // seen differently by the reader from case to case.
        if std::str::from_utf8(&octets).is_ok() && kind.is_some() {
            assert_eq!(octets.trim_ascii_end(), octets_after.trim_ascii_end());
        }
    }
    assert_eq!(parts(before).len(), parts(after).len());
}

#[test]
fn a_text_becomes_quoted_printable() {
    let before = "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
                  content-transfer-encoding: 8bit\nX-Last: y\n\nGrüße = \t\nfrom a place that is somewhat longer \
                  than a line of this encoding may be\n.\n\nend";
    let after = "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
                 Content-Transfer-Encoding: quoted-printable\nX-Last: y\n\nGr=C3=BC=C3=9Fe =3D =09\n\
                 from a place that is somewhat longer than a line of this encoding may be\n.\n\nend";
    assert_eq!(converted(before).unwrap(), after);
}

#[test]
fn lines_are_broken_softly_within_76_octets() {
    let line = "é".repeat(10) + &"x".repeat(200);
    let after = converted(&format!("Content-Type: text/plain; charset=utf-8\n\n{line} \n")).unwrap();
    assert!(after.lines().all(|line| line.len() <= 76), "{after}");
    assert!(after.ends_with("=20\n"), "{after}");
}

#[test]
fn what_is_mostly_outside_ascii_becomes_base64() {
    let after = converted("Content-Type: text/plain; charset=utf-8\n\nПривет, мир\n").unwrap();
    assert!(after.contains("\nContent-Transfer-Encoding: base64\n\n"), "{after}");
    assert!(after.contains("MIME-Version: 1.0\n"), "{after}");
}

#[test]
fn octets_that_nobody_described_are_described() {
    let after = converted("Subject: x\n\nnothing was said of zoë here\n").unwrap();
    assert_eq!(
        after,
        "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n\
         Content-Transfer-Encoding: quoted-printable\n\nnothing was said of zo=C3=AB here\n"
    );
}

const MIXED: &str = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\
    Content-Transfer-Encoding: 8bit\n\npreamble é\n--b\nContent-Type: text/plain; charset=utf-8\n\
    Content-Transfer-Encoding: 8bit\n\nthe first part of two, with zoë in it\n--b\n\
    Content-Type: multipart/alternative; boundary=\"b2\"\n\n--b2\n\nplain\n--b2\n\
    Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\nAAAA\n--b2\n\
    Content-Type: text/x; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nПривет\n--b2--\n--b\n\
    Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: inner\n\
    Content-Type: text/plain; charset=utf-8\n\na letter within a letter is about zoë\n--b--\nepilogue é\n";

#[test]
fn parts_are_converted_one_by_one_and_their_structure_stays() {
    let after = converted(MIXED).unwrap();
    let expected = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\
        Content-Transfer-Encoding: 7bit\n\npreamble ??\n--b\nContent-Type: text/plain; charset=utf-8\n\
        Content-Transfer-Encoding: quoted-printable\n\nthe first part of two, with zo=C3=AB in it\n--b\n\
        Content-Type: multipart/alternative; boundary=\"b2\"\n\n--b2\n\nplain\n--b2\n\
        Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\nAAAA\n--b2\n\
        Content-Type: text/x; charset=utf-8\nContent-Transfer-Encoding: base64\n\n0J/RgNC40LLQtdGC\n--b2--\n--b\n\
        Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: inner\n\
        Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
        a letter within a letter is about zo=C3=AB\n--b--\nepilogue ??\n";
    assert_eq!(after, expected);
}

#[test]
fn what_cannot_be_converted_is_said() {
    let multipart = |kind: &str, part: &str| {
        format!("Content-Type: multipart/{kind}; boundary=b\n\n--b\n{part}\n--b--\n")
    };
    let text = "Content-Type: text/plain; charset=utf-8\n\nzoë";
    for (message, obstacle) in [
        (String::from("Subject: zoë\n\nx\n"), Obstacle::Header),
        (multipart("signed", text), Obstacle::Signed),
        (
            multipart("signed", &multipart("mixed", text).replace("=b", "=c").replace("--b", "--c")),
            Obstacle::Signed,
        ),
        (String::from("Content-Transfer-Encoding: base64\n\nzoë\n"), Obstacle::Encoding),
        (String::from("Content-Transfer-Encoding: x-own\n\nzoë\n"), Obstacle::Encoding),
        (String::from("Content-Type: message/partial\n\nzoë\n"), Obstacle::Encoding),
        (multipart("mixed", "Content-Type: message/rfc822\n\nSubject: zoë\n\nx"), Obstacle::Header),
        (multipart("mixed", &"\n\nx\n--b\n".repeat(SECTIONS_MAX)), Obstacle::Limits),
        ("Content-Type: message/rfc822\n\n".repeat(DEPTH_MAX + 1), Obstacle::Limits),
        (format!("X: {}\n\nx\n", "x".repeat(SECTION_OCTETS_MAX)), Obstacle::Limits),
    ] {
        let start = &message[..message.floor_char_boundary(80)];
        assert_eq!(converted(&message).unwrap_err(), obstacle, "{start}");
    }
}

#[test]
fn what_is_signed_and_ascii_stays_as_it_is_beside_what_changes() {
    let signed = "Content-Type: multipart/signed; boundary=s\n\n--s\nContent-Type: text/plain\n\
                  Content-Transfer-Encoding: 8bit\n\nplain\n--s\n\nsignature\n--s--";
    let message = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n{signed}\n--b\nContent-Type: text/plain; charset=utf-8\n\n\
         a footer that a list of zoë has added\n--b--\n"
    );
    let after = converted(&message).unwrap();
    assert!(after.contains(signed), "{after}");
    assert!(after.contains("zo=C3=AB"), "{after}");
}

#[test]
fn binary_parts_become_base64_and_the_rest_is_named_by_what_it_is() {
    let message = b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b\r\n\
        Content-Transfer-Encoding: binary\r\n\r\n\0\n\r\xff\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: binary\r\n\r\nzo\xc3\xab is here in some text\r\n--b--\r\n";
    let after = converted_for(message, BodyType::BinaryMime, true).unwrap();
    let expected = b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nAAoN/w==\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nzo\xc3\xab is here in some text\r\n--b--\r\n";
    let with_type =
        String::from_utf8_lossy(&after).replace("Content-Type: text/plain; charset=unknown-8bit\r\n", "");
    assert_eq!(with_type.as_bytes(), String::from_utf8_lossy(expected).as_bytes());
    let after = converted_for(message, BodyType::BinaryMime, false).unwrap();
    assert!(after.windows(10).any(|octets| octets == b"zo=C3=AB i"), "{}", after.escape_ascii());
}

proptest! {
    #[test]
    fn any_text_decodes_to_what_it_was(text in "([ -~]{0,90}[äß€\u{1f600}\t=. -~]{0,9}(\r\n)?){0,8}", nested in any::<bool>()) {
        prop_assume!(!text.contains("\r\n--b"));
        let part = format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}");
        let message = if nested {
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{part}\r\n--b--\r\n")
        } else {
            part
        };
        let after = converted_for(message.as_bytes(), BodyType::EightBitMime, false).unwrap();
        let of = |message: &[u8]| parts(message).pop().unwrap().1;
        let (before, after) = (of(message.as_bytes()), of(&after));
        prop_assert_eq!(String::from_utf8_lossy(&before), String::from_utf8_lossy(&after));
    }

    #[test]
    fn anything_is_surveyed_and_converted_in_step(
        message in prop::collection::vec(prop_oneof![
            Just(b"--b\r\n".to_vec()), Just(b"--b--\r\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"\xff".to_vec()),
            Just(b"Content-Type: multipart/mixed; boundary=b\r\n".to_vec()), Just(b"Content-Type: message/rfc822\r\n".to_vec()),
            Just(b"Content-Transfer-Encoding: binary\r\n".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()), Just(b"text".to_vec()),
        ], 0..24),
        binary in any::<bool>(),
    ) {
        let message = message.concat();
        let kind = if binary { BodyType::BinaryMime } else { BodyType::EightBitMime };
        // Sizes, cuts and ASCII are compared inside.
        let _ = converted_for(&message, kind, false);
    }
}

#[tokio::test]
async fn a_message_may_be_empty() {
    let spool = MemorySpool::new();
    let id = spool.allot(WallTime::from_unix_millis(1));
    spool
        .enqueue(id, queued(&["bob@example.net"], BodyType::EightBitMime), Body::Memory(Vec::new()))
        .await
        .unwrap();
    let body = spool.open(id).await.unwrap().body;
    let plan = Plan::of(&body, BodyType::EightBitMime, &Extensions::default()).unwrap().unwrap();
    assert_eq!((plan.size_octets(), plan.kind()), (0, BodyType::SevenBit));
}
