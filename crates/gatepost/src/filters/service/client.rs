//! A policy service that is asked over connections that stay.

use policy::source::{Field, Filter};
use policy::value::State;

use super::{request, response};
use crate::filters::connection::{Connection, Pool};
use crate::filters::occasion::Occasion;
use crate::filters::verdict::FieldStates;

/// Largest answer, in octets (ours: Postfix reads lines of 2048).
const ANSWER_OCTETS_MAX: usize = 16 * 1024;

/// A policy service.
#[derive(Debug)]
pub struct Service {
    pool: Pool,
}

impl Service {
    /// The declared service.
    #[must_use]
    pub fn new(filter: &Filter) -> Self {
        Self { pool: Pool::new(filter.address.clone(), filter.timeout) }
    }

    /// What it answers.
    ///
    /// # Errors
    /// Why it can't be asked.
    pub async fn ask(
        &self,
        occasion: &Occasion,
        client_name: Option<&str>,
        instance: &str,
    ) -> Result<FieldStates, String> {
        let request = request::request(occasion, client_name, instance);
        let answer = match self.pool.idle() {
            // One that waited for its next use may have been closed by the service long ago.
            Some(connection) => match self.ask_on(connection, &request).await {
                Ok(answer) => answer,
                Err(_) => self.ask_on(self.pool.connect().await?, &request).await?,
            },
            None => self.ask_on(self.pool.connect().await?, &request).await?,
        };
        let found = response::parse(&answer)?;
        let mut facts = found.verdict.facts();
        facts.push((Field::Action, State::text(&found.action)));
        facts.push((Field::Prepend, State::text_or_missing(found.prepend.as_deref())));
        Ok(facts)
    }

    async fn ask_on(&self, mut connection: Connection, request: &str) -> Result<Vec<u8>, String> {
        connection.write(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 1_024];
            let octets = connection.read(&mut piece).await?;
            if octets == 0 {
                return Err("it closes the connection instead of answering".to_owned());
            }
            answer.extend_from_slice(piece.get(..octets).unwrap_or_default());
            if let Some(end) = response::end(&answer) {
                if end == answer.len() {
                    self.pool.keep(connection);
                }
                return Ok(answer);
            }
            if answer.len() > ANSWER_OCTETS_MAX {
                return Err("its answer is too long".to_owned());
            }
        }
    }
}
