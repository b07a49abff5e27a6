//! `gatepost queue export`: messages whole, into a directory or to standard output.

use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::super::WrongUsage;
use super::super::progress::Bar;
use super::super::reach::Reach;
use super::super::words::count;
use super::files::Folder;
use super::selection::Selection;
use crate::control::{Answer, Done, Request};

/// Exports.
pub(super) fn run(
    folder: &Path,
    selection: &Selection,
    reach: impl FnOnce() -> anyhow::Result<Reach>,
) -> anyhow::Result<ExitCode> {
    let filter = selection.deliberate()?;
    let request = Request::Export { filter };
    let done = if folder.as_os_str() == "-" {
        if std::io::stdout().is_terminal() {
            let why = "messages on standard output are for another program: `| gatepost queue import -`, or name a directory";
            return Err(WrongUsage(why.to_owned()).into());
        }
        to_stdout(request, &mut reach()?)?
    } else {
        to_folder(request, folder, &mut reach()?)?
    };
    for problem in &done.problems {
        writeln!(std::io::stderr(), "gatepost: {problem}")?;
    }
    let gone = done.missed.saturating_sub(done.problems.len() as u64);
    let gone = if gone > 0 { format!(", {gone} were gone when their turn came") } else { String::new() };
    writeln!(std::io::stderr(), "{} exported{gone}", count(done.messages, "message"))?;
    let missing = selection.missing(done.messages + done.missed);
    let all = done.messages > 0 && done.problems.is_empty() && missing == 0;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn to_folder(request: Request, folder: &Path, reach: &mut Reach) -> anyhow::Result<Done> {
    let mut folder = Folder::make(folder)?;
    let mut bar = Bar::default();
    let done = reach.ask(request, &mut |answer| {
        match answer {
            Answer::Message(message) => folder.begin(message)?,
            Answer::Octets(octets) => folder.write(&octets)?,
            Answer::Progress(progress) => bar.show(progress),
            _ => {}
        }
        Ok(())
    })?;
    folder.close()?;
    Ok(done)
}

/// Each envelope is a line of JSON, behind which its mail data follows.
fn to_stdout(request: Request, reach: &mut Reach) -> anyhow::Result<Done> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut bar = Bar::default();
    let done = reach.ask(request, &mut |answer| {
        match answer {
            Answer::Message(message) => writeln!(out, "{}", serde_json::to_string(&message)?)?,
            Answer::Octets(octets) => out.write_all(&octets)?,
            Answer::Progress(progress) => bar.show(progress),
            _ => {}
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(done)
}
