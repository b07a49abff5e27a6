//! Tables of good and bad commands, read.

use super::*;
use crate::address::{AddressError, AddressLiteral};
use crate::envelope::{BodyType, MailParameters, Notify, OriginalRecipient, RcptParameters, Ret};
use crate::extension::Extensions;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec;

/// A server that offers every parameter.
pub(super) fn everything() -> Extensions {
    Extensions {
        size_octets_max: Some(0),
        eight_bit_mime: true,
        binary_mime: true,
        chunking: true,
        smtputf8: true,
        dsn: true,
        require_tls: true,
        auth: vec!["PLAIN".to_string()],
        ..Extensions::default()
    }
}

fn value_fault(name: &'static str) -> impl Fn(&Fault) -> bool {
    move |fault| matches!(fault, Fault::ParameterValue { name: named, .. } if *named == name)
}

#[test]
fn lines_are_parted_into_verb_and_arguments() {
    for (line, verb, arguments) in [
        ("EHLO bar.com", Some(Verb::Ehlo), "bar.com"),
        ("ehlo bar.com", Some(Verb::Ehlo), "bar.com"),
        ("MaiL FROM:<>", Some(Verb::Mail), "FROM:<>"),
        ("MAIL   FROM:<> ", Some(Verb::Mail), "FROM:<>"),
        ("QUIT", Some(Verb::Quit), ""),
        ("QUIT \t ", Some(Verb::Quit), ""),
        ("NOOP  a  b ", Some(Verb::Noop), "a  b"),
        ("NOOP é", Some(Verb::Noop), "é"),
        ("STARTTLS", Some(Verb::StartTls), ""),
        ("QUITS", None, ""),
        ("QUI T", None, "T"),
        (" QUIT", None, "QUIT"),
        ("", None, ""),
        ("   ", None, ""),
        ("GET / HTTP/1.1", Some(Verb::Foreign), "/ HTTP/1.1"),
        ("post /x HTTP/1.0", Some(Verb::Foreign), "/x HTTP/1.0"),
        ("PRI * HTTP/2.0", Some(Verb::Foreign), "* HTTP/2.0"),
        ("Host: example.com", Some(Verb::Foreign), "example.com"),
        ("User-Agent: x", Some(Verb::Foreign), "x"),
        ("SSH-2.0-OpenSSH_9.9", Some(Verb::Foreign), ""),
        (": x", None, "x"),
        ("a_b: x", None, "x"),
        ("SSH", None, ""),
        ("ééé", None, ""),
    ] {
        let command = split(line.as_bytes()).unwrap();
        assert_eq!((command.verb, command.arguments), (verb, arguments), "{line}");
        assert_eq!(command.word, line.split(' ').next().unwrap());
    }
}

#[test]
fn lines_that_are_no_text_are_refused() {
    for (line, fault, words) in [
        (b"QUIT\0".as_slice(), LineFault::Control { position: 4, octet: 0 }, "NUL"),
        (b"QUIT\r", LineFault::Control { position: 4, octet: b'\r' }, "bare CR"),
        (b"QUIT\r ", LineFault::Control { position: 4, octet: b'\r' }, "bare CR"),
        (b"NOOP\nQUIT", LineFault::Control { position: 4, octet: b'\n' }, "bare LF"),
        (b"MAIL\tFROM:<>", LineFault::Control { position: 4, octet: b'\t' }, "TAB"),
        (b"NOOP \x7f", LineFault::Control { position: 5, octet: 0x7f }, "control octet (0x7f)"),
        (b"\x1b[A", LineFault::Control { position: 0, octet: 0x1b }, "control"),
        (b"NOOP \xe9", LineFault::Utf8 { position: 5 }, "invalid UTF-8 at octet 6"),
        (b"NOOP \xc0\x80", LineFault::Utf8 { position: 5 }, "UTF-8"),
        (b"NOOP \xed\xa0\x80", LineFault::Utf8 { position: 5 }, "UTF-8"),
    ] {
        assert_eq!(split(line), Err(fault));
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

#[test]
fn every_verb_has_its_name_and_usage() {
    for verb in Verb::ALL {
        assert_eq!(Verb::from_word(verb.name()), Some(verb));
        assert_eq!(Verb::from_word(&verb.name().to_ascii_lowercase()), Some(verb));
        let usage = verb.usage().unwrap();
        assert!(usage.syntax.starts_with(verb.name()) && usage.source.starts_with("RFC "));
    }
    assert_eq!(Verb::Foreign.usage(), None);
    assert_eq!(Verb::from_word("-"), None);
}

#[test]
fn tls_is_recognised() {
    assert!(looks_like_tls(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
    assert!(looks_like_tls(&[0x16]));
    for other in [b"".as_slice(), b"\x16\x02", b"EHLO", b"\x80\x2e\x01"] {
        assert!(!looks_like_tls(other));
    }
}

#[test]
fn client_names_are_read() {
    for name in [
        "bar.com",
        "localhost",
        "my_host",
        "-x-",
        "DESKTOP-1",
        "[192.0.2.1]",
        "[IPv6:::1]",
        "[::1]",
        "1.2.3.4",
    ] {
        let read = hello(name).unwrap();
        assert_eq!(read.as_str(), name);
        assert_eq!(name.parse(), Ok(read));
    }
    assert_eq!(hello("[192.0.2.1] my host").unwrap().as_str(), "[192.0.2.1]");
    let literal = hello("[192.0.2.1]").unwrap().literal();
    assert_eq!(literal, Some(AddressLiteral::V4([192, 0, 2, 1].into())));
    assert_eq!(hello("[::1]").unwrap().literal(), None);
    let (longest, too_long) = ("a".repeat(255), "a".repeat(256));
    assert!(hello(&longest).is_ok());
    for name in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "[",
        "[]",
        "[1.2.3.4",
        "1.2.3.4]",
        "[a]b",
        "[a]]",
        "a@b",
        "<a>",
        "::1",
        "bücher.example",
        "a/b",
        "a:25",
        too_long.as_str(),
    ] {
        assert_eq!(hello(name), Err(Fault::Usage), "{name}");
    }
}

#[test]
fn mail_is_read() {
    let plain = Extensions::default();
    for (arguments, path) in [
        ("FROM:<userx@y.foo.org>", "<userx@y.foo.org>"),
        ("from:<userx@y.foo.org>", "<userx@y.foo.org>"),
        ("FROM:<>", "<>"),
        ("FROM: <a@b>", "<a@b>"),
        ("FROM:   <a@b>", "<a@b>"),
        ("FROM:<\"a> b\"@c>", "<\"a> b\"@c>"),
        ("FROM:<@x,@y:a@b>", "<a@b>"),
    ] {
        let read = mail(arguments, &plain).unwrap();
        assert_eq!(read.reverse_path.to_string(), path);
        assert_eq!(read.parameters, MailParameters::default());
    }
    for (arguments, fault) in [
        ("", Fault::Usage),
        ("FROM", Fault::Usage),
        ("FROM <a@b>", Fault::Usage),
        ("FROM :<a@b>", Fault::Usage),
        ("TO:<a@b>", Fault::Usage),
        ("<a@b>", Fault::Usage),
        ("éééé", Fault::Usage),
        ("FROM:<a@b>SIZE=1", Fault::Usage),
        ("FROM:<a@b>>", Fault::Usage),
        ("FROM:<a@b> =1", Fault::Usage),
        ("FROM:<a@b> -X", Fault::Usage),
        ("FROM:<a@b> X_Y=1", Fault::Usage),
        ("FROM:<a@b> é=1", Fault::Usage),
        ("FROM:", Fault::Path),
        ("FROM: ", Fault::Path),
        ("FROM:a@b", Fault::Path),
        ("FROM:Joe <a@b>", Fault::Path),
        ("FROM:<a@b", Fault::Path),
        ("FROM:<@x,a@b>", Fault::Path),
        ("FROM:<a>", Fault::Mailbox(AddressError::NoDomain)),
        ("FROM:<postmaster>", Fault::Mailbox(AddressError::NoDomain)),
        ("FROM:<a@b.>", Fault::Mailbox(AddressError::DomainTrailingDot)),
        ("FROM:<a@b@c>", Fault::Mailbox(AddressError::DomainCharacter { position: 4, character: '@' })),
        ("FROM:<\"a@b>", Fault::Mailbox(AddressError::QuoteUnclosed)),
        ("FROM:<é@b>", Fault::NonAscii),
        ("FROM:<a@b> SIZE=1", Fault::UnknownParameter("SIZE".to_string())),
        ("FROM:<a@b> BODY=7BIT", Fault::UnknownParameter("BODY".to_string())),
        ("FROM:<é@b> SMTPUTF8", Fault::UnknownParameter("SMTPUTF8".to_string())),
        ("FROM:<a@b> RET=FULL", Fault::UnknownParameter("RET".to_string())),
        ("FROM:<a@b> ENVID=x", Fault::UnknownParameter("ENVID".to_string())),
        ("FROM:<a@b> AUTH=<>", Fault::UnknownParameter("AUTH".to_string())),
        ("FROM:<a@b> x-Y=é=1", Fault::UnknownParameter("x-Y".to_string())),
    ] {
        assert_eq!(mail(arguments, &plain), Err(fault), "{arguments}");
    }
}

#[test]
fn parameters_of_mail_are_read() {
    let read = |parameters: &str| {
        mail(&format!("FROM:<ned@thor.innosoft.com> {parameters}"), &everything()).map(|mail| mail.parameters)
    };
    let none = MailParameters::default;
    let size = |size_octets| MailParameters { size_octets: Some(size_octets), ..none() };
    let body = |body| MailParameters { body, ..none() };
    let auth = |auth: &str| MailParameters { auth: Some(auth.to_string()), ..none() };
    let envid = |envid: &str| MailParameters { envid: Some(envid.to_string()), ..none() };
    for (parameters, expected) in [
        ("", none()),
        ("SIZE=500000", size(500_000)),
        ("size=0", size(0)),
        ("SIZE=00000000000000000001", size(1)),
        ("SIZE=18446744073709551615", size(u64::MAX)),
        ("SIZE=99999999999999999999", size(u64::MAX)),
        ("BODY=7bit", none()),
        ("BODY=8BITMIME", body(BodyType::EightBitMime)),
        ("body=binarymime", body(BodyType::BinaryMime)),
        ("SMTPUTF8", MailParameters { smtputf8: true, ..none() }),
        ("RET=full", MailParameters { ret: Some(Ret::Full), ..none() }),
        ("RET=HDRS", MailParameters { ret: Some(Ret::Headers), ..none() }),
        ("ENVID=QQ314159", envid("QQ314159")),
        ("ENVID=a+20b+3d", envid("a b=")),
        ("AUTH=<>", auth("")),
        ("AUTH=+3C+3E", auth("")),
        ("AUTH=e+3Dmc2@example.com", auth("e=mc2@example.com")),
        ("SIZE=1  BODY=8BITMIME", MailParameters { size_octets: Some(1), ..body(BodyType::EightBitMime) }),
    ] {
        assert_eq!(read(parameters), Ok(expected), "{parameters}");
    }
    for (parameters, name) in [
        ("SIZE", "SIZE"),
        ("SIZE=", "SIZE"),
        ("SIZE=-1", "SIZE"),
        ("SIZE=+1", "SIZE"),
        ("SIZE=1k", "SIZE"),
        ("SIZE=1=1", "SIZE"),
        ("SIZE=000000000000000000001", "SIZE"),
        ("SIZE=1 size=1", "SIZE"),
        ("BODY", "BODY"),
        ("BODY=", "BODY"),
        ("BODY=é", "BODY"),
        ("BODY=7BIT=1", "BODY"),
        ("BODY=7BIT BODY=7BIT", "BODY"),
        ("SMTPUTF8=", "SMTPUTF8"),
        ("SMTPUTF8=yes", "SMTPUTF8"),
        ("SMTPUTF8 SMTPUTF8", "SMTPUTF8"),
        ("RET", "RET"),
        ("RET=ALL", "RET"),
        ("RET=FULL RET=HDRS", "RET"),
        ("ENVID=", "ENVID"),
        ("ENVID=a=b", "ENVID"),
        ("ENVID=+", "ENVID"),
        ("ENVID=+0D+0A", "ENVID"),
        ("ENVID=+C3+A9", "ENVID"),
        ("AUTH=", "AUTH"),
        ("AUTH=a@b=c", "AUTH"),
        ("AUTH=joe", "AUTH"),
        ("AUTH=<a@b>", "AUTH"),
    ] {
        assert!(read(parameters).is_err_and(|fault| value_fault(name)(&fault)), "{parameters}");
    }
    assert!(read(&format!("ENVID={}", "x".repeat(100))).is_ok());
    assert!(read(&format!("ENVID={}", "x".repeat(101))).is_err_and(|fault| value_fault("ENVID")(&fault)));
}

#[test]
fn an_unknown_body_is_not_implemented() {
    let mut extensions = everything();
    let not_implemented =
        |value: &str| Err(Fault::ParameterNotImplemented { name: "BODY", value: value.to_string() });
    assert_eq!(mail("FROM:<a@b> BODY=9BIT", &extensions), not_implemented("9BIT"));
    extensions.binary_mime = false;
    assert_eq!(mail("FROM:<a@b> BODY=BINARYMIME", &extensions), not_implemented("BINARYMIME"));
}

#[test]
fn smtputf8_opens_the_path_to_other_characters() {
    let extensions = everything();
    assert_eq!(mail("FROM:<дима@пример.рф>", &extensions), Err(Fault::NonAscii));
    let read = mail("FROM:<дима@пример.рф> SMTPUTF8", &extensions).unwrap();
    assert_eq!(read.reverse_path.to_string(), "<дима@пример.рф>");
    assert!(read.parameters.smtputf8);
    assert_eq!(rcpt("TO:<дима@пример.рф>", &extensions, false), Err(Fault::NonAscii));
    assert!(rcpt("TO:<дима@пример.рф>", &extensions, true).is_ok());
}

#[test]
fn rcpt_is_read() {
    let extensions = everything();
    for (arguments, path) in [
        ("TO:<ned@innosoft.com>", "<ned@innosoft.com>"),
        ("to: <ned@innosoft.com>", "<ned@innosoft.com>"),
        ("TO:<@hosta.int,@jkl.org:userc@d.bar.org>", "<userc@d.bar.org>"),
        ("TO:<postmaster>", "<Postmaster>"),
    ] {
        assert_eq!(rcpt(arguments, &extensions, false).unwrap().forward_path.to_string(), path);
    }
    for (arguments, fault) in [
        ("", Fault::Usage),
        ("FROM:<a@b>", Fault::Usage),
        ("TO:<a@b>x", Fault::Usage),
        ("TO:a@b", Fault::Path),
        ("TO:<>", Fault::Mailbox(AddressError::Empty)),
        ("TO:<@x:>", Fault::Mailbox(AddressError::Empty)),
        ("TO:<a@b> SIZE=1", Fault::UnknownParameter("SIZE".to_string())),
    ] {
        assert_eq!(rcpt(arguments, &extensions, false), Err(fault), "{arguments}");
    }
    let plain = Extensions::default();
    let unknown = |name: &str| Err(Fault::UnknownParameter(name.to_string()));
    assert_eq!(rcpt("TO:<a@b> NOTIFY=NEVER", &plain, false), unknown("NOTIFY"));
    assert_eq!(rcpt("TO:<a@b> orcpt=rfc822;a", &plain, false), unknown("orcpt"));
}

#[test]
fn parameters_of_rcpt_are_read() {
    let read = |parameters: &str, smtputf8| {
        rcpt(&format!("TO:<a@b> {parameters}"), &everything(), smtputf8).map(|rcpt| rcpt.parameters)
    };
    let notify = |success, failure, delay| RcptParameters {
        notify: Some(Notify { success, failure, delay }),
        ..RcptParameters::default()
    };
    let original = |kind: &str, address: &str| RcptParameters {
        original: Some(OriginalRecipient { kind: kind.to_string(), address: address.to_string() }),
        ..RcptParameters::default()
    };
    for (parameters, expected) in [
        ("NOTIFY=NEVER", notify(false, false, false)),
        ("notify=never", notify(false, false, false)),
        ("NOTIFY=SUCCESS", notify(true, false, false)),
        ("NOTIFY=delay,FAILURE", notify(false, true, true)),
        ("NOTIFY=SUCCESS,FAILURE,DELAY", notify(true, true, true)),
        ("NOTIFY=SUCCESS,SUCCESS", notify(true, false, false)),
        ("ORCPT=rfc822;Bob@Example.COM", original("rfc822", "Bob@Example.COM")),
        ("ORCPT=rfc822;a+2Bb@c", original("rfc822", "a+b@c")),
        ("ORCPT=rfc822;not+20an+20address", original("rfc822", "not an address")),
        ("ORCPT=X400;/C+3Dde;x", original("X400", "/C=de;x")),
        ("ORCPT=utf-8;\\x{434}@x", original("utf-8", "д@x")),
        ("ORCPT=UTF-8;a\\b", original("UTF-8", "a\\b")),
    ] {
        assert_eq!(read(parameters, false), Ok(expected), "{parameters}");
    }
    assert_eq!(read("ORCPT=utf-8;д@x", true), Ok(original("utf-8", "д@x")));
    for (parameters, name) in [
        ("NOTIFY", "NOTIFY"),
        ("NOTIFY=", "NOTIFY"),
        ("NOTIFY=NEVER,SUCCESS", "NOTIFY"),
        ("NOTIFY=SUCCESS,NEVER", "NOTIFY"),
        ("NOTIFY=SUCCESS,", "NOTIFY"),
        ("NOTIFY=ALWAYS", "NOTIFY"),
        ("NOTIFY=DELAY NOTIFY=DELAY", "NOTIFY"),
        ("ORCPT=", "ORCPT"),
        ("ORCPT=rfc822", "ORCPT"),
        ("ORCPT=rfc822;", "ORCPT"),
        ("ORCPT=;a", "ORCPT"),
        ("ORCPT=a@b;c", "ORCPT"),
        ("ORCPT=rfc822;a=b", "ORCPT"),
        ("ORCPT=rfc822;+0D+0AX", "ORCPT"),
        ("ORCPT=rfc822;+C3+A9", "ORCPT"),
        ("ORCPT=utf-8;\\x{0D}\\x{0A}X", "ORCPT"),
        ("ORCPT=utf-8;д@x", "ORCPT"),
        ("ORCPT=rfc822;a ORCPT=rfc822;a", "ORCPT"),
    ] {
        assert!(read(parameters, false).is_err_and(|fault| value_fault(name)(&fault)), "{parameters}");
    }
    assert!(read("ORCPT=rfc822;д@x", true).is_err_and(|fault| value_fault("ORCPT")(&fault)));
    assert!(read(&format!("ORCPT=rfc822;{}", "x".repeat(493)), false).is_ok());
    assert!(read(&format!("ORCPT=rfc822;{}", "x".repeat(494)), false).is_err());
}

#[test]
fn bdat_is_read() {
    let chunk = |size_octets, last| Ok(BdatArguments { size_octets, last });
    for (arguments, expected) in [
        ("86", chunk(86, false)),
        ("0 LAST", chunk(0, true)),
        ("86  last", chunk(86, true)),
        ("18446744073709551615", chunk(u64::MAX, false)),
        ("18446744073709551616", Err(Fault::Usage)),
        ("", Err(Fault::Usage)),
        ("LAST", Err(Fault::Usage)),
        ("-1", Err(Fault::Usage)),
        ("+1", Err(Fault::Usage)),
        ("1 FIRST", Err(Fault::Usage)),
        ("1 LAST 2", Err(Fault::Usage)),
        ("1LAST", Err(Fault::Usage)),
    ] {
        assert_eq!(bdat(arguments), expected, "{arguments}");
    }
}

#[test]
fn auth_is_read() {
    for (arguments, mechanism, initial_response) in [
        ("PLAIN", "PLAIN", None),
        ("plain dGVzdAB0ZXN0ADEyMzQ=", "plain", Some("dGVzdAB0ZXN0ADEyMzQ=")),
        ("EXTERNAL =", "EXTERNAL", Some("")),
        ("SCRAM-SHA-256-PLUS  =", "SCRAM-SHA-256-PLUS", Some("")),
    ] {
        assert_eq!(auth(arguments), Ok(AuthArguments { mechanism, initial_response }));
    }
    for arguments in ["", "PLAIN a b", "PL+IN", "plän", "=", "ABCDEFGHIJKLMNOPQRSTU"] {
        assert_eq!(auth(arguments), Err(Fault::Usage), "{arguments}");
    }
    assert_eq!(no_arguments(""), Ok(()));
    assert_eq!(no_arguments("x"), Err(Fault::UnexpectedArgument));
}
