//! The arguments of commands, read from the text after the verb.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::Fault;
use crate::address::{AddressLiteral, ForwardPath, ReversePath, split_path};
use crate::envelope::{MailParameters, RcptParameters};
use crate::extension::Extensions;
use crate::limits::DOMAIN_OCTETS_MAX;
use crate::parameter;

/// Longest name of a SASL mechanism, in octets (RFC 4422 §3.1).
const MECHANISM_OCTETS_MAX: usize = 20;

/// The name that a client gives itself in EHLO or HELO: 1 to 255 octets of printable ASCII, without spaces.
///
/// Deviates: RFC 5321 §4.1.2 has no underscore in a domain and only well-formed address literals; many clients are
/// named otherwise, and RFC 5321 §4.1.4 has a server take their mail (docs/decisions/0004-space-before-path.md).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientName(String);

impl ClientName {
    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address that the name is, when it is a well-formed address literal.
    #[must_use]
    pub fn literal(&self) -> Option<AddressLiteral> {
        self.0.parse().ok()
    }
}

impl FromStr for ClientName {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        hello(text)
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// The arguments of MAIL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailArguments {
    /// Who is told when the message can't be delivered.
    pub reverse_path: ReversePath,
    /// The parameters.
    pub parameters: MailParameters,
}

/// The arguments of RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RcptArguments {
    /// Who the message is for.
    pub forward_path: ForwardPath,
    /// The parameters.
    pub parameters: RcptParameters,
}

/// The arguments of BDAT (RFC 3030 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BdatArguments {
    /// Octets of the chunk, which follow the command line.
    pub size_octets: u64,
    /// Whether the chunk is the message's last.
    pub last: bool,
}

/// The arguments of AUTH (RFC 4954 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthArguments<'line> {
    /// The mechanism's name, in the case in which it was given.
    pub mechanism: &'line str,
    /// The initial response, still in base64; empty when it was `=`, `None` when there was none.
    pub initial_response: Option<&'line str>,
}

/// Reads the argument of EHLO or HELO. What follows an address literal after a space is dropped, as older clients put
/// comments there (RFC 5321 §4.1.1.1).
///
/// # Errors
/// [`Fault::Usage`] when there is no name, or it is none that a client could have.
pub fn hello(arguments: &str) -> Result<ClientName, Fault> {
    let name = match arguments.strip_prefix('[') {
        Some(_) => arguments.split_once(' ').map_or(arguments, |(literal, _)| literal),
        None => arguments,
    };
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let plausible = match literal {
        Some(content) => {
            !content.is_empty() && content.bytes().all(|octet| matches!(octet, 33..=90 | 94..=126))
        }
        None => name.split('.').all(|label| {
            let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
            !label.is_empty() && label.bytes().all(fits)
        }),
    };
    if plausible && name.len() <= DOMAIN_OCTETS_MAX {
        Ok(ClientName(name.to_owned()))
    } else {
        Err(Fault::Usage)
    }
}

/// Reads the arguments of MAIL; only parameters of `extensions` are known.
///
/// # Errors
/// What is wrong, that of the parameters before that of the path, which depends on them.
pub fn mail(arguments: &str, extensions: &Extensions) -> Result<MailArguments, Fault> {
    let (path, rest) = path_and_parameters(arguments, "FROM:")?;
    let parameters = parameter::read_mail(rest, extensions)?;
    let reverse_path = ReversePath::parse(path, parameters.smtputf8)?;
    Ok(MailArguments { reverse_path, parameters })
}

/// Reads the arguments of RCPT; only parameters of `extensions` are known, and `smtputf8` says whether MAIL had the
/// parameter of that name.
///
/// # Errors
/// What is wrong, that of the path before that of the parameters.
pub fn rcpt(arguments: &str, extensions: &Extensions, smtputf8: bool) -> Result<RcptArguments, Fault> {
    let (path, rest) = path_and_parameters(arguments, "TO:")?;
    let forward_path = ForwardPath::parse(path, smtputf8)?;
    let parameters = parameter::read_rcpt(rest, extensions, smtputf8)?;
    Ok(RcptArguments { forward_path, parameters })
}

/// Parts the arguments of MAIL or RCPT into the path, with its brackets, and the parameters.
///
/// Deviates: spaces may stand between the colon and the path, and more than one between parameters
/// (docs/decisions/0004-space-before-path.md).
fn path_and_parameters<'line>(
    arguments: &'line str,
    prefix: &str,
) -> Result<(&'line str, &'line str), Fault> {
    let (start, rest) = arguments.split_at_checked(prefix.len()).ok_or(Fault::Usage)?;
    if !start.eq_ignore_ascii_case(prefix) {
        return Err(Fault::Usage);
    }
    let (path, parameters) = split_path(rest.trim_start_matches(' ')).ok_or(Fault::Path)?;
    if parameters.is_empty() || parameters.starts_with(' ') {
        Ok((path, parameters))
    } else {
        Err(Fault::Usage)
    }
}

/// Reads the arguments of BDAT.
///
/// # Errors
/// [`Fault::Usage`] when they aren't a number of octets and, perhaps, `LAST`.
pub fn bdat(arguments: &str) -> Result<BdatArguments, Fault> {
    let (size, last) = match arguments.split_once(' ') {
        Some((size, word)) if word.trim_start_matches(' ').eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return Err(Fault::Usage),
        None => (arguments, false),
    };
    if !size.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Fault::Usage);
    }
    size.parse().map(|size_octets| BdatArguments { size_octets, last }).map_err(|_| Fault::Usage)
}

/// Reads the arguments of AUTH; whether the initial response is base64 is left to the mechanism.
///
/// # Errors
/// [`Fault::Usage`] when they aren't a mechanism's name and, perhaps, one word more.
pub fn auth(arguments: &str) -> Result<AuthArguments<'_>, Fault> {
    let (mechanism, response) = match arguments.split_once(' ') {
        Some((mechanism, response)) => (mechanism, Some(response.trim_start_matches(' '))),
        None => (arguments, None),
    };
    let named = (1..=MECHANISM_OCTETS_MAX).contains(&mechanism.len())
        && mechanism.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
    if !named || response.is_some_and(|response| response.contains(' ')) {
        return Err(Fault::Usage);
    }
    let initial_response = response.map(|response| if response == "=" { "" } else { response });
    Ok(AuthArguments { mechanism, initial_response })
}

/// Checks that a command that takes no arguments has none.
///
/// # Errors
/// [`Fault::UnexpectedArgument`] when it has some.
pub const fn no_arguments(arguments: &str) -> Result<(), Fault> {
    if arguments.is_empty() { Ok(()) } else { Err(Fault::UnexpectedArgument) }
}
