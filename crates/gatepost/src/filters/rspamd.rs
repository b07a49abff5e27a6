//! Rspamd's scan over HTTP: a message goes to `/checkv2`, and an action, a score and symbols come back.

use std::fmt::Write as _;
use std::sync::Arc;

use policy::source::{Field, Filter, FilterAddress};
use policy::value::{State, Value};
use serde::Deserialize;

use super::connection::Pool;
use super::draft::{Draft, DraftBody};
use super::occasion::{Occasion, bare};
use super::verdict::FieldStates;

/// Octets of a piece.
const PIECE_OCTETS: usize = 64 * 1024;

/// Largest answer, in octets (ours: some hundred symbols with their options take a tenth of it).
const ANSWER_OCTETS_MAX: usize = 1024 * 1024;

/// Most symbols that become a fact (ours).
const SYMBOLS_MAX: usize = 500;

/// A scanner.
#[derive(Debug)]
pub struct Rspamd {
    pool: Pool,
}

/// What is read of an answer.
#[derive(Debug, Deserialize)]
struct Answer {
    action: String,
    score: f64,
    #[serde(default)]
    symbols: serde_json::Map<String, serde_json::Value>,
}

impl Rspamd {
    /// The declared scanner.
    #[must_use]
    pub fn new(filter: &Filter) -> Self {
        Self { pool: Pool::new(filter.address.clone(), filter.timeout) }
    }

    /// What it says of the message.
    ///
    /// # Errors
    /// Why it can't be asked.
    pub async fn scan(
        &self,
        occasion: &Occasion,
        client_name: Option<&str>,
        draft: &Draft,
    ) -> Result<FieldStates, String> {
        let mut fields = draft.fields.written();
        fields.extend_from_slice(b"\r\n");
        let body_octets = match &draft.body {
            DraftBody::Memory { octets, start } => octets.len().saturating_sub(*start) as u64,
            DraftBody::Replaced(octets) => octets.len() as u64,
            DraftBody::Stored(stored) => stored.size_octets(),
        };
        let length = body_octets.saturating_add(fields.len() as u64);
        let mut connection = self.pool.connect().await?;
        let head = head(self.pool.address(), occasion, client_name, length);
        connection.write(head.as_bytes()).await?;
        connection.write(&fields).await?;
        let mut pieces = draft.pieces();
        while let Some(piece) = pieces.next(PIECE_OCTETS)? {
            connection.write(piece).await?;
        }
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 4_096];
            let octets = connection.read(&mut piece).await?;
            answer.extend_from_slice(piece.get(..octets).unwrap_or_default());
            if octets == 0 || is_whole(&answer) {
                return facts(&answer);
            }
            if answer.len() > ANSWER_OCTETS_MAX {
                return Err("its answer is too long".to_owned());
            }
        }
    }
}

/// The request's line and fields.
fn head(address: &FilterAddress, occasion: &Occasion, client_name: Option<&str>, length: u64) -> String {
    let host = match address {
        FilterAddress::Inet(..) => address.to_string(),
        FilterAddress::Unix(_) => String::from("localhost"),
    };
    let mut text = format!(
        "POST /checkv2 HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n"
    );
    let mut say = |name: &str, value: &str| {
        let value: String = value.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}: {value}\r\n");
    };
    say("IP", &occasion.client.to_string());
    say("Helo", occasion.helo.as_deref().unwrap_or_default());
    say("MTA-Name", &occasion.hostname);
    say("From", occasion.sender());
    if let Some(name) = client_name {
        say("Hostname", name);
    }
    if let Some((user, _)) = &occasion.user {
        say("User", user);
    }
    if let Some(id) = &occasion.queue_id {
        say("Queue-Id", id);
    }
    for words in &occasion.recipients {
        say("Rcpt", words.first().map_or("", |path| bare(path)));
    }
    text.push_str("\r\n");
    text
}

/// Head and content of a response, once the head is there.
fn split(response: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memmem::find(response, b"\r\n\r\n")?;
    let (head, content) = response.split_at_checked(end)?;
    Some((std::str::from_utf8(head).ok()?, content.get(4..)?))
}

fn content_length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

fn is_whole(response: &[u8]) -> bool {
    split(response)
        .is_some_and(|(head, content)| content_length(head).is_some_and(|length| content.len() >= length))
}

/// The facts in a response.
///
/// # Errors
/// It is no answer.
pub fn facts(response: &[u8]) -> Result<FieldStates, String> {
    let (head, content) = split(response).ok_or("its response is cut off")?;
    let line = head.lines().next().unwrap_or_default();
    let is_ok = line.starts_with("HTTP/1.") && line.split(' ').nth(1) == Some("200");
    if !is_ok {
        return Err(format!("it answers {:?}", line.chars().take(100).collect::<String>()));
    }
    let content = match content_length(head) {
        Some(length) => content.get(..length).ok_or("its response is cut off")?,
        None => content,
    };
    let answer: Answer =
        serde_json::from_slice(content).map_err(|error| format!("its answer is no JSON: {error}"))?;
    if !answer.score.is_finite() {
        return Err("its score is no number".to_owned());
    }
    let symbols: Arc<[Arc<str>]> =
        answer.symbols.keys().take(SYMBOLS_MAX).map(|name| Arc::from(name.as_str())).collect();
    Ok(vec![
        (Field::Action, State::text(&answer.action.to_ascii_lowercase())),
        (Field::Score, State::Known(Value::Number(answer.score.floor() as i64))),
        (Field::Symbols, State::Known(Value::Texts(symbols))),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(json: &str) -> Result<FieldStates, String> {
        facts(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}", json.len()).as_bytes())
    }

    #[test]
    fn an_answer_is_read() {
        let found = of(
            r#"{"action":"add header","score":7.9,"required_score":15,"symbols":{"A":{"score":1},"B":{}}}"#,
        )
        .unwrap();
        let shown: Vec<String> = found.iter().map(|(_, state)| state.to_string()).collect();
        assert_eq!(shown, ["add header", "7", "A, B"]);
        let below = of(r#"{"action":"no action","score":-0.1}"#).unwrap();
        assert_eq!(below[1].1.to_string(), "-1");
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for broken in ["", "{}", r#"{"action":"reject"}"#, r#"{"action":1,"score":1}"#] {
            assert!(of(broken).is_err(), "{broken}");
        }
        assert!(facts(b"HTTP/1.1 403 Forbidden\r\n\r\n{}").is_err());
        assert!(facts(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}").is_err());
    }

    proptest! {
        #[test]
        fn any_response_is_read_or_refused(response in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (is_whole(&response), facts(&response));
        }
    }
}
