//! A milter that does what a test says, and notes what it hears; it knows the protocol from its description, not from ours.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

/// What a scripted milter answers to each step, by the step's letter; what is not there is answered `c`.
pub(crate) type Script = fn(&Heard) -> Vec<(u8, Vec<u8>)>;

/// A step as it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its letter.
    pub(crate) kind: char,
    /// What came with it, NUL as `|`.
    pub(crate) content: String,
    /// How many octets that were.
    pub(crate) octets: usize,
}

/// A scripted milter; its thread ends with the test's process.
#[derive(Debug)]
pub(crate) struct Scripted {
    folder: TempDir,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Scripted {
    /// Starts one that negotiates these steps away.
    pub(crate) fn start(steps: u32, script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let notes = Arc::clone(&notes);
                // A server that goes away in between ends the session, not the milter.
                thread::spawn(move || drop(serve(stream.unwrap(), steps, script, &notes)));
            }
        });
        Self { folder, heard }
    }

    /// The policy's word for it.
    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.folder.path().join("socket").display())
    }

    /// What it has heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The letters of what it has heard, macros left out.
    pub(crate) fn letters(&self) -> String {
        self.heard().iter().map(|heard| heard.kind).filter(|kind| *kind != 'D').collect()
    }

    /// What came with the last step of this letter.
    pub(crate) fn last(&self, kind: char) -> String {
        let heard = self.heard();
        heard.iter().rfind(|heard| heard.kind == kind).map(|heard| heard.content.clone()).unwrap_or_default()
    }
}

fn serve(mut stream: UnixStream, steps: u32, script: Script, notes: &Mutex<Vec<Heard>>) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut octets = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut octets)?;
        let kind = char::from(octets[0]);
        if kind == 'O' {
            let numbers = [6_u32, 0x1ff, steps].map(u32::to_be_bytes).concat();
            answer(&mut stream, b'O', &numbers)?;
        }
        let content = String::from_utf8_lossy(&octets[1..]).replace('\0', "|");
        let heard = Heard { kind, content, octets: octets.len() - 1 };
        notes.lock().unwrap().push(heard.clone());
        let silent = match kind {
            'L' => steps & 0x80 != 0,
            'H' => steps & 0x2000 != 0,
            'B' => steps & 0x8_0000 != 0,
            'A' | 'D' | 'O' | 'Q' => true,
            _ => false,
        };
        if kind == 'Q' {
            return Ok(());
        }
        if silent {
            continue;
        }
        let answers = script(&heard);
        let ends = |kind: u8| b"acdrsty4".contains(&kind);
        for (kind, content) in &answers {
            answer(&mut stream, *kind, content)?;
        }
        if !answers.iter().any(|(kind, _)| ends(*kind)) {
            answer(&mut stream, b'c', b"")?;
        }
    }
}

fn answer(stream: &mut UnixStream, kind: u8, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len() + 1).unwrap();
    stream.write_all(&[&length.to_be_bytes(), &[kind][..], content].concat())
}
