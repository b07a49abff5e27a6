//! What is wrong with a command, apart enough for the session to choose the reply.

use alloc::string::String;
use core::error::Error;
use core::fmt;

use crate::address::AddressError;

/// A command line that isn't text; the reply is 500 5.5.2. Positions are offsets in octets, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// A control octet stands in the line: NUL, a bare CR or LF, a TAB before the end of the line, DEL.
    Control {
        /// Where.
        position: usize,
        /// Which.
        octet: u8,
    },
    /// The line is not UTF-8 from this position on.
    Utf8 {
        /// Where.
        position: usize,
    },
}

impl fmt::Display for LineFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control { position, octet } => {
                let name = match octet {
                    0 => "NUL",
                    b'\t' => "TAB",
                    b'\r' => "bare CR",
                    b'\n' => "bare LF",
                    _ => "control",
                };
                write!(formatter, "{name} octet (0x{octet:02x}) at octet {} of the command", position + 1)
            }
            Self::Utf8 { position } => {
                write!(formatter, "invalid UTF-8 at octet {} of the command", position + 1)
            }
        }
    }
}

impl Error for LineFault {}

/// Why the arguments of a command are refused; each variant says which reply belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The command hasn't its form (RFC 5321 §4.1.1): 501 5.5.4.
    Usage,
    /// The argument of MAIL or RCPT is no path in brackets, or its source route is malformed: 501 5.1.7 or 5.1.3.
    Path,
    /// The path holds no valid mailbox: 553 5.1.7 or 5.1.3.
    Mailbox(AddressError),
    /// The path isn't ASCII and the transaction doesn't use SMTPUTF8 (RFC 6531 §3.5): 553 5.6.7.
    NonAscii,
    /// A parameter that isn't known, or whose extension isn't offered (RFC 5321 §4.1.1.11): 555 5.5.4.
    UnknownParameter(String),
    /// A parameter whose value is missing, surplus or malformed, or that is given twice: 501 5.5.4.
    ParameterValue {
        /// The parameter.
        name: &'static str,
        /// What is wrong, in words that follow the name.
        why: &'static str,
    },
    /// A parameter value that is well formed but not implemented (RFC 5321 §4.2.2): 504 5.5.4.
    ParameterNotImplemented {
        /// The parameter.
        name: &'static str,
        /// The value as it was given.
        value: String,
    },
    /// An argument that the command doesn't take (RFC 5321 §4.1.1): 501 5.5.4.
    UnexpectedArgument,
}

impl From<AddressError> for Fault {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::Brackets | AddressError::SourceRoute => Self::Path,
            AddressError::NonAscii { .. } => Self::NonAscii,
            _ => Self::Mailbox(error),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => formatter.write_str("malformed command"),
            Self::Path => formatter.write_str("the address must be a path: <local-part@domain>"),
            Self::Mailbox(error) => error.fmt(formatter),
            Self::NonAscii => formatter.write_str("a non-ASCII address needs SMTPUTF8"),
            Self::UnknownParameter(name) => write!(formatter, "unknown parameter {name}"),
            Self::ParameterValue { name, why } => write!(formatter, "{name} {why}"),
            Self::ParameterNotImplemented { name, value } => {
                write!(formatter, "{name}={value} is not implemented")
            }
            Self::UnexpectedArgument => formatter.write_str("the command takes no argument"),
        }
    }
}

impl Error for Fault {}
