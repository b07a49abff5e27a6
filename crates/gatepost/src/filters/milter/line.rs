//! A connection with a milter that has agreed on what it wants to hear, and how it is asked over it.

use policy::source::Filter;

use super::answer::Answer;
use super::command;
use super::frame::{self, Frame};
use super::options::{self, Agreed, NEGOTIATE};
use crate::filters::connection::{Connection, Pool};

/// Most signs of life before an answer (ours: each is waited for as long as an answer).
const PROGRESS_MAX: usize = 1_000;

/// The first version whose filters serve one session after the other over a connection (`SMFIC_QUIT_NC`).
const STAYS_SINCE: u32 = 6;

/// A milter and its connections.
#[derive(Debug)]
pub struct Milter {
    pool: Pool<Agreed>,
    /// Whether what it changes is changed.
    pub(super) apply: bool,
}

impl Milter {
    /// For the declared filter.
    #[must_use]
    pub fn new(filter: &Filter) -> Self {
        Self { pool: Pool::new(filter.address.clone(), filter.timeout), apply: filter.apply }
    }

    /// A line for a session: one that an earlier session has left, or a new one.
    pub(super) async fn line(&self) -> Result<Line, String> {
        match self.pool.idle() {
            Some((connection, agreed)) => Ok(Line { connection, agreed, is_used: true }),
            None => self.new_line().await,
        }
    }

    /// A new line.
    pub(super) async fn new_line(&self) -> Result<Line, String> {
        let mut connection = self.pool.connect().await?;
        let mut wire = Vec::new();
        frame::put(&mut wire, NEGOTIATE, &options::offer());
        connection.write(&wire).await?;
        let agreed = options::agreed(&read(&mut connection).await?)?;
        Ok(Line { connection, agreed, is_used: false })
    }

    /// Ends a session over the line, and keeps that if the filter can serve the next one.
    pub(super) async fn leave(&self, mut line: Line, is_in_transaction: bool) {
        let stays = line.agreed.version >= STAYS_SINCE;
        let mut wire = Vec::new();
        if is_in_transaction {
            frame::put(&mut wire, command::ABORT, &[]);
        }
        frame::put(&mut wire, if stays { command::QUIT_AND_STAY } else { command::QUIT }, &[]);
        if line.connection.write(&wire).await.is_ok() && stays {
            self.pool.keep(line.connection, line.agreed);
        }
    }
}

/// A connection that is agreed on.
#[derive(Debug)]
pub(super) struct Line {
    connection: Connection,
    pub(super) agreed: Agreed,
    /// Whether an earlier session was told of over it: the filter may have closed it since.
    pub(super) is_used: bool,
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
