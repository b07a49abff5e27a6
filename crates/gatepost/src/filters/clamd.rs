//! ClamAV's daemon: a message goes through `INSTREAM` (clamd(8)), and a signature comes back or none.

use policy::source::{Field, Filter};
use policy::value::State;

use super::connection::Pool;
use super::draft::Draft;
use super::verdict::FieldStates;

/// What begins a scan; the answer ends in NUL as it does.
const SCAN: &[u8] = b"zINSTREAM\0";

/// Octets of a piece.
const PIECE_OCTETS: usize = 64 * 1024;

/// Largest answer, in octets (ours).
const ANSWER_OCTETS_MAX: usize = 4 * 1024;

/// A daemon.
#[derive(Debug)]
pub struct Clamd {
    pool: Pool,
}

impl Clamd {
    /// The declared daemon.
    #[must_use]
    pub fn new(filter: &Filter) -> Self {
        Self { pool: Pool::new(filter.address.clone(), filter.timeout) }
    }

    /// What it finds in the message.
    ///
    /// # Errors
    /// Why it can't be asked.
    pub async fn scan(&self, draft: &Draft) -> Result<FieldStates, String> {
        // A scan has a connection of its own: the daemon closes it behind the answer.
        let mut connection = self.pool.connect().await?;
        connection.write(SCAN).await?;
        let mut fields = draft.fields.written();
        fields.extend_from_slice(b"\r\n");
        for piece in fields.chunks(PIECE_OCTETS) {
            connection.write(&framed(piece)).await?;
        }
        let mut pieces = draft.pieces();
        while let Some(piece) = pieces.next(PIECE_OCTETS)? {
            let wire = framed(piece);
            connection.write(&wire).await?;
        }
        connection.write(&framed(&[])).await?;
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 512];
            let octets = connection.read(&mut piece).await?;
            answer.extend_from_slice(piece.get(..octets).unwrap_or_default());
            if octets == 0 || answer.contains(&0) {
                break;
            }
            if answer.len() > ANSWER_OCTETS_MAX {
                return Err("its answer is too long".to_owned());
            }
        }
        let found = found(&answer)?;
        Ok(vec![
            (Field::Infected, State::yes_or_no(found.is_some())),
            (Field::Signature, State::text_or_missing(found.as_deref())),
        ])
    }
}

/// A piece with its length; the empty one is the last.
fn framed(piece: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(piece.len() + 4);
    wire.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes());
    wire.extend_from_slice(piece);
    wire
}

/// The signature that an answer names, if it found one.
///
/// # Errors
/// It is neither a finding nor `OK`.
pub fn found(answer: &[u8]) -> Result<Option<String>, String> {
    let text = String::from_utf8_lossy(answer);
    let text = text.split('\0').next().unwrap_or_default().trim();
    let rest = text.strip_prefix("stream: ").unwrap_or(text);
    if rest == "OK" && rest.len() < text.len() {
        return Ok(None);
    }
    match rest.strip_suffix(" FOUND") {
        Some(name) if !name.is_empty() => Ok(Some(name.to_owned())),
        _ if text.is_empty() => Err("it closes the connection instead of answering".to_owned()),
        _ => Err(format!("it answers {:?}", text.chars().take(200).collect::<String>())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_ok_is_clean_and_only_found_is_infected() {
        assert_eq!(found(b"stream: OK\0"), Ok(None));
        assert_eq!(
            found(b"stream: Eicar-Test-Signature FOUND\0"),
            Ok(Some("Eicar-Test-Signature".to_owned()))
        );
        for other in [
            &b"OK"[..],
            b"",
            b"INSTREAM size limit exceeded. ERROR\0",
            b"stream:  FOUND\0",
            b"stream: x ERROR\0",
        ] {
            assert!(found(other).is_err(), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(answer in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = found(&answer);
        }
    }
}
