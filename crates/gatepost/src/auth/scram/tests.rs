//! SCRAM by the example of RFC 7677 §3, and what must not pass.

use super::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn password(text: &str) -> Password {
    Password::read(text.as_bytes()).unwrap()
}

fn keys() -> Keys {
    Keys::of(&password("pencil"), &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4_096)
}

fn begin(binds: bool, channel: Channel) -> Scram {
    Scram::new(binds, channel, SERVER_NONCE.into())
}

fn challenge(text: &str) -> Step {
    Step::Challenge(text.as_bytes().to_vec())
}

/// What comes of `last` after the example's beginning, with `keys`.
fn ended(keys: Keys, last: &str) -> Step {
    let mut scram = begin(false, Channel::default());
    assert_eq!(scram.respond(FIRST.as_bytes()), Step::FindKeys("user".into()));
    scram.keys(keys);
    scram.respond(last.as_bytes())
}

/// The client's side, for bindings that the example hasn't.
fn client(first: &str, binding: &[u8], server_first: &str) -> String {
    let salted_keys = keys();
    let mut salted = [0; 32];
    let count = std::num::NonZeroU32::new(salted_keys.iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salted_keys.salt, b"pencil", &mut salted);
    let bare = first.splitn(3, ',').nth(2).unwrap();
    let without_proof = format!("c={},r={CLIENT_NONCE}{SERVER_NONCE}", STANDARD.encode(binding));
    let message = format!("{bare},{server_first},{without_proof}");
    let key = mac(&salted, b"Client Key");
    let signature = mac(&hashed(&key), message.as_bytes());
    let proof: Vec<u8> = key.iter().zip(signature).map(|(key, signed)| key ^ signed).collect();
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

#[test]
fn the_example_of_rfc_7677_passes() {
    let mut scram = begin(false, Channel::default());
    assert_eq!(scram.respond(FIRST.as_bytes()), Step::FindKeys("user".into()));
    assert_eq!(
        scram.keys(keys()),
        challenge("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    );
    let signed = challenge("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(scram.respond(FINAL.as_bytes()), signed);
    assert_eq!(scram.respond(b""), Step::Accepted("user".into()));
    assert_eq!(scram.respond(b""), Step::Malformed);
}

#[test]
fn keys_read_back_as_they_were_written() {
    let text = keys().to_text();
    assert!(text.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"), "{text}");
    assert_eq!(Keys::read(&text), Some(keys()));
    for wrong in ["", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:YQ==$YQ==:YQ==", &text.replace("4096", "99999999")] {
        assert_eq!(Keys::read(wrong), None, "{wrong}");
    }
}

#[test]
fn wrong_proofs_and_users_that_are_not_there_end_alike() {
    let wrong = FINAL.replace("p=dHzb", "p=eHzb");
    assert_eq!(ended(keys(), &wrong), Step::Rejected);
    assert_eq!(ended(Keys::of_nobody(b"secret", "user"), FINAL), Step::Rejected);
    assert_eq!(Keys::of_nobody(b"secret", "user"), Keys::of_nobody(b"secret", "user"));
    assert_ne!(Keys::of_nobody(b"secret", "user"), Keys::of_nobody(b"secret", "other"));
    let other_nonce = FINAL.replace("k0,", "k1,");
    assert_eq!(ended(keys(), &other_nonce), Step::Rejected);
    for malformed in ["", "c=biws", "c=biws,r=x", "c=!,r=x,p=YQ==", "c=biws,r=x,p=YQ=="] {
        assert_eq!(ended(keys(), malformed), Step::Malformed, "{malformed}");
    }
}

#[test]
fn beginnings_that_are_none_are_malformed() {
    let longest = "x".repeat(10_000);
    for first in [
        "",
        "n",
        "n,,",
        "n,,r=a",
        "n,,m=x,n=user,r=a",
        "n,x,n=user,r=a",
        "n,,n=us=er,r=a",
        "n,,n=user,r=",
        "z,,n=user,r=a",
        "p=tls-unique,,n=user,r=a",
        "n,,n=user,r=a b",
        longest.as_str(),
    ] {
        assert_eq!(begin(false, Channel::default()).respond(first.as_bytes()), Step::Malformed, "{first}");
    }
    assert_eq!(begin(false, Channel::default()).respond(b"n,,n=,r=a"), Step::Rejected);
    let named = begin(false, Channel::default()).respond(b"n,,n=a=2Cb=3Dc,r=a");
    assert_eq!(named, Step::FindKeys("a,b=c".into()));
}

#[test]
fn the_channel_is_bound_to_and_its_offer_cannot_be_taken_away() {
    let channel = Channel {
        exporter: Some(b"exported".to_vec()),
        server_end_point: Some(b"certificate".to_vec()),
        certificate_user: None,
    };
    for (flag, data) in [("p=tls-exporter", &b"exported"[..]), ("p=tls-server-end-point", b"certificate")] {
        let first = format!("{flag},,n=user,r={CLIENT_NONCE}");
        let play = |data: &[u8]| {
            let mut scram = begin(true, channel.clone());
            assert_eq!(scram.respond(first.as_bytes()), Step::FindKeys("user".into()));
            let Step::Challenge(server_first) = scram.keys(keys()) else { panic!("a challenge") };
            let binding = [format!("{flag},,").as_bytes(), data].concat();
            let last = client(&first, &binding, std::str::from_utf8(&server_first).unwrap());
            scram.respond(last.as_bytes())
        };
        assert!(matches!(play(data), Step::Challenge(_)), "{flag}");
        assert_eq!(play(b"another channel"), Step::Rejected, "{flag}");
    }
    let downgraded = begin(false, channel).respond(b"y,,n=user,r=a");
    assert_eq!(downgraded, Step::Rejected);
    assert_eq!(begin(false, Channel::default()).respond(b"y,,n=user,r=a"), Step::FindKeys("user".into()));
    assert_eq!(begin(true, Channel::default()).respond(b"p=tls-exporter,,n=user,r=a"), Step::Rejected);
}

#[test]
fn nobody_acts_for_another() {
    let mut scram = begin(false, Channel::default());
    let first = format!("n,a=root,n=user,r={CLIENT_NONCE}");
    assert_eq!(scram.respond(first.as_bytes()), Step::FindKeys("user".into()));
    let Step::Challenge(server_first) = scram.keys(keys()) else { panic!("a challenge") };
    let last = client(&first, b"n,a=root,", std::str::from_utf8(&server_first).unwrap());
    assert_eq!(scram.respond(last.as_bytes()), Step::Rejected);
}
