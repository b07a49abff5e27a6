//! What the client's side writes and the server's side reads back, by table and by property.

use super::tests::everything;
use super::*;
use crate::address::tests::{any_forward_path, any_mailbox, any_reverse_path};
use crate::address::{ForwardPath, ReversePath};
use crate::envelope::{BodyType, MailParameters, Notify, OriginalRecipient, RcptParameters, Ret};
use crate::extension::Extensions;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use proptest::prelude::*;

fn mail_line(reverse_path: &ReversePath, parameters: &MailParameters, extensions: &Extensions) -> String {
    let mut wire = Vec::new();
    write_mail(reverse_path, parameters, extensions, &mut wire);
    String::from_utf8(wire).unwrap()
}

fn rcpt_line(forward_path: &ForwardPath, parameters: &RcptParameters, extensions: &Extensions) -> String {
    let mut wire = Vec::new();
    write_rcpt(forward_path, parameters, extensions, &mut wire);
    String::from_utf8(wire).unwrap()
}

#[test]
fn only_offered_parameters_are_written() {
    let parameters = MailParameters {
        size_octets: Some(7),
        body: BodyType::EightBitMime,
        smtputf8: true,
        ret: Some(Ret::Headers),
        envid: Some("a=b c".to_string()),
        auth: Some("e=mc2@example.com".to_string()),
        require_tls: true,
    };
    let (none, all) = (Extensions::default(), everything());
    assert_eq!(mail_line(&ReversePath::Null, &parameters, &none), "MAIL FROM:<>\r\n");
    assert_eq!(
        mail_line(&ReversePath::Null, &parameters, &all),
        "MAIL FROM:<> SIZE=7 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=a+3Db+20c \
         AUTH=e+3Dmc2@example.com\r\n"
    );
    let unknown = MailParameters { auth: Some(String::new()), ..MailParameters::default() };
    assert_eq!(mail_line(&ReversePath::Null, &unknown, &all), "MAIL FROM:<> AUTH=<>\r\n");
    let long = MailParameters { envid: Some(" ".repeat(34)), ..MailParameters::default() };
    assert_eq!(mail_line(&ReversePath::Null, &long, &all), "MAIL FROM:<>\r\n");

    let original = |kind: &str, address: &str| RcptParameters {
        notify: Some(Notify { success: true, failure: false, delay: true }),
        original: Some(OriginalRecipient { kind: kind.to_string(), address: address.to_string() }),
    };
    let postmaster = ForwardPath::Postmaster;
    assert_eq!(rcpt_line(&postmaster, &original("rfc822", "a+b"), &none), "RCPT TO:<Postmaster>\r\n");
    for (parameters, text) in [
        (original("rfc822", "a+b"), " ORCPT=rfc822;a+2Bb"),
        (original("utf-8", "д+"), " ORCPT=utf-8;\\x{434}\\x{2B}"),
        (original("rfc822", &" ".repeat(165)), ""),
        (original("no atom", "x"), ""),
        (original("rfc822", ""), ""),
    ] {
        let expected = format!("RCPT TO:<Postmaster> NOTIFY=SUCCESS,DELAY{text}\r\n");
        assert_eq!(rcpt_line(&postmaster, &parameters, &all), expected);
    }
    let never = RcptParameters { notify: Some(Notify::NEVER), original: None };
    assert_eq!(rcpt_line(&postmaster, &never, &all), "RCPT TO:<Postmaster> NOTIFY=NEVER\r\n");
}

fn any_mail_parameters() -> impl Strategy<Value = MailParameters> {
    let body =
        prop_oneof![Just(BodyType::SevenBit), Just(BodyType::EightBitMime), Just(BodyType::BinaryMime)];
    let ret = prop_oneof![Just(None), Just(Some(Ret::Full)), Just(Some(Ret::Headers))];
    let envid = prop::option::of("[ -~]{1,33}");
    let auth = prop_oneof![Just(String::new()), any_mailbox().prop_map(|mailbox| mailbox.to_string())];
    (any::<Option<u64>>(), body, any::<[bool; 2]>(), ret, envid, prop::option::of(auth)).prop_map(
        |(size_octets, body, [smtputf8, require_tls], ret, envid, auth)| MailParameters {
            size_octets,
            body,
            smtputf8,
            ret,
            envid,
            auth,
            require_tls,
        },
    )
}

fn any_rcpt_parameters() -> impl Strategy<Value = RcptParameters> {
    let notify = any::<[bool; 3]>().prop_map(|[success, failure, delay]| Notify { success, failure, delay });
    let original =
        prop_oneof![("rfc822|X400|a-b", "[ -~]{1,60}"), ("utf-8|UTF-8", "[ -~а-яé\u{1f600}]{1,40}")]
            .prop_map(|(kind, address)| OriginalRecipient { kind, address });
    (prop::option::of(notify), prop::option::of(original))
        .prop_map(|(notify, original)| RcptParameters { notify, original })
}

proptest! {
    #[test]
    fn what_a_client_writes_a_server_reads(
        reverse_path in any_reverse_path(), mut of_mail in any_mail_parameters(),
        forward_path in any_forward_path(), of_rcpt in any_rcpt_parameters(),
    ) {
        of_mail.smtputf8 |= !reverse_path.is_ascii() || !forward_path.is_ascii();
        let smtputf8 = of_mail.smtputf8;
        let line = mail_line(&reverse_path, &of_mail, &everything());
        let command = split(line.strip_suffix("\r\n").unwrap().as_bytes()).unwrap();
        prop_assert_eq!(command.verb, Some(Verb::Mail));
        let expected = MailArguments { reverse_path, parameters: of_mail };
        prop_assert_eq!(mail(command.arguments, &everything()), Ok(expected));

        let line = rcpt_line(&forward_path, &of_rcpt, &everything());
        let command = split(line.strip_suffix("\r\n").unwrap().as_bytes()).unwrap();
        prop_assert_eq!(command.verb, Some(Verb::Rcpt));
        let expected = RcptArguments { forward_path, parameters: of_rcpt };
        prop_assert_eq!(rcpt(command.arguments, &everything(), smtputf8), Ok(expected));
    }

    #[test]
    fn no_octets_make_it_panic(line in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(command) = split(&line) {
            read_as_everything(command.arguments);
        }
        let _ = looks_like_tls(&line);
    }

    #[test]
    fn no_text_makes_it_panic(
        start in "(FROM:|TO:)? ?(<.{0,12}>)?",
        rest in "( (SIZE|BODY|RET|ENVID|AUTH|NOTIFY|ORCPT|SMTPUTF8|X)?=?[a-z0-9+;,\\\\{}=é<>@]{0,9}){0,3}",
    ) {
        read_as_everything(&format!("{start}{rest}"));
        read_as_everything(&rest);
    }
}

/// Reads the text with every reader; whatever is read must be text that can be printed again.
fn read_as_everything(arguments: &str) {
    let extensions = everything();
    if let Ok(read) = mail(arguments, &extensions) {
        let line = mail_line(&read.reverse_path, &read.parameters, &extensions);
        assert_eq!(
            split(line.trim_end().as_bytes()).map(|command| mail(command.arguments, &extensions)),
            Ok(Ok(read))
        );
    }
    for smtputf8 in [false, true] {
        if let Ok(read) = rcpt(arguments, &extensions, smtputf8) {
            let line = rcpt_line(&read.forward_path, &read.parameters, &extensions);
            let again = split(line.trim_end().as_bytes())
                .map(|command| rcpt(command.arguments, &extensions, smtputf8));
            assert_eq!(again, Ok(Ok(read)));
        }
    }
    let _ = (hello(arguments), bdat(arguments), auth(arguments), no_arguments(arguments));
}
