//! Maildirs, and what a delivered message holds behind its trace fields.

use std::fs;
use std::path::PathBuf;

use super::wait_for;

/// A Maildir.
#[derive(Debug, Clone)]
pub(crate) struct Maildir {
    folder: PathBuf,
}

/// A delivered message.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// The value of Return-Path.
    pub(crate) return_path: String,
    /// The value of Delivered-To.
    pub(crate) delivered_to: String,
    /// The value of the Received field on top, unfolded; empty for a message that the server wrote itself.
    pub(crate) received: String,
    /// Everything behind the trace fields.
    pub(crate) content: Vec<u8>,
}

impl Maildir {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The files in `new`, in the order of their names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.join("new")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Waits until exactly `count` messages are there, and reads them.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Letter> {
        let files = wait_for(&format!("{count} messages in {}", self.folder.display()), || {
            let files = self.files();
            assert!(files.len() <= count, "more than {count} messages: {files:#?}");
            (files.len() == count).then_some(files)
        });
        files.iter().map(|file| Letter::parse(&fs::read(file).unwrap())).collect()
    }

    /// Waits for the one message that is to come.
    pub(crate) fn wait_for_one(&self) -> Letter {
        self.wait_for(1).remove(0)
    }
}

impl Letter {
    /// Takes the trace fields off: Return-Path, Delivered-To, X-Original-To where the address differs, and Received.
    pub(crate) fn parse(octets: &[u8]) -> Self {
        let mut rest = octets;
        let return_path = field(&mut rest, "Return-Path").expect("Return-Path stands first");
        let delivered_to = field(&mut rest, "Delivered-To").expect("Delivered-To stands second");
        field(&mut rest, "X-Original-To");
        let received = field(&mut rest, "Received").unwrap_or_default();
        Self { return_path, delivered_to, received, content: rest.to_vec() }
    }
}

/// Takes the field `name` off the front of `rest` and gives its value, unfolded.
fn field(rest: &mut &[u8], name: &str) -> Option<String> {
    let (mut value, mut after) = line(rest.strip_prefix(format!("{name}: ").as_bytes())?);
    while after.first().is_some_and(|octet| matches!(octet, b' ' | b'\t')) {
        let (more, behind) = line(after);
        value.push_str(&more);
        after = behind;
    }
    *rest = after;
    Some(value)
}

/// The first line, without CRLF, and what stands behind it.
fn line(octets: &[u8]) -> (String, &[u8]) {
    let end = octets.windows(2).position(|window| window == b"\r\n").expect("a field ends with CRLF");
    (String::from_utf8_lossy(&octets[..end]).replace('\t', " "), &octets[end + 2..])
}
