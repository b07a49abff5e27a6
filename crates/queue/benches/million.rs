//! `cargo bench -p gatepost-queue --bench million -- 1000000`: what a long queue costs. So many messages over 10,000
//! destinations, each tried once, a tenth of the destinations shut off.

use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use queue::body::Body;
use queue::delivery::{Delivery, RecipientOutcome};
use queue::kernel_disk::KernelDisk;
use queue::log_spool::{LogSpool, Options};
use queue::message::{Destination, Origin, QueuedMessage, QueuedRecipient};
use queue::postmaster::{Order, Query};
use queue::spool::{Arrival, Spool, SpoolError, Window};
use queue::wait::block_on;
use smtp::envelope::{MailParameters, RcptParameters};
use smtp::time::WallTime;

/// The program's, so that its memory is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MESSAGES: usize = 1_000_000;
const DESTINATIONS: usize = 10_000;
const SENDERS: usize = 1_000;
const BODY_OCTETS: usize = 500;
/// Messages that are queued or settled together.
const TOGETHER: usize = 1_000;
/// As many as the dispatcher takes at once.
const DUE_MAX: usize = 256;
/// Deliveries that are handed out for a measurement.
const HANDED_OUT: usize = 50_000;
const PRODUCERS: usize = 200;
const ROUNDS: usize = 7;
const ROUND_MESSAGES: usize = 20_000;

const START: WallTime = WallTime::from_unix_millis(1_795_600_800_000);
const HOUR: Duration = Duration::from_secs(3_600);

type Log = LogSpool<KernelDisk>;
type Failed = Box<dyn std::error::Error>;

#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

#[allow(clippy::print_stdout, reason = "the benchmark's result")]
fn say(what: &str, value: String) {
    println!("{what:<58} {value:>14}");
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Octets of this process that are in memory.
fn resident_octets() -> Result<u64, Failed> {
    let lines = std::fs::read_to_string("/proc/self/status")?;
    let line = lines.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}

fn destination(number: usize) -> Destination {
    Destination::new(&format!("mx:d{}.example", number % DESTINATIONS))
}

fn arrival(spool: &Log, number: usize) -> Result<Arrival, Failed> {
    // Neighbours in time differ in both, and no sender writes to one destination alone.
    let (to, by) = (number % DESTINATIONS, number.wrapping_mul(7_919) / 13 % SENDERS);
    let received = START + Duration::from_millis(number as u64);
    let recipient = QueuedRecipient {
        mailbox: format!("r{number}@d{to}.example").parse().map_err(|_| "a mailbox")?,
        accepted_as: format!("<r{number}@d{to}.example>").parse().map_err(|_| "a path")?,
        parameters: RcptParameters::default(),
        destination: destination(to),
    };
    let message = QueuedMessage {
        reverse_path: format!("<s{by}@example.org>").parse().map_err(|_| "a reverse-path")?,
        parameters: MailParameters::default(),
        received,
        hold: None,
        origin: Origin { client: "192.0.2.1".into(), helo: "client.example".into(), submitted: false },
        recipients: vec![recipient],
    };
    Ok(Arrival { id: spool.allot(received), message, body: Body::Memory(vec![b'x'; BODY_OCTETS]) })
}

/// Waits for all of the futures in one thread.
fn all<F: Future<Output = Result<(), SpoolError>>>(futures: Vec<F>) -> Result<(), SpoolError> {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut failed = Ok(());
    block_on(poll_fn(|context| {
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => {
                failed = Err(error);
                false
            }
            Poll::Pending => true,
        });
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }));
    failed
}

fn settle_all(spool: &Log, due: Vec<Delivery>, outcome: &RecipientOutcome) -> Result<(), SpoolError> {
    let settled = due.into_iter().map(async |delivery: Delivery| {
        let outcomes = vec![outcome.clone(); delivery.recipients.len()];
        spool.settle(delivery, outcomes, Vec::new()).await.map(drop)
    });
    all(settled.collect())
}

/// Queues `count` messages, each of them tried once.
fn fill(path: &Path, count: usize) -> Result<Log, Failed> {
    let (spool, _) = LogSpool::at(path, Options::new(7))?;
    for first in (0..count).step_by(TOGETHER) {
        let arrivals = (first..count.min(first + TOGETHER)).map(|number| arrival(&spool, number));
        block_on(spool.enqueue_all(arrivals.collect::<Result<_, _>>()?))?;
    }
    let later = RecipientOutcome::Deferred { until: START + 5 * HOUR, reply: "451 4.3.0 later".into() };
    loop {
        let due = block_on(spool.due(START + HOUR, TOGETHER))?;
        if due.is_empty() {
            return Ok(spool);
        }
        settle_all(&spool, due, &later)?;
    }
}

/// Runs this program as another process, so that its memory is not counted here.
fn as_another(arguments: &[&str]) -> Result<(), Failed> {
    match Command::new(std::env::current_exe()?).args(arguments).status()?.success() {
        true => Ok(()),
        false => Err(format!("{arguments:?} failed").into()),
    }
}

fn filled(path: &Path, count: usize, ending: &str) -> Result<(), Failed> {
    let _ = std::fs::remove_dir_all(path);
    let (done, time) = timed(|| as_another(&["fill", &path.to_string_lossy(), &count.to_string(), ending]));
    say(&format!("filled, each message tried once ({ending} end)"), milliseconds(time));
    done
}

/// How long a spool takes to open, and how much memory.
fn open(path: &Path, ending: &str) -> Result<(), Failed> {
    let before = resident_octets()?;
    let (opened, time) = timed(|| LogSpool::at(path, Options::new(8)));
    let (_spool, _) = opened?;
    let resident = resident_octets()?.saturating_sub(before);
    say(&format!("opened after a {ending} end"), milliseconds(time));
    say("memory of it", format!("{} MB", resident / 1_000_000));
    Ok(())
}

/// Hands out deliveries as the dispatcher does, each of them delivered; the time that asking took.
fn hand_out(spool: &Log, count: usize) -> Result<(usize, Duration), Failed> {
    let (mut found, mut asked) = (0, Duration::ZERO);
    while found < count {
        let (due, time) = timed(|| block_on(spool.due(START + 10 * HOUR, DUE_MAX)));
        let due = due?;
        asked += time;
        if due.is_empty() {
            break;
        }
        found += due.len();
        settle_all(spool, due, &RecipientOutcome::Delivered)?;
    }
    Ok((found, asked))
}

fn dead(spool: &Log, window: Window) {
    for number in (0..DESTINATIONS).step_by(10) {
        spool.set_window(&destination(number), window);
    }
}

/// Messages that many producers, each waiting for its answer, get accepted in a second.
fn accept_rate(spool: &Log, first: usize) -> Result<f64, Failed> {
    let next = AtomicUsize::new(0);
    let produce = || -> Result<(), String> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= ROUND_MESSAGES {
                return Ok(());
            }
            let Arrival { id, message, body } =
                arrival(spool, first + number).map_err(|error| error.to_string())?;
            block_on(spool.enqueue(id, message, body)).map_err(|error| error.to_string())?;
        }
    };
    let (done, time) = timed(|| {
        thread::scope(|scope| {
            let producers: Vec<_> = (0..PRODUCERS).map(|_| scope.spawn(produce)).collect();
            producers.into_iter().map(|producer| producer.join()).collect::<Vec<_>>()
        })
    });
    for producer in done {
        producer.map_err(|_| "a producer died")??;
    }
    Ok(per_second(ROUND_MESSAGES, time))
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

/// Compares a long queue with an empty one, in turns.
fn compare_accepting(long: &Log, empty: &Log, count: usize) -> Result<(), Failed> {
    let (mut of_long, mut of_empty) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first = count + round * ROUND_MESSAGES;
        of_empty.push(accept_rate(empty, first)?);
        of_long.push(accept_rate(long, first)?);
        block_on(empty.order(&Query::default(), Order::Drop))?;
    }
    let (of_long, of_empty) = (median(of_long), median(of_empty));
    say("accepted by an empty queue", format!("{of_empty:.0}/s"));
    say("accepted by the long queue", format!("{of_long:.0}/s"));
    say("the long queue's rate, of the empty one's", format!("{:.1} %", of_long / of_empty * 100.0));
    Ok(())
}

/// The longest that a message waits to be accepted while an order on the whole queue is carried out.
fn order_beside_accepting(spool: &Log, count: usize) -> Result<(), Failed> {
    let over = AtomicBool::new(false);
    let accept = || -> Result<Duration, String> {
        let mut longest = Duration::ZERO;
        for number in 0.. {
            let Arrival { id, message, body } =
                arrival(spool, count + number).map_err(|error| error.to_string())?;
            let (done, time) = timed(|| block_on(spool.enqueue(id, message, body)));
            done.map_err(|error| error.to_string())?;
            longest = longest.max(time);
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(longest)
    };
    let (longest, ordered, time) = thread::scope(|scope| {
        let accepting = scope.spawn(accept);
        let (ordered, time) = timed(|| block_on(spool.order(&Query::default(), Order::Hold)));
        over.store(true, Ordering::Relaxed);
        (accepting.join(), ordered, time)
    });
    say(&format!("held {} recipients", ordered?), milliseconds(time));
    let longest = longest.map_err(|_| "accepting ended abnormally")??;
    say("longest wait of a message that came meanwhile", milliseconds(longest));
    Ok(())
}

fn measure(path: &Path, count: usize) -> Result<(), Failed> {
    let long = path.join("long");
    for ending in ["cut", "clean"] {
        filled(&long, count, ending)?;
        as_another(&["open", &long.to_string_lossy(), ending])?;
        if ending == "cut" {
            continue;
        }
        let (spool, _) = LogSpool::at(&long, Options::new(8))?;
        let (census, time) = timed(|| block_on(spool.census()));
        let census = census?;
        say(&format!("census of {} messages", census.messages), milliseconds(time));
        let (entries, time) = timed(|| block_on(spool.list(&Query::default(), None, 1_000)));
        say(&format!("list of {}", entries?.len()), milliseconds(time));
        let recipient = Some("@d77.example".parse()?);
        let (entries, time) =
            timed(|| block_on(spool.list(&Query { recipient, ..Query::default() }, None, 1_000)));
        say(&format!("search for a domain's mail, {} found", entries?.len()), milliseconds(time));
        compare_accepting(&spool, &LogSpool::at(&path.join("empty"), Options::new(9))?.0, count)?;
        dead(&spool, Window { claims_max: 1, opens: START + 1_000 * HOUR });
        // What is due for the first time takes its place in the round.
        hand_out(&spool, HANDED_OUT / 2)?;
        let (found, asked) = hand_out(&spool, HANDED_OUT)?;
        let each =
            |found: usize, asked: Duration| format!("{:.2} us", asked.as_secs_f64() * 1e6 / found as f64);
        say(&format!("{found} handed out, a tenth shut off, each"), each(found, asked));
        dead(&spool, Window::default());
        let (found, asked) = hand_out(&spool, HANDED_OUT)?;
        say(&format!("{found} handed out, all open, each"), each(found, asked));
        order_beside_accepting(&spool, 2 * count)?;
        say("resident at the end", format!("{} MB", resident_octets()? / 1_000_000));
    }
    Ok(())
}

fn run() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["fill", path, count, ending] => {
            let spool = fill(Path::new(path), count.parse()?)?;
            if *ending == "cut" {
                // Nothing is closed, as when the process is killed.
                std::process::exit(0);
            }
            drop(spool);
            Ok(())
        }
        ["open", path, ending] => open(Path::new(path), ending),
        rest => {
            let count = rest.first().map_or(Ok(MESSAGES), |count| count.parse())?;
            let path: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("million");
            let measured = measure(&path, count);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => measured,
            }
        }
    }
}

fn main() -> Result<(), Failed> {
    // `cargo test --all-targets` runs it without this word: nobody wants a million messages then.
    if std::env::args().skip(1).any(|argument| matches!(argument.as_str(), "--bench" | "fill" | "open")) {
        return run();
    }
    Ok(())
}
