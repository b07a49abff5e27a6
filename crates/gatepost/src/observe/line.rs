//! One line of the log: time, level, target, message and fields, as `tracing_subscriber` has them, at a fraction of the cost.
//!
//! Invariant: an event is one line, whatever its fields say: a control character is written as its escape.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;

/// Formats events as lines; spans are not shown, since the program opens none.
#[derive(Debug)]
pub(super) struct LogLine;

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => " ERROR ",
            Level::WARN => "  WARN ",
            Level::INFO => "  INFO ",
            Level::DEBUG => " DEBUG ",
            Level::TRACE => " TRACE ",
        };
        writer.write_str(&clock::wall().to_timestamp())?;
        writer.write_str(level)?;
        writer.write_str(metadata.target())?;
        writer.write_char(':')?;
        let mut fields = Fields { line: &mut writer, outcome: Ok(()) };
        event.record(&mut fields);
        fields.outcome?;
        writer.write_char('\n')
    }
}

/// Writes the fields of an event, each behind a space.
struct Fields<'line, 'writer> {
    line: &'line mut Writer<'writer>,
    outcome: fmt::Result,
}

impl Fields<'_, '_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.outcome.is_ok() {
            self.outcome =
                self.name(field).and_then(|()| Escaping { line: &mut *self.line }.write_fmt(value));
        }
    }

    /// The message is the one field whose name goes without saying.
    fn name(&mut self, field: &Field) -> fmt::Result {
        self.line.write_char(' ')?;
        if field.name() == "message" {
            return Ok(());
        }
        self.line.write_str(field.name())?;
        self.line.write_char('=')
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain =
            value.bytes().all(|octet| matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\'));
        if !is_plain || field.name() == "message" {
            return self.record_debug(field, &value);
        }
        if self.outcome.is_ok() {
            self.outcome = self.name(field).and_then(|()| {
                self.line.write_char('"')?;
                self.line.write_str(value)?;
                self.line.write_char('"')
            });
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }
}

/// Passes text on with its control characters escaped.
struct Escaping<'line, 'writer> {
    line: &'line mut Writer<'writer>,
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
            return self.line.write_str(text);
        }
        for character in text.chars() {
            if character.is_control() {
                write!(self.line, "{}", character.escape_default())?;
            } else {
                self.line.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `log` writes, without the time.
    fn lines(library: bool, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        if library {
            tracing::subscriber::with_default(subscriber.finish(), log);
        } else {
            tracing::subscriber::with_default(subscriber.event_format(LogLine).finish(), log);
        }
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let untimed = |line: &str| line.split_once('Z').unwrap().1.to_owned();
        text.lines().map(untimed).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn lines_are_those_of_the_library() {
        fn log() {
            let (nothing, something) = (None::<&str>, Some("mx.example"));
            tracing::info!(target: "gatepost::accept", number = 7_u64, shown = %"<a@b>", client = "192.0.2.1", "accepted");
            tracing::warn!(
                nothing,
                something,
                flag = true,
                signed = -4,
                text = "a \"quoted\" \\",
                "two words {}",
                3
            );
            tracing::error!(list = ?[1, 2], text = "é");
        }
        assert_eq!(lines(false, log), lines(true, log));
    }

    #[test]
    fn no_field_can_begin_a_line() {
        let value = "a\nb\r\u{1b}[31m\u{85}é";
        let log = || tracing::info!(shown = %value, debugged = value, "{value}");
        let expected = "  INFO gatepost::observe::line::tests: a\\nb\\r\\u{1b}[31m\\u{85}é shown=a\\nb\\r\\u{1b}[31m\\u{85}é \
                        debugged=\"a\\nb\\r\\u{1b}[31m\\u{85}é\"";
        assert_eq!(lines(false, log), expected);
    }
}
