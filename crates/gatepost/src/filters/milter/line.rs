//! A connection with a milter that has agreed on what it wants to hear, and how it is asked over it.

use policy::source::Filter;

use super::answer::Answer;
use super::command;
use super::frame::{self, Frame};
use super::options::{self, Agreed, NEGOTIATE};
use crate::filters::connection::{Connection, Pool};

/// Most signs of life before an answer (ours: each is waited for as long as an answer).
const PROGRESS_MAX: usize = 1_000;

/// A milter and its connections.
#[derive(Debug)]
pub struct Milter {
    pool: Pool,
    /// Whether what it changes is changed.
    pub(super) apply: bool,
}

impl Milter {
    /// For the declared filter.
    #[must_use]
    pub fn new(filter: &Filter) -> Self {
        Self { pool: Pool::new(filter.address.clone(), filter.timeout), apply: filter.apply }
    }

    /// A line for a session.
    pub(super) async fn line(&self) -> Result<Line, String> {
        let mut connection = self.pool.connect().await?;
        let mut wire = Vec::new();
        frame::put(&mut wire, NEGOTIATE, &options::offer());
        connection.write(&wire).await?;
        let agreed = options::agreed(&read(&mut connection).await?)?;
        Ok(Line { connection, agreed })
    }

    /// Ends a session, and the line with it: no filter that is built on libmilter serves another one over it, whatever
    /// `SMFIC_QUIT_NC` promises.
    pub(super) async fn leave(mut line: Line, is_in_transaction: bool) {
        let mut wire = Vec::new();
        if is_in_transaction {
            frame::put(&mut wire, command::ABORT, &[]);
        }
        frame::put(&mut wire, command::QUIT, &[]);
        // A filter that is gone has nothing to be told.
        let _ = line.connection.write(&wire).await;
    }
}

/// A connection that is agreed on.
#[derive(Debug)]
pub(super) struct Line {
    connection: Connection,
    pub(super) agreed: Agreed,
}

impl Line {
    /// Sends what is gathered; nothing is answered.
    pub(super) async fn send(&mut self, wire: &[u8]) -> Result<(), String> {
        self.connection.write(wire).await
    }

    /// The next answer; signs of life are waited through.
    pub(super) async fn answer(&mut self) -> Result<Answer, String> {
        for _ in 0..PROGRESS_MAX {
            let frame = read(&mut self.connection).await?;
            match Answer::of(frame).map_err(|error| error.to_string())? {
                Answer::Progress => {}
                answer => return Ok(answer),
            }
        }
        Err("it never comes to an answer".to_owned())
    }
}

async fn read(connection: &mut Connection) -> Result<Frame, String> {
    let mut length = [0; frame::LENGTH_OCTETS];
    connection.read_exact(&mut length).await?;
    let length = frame::length(length).map_err(|error| error.to_string())?;
    let mut octets = vec![0; length];
    connection.read_exact(&mut octets).await?;
    let content = octets.split_off(1);
    Ok(Frame { kind: octets.first().copied().unwrap_or_default(), content })
}
