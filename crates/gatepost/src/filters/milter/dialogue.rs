//! A milter is told of one session, step by step, as its stages are decided; what it was not told before, it is told then.
//!
//! Invariants: a line on which anything went wrong is given up, and the next stage begins with a new one; what the milter
//! said of the session or the transaction stays until that ends.

use std::collections::HashSet;
use std::sync::Arc;

use policy::stage::Stage;

use super::answer::Answer;
use super::changes::Changes;
use super::line::{Line, Milter};
use super::options::{MacroStage, step};
use super::{command, frame, macros};
use crate::filters::draft::Draft;
use crate::filters::occasion::Occasion;
use crate::filters::verdict::Verdict;

/// What a milter was told of a session.
#[derive(Debug)]
pub struct Dialogue {
    milter: Arc<Milter>,
    line: Option<Line>,
    told: Told,
}

/// What it was told, and what it said of it that stays.
#[derive(Debug, Default)]
struct Told {
    connection: bool,
    /// The EHLO name, and whether it was said over TLS.
    helo: Option<(String, bool)>,
    /// The transaction that it is in.
    transaction: Option<u64>,
    recipients: HashSet<String>,
    data: bool,
    /// What it said of the connection.
    of_session: Option<Verdict>,
    /// What it said of the EHLO name.
    of_helo: Option<Verdict>,
    /// What it said of the transaction, and which that is.
    of_transaction: Option<(u64, Verdict)>,
}

impl Dialogue {
    /// For a session that begins.
    #[must_use]
    pub fn new(milter: Arc<Milter>) -> Self {
        Self { milter, line: None, told: Told::default() }
    }

    /// Tells of what has come up to the stage that is decided, and gives what the milter wants done. `client_name` is the
    /// client's, or its address in brackets.
    ///
    /// # Errors
    /// Why it can't be told.
    pub async fn ask(&mut self, occasion: &Occasion, client_name: &str) -> Result<Verdict, String> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => {
                self.told = Told::default();
                self.milter.line().await?
            }
        };
        let verdict = self.tell(&mut line, occasion, client_name).await?;
        // It is only put back once the step is done with: whoever stops in between has no use for it.
        self.line = Some(line);
        Ok(verdict)
    }

    async fn tell(
        &mut self,
        line: &mut Line,
        occasion: &Occasion,
        client_name: &str,
    ) -> Result<Verdict, String> {
        if let Some(verdict) = self.tell_of_session(line, occasion, client_name).await? {
            return Ok(verdict);
        }
        if occasion.stage < Stage::Mail || occasion.stage == Stage::Verify || occasion.mail.is_none() {
            return Ok(Verdict::of("continue"));
        }
        if let Some(verdict) = self.tell_of_transaction(line, occasion).await? {
            return Ok(verdict);
        }
        for words in &occasion.recipients {
            let verdict = self.tell_of_recipient(line, occasion, words).await?;
            if !verdict.is_open() {
                return Ok(verdict);
            }
        }
        let verdict = match (occasion.stage, &occasion.candidate) {
            (Stage::Recipient, Some(words)) => self.tell_of_recipient(line, occasion, words).await?,
            (Stage::Data, _) => self.tell_of_data(line, occasion).await?,
            (Stage::Message, _) => self.tell_of_message(line, occasion).await?,
            _ => Verdict::of("continue"),
        };
        Ok(verdict)
    }

    /// Tells of connection and EHLO; what is said of them that ends the asking.
    async fn tell_of_session(
        &mut self,
        line: &mut Line,
        occasion: &Occasion,
        client_name: &str,
    ) -> Result<Option<Verdict>, String> {
        if !self.told.connection {
            let mut wire = Vec::new();
            let known = macros::of(MacroStage::Connect, occasion, client_name);
            command::macros(&mut wire, &line.agreed, MacroStage::Connect, &known);
            command::connect(&mut wire, client_name, occasion.client, occasion.port);
            let verdict = exchange(line, wire, (step::NO_CONNECT, step::SILENT_CONNECT)).await?;
            self.told.connection = true;
            self.told.of_session = (!verdict.is_open()).then_some(verdict);
        }
        if let Some(verdict) = &self.told.of_session {
            return Ok(Some(verdict.clone()));
        }
        let Some(name) = occasion.helo.as_ref().filter(|_| occasion.stage != Stage::Connect) else {
            return Ok(None);
        };
        let said = (name.clone(), occasion.is_tls);
        if self.told.helo.as_ref() != Some(&said) {
            let mut wire = Vec::new();
            let known = macros::of(MacroStage::Helo, occasion, client_name);
            command::macros(&mut wire, &line.agreed, MacroStage::Helo, &known);
            command::helo(&mut wire, name);
            let verdict = exchange(line, wire, (step::NO_HELO, step::SILENT_HELO)).await?;
            self.told.helo = Some(said);
            self.told.of_helo = None;
            match verdict.word {
                "continue" => {}
                "accept" => self.told.of_session = Some(verdict),
                _ => self.told.of_helo = Some(verdict),
            }
        }
        Ok(self.told.of_session.as_ref().or(self.told.of_helo.as_ref()).cloned())
    }

    /// Tells of MAIL, and that the transaction before is over; what is said that ends the asking.
    async fn tell_of_transaction(
        &mut self,
        line: &mut Line,
        occasion: &Occasion,
    ) -> Result<Option<Verdict>, String> {
        if let Some((_, verdict)) =
            self.told.of_transaction.as_ref().filter(|(number, _)| *number == occasion.transaction)
        {
            return Ok(Some(verdict.clone()));
        }
        if self.told.transaction == Some(occasion.transaction) {
            return Ok(None);
        }
        let mut wire = Vec::new();
        if self.told.transaction.take().is_some() {
            frame::put(&mut wire, command::ABORT, &[]);
            line.send(&wire).await?;
            wire.clear();
        }
        self.told.recipients.clear();
        self.told.data = false;
        self.told.of_transaction = None;
        let known = macros::of(MacroStage::Mail, occasion, "");
        command::macros(&mut wire, &line.agreed, MacroStage::Mail, &known);
        command::mail(&mut wire, occasion.mail.as_deref().unwrap_or_default());
        let verdict = exchange(line, wire, (step::NO_MAIL, step::SILENT_MAIL)).await?;
        self.told.transaction = Some(occasion.transaction);
        Ok(self.keep(occasion, verdict))
    }

    /// Keeps what was said of the transaction, unless it is to go on.
    fn keep(&mut self, occasion: &Occasion, verdict: Verdict) -> Option<Verdict> {
        if verdict.is_open() {
            return None;
        }
        self.told.of_transaction = Some((occasion.transaction, verdict.clone()));
        Some(verdict)
    }

    async fn tell_of_recipient(
        &mut self,
        line: &mut Line,
        occasion: &Occasion,
        words: &[String],
    ) -> Result<Verdict, String> {
        let path = words.first().map(String::as_str).unwrap_or_default();
        if self.told.recipients.contains(path) {
            return Ok(Verdict::of("continue"));
        }
        let mut wire = Vec::new();
        let known = macros::of_recipient(words);
        command::macros(&mut wire, &line.agreed, MacroStage::Recipient, &known);
        command::recipient(&mut wire, words);
        let verdict = exchange(line, wire, (step::NO_RECIPIENT, step::SILENT_RECIPIENT)).await?;
        // A refusal is of this recipient alone.
        match verdict.word {
            "continue" => drop(self.told.recipients.insert(path.to_owned())),
            "accept" | "discard" => drop(self.keep(occasion, verdict.clone())),
            _ => {}
        }
        Ok(verdict)
    }

    async fn tell_of_data(&mut self, line: &mut Line, occasion: &Occasion) -> Result<Verdict, String> {
        // Versions before 4 know no DATA.
        if self.told.data || line.agreed.version < 4 {
            return Ok(Verdict::of("continue"));
        }
        let mut wire = Vec::new();
        let known = macros::of(MacroStage::Data, occasion, "");
        command::macros(&mut wire, &line.agreed, MacroStage::Data, &known);
        frame::put(&mut wire, command::DATA, &[]);
        let verdict = exchange(line, wire, (step::NO_DATA, step::SILENT_DATA)).await?;
        self.told.data = true;
        Ok(self.keep(occasion, verdict.clone()).unwrap_or(verdict))
    }

    async fn tell_of_message(&mut self, line: &mut Line, occasion: &Occasion) -> Result<Verdict, String> {
        let verdict = self.tell_of_data(line, occasion).await?;
        if !verdict.is_open() {
            return Ok(verdict);
        }
        let Some(draft) = &occasion.draft else { return Err("the message can't be read".to_owned()) };
        // Those who change a message do so one after the other: each sees what those before it have changed.
        let (mut held, mut own);
        let draft: &mut Draft = if self.milter.apply {
            held = draft.lock().await;
            &mut held
        } else {
            own = draft.lock().await.clone();
            &mut own
        };
        let verdict = tell_of_content(line, occasion, draft).await?;
        let verdict = match verdict {
            Some(verdict) => {
                // The message is not over for the milter: it is told so before the next one.
                self.keep(occasion, verdict.clone());
                return Ok(verdict);
            }
            None => end_of_message(line, occasion, draft).await?,
        };
        self.told.transaction = None;
        self.told.of_transaction = Some((occasion.transaction, verdict.clone()));
        Ok(verdict)
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        if let (Some(line), Ok(runtime)) = (self.line.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(Milter::leave(line, self.told.transaction.is_some()));
        }
    }
}

/// Sends a step, unless the milter doesn't want it, and waits for the answer, unless it gives none.
async fn exchange(line: &mut Line, wire: Vec<u8>, (unwanted, silent): (u32, u32)) -> Result<Verdict, String> {
    if line.agreed.has(unwanted) {
        return Ok(Verdict::of("continue"));
    }
    line.send(&wire).await?;
    if line.agreed.has(silent) {
        return Ok(Verdict::of("continue"));
    }
    let answer = line.answer().await?;
    wanted(answer)
}

/// What an answer other than a change wants done.
fn wanted(answer: Answer) -> Result<Verdict, String> {
    Ok(match answer {
        Answer::Continue | Answer::Skip | Answer::Progress => Verdict::of("continue"),
        Answer::Accept => Verdict::of("accept"),
        Answer::Reject => Verdict::of("reject"),
        Answer::Tempfail => Verdict::of("tempfail"),
        Answer::Discard => Verdict::of("discard"),
        Answer::Shutdown => Verdict { code: Some(421), ..Verdict::of("tempfail") },
        Answer::Reply(own) => Verdict {
            code: Some(own.code),
            enhanced: own.enhanced,
            text: own.text,
            ..Verdict::of(if own.code >= 500 { "reject" } else { "tempfail" })
        },
        Answer::Change(_) => return Err("it changes the message before its end".to_owned()),
    })
}

/// Sends header section and body; what is said that ends the asking.
async fn tell_of_content(
    line: &mut Line,
    occasion: &Occasion,
    draft: &Draft,
) -> Result<Option<Verdict>, String> {
    if !line.agreed.has(step::NO_FIELDS) {
        let blanks = line.agreed.has(step::LEADING_BLANKS);
        for (name, value) in draft.fields.told(blanks) {
            let mut wire = Vec::new();
            command::field(&mut wire, name, &value);
            let verdict = exchange(line, wire, (step::NO_FIELDS, step::SILENT_FIELD)).await?;
            if !verdict.is_open() {
                return Ok(Some(verdict));
            }
        }
    }
    let mut wire = Vec::new();
    let known = macros::of(MacroStage::EndOfFields, occasion, "");
    command::macros(&mut wire, &line.agreed, MacroStage::EndOfFields, &known);
    frame::put(&mut wire, command::END_OF_FIELDS, &[]);
    let verdict = exchange(line, wire, (step::NO_END_OF_FIELDS, step::SILENT_END_OF_FIELDS)).await?;
    if !verdict.is_open() {
        return Ok(Some(verdict));
    }
    if line.agreed.has(step::NO_BODY) {
        return Ok(None);
    }
    let mut pieces = draft.pieces();
    while let Some(piece) = pieces.next(frame::CHUNK_OCTETS)? {
        let mut wire = Vec::with_capacity(piece.len() + frame::LENGTH_OCTETS + 1);
        frame::put(&mut wire, command::BODY, piece);
        line.send(&wire).await?;
        if line.agreed.has(step::SILENT_BODY) {
            continue;
        }
        match line.answer().await? {
            Answer::Continue => {}
            Answer::Skip => break,
            answer => {
                let verdict = wanted(answer)?;
                if !verdict.is_open() {
                    return Ok(Some(verdict));
                }
            }
        }
    }
    Ok(None)
}

/// Says that the message is all there, and takes what is changed in it.
async fn end_of_message(line: &mut Line, occasion: &Occasion, draft: &mut Draft) -> Result<Verdict, String> {
    let mut wire = Vec::new();
    let known = macros::of(MacroStage::EndOfMessage, occasion, "");
    command::macros(&mut wire, &line.agreed, MacroStage::EndOfMessage, &known);
    frame::put(&mut wire, command::END_OF_MESSAGE, &[]);
    line.send(&wire).await?;
    let mut changes = Changes::default();
    loop {
        let answer = match line.answer().await? {
            Answer::Change(change) => {
                changes.take(change, &line.agreed)?;
                continue;
            }
            answer => answer,
        };
        let mut verdict = wanted(answer)?;
        if verdict.refuses() || verdict.word == "discard" {
            return Ok(verdict);
        }
        if let Some(reason) = changes.quarantine.take() {
            verdict.word = "quarantine";
            verdict.quarantine = Some(reason);
        }
        changes.carry_out(draft, &line.agreed);
        return Ok(verdict);
    }
}
