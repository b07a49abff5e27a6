//! What server and filter agree on before a session: the version, what the filter may change, and what it wants to hear.
//!
//! Invariant: what was not offered is never agreed on.

use super::frame::Frame;

/// The newest version of the protocol (Sendmail 8.14).
pub const VERSION: u32 = 6;

/// The oldest version that is spoken.
const VERSION_MIN: u32 = 2;

/// What begins the negotiation (`SMFIC_OPTNEG`).
pub const NEGOTIATE: u8 = b'O';

/// What a filter may do with a message (`SMFIF_*`).
pub mod action {
    /// Add header fields.
    pub const ADD_FIELDS: u32 = 0x01;
    /// Replace the body.
    pub const REPLACE_BODY: u32 = 0x02;
    /// Add recipients.
    pub const ADD_RECIPIENTS: u32 = 0x04;
    /// Remove recipients.
    pub const REMOVE_RECIPIENTS: u32 = 0x08;
    /// Change and remove header fields.
    pub const CHANGE_FIELDS: u32 = 0x10;
    /// Put it into the quarantine.
    pub const QUARANTINE: u32 = 0x20;
    /// Change the reverse-path.
    pub const CHANGE_SENDER: u32 = 0x40;
    /// Add recipients with parameters.
    pub const ADD_WITH_PARAMETERS: u32 = 0x80;
    /// Say which macros it wants.
    pub const CHOOSE_MACROS: u32 = 0x100;
    /// All of them.
    pub const ALL: u32 = 0x1ff;
}

/// What a filter does not want to hear or answer (`SMFIP_*`).
pub mod step {
    /// No connection.
    pub const NO_CONNECT: u32 = 0x01;
    /// No EHLO.
    pub const NO_HELO: u32 = 0x02;
    /// No MAIL.
    pub const NO_MAIL: u32 = 0x04;
    /// No RCPT.
    pub const NO_RECIPIENT: u32 = 0x08;
    /// No body.
    pub const NO_BODY: u32 = 0x10;
    /// No header fields.
    pub const NO_FIELDS: u32 = 0x20;
    /// No end of the header section.
    pub const NO_END_OF_FIELDS: u32 = 0x40;
    /// Header fields are not answered.
    pub const SILENT_FIELD: u32 = 0x80;
    /// No unknown commands.
    pub const NO_UNKNOWN: u32 = 0x100;
    /// No DATA.
    pub const NO_DATA: u32 = 0x200;
    /// The server understands that the rest of the body is not wanted.
    pub const SKIP: u32 = 0x400;
    /// The connection is not answered.
    pub const SILENT_CONNECT: u32 = 0x1000;
    /// EHLO is not answered.
    pub const SILENT_HELO: u32 = 0x2000;
    /// MAIL is not answered.
    pub const SILENT_MAIL: u32 = 0x4000;
    /// RCPT is not answered.
    pub const SILENT_RECIPIENT: u32 = 0x8000;
    /// DATA is not answered.
    pub const SILENT_DATA: u32 = 0x1_0000;
    /// Unknown commands are not answered.
    pub const SILENT_UNKNOWN: u32 = 0x2_0000;
    /// The end of the header section is not answered.
    pub const SILENT_END_OF_FIELDS: u32 = 0x4_0000;
    /// Pieces of the body are not answered.
    pub const SILENT_BODY: u32 = 0x8_0000;
    /// Values of header fields keep their leading blanks.
    pub const LEADING_BLANKS: u32 = 0x10_0000;
    /// What is offered: everything but the commands that the session refused (`SMFIP_RCPT_REJ`) and larger pieces.
    pub const OFFERED: u32 = 0x1f_f7ff;
}

/// The stages that have macros (`SMFIM_*`), as the negotiation numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacroStage {
    /// The connection.
    Connect = 0,
    /// EHLO.
    Helo = 1,
    /// MAIL.
    Mail = 2,
    /// RCPT.
    Recipient = 3,
    /// DATA.
    Data = 4,
    /// The end of the message.
    EndOfMessage = 5,
    /// The end of the header section.
    EndOfFields = 6,
}

/// Most names of macros that a filter may ask for at a stage (ours).
const MACROS_MAX: usize = 64;

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The version.
    pub version: u32,
    /// What the filter may do ([`action`]).
    pub actions: u32,
    /// What it does not want ([`step`]).
    pub steps: u32,
    /// The macros that it asked for, by stage.
    macros: Vec<(u32, Vec<String>)>,
}

impl Agreed {
    /// Whether the filter said this of a step.
    #[must_use]
    pub const fn has(&self, step: u32) -> bool {
        self.steps & step != 0
    }

    /// Whether the filter may do this.
    #[must_use]
    pub const fn may(&self, action: u32) -> bool {
        self.actions & action != 0
    }

    /// Whether the filter wants the macro at the stage; one that said nothing gets what is usual.
    #[must_use]
    pub fn wants(&self, stage: MacroStage, name: &str) -> bool {
        let chosen = self.macros.iter().find(|(known, _)| *known == stage as u32);
        chosen.is_none_or(|(_, names)| names.iter().any(|known| bare(known) == bare(name)))
    }
}

/// A macro's name without braces.
fn bare(name: &str) -> &str {
    name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name)
}

/// What is offered.
#[must_use]
pub fn offer() -> Vec<u8> {
    [VERSION, action::ALL, step::OFFERED].into_iter().flat_map(u32::to_be_bytes).collect()
}

/// What the filter's answer agrees on.
///
/// # Errors
/// What is wrong with it.
pub fn agreed(frame: &Frame) -> Result<Agreed, String> {
    if frame.kind != NEGOTIATE {
        return Err(format!("it answers the negotiation with `{}`", char::from(frame.kind).escape_default()));
    }
    let mut rest = frame.content.as_slice();
    let (Some(version), Some(actions), Some(steps)) =
        (number(&mut rest), number(&mut rest), number(&mut rest))
    else {
        return Err("its negotiation is cut off".to_owned());
    };
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return Err(format!("it speaks version {version}"));
    }
    if actions & !action::ALL != 0 {
        return Err(format!("it wants to do what was not offered: {:#x}", actions & !action::ALL));
    }
    if steps & !step::OFFERED != 0 {
        return Err(format!("it wants steps that were not offered: {:#x}", steps & !step::OFFERED));
    }
    let mut macros = Vec::new();
    while let Some(stage) = number(&mut rest) {
        let Some(end) = memchr::memchr(0, rest) else {
            return Err("its list of macros is cut off".to_owned());
        };
        let (names, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = behind.get(1..).unwrap_or_default();
        let names = String::from_utf8_lossy(names);
        let names: Vec<String> = names
            .split([' ', ','])
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .take(MACROS_MAX)
            .collect();
        if macros.len() <= MacroStage::EndOfFields as usize {
            macros.push((stage, names));
        }
    }
    Ok(Agreed { version, actions, steps, macros })
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (octets, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(u32::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(numbers: [u32; 3], rest: &[u8]) -> Frame {
        let mut content: Vec<u8> = numbers.into_iter().flat_map(u32::to_be_bytes).collect();
        content.extend_from_slice(rest);
        Frame { kind: NEGOTIATE, content }
    }

    #[test]
    fn what_was_offered_is_agreed_on_and_nothing_else() {
        let sound = agreed(&answer([6, action::ADD_FIELDS, step::NO_HELO | step::SKIP], b"")).unwrap();
        assert!(sound.has(step::NO_HELO) && !sound.has(step::NO_MAIL));
        assert!(sound.may(action::ADD_FIELDS) && !sound.may(action::QUARANTINE));
        assert!(agreed(&answer([7, 0, 0], b"")).unwrap_err().contains("version 7"));
        assert!(agreed(&answer([6, 0x200, 0], b"")).is_err());
        assert!(agreed(&answer([6, 0, 0x800], b"")).is_err());
        assert!(agreed(&Frame { kind: b'c', content: Vec::new() }).is_err());
        assert!(agreed(&Frame { kind: b'O', content: vec![0; 11] }).is_err());
    }

    #[test]
    fn macros_that_a_filter_chose_are_the_only_ones_it_gets() {
        let mut chosen = vec![0, 0, 0, 2];
        chosen.extend_from_slice(b"i {auth_type}, mail_addr\0");
        let agreed = agreed(&answer([6, action::CHOOSE_MACROS, 0], &chosen)).unwrap();
        let wants = |name| agreed.wants(MacroStage::Mail, name);
        assert!(wants("i") && wants("{auth_type}") && wants("{mail_addr}") && !wants("{mail_host}"));
        assert!(agreed.wants(MacroStage::Connect, "j"));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(kind: u8, content in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(agreed) = agreed(&Frame { kind, content }) {
                prop_assert_eq!(agreed.steps & !step::OFFERED, 0);
            }
        }
    }
}
