//! The parameters of MAIL and RCPT, read and printed.
//!
//! Invariant: a decoded value holds no control character, so that none reaches a DSN's fields.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use core::fmt;

use crate::address::Mailbox;
use crate::command::Fault;
use crate::envelope::{BodyType, MailParameters, Notify, OriginalRecipient, RcptParameters, Ret};
use crate::extension::Extensions;
use crate::xtext::{self, Unitext, Xtext};

/// Longest value of ENVID, in octets, encoded (RFC 3461 §4.4).
pub const ENVID_OCTETS_MAX: usize = 100;

/// Longest value of ORCPT, in octets, encoded (RFC 3461 §4.2).
pub const ORCPT_OCTETS_MAX: usize = 500;

/// Most digits of the value of SIZE (RFC 1870 §3).
pub const SIZE_DIGITS_MAX: usize = 20;

const SIZE: &str = "SIZE";
const BODY: &str = "BODY";
const SMTPUTF8: &str = "SMTPUTF8";
const RET: &str = "RET";
const ENVID: &str = "ENVID";
const AUTH: &str = "AUTH";
const REQUIRETLS: &str = "REQUIRETLS";
const NOTIFY: &str = "NOTIFY";
const ORCPT: &str = "ORCPT";

/// Reads the parameters of MAIL from what follows the path.
pub(crate) fn read_mail(text: &str, extensions: &Extensions) -> Result<MailParameters, Fault> {
    let mut read = MailParameters::default();
    let (mut body, mut smtputf8, mut require_tls) = (None, None, None);
    for word in words(text) {
        let (keyword, value) = keyword_and_value(word)?;
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is(SIZE) && extensions.size_octets_max.is_some() {
            set(&mut read.size_octets, SIZE, read_size(value)?)?;
        } else if is(BODY) && (extensions.eight_bit_mime || extensions.binary_mime) {
            set(&mut body, BODY, read_body(value, extensions)?)?;
        } else if is(SMTPUTF8) && extensions.smtputf8 {
            set(&mut smtputf8, SMTPUTF8, absent(SMTPUTF8, value)?)?;
        } else if is(REQUIRETLS) && extensions.require_tls {
            set(&mut require_tls, REQUIRETLS, absent(REQUIRETLS, value)?)?;
        } else if is(RET) && extensions.dsn {
            set(&mut read.ret, RET, read_ret(value)?)?;
        } else if is(ENVID) && extensions.dsn {
            set(&mut read.envid, ENVID, read_envid(value)?)?;
        } else if is(AUTH) && !extensions.auth.is_empty() {
            set(&mut read.auth, AUTH, read_auth(value)?)?;
        } else {
            return Err(Fault::UnknownParameter(keyword.to_owned()));
        }
    }
    read.body = body.unwrap_or_default();
    read.smtputf8 = smtputf8.is_some();
    read.require_tls = require_tls.is_some();
    Ok(read)
}

/// Reads the parameters of RCPT from what follows the path.
pub(crate) fn read_rcpt(
    text: &str,
    extensions: &Extensions,
    smtputf8: bool,
) -> Result<RcptParameters, Fault> {
    let mut read = RcptParameters::default();
    for word in words(text) {
        let (keyword, value) = keyword_and_value(word)?;
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is(NOTIFY) && extensions.dsn {
            set(&mut read.notify, NOTIFY, read_notify(value)?)?;
        } else if is(ORCPT) && extensions.dsn {
            set(&mut read.original, ORCPT, read_orcpt(value, smtputf8)?)?;
        } else {
            return Err(Fault::UnknownParameter(keyword.to_owned()));
        }
    }
    Ok(read)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

/// Parts an esmtp-param at its `=` and checks its keyword.
fn keyword_and_value(word: &str) -> Result<(&str, Option<&str>), Fault> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let fits = keyword.bytes().next().is_some_and(|octet| octet.is_ascii_alphanumeric())
        && keyword.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    if fits { Ok((keyword, value)) } else { Err(Fault::Usage) }
}

fn set<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::ParameterValue { name, why: "is given more than once" }),
    }
}

fn present<'value>(name: &'static str, value: Option<&'value str>) -> Result<&'value str, Fault> {
    value.filter(|value| !value.is_empty()).ok_or(Fault::ParameterValue { name, why: "needs a value" })
}

fn absent(name: &'static str, value: Option<&str>) -> Result<(), Fault> {
    value.map_or(Ok(()), |_| Err(Fault::ParameterValue { name, why: "takes no value" }))
}

/// A number over 2⁶⁴−1, which has its 20 digits as well, is read as that: no limit is as high.
fn read_size(value: Option<&str>) -> Result<u64, Fault> {
    let value = present(SIZE, value)?;
    if value.len() > SIZE_DIGITS_MAX || !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Fault::ParameterValue { name: SIZE, why: "must be a number of at most 20 digits" });
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn read_body(value: Option<&str>, extensions: &Extensions) -> Result<BodyType, Fault> {
    let value = present(BODY, value)?;
    if value.eq_ignore_ascii_case("7BIT") {
        Ok(BodyType::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Ok(BodyType::EightBitMime)
    } else if value.eq_ignore_ascii_case("BINARYMIME") && extensions.binary_mime {
        Ok(BodyType::BinaryMime)
    } else if value.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'=') {
        Err(Fault::ParameterNotImplemented { name: BODY, value: value.to_owned() })
    } else {
        Err(Fault::ParameterValue { name: BODY, why: "must be 7BIT, 8BITMIME or BINARYMIME" })
    }
}

fn read_ret(value: Option<&str>) -> Result<Ret, Fault> {
    let value = present(RET, value)?;
    if value.eq_ignore_ascii_case("FULL") {
        Ok(Ret::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Ok(Ret::Headers)
    } else {
        Err(Fault::ParameterValue { name: RET, why: "must be FULL or HDRS" })
    }
}

fn read_envid(value: Option<&str>) -> Result<String, Fault> {
    let value = present(ENVID, value)?;
    if value.len() > ENVID_OCTETS_MAX {
        return Err(Fault::ParameterValue { name: ENVID, why: "must be at most 100 characters long" });
    }
    let why = "must be xtext of printable ASCII characters";
    xtext::decode(value)
        .filter(|envid| is_printable_ascii(envid))
        .ok_or(Fault::ParameterValue { name: ENVID, why })
}

fn read_auth(value: Option<&str>) -> Result<String, Fault> {
    let value = present(AUTH, value)?;
    let why = "must be <> or xtext of a mailbox";
    match xtext::decode(value).ok_or(Fault::ParameterValue { name: AUTH, why })? {
        unknown if unknown == "<>" => Ok(String::new()),
        mailbox if mailbox.parse::<Mailbox>().is_ok() => Ok(mailbox),
        _ => Err(Fault::ParameterValue { name: AUTH, why }),
    }
}

fn read_notify(value: Option<&str>) -> Result<Notify, Fault> {
    let value = present(NOTIFY, value)?;
    let mut notify = Notify::NEVER;
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(notify);
    }
    for occasion in value.split(',') {
        if occasion.eq_ignore_ascii_case("SUCCESS") {
            notify.success = true;
        } else if occasion.eq_ignore_ascii_case("FAILURE") {
            notify.failure = true;
        } else if occasion.eq_ignore_ascii_case("DELAY") {
            notify.delay = true;
        } else {
            let why = "must be NEVER alone, or a list of SUCCESS, FAILURE and DELAY";
            return Err(Fault::ParameterValue { name: NOTIFY, why });
        }
    }
    Ok(notify)
}

/// The address need not be one of its type's syntax (RFC 3461 §4.2).
fn read_orcpt(value: Option<&str>, smtputf8: bool) -> Result<OriginalRecipient, Fault> {
    let value = present(ORCPT, value)?;
    if value.len() > ORCPT_OCTETS_MAX {
        return Err(Fault::ParameterValue { name: ORCPT, why: "must be at most 500 characters long" });
    }
    if !value.is_ascii() && !smtputf8 {
        return Err(Fault::ParameterValue { name: ORCPT, why: "must be ASCII without SMTPUTF8" });
    }
    let original =
        value.split_once(';').filter(|(kind, _)| is_address_type(kind)).and_then(|(kind, encoded)| {
            let address = if is_utf8_type(kind) {
                xtext::decode_unitext(encoded).filter(|address| !address.chars().any(char::is_control))
            } else {
                xtext::decode(encoded).filter(|address| is_printable_ascii(address))
            };
            let address = address.filter(|address| !address.is_empty())?;
            Some(OriginalRecipient { kind: kind.to_owned(), address })
        });
    original
        .ok_or(Fault::ParameterValue { name: ORCPT, why: "must be an address type, a semicolon and xtext" })
}

/// Whether `kind` is an atom (RFC 3461 §4.2) that can stand in an esmtp-value.
fn is_address_type(kind: &str) -> bool {
    !kind.is_empty()
        && kind.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>@,;:\\\".[]=+".contains(&octet))
}

/// Whether the address is in unitext, not xtext (RFC 6533 §3).
fn is_utf8_type(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("utf-8")
}

fn is_printable_ascii(text: &str) -> bool {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}

/// Prints those parameters of MAIL that a server with these extensions takes, each with a space before it. The others
/// are left out, and so is an ENVID that is too long when encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferedMail<'session> {
    pub(crate) parameters: &'session MailParameters,
    pub(crate) extensions: &'session Extensions,
}

impl fmt::Display for OfferedMail<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, extensions } = self;
        if let Some(size_octets) = parameters.size_octets
            && extensions.size_octets_max.is_some()
        {
            write!(formatter, " {SIZE}={size_octets}")?;
        }
        match parameters.body {
            BodyType::EightBitMime if extensions.eight_bit_mime => write!(formatter, " {BODY}=8BITMIME")?,
            BodyType::BinaryMime if extensions.binary_mime => write!(formatter, " {BODY}=BINARYMIME")?,
            BodyType::SevenBit | BodyType::EightBitMime | BodyType::BinaryMime => {}
        }
        if parameters.smtputf8 && extensions.smtputf8 {
            write!(formatter, " {SMTPUTF8}")?;
        }
        if parameters.require_tls && extensions.require_tls {
            write!(formatter, " {REQUIRETLS}")?;
        }
        if let Some(ret) = parameters.ret
            && extensions.dsn
        {
            let value = match ret {
                Ret::Full => "FULL",
                Ret::Headers => "HDRS",
            };
            write!(formatter, " {RET}={value}")?;
        }
        if let Some(envid) = parameters.envid.as_deref().filter(|envid| !envid.is_empty())
            && extensions.dsn
        {
            let encoded = Xtext(envid).to_string();
            if encoded.len() <= ENVID_OCTETS_MAX {
                write!(formatter, " {ENVID}={encoded}")?;
            }
        }
        match parameters.auth.as_deref() {
            Some("") if !extensions.auth.is_empty() => write!(formatter, " {AUTH}=<>"),
            Some(mailbox) if !extensions.auth.is_empty() => write!(formatter, " {AUTH}={}", Xtext(mailbox)),
            _ => Ok(()),
        }
    }
}

/// Prints those parameters of RCPT that a server with these extensions takes, each with a space before it. The others
/// are left out, and so is an ORCPT that has no address type or is too long when encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferedRcpt<'session> {
    pub(crate) parameters: &'session RcptParameters,
    pub(crate) extensions: &'session Extensions,
}

impl fmt::Display for OfferedRcpt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.extensions.dsn {
            return Ok(());
        }
        if let Some(notify) = self.parameters.notify {
            write!(formatter, " {NOTIFY}={}", Occasions(notify))?;
        }
        let Some(OriginalRecipient { kind, address }) = &self.parameters.original else { return Ok(()) };
        // The 7-bit form also suits a server without SMTPUTF8 (RFC 6533 §3).
        let encoded =
            if is_utf8_type(kind) { Unitext(address).to_string() } else { Xtext(address).to_string() };
        let fits = kind.len() + 1 + encoded.len() <= ORCPT_OCTETS_MAX;
        if fits && is_address_type(kind) && !address.is_empty() {
            write!(formatter, " {ORCPT}={kind};{encoded}")?;
        }
        Ok(())
    }
}

/// Prints the value of NOTIFY.
struct Occasions(Notify);

impl fmt::Display for Occasions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notify { success, failure, delay } = self.0;
        let mut separator = "";
        for (wanted, occasion) in [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")] {
            if wanted {
                write!(formatter, "{separator}{occasion}")?;
                separator = ",";
            }
        }
        if separator.is_empty() { formatter.write_str("NEVER") } else { Ok(()) }
    }
}
