//! The basic codes: where each comes from, and at which stages it is listed, common or misused.

use super::{Basic, Standing};
use smtp::catalogue::Stage;

macro_rules! basic {
    ($($code:literal $standing:ident $section:literal [$($listed:ident)*] [$($common:ident)*] [$($misused:ident)*];)+) => {
        /// Every basic code that is known of, ascending.
        pub static BASIC: &[Basic] = &[$(
            Basic {
                code: $code,
                standing: Standing::$standing,
                section: $section,
                listed: &[$(Stage::$listed),*],
                common: &[$(Stage::$common),*],
                misused: &[$(Stage::$misused),*],
            }
        ),+];
    };
}

// code, where it comes from, its section; then the stages at which an RFC lists it, at which servers send it although no
// RFC lists it there, and at which they send it although it means something else.
basic! {
    211 Core "RFC 5321 §4.2.3"
        [Help] [] [];
    214 Core "RFC 5321 §4.2.3"
        [Help] [] [];
    220 Core "RFC 5321 §4.2.3, RFC 3207 §4"
        [Connect StartTls] [] [];
    221 Core "RFC 5321 §4.1.1.10"
        [Command] [] [];
    235 Extension "RFC 4954 §6"
        [Auth] [] [];
    250 Core "RFC 5321 §4.2.3"
        [Hello Mail Recipient Message Verify Command] [Data] [];
    251 Core "RFC 5321 §3.4"
        [Recipient Verify] [] [];
    252 Core "RFC 5321 §3.5.3"
        [Verify] [] [];
    253 Extension "RFC 1985 §5"
        [] [Command] [];
    334 Extension "RFC 4954 §4"
        [Auth] [] [];
    354 Core "RFC 5321 §4.1.1.4"
        [Data] [] [];
    400 Private "RFC 5321 §4.2.1"
        [] [Hello Mail Recipient Data Message Verify Command] [];
    421 Core "RFC 5321 §4.2.3, §3.8"
        [Connect Hello StartTls Auth Mail Recipient Data Message Verify Help Command] [] [];
    422 Registered "RFC 5248 §2.4"
        [] [Auth Recipient] [];
    424 Private "RFC 5321 §4.2.1"
        [] [Recipient] [];
    430 Registered "RFC 5248 §2.4"
        [] [Command] [];
    431 Private "RFC 5321 §4.2.1"
        [] [Mail Message] [];
    432 Extension "RFC 4954 §6"
        [Auth] [] [Recipient];
    441 Private "RFC 5321 §4.2.1"
        [] [Message] [];
    442 Private "RFC 5321 §4.2.1"
        [] [Message] [];
    447 Private "RFC 5321 §4.2.1"
        [] [Message] [];
    450 Core "RFC 5321 §4.2.3"
        [Recipient Message] [Connect Hello Mail Data Verify] [];
    451 Core "RFC 5321 §4.2.3"
        [Mail Recipient Message] [Connect Hello Data Verify Help] [];
    452 Core "RFC 5321 §4.2.3, §4.5.3.1.10"
        [Mail Recipient Message] [Data] [];
    453 Extension "RFC 2645 §5"
        [] [Command] [];
    454 Extension "RFC 4954 §6, RFC 3207 §4"
        [Auth StartTls] [] [Recipient];
    455 Extension "RFC 5321 §4.1.1.11"
        [Mail Recipient] [] [];
    458 Extension "RFC 1985 §5"
        [] [Command] [];
    459 Extension "RFC 1985 §5"
        [] [Command] [];
    471 Private "RFC 5321 §4.2.1"
        [] [Recipient Message] [];
    500 Core "RFC 5321 §4.2.3"
        [Hello StartTls Auth Mail Recipient Data Verify Help Command] [] [];
    501 Core "RFC 5321 §4.2.3"
        [Hello StartTls Auth Mail Recipient Data Verify Help Command] [] [];
    502 Core "RFC 5321 §4.2.4"
        [Hello Verify Help] [StartTls Auth Command] [];
    503 Core "RFC 5321 §4.1.4, §4.2.3"
        [Mail Recipient Data] [StartTls Auth Verify Command] [];
    504 Core "RFC 5321 §4.2.3"
        [Hello Verify Help Auth] [Mail Recipient] [];
    510 Private "RFC 5321 §4.2.1"
        [] [Recipient] [];
    511 Private "RFC 5321 §4.2.1"
        [] [Recipient] [];
    512 Private "RFC 5321 §4.2.1"
        [] [Recipient] [];
    513 Private "RFC 5321 §4.2.1"
        [] [Recipient] [];
    520 Private "RFC 5321 §4.2.1"
        [] [Recipient Message] [];
    521 Extension "RFC 7504 §3"
        [Connect] [] [Hello Mail Recipient Data Message Command];
    523 Registered "RFC 5248 §2.4"
        [] [Auth] [];
    524 Registered "RFC 5248 §2.4"
        [] [Auth Recipient] [];
    525 Registered "RFC 5248 §2.4"
        [] [Auth] [];
    530 Extension "RFC 4954 §6, RFC 3207 §4"
        [Mail Auth] [Hello Recipient Data Command] [];
    533 Registered "RFC 5248 §2.4"
        [] [Recipient] [];
    534 Extension "RFC 4954 §6"
        [Auth] [] [];
    535 Extension "RFC 4954 §6"
        [Auth] [] [];
    538 Extension "RFC 4954 §6"
        [Auth] [] [];
    541 Private "RFC 5321 §4.2.1"
        [] [Recipient Message] [];
    550 Core "RFC 5321 §4.2.3"
        [Hello Mail Recipient Message Verify] [Connect Data] [];
    551 Core "RFC 5321 §3.4"
        [Recipient Verify] [] [];
    552 Core "RFC 5321 §4.2.3, RFC 1870 §6"
        [Mail Recipient Message] [Data] [];
    553 Core "RFC 5321 §4.2.3"
        [Mail Recipient Verify] [] [];
    554 Core "RFC 5321 §4.2.3, §3.1"
        [Connect Data Message] [Hello Mail Recipient] [];
    555 Extension "RFC 5321 §4.1.1.11"
        [Mail Recipient] [] [];
    556 Extension "RFC 7504 §4"
        [Recipient] [Mail] [];
    571 Private "RFC 5321 §4.2.1"
        [] [Mail Recipient Message] [];
    577 Private "RFC 5321 §4.2.1"
        [] [Recipient Message] [];
    591 Private "RFC 5321 §4.2.1"
        [] [Connect Mail Recipient] [];
    599 Private "RFC 5321 §4.2.1"
        [] [Recipient Message] [];
}
