//! Tables of good and bad addresses, and what must hold for all of them.

use super::*;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::hash::{BuildHasher as _, BuildHasherDefault, Hasher};
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

fn mailbox(text: &str) -> Result<Mailbox, AddressError> {
    Mailbox::parse(text, false)
}

fn local(text: &str) -> Result<LocalPart, AddressError> {
    LocalPart::parse(text, true)
}

#[test]
fn mailboxes_of_the_rfc_are_read() {
    for text in [
        "Smith@bar.com",
        "Jones@foo.com",
        "userx@y.foo.org",
        "userc@d.bar.org",
        "JQP@bar.com",
        "ned@ymir.claremont.edu",
        "e=mc2@example.com",
        "john+@example.org",
        "user@localhost",
        "user@xn--bcher-kva.example",
        "a.b.c@d-e.f9",
        "!#$%&'*+-/=?^_`{|}~@x",
        "1@1.2.3.4",
        "user@[192.0.2.1]",
        "user@[IPv6:2001:db8::1]",
        "user@[x-tag:@<>\"]",
    ] {
        let parsed = mailbox(text).unwrap();
        assert_eq!(parsed.to_string(), text);
        assert!(parsed.is_ascii());
    }
}

#[test]
fn quoting_does_not_matter_and_the_least_of_it_is_printed() {
    for (text, value, printed) in [
        (r#""Joe\,Smith""#, "Joe,Smith", r#""Joe,Smith""#),
        (r#""joe""#, "joe", "joe"),
        (r#""j\o\e""#, "joe", "joe"),
        (r#""a b""#, "a b", r#""a b""#),
        (r#""a\"b\\c""#, r#"a"b\c"#, r#""a\"b\\c""#),
        (r#""""#, "", r#""""#),
        (r#"" ""#, " ", r#"" ""#),
        (r#""a..b""#, "a..b", r#""a..b""#),
        (r#"".a""#, ".a", r#"".a""#),
        (r#""a@b""#, "a@b", r#""a@b""#),
        (r#""a>b""#, "a>b", r#""a>b""#),
        (r#""дима""#, "дима", "дима"),
    ] {
        let parsed = local(text).unwrap();
        assert_eq!(parsed.as_str(), value);
        assert_eq!(parsed.to_string(), printed);
        assert_eq!(LocalPart::new(value).unwrap(), parsed);
        assert_eq!(local(printed).unwrap(), parsed);
    }
}

#[test]
fn bad_local_parts_are_named() {
    use AddressError as E;
    for (text, error) in [
        ("", E::LocalPartEmpty),
        (".a", E::LocalPartDot { position: 0 }),
        ("a.", E::LocalPartDot { position: 1 }),
        ("a..b", E::LocalPartDot { position: 2 }),
        ("a b", E::LocalPartCharacter { position: 1, character: ' ' }),
        ("a\"b\"", E::LocalPartCharacter { position: 1, character: '"' }),
        ("a@", E::LocalPartCharacter { position: 1, character: '@' }),
        ("é(", E::LocalPartCharacter { position: 2, character: '(' }),
        ("a\u{85}", E::LocalPartCharacter { position: 1, character: '\u{85}' }),
        ("\"a", E::QuoteUnclosed),
        ("\"", E::QuoteUnclosed),
        ("\"a\\", E::QuoteUnclosed),
        ("\"a\\\"", E::QuoteUnclosed),
        ("\"a\"b", E::QuoteFollowed { position: 3 }),
        ("\"a\".b", E::QuoteFollowed { position: 3 }),
        ("\"a\tb\"", E::LocalPartCharacter { position: 2, character: '\t' }),
        ("\"a\\\u{7f}\"", E::LocalPartCharacter { position: 3, character: '\u{7f}' }),
        ("\"\\é\"", E::LocalPartCharacter { position: 2, character: 'é' }),
    ] {
        assert_eq!(local(text), Err(error), "{text:?}");
    }
    assert_eq!(LocalPart::new("a\r\nb"), Err(E::LocalPartCharacter { position: 1, character: '\r' }));
}

#[test]
fn a_local_part_is_64_octets_as_printed() {
    assert!(local(&"a".repeat(64)).is_ok());
    assert_eq!(local(&"a".repeat(65)), Err(AddressError::LocalPartTooLong));
    assert!(local(&"é".repeat(32)).is_ok());
    assert_eq!(local(&"é".repeat(33)), Err(AddressError::LocalPartTooLong));
    assert!(LocalPart::new(" ".repeat(62)).is_ok());
    assert_eq!(LocalPart::new(" ".repeat(63)), Err(AddressError::LocalPartTooLong));
    assert!(LocalPart::new("\"".repeat(31)).is_ok());
    assert_eq!(LocalPart::new("\"".repeat(32)), Err(AddressError::LocalPartTooLong));
}

#[test]
fn bad_domains_are_named() {
    use AddressError as E;
    for (text, error) in [
        ("", E::DomainEmpty),
        (".", E::LabelEmpty { position: 0 }),
        (".a", E::LabelEmpty { position: 0 }),
        ("a.", E::DomainTrailingDot),
        ("a..", E::LabelEmpty { position: 2 }),
        ("a..b", E::LabelEmpty { position: 2 }),
        ("-a.b", E::LabelHyphen { position: 0 }),
        ("b.a-", E::LabelHyphen { position: 2 }),
        ("a_b", E::DomainCharacter { position: 1, character: '_' }),
        ("a b", E::DomainCharacter { position: 1, character: ' ' }),
        ("a@b", E::DomainCharacter { position: 1, character: '@' }),
        ("b.a\u{a0}c", E::DomainCharacter { position: 3, character: '\u{a0}' }),
        ("a\u{3002}b", E::DomainCharacter { position: 1, character: '\u{3002}' }),
        ("a\u{202e}b", E::DomainCharacter { position: 1, character: '\u{202e}' }),
        ("a\u{9b}b", E::DomainCharacter { position: 1, character: '\u{9b}' }),
        ("[1.2.3.4", E::Literal { position: 0 }),
        ("1.2.3.4]", E::DomainCharacter { position: 7, character: ']' }),
    ] {
        assert_eq!(Domain::parse(text, true), Err(error), "{text:?}");
    }
}

#[test]
fn labels_and_domains_have_their_limits() {
    let label = "a".repeat(63);
    assert!(DomainName::parse(&label, false).is_ok());
    assert_eq!(
        DomainName::parse(&format!("x.{label}a"), false),
        Err(AddressError::LabelTooLong { position: 2 })
    );
    let longest = format!("{label}.{label}.{label}.{label}");
    assert_eq!(longest.len(), 255);
    assert!(DomainName::parse(&longest, false).is_ok());
    assert_eq!(DomainName::parse(&format!("{longest}b"), false), Err(AddressError::DomainTooLong));
    // A U-label may be over 63 octets where its A-label isn't.
    assert!(DomainName::parse(&"é".repeat(40), true).is_ok());
}

#[test]
fn domain_names_regard_no_ascii_case() {
    let hash = |name: &DomainName| BuildHasherDefault::<Fnv>::default().hash_one(name);
    let (lower, upper): (DomainName, DomainName) =
        ("mail.example".parse().unwrap(), "MAIL.Example".parse().unwrap());
    assert_eq!(lower, upper);
    assert_eq!(hash(&lower), hash(&upper));
    assert!(lower.cmp(&upper).is_eq());
    assert_eq!(upper.as_str(), "MAIL.Example");
    assert_eq!(upper.labels().next_back(), Some("Example"));
    assert_ne!(lower, "mail.example2".parse().unwrap());
    assert_ne!(mailbox("A@x").unwrap(), mailbox("a@x").unwrap());
    assert_eq!(mailbox("a@X").unwrap(), mailbox("a@x").unwrap());
}

/// A hasher for the test above, as `core` has none.
#[derive(Default)]
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = (self.0 ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[test]
fn literals_of_the_rfc_are_read() {
    let v6 = |groups: [u16; 8]| AddressLiteral::V6(Ipv6Addr::from(groups));
    for (text, literal) in [
        ("[123.255.37.2]", AddressLiteral::V4(Ipv4Addr::new(123, 255, 37, 2))),
        ("[010.001.000.255]", AddressLiteral::V4(Ipv4Addr::new(10, 1, 0, 255))),
        ("[IPv6:::1]", v6([0, 0, 0, 0, 0, 0, 0, 1])),
        ("[ipv6:::]", v6([0; 8])),
        ("[IPV6:1::]", v6([1, 0, 0, 0, 0, 0, 0, 0])),
        ("[IPv6:2001:DB8::1]", v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
        ("[IPv6:1:2:3:4:5:6:7:8]", v6([1, 2, 3, 4, 5, 6, 7, 8])),
        ("[IPv6:1:2:3::6:7:8]", v6([1, 2, 3, 0, 0, 6, 7, 8])),
        ("[IPv6:::3:4:5:6:7:8]", v6([0, 0, 3, 4, 5, 6, 7, 8])),
        ("[IPv6:1:2:3:4:5:6::]", v6([1, 2, 3, 4, 5, 6, 0, 0])),
        ("[IPv6:::ffff:192.0.2.1]", v6([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x201])),
        ("[IPv6:::192.0.2.1]", v6([0, 0, 0, 0, 0, 0, 0xc000, 0x201])),
        ("[IPv6:1:2:3:4:5:6:1.2.3.4]", v6([1, 2, 3, 4, 5, 6, 0x102, 0x304])),
        ("[IPv6:1:2::5:6:1.2.3.4]", v6([1, 2, 0, 0, 5, 6, 0x102, 0x304])),
    ] {
        let parsed: AddressLiteral = text.parse().unwrap();
        assert_eq!(parsed, literal, "{text}");
        assert_eq!(parsed.to_string().parse(), Ok(parsed));
    }
    let address =
        |text: &str| text.parse::<AddressLiteral>().unwrap().ip().map(|address| address.to_string());
    assert_eq!(address("[192.0.2.1]").as_deref(), Some("192.0.2.1"));
    assert_eq!(address("[IPv6:::ffff:192.0.2.1]").as_deref(), Some("192.0.2.1"));
    assert_eq!(address("[x-y9:a]"), None);
    let AddressLiteral::General(general) = "[x-y9:a:b!^]".parse().unwrap() else { panic!("not general") };
    assert_eq!((general.tag(), general.content()), ("x-y9", "a:b!^"));
}

#[test]
fn malformed_literals_are_refused() {
    for text in [
        "[]",
        "[",
        "[1.2.3]",
        "[1.2.3.4.5]",
        "[1.2.3.256]",
        "[1.2.3.0004]",
        "[1.2.3.]",
        "[1.2.3.+4]",
        "[1.2.3.4",
        "[1.2.3.4]]",
        "[[1.2.3.4]]",
        "[ 1.2.3.4]",
        "[::1]",
        "[2001:db8::1]x",
        "[IPv6:]",
        "[IPv6:1]",
        "[IPv6:1:2:3:4:5:6:7]",
        "[IPv6:1:2:3:4:5:6:7:8:9]",
        "[IPv6:1:2:3:4:5:6:7::]",
        "[IPv6:1:2:3:4::5:6:7:8]",
        "[IPv6:1::2::3]",
        "[IPv6::1]",
        "[IPv6:::1:]",
        "[IPv6:12345::]",
        "[IPv6:g::]",
        "[IPv6:+1::]",
        "[IPv6:fe80::1%eth0]",
        "[IPv6:1:2:3:4:5:6:7:1.2.3.4]",
        "[IPv6:1.2.3.4::]",
        "[IPv6:1:2:3:4:5::1.2.3.4]",
        "[IPv6:1:2:3:4:5:1.2.3.4:6]",
        "[tag:]",
        "[tag-:x]",
        "[:x]",
        "[ta_g:x]",
        "[tag:a b]",
        "[tag:a\\]",
        "[tag:é]",
    ] {
        assert_eq!(text.parse::<AddressLiteral>(), Err(AddressError::Literal { position: 0 }), "{text}");
    }
    let long = format!("[tag:{}]", "x".repeat(250));
    assert_eq!(long.parse::<AddressLiteral>(), Err(AddressError::DomainTooLong));
    assert_eq!(mailbox("a@[x]"), Err(AddressError::Literal { position: 2 }));
}

#[test]
fn bad_mailboxes_are_named() {
    use AddressError as E;
    for (text, error) in [
        ("", E::Empty),
        ("@", E::LocalPartEmpty),
        ("@b", E::LocalPartEmpty),
        ("a", E::NoDomain),
        ("\"a\"", E::NoDomain),
        ("a@", E::DomainEmpty),
        ("a@b.", E::DomainTrailingDot),
        ("a@b@c", E::DomainCharacter { position: 3, character: '@' }),
        ("a@b c", E::DomainCharacter { position: 3, character: ' ' }),
        ("a@b.-c", E::LabelHyphen { position: 4 }),
        ("Joe Smith <a@b>", E::LocalPartCharacter { position: 3, character: ' ' }),
        ("a(comment)@b", E::LocalPartCharacter { position: 1, character: '(' }),
        ("\"a\"b@c", E::QuoteFollowed { position: 3 }),
        ("a @é", E::NonAscii { position: 3 }),
    ] {
        assert_eq!(mailbox(text), Err(error), "{text:?}");
        assert!(!error.to_string().is_empty());
    }
    let position = AddressError::DomainCharacter { position: 3, character: '@' };
    assert_eq!(position.to_string(), "character '@' at octet 4 cannot stand in a domain");
    let other = AddressError::LocalPartCharacter { position: 0, character: '\u{85}' };
    assert_eq!(other.to_string(), "character '\\u{85}' at octet 1 cannot stand in a local part there");
}

#[test]
fn non_ascii_needs_smtputf8() {
    for (text, position) in [("é@x", 0), ("a@é.x", 2), ("\"é\"@x", 1)] {
        assert_eq!(mailbox(text), Err(AddressError::NonAscii { position }));
        let parsed = Mailbox::parse(text, true).unwrap();
        assert!(!parsed.is_ascii());
        assert!(!ForwardPath::Mailbox(parsed).is_ascii());
    }
    assert!(ReversePath::Null.is_ascii() && ForwardPath::Postmaster.is_ascii());
}

#[test]
fn paths_are_read_and_source_routes_dropped() {
    let path = |text: &str| ReversePath::parse(text, false).map(|path| path.to_string());
    for (text, printed) in [
        ("<>", "<>"),
        ("<userx@y.foo.org>", "<userx@y.foo.org>"),
        ("<@hosta.int,@jkl.org:userc@d.bar.org>", "<userc@d.bar.org>"),
        ("<@jkl.org:userc@d.bar.org>", "<userc@d.bar.org>"),
        ("<@a:\"b:c\"@d>", "<\"b:c\"@d>"),
        ("<\"@a:b\"@d>", "<\"@a:b\"@d>"),
    ] {
        assert_eq!(path(text).as_deref(), Ok(printed));
    }
    use AddressError as E;
    for (text, error) in [
        ("", E::Brackets),
        ("<", E::Brackets),
        ("a@b", E::Brackets),
        ("<a@b", E::Brackets),
        ("a@b>", E::Brackets),
        ("< >", E::LocalPartCharacter { position: 1, character: ' ' }),
        ("<<a@b>>", E::LocalPartCharacter { position: 1, character: '<' }),
        ("<a>", E::NoDomain),
        ("<postmaster>", E::NoDomain),
        ("<a@b.->", E::LabelHyphen { position: 5 }),
        ("<@a:>", E::Empty),
        ("<@a>", E::SourceRoute),
        ("<@:a@b>", E::SourceRoute),
        ("<@a,b:c@d>", E::SourceRoute),
        ("<@a,:c@d>", E::SourceRoute),
        ("<@a, @b:c@d>", E::SourceRoute),
        ("<@a_b:c@d>", E::SourceRoute),
        ("<@[1.2.3.4]:c@d>", E::SourceRoute),
        ("<@a:@b:c@d>", E::LocalPartEmpty),
        ("<@a:c@-d>", E::LabelHyphen { position: 6 }),
        ("<@é:c@d>", E::NonAscii { position: 2 }),
    ] {
        assert_eq!(path(text), Err(error), "{text:?}");
    }
}

#[test]
fn postmaster_needs_no_domain_as_a_recipient() {
    for text in ["<postmaster>", "<Postmaster>", "<POSTMASTER>"] {
        assert_eq!(text.parse(), Ok(ForwardPath::Postmaster));
    }
    let ForwardPath::Mailbox(full) = "<PostMaster@x>".parse().unwrap() else { panic!("not a mailbox") };
    assert!(full.local_part.is_postmaster());
    assert_eq!("<>".parse::<ForwardPath>(), Err(AddressError::Empty));
    assert_eq!("<root>".parse::<ForwardPath>(), Err(AddressError::NoDomain));
    assert_eq!("<\"postmaster\">".parse::<ForwardPath>(), Err(AddressError::NoDomain));
}

#[test]
fn a_path_is_256_octets() {
    let domain = format!("{0}.{0}.{1}", "d".repeat(63), "e".repeat(61));
    let local_part = "a".repeat(64);
    let fits = format!("<{local_part}@{domain}>");
    assert_eq!(fits.len(), 256);
    assert!(fits.parse::<ForwardPath>().is_ok());
    let over = format!("<{local_part}@{domain}e>");
    assert_eq!(over.parse::<ForwardPath>(), Err(AddressError::PathTooLong));
    let bare = over.trim_matches(['<', '>']);
    assert_eq!(bare.parse::<Mailbox>(), Err(AddressError::PathTooLong));
    let routed = format!("<@x:{local_part}@{domain}>");
    assert_eq!(routed.parse::<ReversePath>(), Err(AddressError::PathTooLong));
}

#[test]
fn the_end_of_a_path_is_found() {
    for (text, parts) in [
        ("<a@b>", Some(("<a@b>", ""))),
        ("<a@b> SIZE=1", Some(("<a@b>", " SIZE=1"))),
        ("<>x", Some(("<>", "x"))),
        (r#"<"a> b"@c> X"#, Some((r#"<"a> b"@c>"#, " X"))),
        (r#"<"a\"> b"@c> X"#, Some((r#"<"a\"> b"@c>"#, " X"))),
        ("<a@[t:>\"]> X", Some(("<a@[t:>\"]>", " X"))),
        // Malformed inside: the first `>` ends it.
        ("<\"a@b> X", Some(("<\"a@b>", " X"))),
        ("<a[b@c> X", Some(("<a[b@c>", " X"))),
        ("<a@b", None),
        ("a@b>", None),
        ("", None),
    ] {
        assert_eq!(split_path(text), parts, "{text}");
    }
}

/// Local parts that the grammar can hold, quoted and not.
pub(crate) fn any_local_part() -> impl Strategy<Value = LocalPart> {
    let value = prop_oneof!["[a-z0-9.+=]{1,30}", "[ -~]{0,30}", "[ -~а-яé\u{1f600}]{0,15}"];
    value.prop_filter_map("fits", |value| LocalPart::new(value).ok())
}

/// Domains of every kind.
pub(crate) fn any_domain() -> impl Strategy<Value = Domain> {
    let name = prop_oneof![
        "[A-Za-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-zé]{1,9}){0,3}",
        "[а-я]{1,20}\\.xn--[a-z0-9]{3}"
    ]
    .prop_map(|name| Domain::Name(name.parse().unwrap()));
    let v4 = any::<u32>().prop_map(|bits| Domain::Literal(AddressLiteral::V4(Ipv4Addr::from(bits))));
    // Groups are often zero, so that `::` is printed in every place.
    let group = prop_oneof![Just(0_u16), Just(0xffff), any::<u16>()];
    let v6 = prop::array::uniform8(group)
        .prop_map(|groups| Domain::Literal(AddressLiteral::V6(Ipv6Addr::from(groups))));
    let general = "\\[[a-z-]{0,5}x:[!-Z^-~]{1,20}\\]".prop_map(|text| text.parse().unwrap());
    prop_oneof![4 => name, 1 => v4, 2 => v6, 1 => general]
}

/// Mailboxes of every kind.
pub(crate) fn any_mailbox() -> impl Strategy<Value = Mailbox> {
    (any_local_part(), any_domain()).prop_map(|(local_part, domain)| Mailbox { local_part, domain })
}

/// Reverse-paths.
pub(crate) fn any_reverse_path() -> impl Strategy<Value = ReversePath> {
    prop_oneof![1 => Just(ReversePath::Null), 5 => any_mailbox().prop_map(ReversePath::Mailbox)]
}

/// Forward-paths.
pub(crate) fn any_forward_path() -> impl Strategy<Value = ForwardPath> {
    prop_oneof![1 => Just(ForwardPath::Postmaster), 5 => any_mailbox().prop_map(ForwardPath::Mailbox)]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(
        mailbox in any_mailbox(), reverse in any_reverse_path(), forward in any_forward_path(),
    ) {
        prop_assert!(mailbox.to_string().parse::<LocalPart>().is_err());
        prop_assert_eq!(mailbox.local_part.to_string().parse(), Ok(mailbox.local_part.clone()));
        prop_assert_eq!(mailbox.domain.to_string().parse(), Ok(mailbox.domain.clone()));
        prop_assert_eq!(Mailbox::parse(&mailbox.to_string(), false).is_ok(), mailbox.is_ascii());
        prop_assert_eq!(reverse.to_string().parse(), Ok(reverse));
        prop_assert_eq!(forward.to_string().parse(), Ok(forward));
        prop_assert_eq!(mailbox.to_string().parse(), Ok(mailbox));
    }

    #[test]
    fn a_printed_path_ends_where_it_ends(path in any_forward_path(), rest in "( [ -~]{0,9})?") {
        let path = path.to_string();
        let text = format!("{path}{rest}");
        prop_assert_eq!(split_path(&text), Some((path.as_str(), rest.as_str())));
    }

    #[test]
    fn what_is_read_prints_within_the_limits(text in "<?(@a:)?[a\"\\\\. @\\[\\]:1é>-]{0,24}>?") {
        for smtputf8 in [false, true] {
            if let Ok(mailbox) = Mailbox::parse(&text, smtputf8) {
                prop_assert!(smtputf8 || mailbox.is_ascii());
                prop_assert_eq!(mailbox.to_string().parse(), Ok(mailbox));
            }
            if let Ok(path) = ReversePath::parse(&text, smtputf8) {
                prop_assert!(path.to_string().len() <= 256);
                prop_assert_eq!(path.to_string().parse(), Ok(path));
            }
            let _ = ForwardPath::parse(&text, smtputf8);
        }
        let _ = split_path(&text);
    }

    #[test]
    fn nothing_panics(text in any::<String>(), inner in "[0-9a-fA-F:.]{0,40}") {
        let _ = (text.parse::<Mailbox>(), text.parse::<Domain>(), text.parse::<ReversePath>(), split_path(&text));
        let _ = (format!("<{text}>").parse::<ForwardPath>(), split_path(&format!("<{text}")));
        // What both take, the standard library reads alike; it refuses leading zeros in the IPv4 part, we `::` for one.
        if let (Ok(literal), Ok(address)) = (format!("[IPv6:{inner}]").parse::<AddressLiteral>(), inner.parse()) {
            prop_assert_eq!(literal, AddressLiteral::V6(address));
        }
    }
}
