//! The enhanced codes: which the IANA registry holds, which basic codes go with each, and where they make sense.

use super::Detail;
use smtp::catalogue::Stage;
use smtp::reply::Enhanced;

macro_rules! optional {
    (-) => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

macro_rules! enhanced {
    ($($subject:literal . $detail:literal $title:literal from $reference:tt
        any $any:literal only $only:tt [$($associated:literal)*] [$($usual:literal)*] [$($stage:ident)*];)+) => {
        /// Every registered code, ascending.
        pub static REGISTERED: &[Detail] = &[$(
            Detail {
                code: Enhanced::new($subject, $detail),
                last: $detail,
                title: $title,
                reference: optional!($reference),
                owner: None,
                associated: &[$($associated),*],
                usual: &[$($usual),*],
                any: $any,
                stages: &[$(Stage::$stage),*],
                only: optional!($only),
            }
        ),+];
    };
}

/// A range of codes in no registry, and who uses them.
const fn private(
    subject: u16,
    (first, last): (u16, u16),
    title: &'static str,
    owner: &'static str,
) -> Detail {
    Detail {
        code: Enhanced::new(subject, first),
        last,
        title,
        reference: None,
        owner: Some(owner),
        associated: &[],
        usual: &[],
        any: false,
        stages: &[],
        only: None,
    }
}

// subject and detail, title, source, whether it goes with any basic code, the class that RFC 3463 limits it to; then the
// basic codes that the registry names, those with which servers send it all the same, and the stages where it makes sense.
enhanced! {
    0 . 0 "no details" from "RFC 3463 §3.1"
        any true only - [] []
        [Connect Hello StartTls Auth Mail Recipient Data Message Verify Help Command];
    1 . 0 "address, not further specified" from "RFC 3463 §3.2"
        any false only - [] [250 550 553]
        [Mail Recipient];
    1 . 1 "no such mailbox" from "RFC 3463 §3.2"
        any false only 5 [451 550] [450]
        [Recipient Verify];
    1 . 2 "no such destination domain" from "RFC 3463 §3.2"
        any false only 5 [] [450 550 554]
        [Recipient];
    1 . 3 "malformed recipient address" from "RFC 3463 §3.2"
        any false only 5 [501] [553]
        [Recipient Verify];
    1 . 4 "ambiguous address" from "RFC 3463 §3.2"
        any false only - [] [550 553]
        [Recipient Verify];
    1 . 5 "recipient is valid" from "RFC 3463 §3.2"
        any false only - [250] [251]
        [];
    1 . 6 "mailbox has moved" from "RFC 3463 §3.2"
        any false only 5 [] [550 551]
        [Recipient Verify];
    1 . 7 "malformed sender address" from "RFC 3463 §3.2"
        any false only - [] [501 550 553]
        [Mail];
    1 . 8 "sender's domain is not usable" from "RFC 3463 §3.2"
        any false only - [451 501] [450 550 553]
        [Mail Recipient];
    1 . 9 "relayed to a system that reports nothing" from "RFC 3886 §3.3.4"
        any false only - [] []
        [];
    1 . 10 "recipient's domain takes no mail" from "RFC 7505, RFC 7504"
        any false only - [556] [550]
        [Recipient];
    2 . 0 "mailbox, not further specified" from "RFC 3463 §3.3"
        any false only - [] [450 550]
        [Recipient];
    2 . 1 "mailbox disabled" from "RFC 3463 §3.3"
        any false only - [] [450 550]
        [Recipient Verify];
    2 . 2 "mailbox full" from "RFC 3463 §3.3"
        any false only - [552] [452]
        [Recipient Message];
    2 . 3 "too long for this mailbox" from "RFC 3463 §3.3"
        any false only 5 [552] []
        [Mail Recipient Message];
    2 . 4 "mailing list can't be expanded" from "RFC 3463 §3.3"
        any false only - [450 452] [550]
        [Recipient Verify];
    3 . 0 "mail system, not further specified" from "RFC 3463 §3.4"
        any false only - [221 250 421 451 550 554] []
        [Connect Hello Mail Recipient Data Message Verify Help Command];
    3 . 1 "mail system full" from "RFC 3463 §3.4"
        any false only 4 [452] []
        [Mail Data Message];
    3 . 2 "system takes no messages" from "RFC 3463 §3.4, RFC 7504"
        any false only - [453 521] [421 450 451 554]
        [Connect Hello Mail Recipient Command];
    3 . 3 "feature not supported" from "RFC 3463 §3.4"
        any false only - [] [455 554 555]
        [Mail Recipient Message];
    3 . 4 "message too big" from "RFC 3463 §3.4, RFC 1870 §6"
        any false only 5 [552 554] []
        [Mail Data Message];
    3 . 5 "system wrongly configured" from "RFC 3463 §3.4"
        any false only - [] [451 554]
        [Connect Hello Mail Recipient Data Message];
    3 . 6 "priority was changed" from "RFC 6710"
        any false only - [250 251] []
        [];
    4 . 0 "network, not further specified" from "RFC 3463 §3.5"
        any false only - [] [451 554]
        [Recipient Message];
    4 . 1 "no answer from host" from "RFC 3463 §3.5"
        any false only 4 [451] []
        [Recipient Message];
    4 . 2 "bad connection" from "RFC 3463 §3.5"
        any false only 4 [421] [451]
        [Hello Mail Recipient Data Message Command];
    4 . 3 "directory or DNS fails" from "RFC 3463 §3.5"
        any false only 4 [451 550] [450]
        [Hello Mail Recipient Message];
    4 . 4 "no route" from "RFC 3463 §3.5"
        any false only - [] [451 550]
        [Recipient];
    4 . 5 "congestion" from "RFC 3463 §3.5"
        any false only 4 [451] [421]
        [Connect Mail Recipient Message];
    4 . 6 "routing loop" from "RFC 3463 §3.5"
        any false only 4 [] [550 554]
        [Message];
    4 . 7 "delivery time expired" from "RFC 3463 §3.5"
        any false only - [] [550]
        [];
    5 . 0 "protocol, not further specified" from "RFC 3463 §3.6"
        any false only - [220 250 251 252 253 451 452 454 458 459 501 502 503 554] []
        [Connect Hello StartTls Mail Recipient Data Message Verify Command];
    5 . 1 "invalid command" from "RFC 3463 §3.6"
        any false only 5 [430 500 501 503 530 550 554 555] [502 521]
        [Connect Hello StartTls Auth Mail Recipient Data Verify Command];
    5 . 2 "syntax error" from "RFC 3463 §3.6"
        any false only 5 [500 501 502 550 555] [504]
        [Hello Auth Mail Recipient Message Command];
    5 . 3 "too many recipients" from "RFC 3463 §3.6, RFC 5321 §4.5.3.1.10"
        any false only - [451] [452]
        [Recipient];
    5 . 4 "invalid arguments" from "RFC 3463 §3.6"
        any false only 5 [451 501 502 503 504 550 555] [421]
        [Hello StartTls Auth Mail Recipient Data Verify Help Command];
    5 . 5 "wrong protocol version" from "RFC 3463 §3.6"
        any false only - [] [554]
        [Hello];
    5 . 6 "authentication line too long" from "RFC 4954 §6"
        any false only - [500] []
        [Auth];
    6 . 0 "content, not further specified" from "RFC 3463 §3.7"
        any false only - [] [250 550 554]
        [Data Message];
    6 . 1 "media type not supported" from "RFC 3463 §3.7"
        any false only 5 [] [550 554]
        [Message];
    6 . 2 "conversion needed and forbidden" from "RFC 3463 §3.7"
        any false only - [] [550 554]
        [Message];
    6 . 3 "conversion needed and not possible" from "RFC 3463 §3.7"
        any false only - [554] [550]
        [Mail Message];
    6 . 4 "converted with loss" from "RFC 3463 §3.7"
        any false only - [250] []
        [];
    6 . 5 "conversion failed" from "RFC 3463 §3.7"
        any false only - [] [451 554]
        [Message];
    6 . 6 "content can't be fetched" from "RFC 4468 §5"
        any false only - [554] []
        [Message];
    6 . 7 "non-ASCII address not possible" from "RFC 6531 §3.5"
        any false only - [550 553] []
        [Mail Recipient Verify];
    6 . 8 "reply would need UTF-8" from "RFC 6531"
        any false only - [252 550 553] []
        [Recipient Verify];
    6 . 9 "UTF-8 header not transferable" from "RFC 6531 §3.5"
        any false only - [550] [554]
        [Message];
    6 . 10 "deprecated double of X.6.8" from "RFC 6531"
        any false only - [] []
        [];
    7 . 0 "security, not further specified" from "RFC 3463 §3.8"
        any false only - [220 235 450 454 500 501 503 504 530 535 550] [421 521 552 554]
        [Connect Hello StartTls Auth Mail Recipient Data Message Verify Command];
    7 . 1 "refused by policy" from "RFC 3463 §3.8"
        any false only 5 [451 454 502 503 533 550 551] [450 521 553 554]
        [Connect Hello Mail Recipient Data Message Verify];
    7 . 2 "may not write to the list" from "RFC 3463 §3.8"
        any false only 5 [550] []
        [Recipient Message Verify];
    7 . 3 "security conversion not possible" from "RFC 3463 §3.8"
        any false only 5 [] [550 554]
        [Message];
    7 . 4 "security feature not supported" from "RFC 3463 §3.8"
        any false only 5 [504] [550]
        [Auth Mail];
    7 . 5 "cryptographic failure" from "RFC 3463 §3.8"
        any false only - [] [451 550 554]
        [Message];
    7 . 6 "cryptographic algorithm unknown" from "RFC 3463 §3.8"
        any false only - [] [550 554]
        [Message];
    7 . 7 "message was altered" from "RFC 3463 §3.8"
        any false only - [] [550 554]
        [Message];
    7 . 8 "credentials are wrong" from "RFC 4954 §6"
        any false only - [535 554] []
        [Auth];
    7 . 9 "mechanism too weak" from "RFC 4954 §6"
        any false only - [534] []
        [Auth];
    7 . 10 "encryption needed" from "RFC 5248 §2.4"
        any false only - [523] []
        [Auth];
    7 . 11 "mechanism needs encryption" from "RFC 4954 §6"
        any false only - [524 538] []
        [Auth];
    7 . 12 "password transition needed" from "RFC 4954 §6"
        any false only - [422 432] []
        [Auth];
    7 . 13 "account disabled" from "RFC 5248 §2.4"
        any false only - [525] [535]
        [Auth];
    7 . 14 "trust between servers is missing" from "RFC 5248 §2.4"
        any false only - [535 554] []
        [Auth Message];
    7 . 15 "priority too low" from "RFC 6710"
        any false only - [450 550] []
        [Mail];
    7 . 16 "too big for its priority" from "RFC 6710"
        any false only - [552] [452]
        [Mail Message];
    7 . 17 "mailbox has another owner" from "RFC 7293"
        any false only - [] [550]
        [Recipient Message];
    7 . 18 "domain has another owner" from "RFC 7293"
        any false only - [] [550]
        [Recipient Message];
    7 . 19 "ownership can't be checked" from "RFC 7293"
        any false only - [] [550]
        [Recipient Message];
    7 . 20 "no passing DKIM signature" from "RFC 7372 §3.1"
        any false only - [550] []
        [Message];
    7 . 21 "no acceptable DKIM signature" from "RFC 7372 §3.1"
        any false only - [550] []
        [Message];
    7 . 22 "no DKIM signature of the author's domain" from "RFC 7372 §3.1"
        any false only - [550] []
        [Message];
    7 . 23 "SPF failed" from "RFC 7372 §3.2"
        any false only - [550] []
        [Mail Recipient Message];
    7 . 24 "SPF could not be evaluated" from "RFC 7372 §3.2"
        any false only - [451 550] [450]
        [Mail Recipient Message];
    7 . 25 "reverse DNS failed" from "RFC 7372 §3.3"
        any false only - [550] [421 450 554]
        [Connect Hello Mail Recipient];
    7 . 26 "authentication checks failed" from "RFC 7372 §3.4"
        any false only - [550] [421 554]
        [Message];
    7 . 27 "sender's domain takes no mail" from "RFC 7505"
        any false only - [550] []
        [Mail Recipient];
    7 . 28 "flood of mail" from "IANA registry, draft-levine-mailbomb-header"
        any false only - [] [421 450 451 550]
        [Connect Mail Recipient Message];
    7 . 29 "ARC failed" from "RFC 8617 §10.4"
        any false only - [550] []
        [Message];
    7 . 30 "REQUIRETLS not possible" from "RFC 8689"
        any false only - [550] []
        [Mail Recipient Message];
}

/// Codes in no registry that are seen all the same.
pub static PRIVATE: &[Detail] = &[
    private(4, (316, 316), "connection refused", "Microsoft 365"),
    private(7, (32, 32), "From not aligned", "Gmail"),
    private(7, (40, 40), "no DMARC record", "Gmail"),
    private(7, (57, 57), "client did not sign in", "Microsoft 365"),
    private(7, (64, 64), "tenant not attributable", "Microsoft 365"),
    private(7, (133, 133), "group takes no outside mail", "Microsoft 365"),
    private(7, (139, 139), "basic authentication switched off", "Microsoft 365"),
    private(7, (500, 500), "server busy, throttled", "Microsoft 365"),
    private(7, (501, 503), "sender banned for spam", "Microsoft 365"),
    private(7, (509, 509), "DMARC failed", "Microsoft 365"),
    private(7, (511, 511), "address banned", "Microsoft 365"),
    private(7, (515, 515), "authentication of a bulk sender missing", "Outlook.com"),
    private(7, (606, 649), "client address banned", "Microsoft 365"),
    private(7, (705, 705), "tenant sends too much", "Microsoft 365"),
    private(7, (708, 708), "address not trusted", "Microsoft 365"),
    private(7, (750, 750), "sending from an unregistered domain", "Microsoft 365"),
];
