//! What `sendmail` is asked for, in the arguments that mailers have had for decades.
//!
//! What changes nothing here is taken and left aside, as callers give it by habit; what would change something that
//! Gatepost does not do is refused with a sentence.

use std::collections::VecDeque;

use super::exit::{Exit, Stop};
use super::letter::Order;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Send the message on standard input.
    Send,
    /// Speak SMTP on standard input and output.
    Speak,
    /// List the queue.
    ListQueue,
    /// Try what waits again.
    RunQueue,
    /// Read tables again.
    ReadTables,
}

/// The arguments, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// What is to be done.
    pub task: Task,
    /// What is asked for the message.
    pub order: Order,
    /// Whether a line with a dot alone ends the message.
    pub dot_ends: bool,
    /// Whether the dialogue is shown.
    pub verbose: bool,
    /// The message that a queue run is about.
    pub queue_id: Option<String>,
}

/// Options whose value stands behind the letter or is the next argument, and changes nothing here: message headers and
/// error processing, limits, queues, log files and configurations of other mailers.
const LEFT_ASIDE: &str = "ABCLOXehp";

/// Options without a value that change nothing here.
const FLAGS_LEFT_ASIDE: &str = "GUcmnx";

impl Arguments {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// What can't be meant, or done.
    pub fn parse(name: Task, user: String, arguments: Vec<String>) -> Result<Self, Stop> {
        let order = Order::new(user);
        let mut read = Self { task: name, order, dot_ends: true, verbose: false, queue_id: None };
        let mut left = VecDeque::from(arguments);
        while let Some(argument) = left.pop_front() {
            match argument.strip_prefix('-') {
                Some("-") => {
                    read.order.recipients.extend(left);
                    break;
                }
                Some(letters) if !letters.is_empty() => read.option(letters, &mut left)?,
                _ => read.order.recipients.push(argument),
            }
        }
        Ok(read)
    }

    /// Reads the options behind a hyphen.
    fn option(&mut self, letters: &str, left: &mut VecDeque<String>) -> Result<(), Stop> {
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            match letter {
                't' => self.order.from_header = true,
                'i' => self.dot_ends = false,
                'v' => self.verbose = true,
                'I' => self.task = Task::ReadTables,
                'q' => return self.queue_run(rest),
                'b' => return self.mode(value(letter, rest, left)?.as_str()),
                'f' | 'r' => self.order.reverse_path = Some(value(letter, rest, left)?),
                'F' => self.order.full_name = Some(value(letter, rest, left)?),
                'N' => self.order.notify = notify(&value(letter, rest, left)?)?,
                'R' => self.order.ret = Some(ret(&value(letter, rest, left)?)?),
                'V' => self.order.envid = Some(value(letter, rest, left)?),
                'o' => match value(letter, rest, left)?.as_str() {
                    "i" => self.dot_ends = false,
                    // Exim's, and sendmail's where the macro's value is the next argument.
                    macros if macros.starts_with('M') && macros.len() == 2 => drop(left.pop_front()),
                    _ => {}
                },
                'd' => return Ok(()),
                letter if LEFT_ASIDE.contains(letter) => drop(value(letter, rest, left)?),
                letter if FLAGS_LEFT_ASIDE.contains(letter) => continue,
                letter => return Err(usage(format!("-{letter} is no option of sendmail"))),
            }
            if !"tivI".contains(letter) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn mode(&mut self, mode: &str) -> Result<(), Stop> {
        self.task = match mode {
            "m" => Task::Send,
            "s" => Task::Speak,
            "p" => Task::ListQueue,
            "i" => Task::ReadTables,
            "d" | "D" | "a" | "l" => return Err(usage("`gatepost run` starts the server".into())),
            "v" | "t" | "h" | "H" | "P" => {
                return Err(usage(format!(
                    "-b{mode} is not done here; `gatepost dialogue` shows what becomes of mail"
                )));
            }
            other => return Err(usage(format!("-b{other} is no mode of sendmail"))),
        };
        Ok(())
    }

    /// `-q`: all that waits; `-qI` and an id: that message; with a time, for servers that run the queue so often: nothing,
    /// as this one always does.
    fn queue_run(&mut self, rest: &str) -> Result<(), Stop> {
        match rest.strip_prefix('I') {
            Some(id) if !id.is_empty() => self.queue_id = Some(id.to_owned()),
            None if rest.is_empty() || rest == "f" => {}
            None if rest.starts_with(|letter: char| letter.is_ascii_digit()) => {
                return Err(usage("`gatepost run` starts the server, which runs the queue by itself".into()));
            }
            _ => {
                return Err(usage(format!("-q{rest} is not done here; `gatepost queue retry` chooses mail")));
            }
        }
        self.task = Task::RunQueue;
        Ok(())
    }
}

fn usage(why: String) -> Stop {
    Stop::new(Exit::Usage, why)
}

/// What stands behind the letter, or else the next argument.
fn value(letter: char, rest: &str, left: &mut VecDeque<String>) -> Result<String, Stop> {
    if !rest.is_empty() {
        return Ok(rest.to_owned());
    }
    left.pop_front().ok_or_else(|| usage(format!("-{letter} wants a value")))
}

/// The words of RFC 3461 §4.1; `delay` alone stands for its own, too.
fn notify(text: &str) -> Result<Option<String>, Stop> {
    let words: Vec<String> = text.split(',').map(|word| word.trim().to_ascii_uppercase()).collect();
    let is_known = |word: &String| matches!(word.as_str(), "SUCCESS" | "FAILURE" | "DELAY");
    if words.iter().all(is_known) || words == ["NEVER"] {
        return Ok(Some(words.join(",")));
    }
    Err(usage(format!("-N {text}: never, or some of success, failure and delay with commas between")))
}

fn ret(text: &str) -> Result<String, Stop> {
    let ret = text.to_ascii_uppercase();
    if matches!(ret.as_str(), "FULL" | "HDRS") {
        return Ok(ret);
    }
    Err(usage(format!("-R {text}: full or hdrs")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Arguments, Stop> {
        let arguments = arguments.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        Arguments::parse(Task::Send, "alice".into(), arguments)
    }

    #[test]
    fn what_callers_give_is_understood() {
        // cron of Debian
        let cron = read("-FCronDaemon -i -odi -oem -oi -t -f root").unwrap();
        assert_eq!(cron.order.full_name.as_deref(), Some("CronDaemon"));
        assert_eq!(cron.order.reverse_path.as_deref(), Some("root"));
        assert!(cron.order.from_header && !cron.dot_ends && cron.order.recipients.is_empty());
        // git send-email
        let git = read("-i -f alice@example.org bob@example.net -- eve@example.net -x").unwrap();
        assert_eq!(git.order.recipients, ["bob@example.net", "eve@example.net", "-x"]);
        // PHP, and a web application's additional parameters
        let php = read("-t -i -fwww@example.org").unwrap();
        assert_eq!(php.order.reverse_path.as_deref(), Some("www@example.org"));
        // mutt, s-nail, smartd, logcheck
        for arguments in [
            "-oem -oi -f a@b.example -B8BITMIME -N failure,delay -R hdrs -- c@d.example",
            "-i -r a@b.example -- c@d.example",
            "-oi -odb -oem -oMr local c@d.example",
            "-ti c@d.example",
            "-bm -B 8BITMIME -G -U -n -e m -X /log -p smtp c@d.example",
        ] {
            let read = read(arguments).unwrap();
            assert_eq!(read.task, Task::Send, "{arguments}");
            assert_eq!(read.order.recipients, ["c@d.example"], "{arguments}");
        }
        let dsn = read("-N never -R FULL -V an+id x").unwrap().order;
        assert_eq!(
            (dsn.notify.as_deref(), dsn.ret.as_deref(), dsn.envid.as_deref()),
            (Some("NEVER"), Some("FULL"), Some("an+id"))
        );
        assert!(read("x").unwrap().dot_ends && read("-v x").unwrap().verbose);
    }

    #[test]
    fn other_tasks_are_known() {
        for (arguments, task) in [
            ("-bp", Task::ListQueue),
            ("-b p", Task::ListQueue),
            ("-bi", Task::ReadTables),
            ("-I", Task::ReadTables),
            ("-bs", Task::Speak),
            ("-q", Task::RunQueue),
            ("-qI1KWX3N5V1R0", Task::RunQueue),
        ] {
            assert_eq!(read(arguments).unwrap().task, task, "{arguments}");
        }
        assert_eq!(read("-qIabc").unwrap().queue_id.as_deref(), Some("abc"));
    }

    #[test]
    fn what_can_not_be_meant_or_done_is_refused() {
        for arguments in ["-f", "-bd", "-q15m", "-bv x", "-bx", "-N sometimes x", "-R some x", "-Z", "-qRx"] {
            assert_eq!(read(arguments).unwrap_err().exit, Exit::Usage, "{arguments}");
        }
    }
}
