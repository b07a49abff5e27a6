//! `gatepost queue show` and `cat`: one message's envelope, and its octets.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::process::ExitCode;

use queue::queue_id::QueueId;
use smtp::time::WallTime;

use super::super::reach::Reach;
use super::super::words::{Width, count, size, span};
use super::list::next;
use crate::clock;
use crate::control::{Answer, Message, MessageRecipient, Parameters, Phase, Request};
use crate::journal::day::show_time;

/// What `gatepost queue show` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The queue id, as the reply and the log have it.
    id: QueueId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows a message.
pub(super) fn show(args: &Args, reach: &mut Reach) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    reach.ask(Request::Show { id: args.id }, &mut |answer| {
        if let Answer::Message(message) = answer {
            if args.json {
                writeln!(out, "{}", serde_json::to_string(&message)?)?;
            } else {
                let width = Width::of_stdout();
                for line in in_words(&message, clock::wall()).lines() {
                    writeln!(out, "{}", width.fit(line))?;
                }
            }
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a message as it stands in the spool.
pub(super) fn cat(id: QueueId, reach: &mut Reach) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    reach.ask(Request::Cat { id }, &mut |answer| {
        if let Answer::Octets(octets) = answer {
            out.write_all(&octets)?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The page.
fn in_words(message: &Message, now: WallTime) -> String {
    let mut text = String::new();
    let received = message.received.0;
    let origin = &message.origin;
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "message     {}", message.id);
    let _ = writeln!(text, "received    {} ({} ago)", show_time(received), span(now.since(received)));
    let _ = writeln!(text, "size        {} ({} octets)", size(message.size_octets), message.size_octets);
    let _ = writeln!(text, "client      {} ({})", or_dash(&origin.client), or_dash(&origin.helo));
    let _ = writeln!(text, "sender      {}", message.reverse_path);
    let parameters = parameters(&message.parameters);
    if !parameters.is_empty() {
        let _ = writeln!(text, "parameters  {parameters}");
    }
    if let Some(hold) = &message.hold {
        let _ = writeln!(text, "policy      {hold}");
    }
    let pending = message.recipients.iter().filter(|recipient| recipient.phase != Phase::Finished).count();
    let recipients = count(message.recipients.len() as u64, "recipient");
    let _ = writeln!(text, "\n{recipients}, {pending} not finished");
    for recipient in &message.recipients {
        write_recipient(&mut text, recipient, now);
    }
    let id = message.id;
    let _ = writeln!(
        text,
        "\n`gatepost queue cat {id}` prints it; `gatepost explain {id}` says why it was accepted."
    );
    text
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// The parameters of MAIL, as they stood there.
fn parameters(parameters: &Parameters) -> String {
    let Parameters { size, body, smtputf8, ret, envid, auth, require_tls } = parameters;
    let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}"));
    let given = [
        size.map(|size| format!("SIZE={size}")),
        named("BODY", body),
        smtputf8.then(|| String::from("SMTPUTF8")),
        named("RET", ret),
        named("ENVID", envid),
        named("AUTH", auth),
        require_tls.then(|| String::from("REQUIRETLS")),
    ];
    given.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn write_recipient(text: &mut String, recipient: &MessageRecipient, now: WallTime) {
    let MessageRecipient { mailbox, accepted_as, goes_to, destination, attempts, phase, .. } = recipient;
    let _ = writeln!(text, "  <{mailbox}>");
    if *accepted_as != mailbox.to_string() {
        let _ = writeln!(text, "    sent to     {accepted_as}");
    }
    let redirected =
        if goes_to == destination { String::new() } else { format!(" (redirected; it was {destination})") };
    let _ = writeln!(text, "    goes to     {goes_to}{redirected}");
    let due = recipient.due.map_or(now, |due| due.0);
    let _ = writeln!(
        text,
        "    stands      {}, {}",
        next(*phase, due, (goes_to, recipient.destination_opens), now),
        count(u64::from(*attempts), "attempt")
    );
    if let Some(reply) = &recipient.last_reply {
        let _ = writeln!(text, "    last reply  {reply}");
    }
    let notify = recipient.notify.as_ref().map(|notify| format!("NOTIFY={notify}"));
    let orcpt = recipient.orcpt.as_ref().map(|orcpt| format!("ORCPT={orcpt}"));
    let given: Vec<String> = notify.into_iter().chain(orcpt).collect();
    if !given.is_empty() {
        let _ = writeln!(text, "    parameters  {}", given.join(" "));
    }
}
