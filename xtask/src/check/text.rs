//! Rules that hold for a text file on its own: its opening, its length, its ends of lines, and words that may not stay.
//!
//! The words are put together from pieces here, so that this file passes its own rules.

use std::path::Path;

use super::{Finding, Source};

/// Longest Rust file, in lines: a file is one concern.
const FILE_LINES_MAX: usize = 500;

/// Rust files that may be longer, each with its reason.
const LONGER_FILES: [(&str, &str); 0] = [];

/// Extensions of the files that are read as text; a file without one is text when it is named below.
const TEXT_EXTENSIONS: [&str; 14] =
    ["rs", "md", "toml", "txt", "sh", "py", "js", "css", "html", "csv", "json", "yml", "yaml", "service"];
const TEXT_NAMES: [&str; 5] = ["run", "LICENSE-MIT", "LICENSE-APACHE", ".gitignore", "aliases"];

/// Marks of unfinished work.
const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// The same, in Rust only.
const UNFINISHED_RUST: [&str; 3] =
    [concat!("to", "do!"), concat!("un", "implemented!"), concat!("#[", "ignore")];

/// Folders of one machine.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
const HOME: &str = concat!("/ho", "me/");
/// Users whose home may stand in an example.
const EXAMPLE_USERS: [&str; 4] = ["alice", "bob", "carol", "user"];

/// Hosts of package registries: how a machine reaches them is its own matter.
const REGISTRY_HOSTS: [&str; 7] = [
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("crates.io", "-index"),
    concat!("registry.", "npmjs"),
    concat!("pypi", ".org"),
    concat!("python", "hosted"),
    concat!("deb.", "debian.org"),
];

/// Whether the file at `path` is read as text.
pub(super) fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let name = path.file_name().and_then(|name| name.to_str());
    extension.is_some_and(|extension| TEXT_EXTENSIONS.contains(&extension))
        || name.is_some_and(|name| TEXT_NAMES.contains(&name))
}

/// Whether the file is input or expected output of a test: what stands in it is what the test needs.
fn is_test_material(path: &Path) -> bool {
    path.extension().is_none_or(|extension| extension != "rs")
        && path
            .components()
            .any(|part| ["tests", "cases", "corpus"].iter().any(|name| part.as_os_str() == *name))
}

/// All that this module objects to in `source`.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = source.path.as_path();
    if source.has_extension("rs") {
        check_rust_file(source, &mut findings);
    }
    if is_transcript(path) {
        check_transcript(source, &mut findings);
    } else if !is_test_material(path) {
        check_ends(source, &mut findings);
    }
    for (line, text) in source.lines() {
        check_words(source, line, text, &mut findings);
    }
    findings
}

fn check_rust_file(source: &Source, findings: &mut Vec<Finding>) {
    let path = source.path.as_path();
    if !source.text.starts_with("//! ") {
        findings.push(Finding::new(path, 1, "opens without a `//!` sentence on what the file holds"));
    }
    let lines = source.text.lines().count();
    let longer = LONGER_FILES.iter().any(|(allowed, _)| path == Path::new(allowed));
    if lines > FILE_LINES_MAX && !longer {
        let message = format!("{lines} lines, {FILE_LINES_MAX} at most: split it where the concepts part");
        findings.push(Finding::new(path, lines, message));
    }
}

fn check_ends(source: &Source, findings: &mut Vec<Finding>) {
    let path = source.path.as_path();
    for (text, line) in source.text.split('\n').zip(1..) {
        if text.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::new(path, line, "white space at the end of the line"));
        }
    }
    if !source.text.is_empty() && (!source.text.ends_with('\n') || source.text.ends_with("\n\n")) {
        let last = source.text.lines().count();
        findings.push(Finding::new(path, last, "must end with one line feed"));
    }
}

fn is_transcript(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt")
        && path.components().any(|part| part.as_os_str() == "transcripts")
}

/// A transcript ends with a whole line on which something happens.
fn check_transcript(source: &Source, findings: &mut Vec<Finding>) {
    let path = source.path.as_path();
    let last = source.text.lines().count().max(1);
    if !source.text.ends_with('\n') || source.text.ends_with("\n\n") {
        findings.push(Finding::new(path, last, "a transcript must end with one line feed"));
    }
    if let Some(line) = lines_with_cr(source).next() {
        findings.push(Finding::new(
            path,
            line,
            "a transcript's own lines end with LF; write CR as the format does",
        ));
    }
    if source.text.lines().next_back().is_some_and(|line| line.starts_with('#')) {
        findings.push(Finding::new(path, last, "nothing happens behind the transcript's last comment"));
    }
}

/// The lines that end with CR before their LF.
fn lines_with_cr(source: &Source) -> impl Iterator<Item = usize> {
    source.text.split('\n').zip(1..).filter(|(text, _)| text.ends_with('\r')).map(|(_, line)| line)
}

fn check_words(source: &Source, line: usize, text: &str, findings: &mut Vec<Finding>) {
    let path = source.path.as_path();
    let mut object = |message: String| findings.push(Finding::new(path, line, message));
    for word in UNFINISHED.into_iter().filter(|word| holds_word(text, word)) {
        object(format!("{word}: finish it, or file an issue"));
    }
    if source.has_extension("rs") {
        for word in UNFINISHED_RUST.into_iter().filter(|word| text.contains(word)) {
            object(format!("`{word}`: finish it, or file an issue"));
        }
    }
    for folder in MACHINE_PATHS.into_iter().filter(|folder| text.contains(folder)) {
        object(format!("{folder} is a path of one machine"));
    }
    for user in text.split(HOME).skip(1) {
        let name: String = user.chars().take_while(char::is_ascii_alphanumeric).collect();
        if !name.is_empty() && !EXAMPLE_USERS.contains(&name.as_str()) {
            object(format!("{HOME}{name} is a path of one machine"));
        }
    }
    for host in REGISTRY_HOSTS.into_iter().filter(|host| text.contains(host)) {
        object(format!("{host} names a package registry's host"));
    }
}

/// Whether `word` stands in `text` with no letter, digit or underscore beside it.
fn holds_word(text: &str, word: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text.get(..start).and_then(|head| head.chars().next_back());
        let after = text.get(start + word.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(within) && !after.is_some_and(within)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source { path: path.into(), text: text.into() };
        check(&source).into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    fn objects(path: &str, text: &str, line: usize, word: &str) -> bool {
        let found = messages(path, text);
        found.len() == 1 && found.iter().all(|(at, message)| *at == line && message.contains(word))
    }

    #[test]
    fn a_clean_file_passes() {
        assert_eq!(messages("a.rs", "//! One.\n\nfn f() {}\n"), []);
        assert_eq!(messages("a.md", "# A\n\n/home/alice/Maildir and nothing else\n"), []);
    }

    #[test]
    fn a_rust_file_opens_with_a_sentence_and_is_short() {
        assert!(objects("a.rs", "fn f() {}\n", 1, "opens without"));
        let long = format!("//! One.{}", "\n//".repeat(FILE_LINES_MAX));
        assert!(objects("a.rs", &format!("{long}\n"), 501, "split it"), "{:?}", messages("a.rs", &long));
    }

    #[test]
    fn lines_and_files_end_properly() {
        assert!(objects("a.md", "one \ntwo\n", 1, "white space"));
        assert!(objects("a.md", "one\r\ntwo\n", 1, "white space"));
        assert!(objects("a.md", "one", 1, "one line feed"));
        assert!(objects("a.md", "one\n\n", 2, "one line feed"));
        assert_eq!(messages("tests/input.txt", "one \ntwo"), []);
    }

    #[test]
    fn unfinished_work_is_found() {
        for word in UNFINISHED {
            assert!(objects("a.md", &format!("# A\n{word}: later\n"), 2, word));
            assert_eq!(messages("a.md", &format!("A{word}B\n")), []);
        }
        for word in UNFINISHED_RUST {
            assert!(objects("a.rs", &format!("//! One.\n{word}\n"), 2, word));
        }
    }

    #[test]
    fn paths_of_a_machine_and_hosts_of_registries_are_found() {
        for path in MACHINE_PATHS {
            assert!(objects("a.sh", &format!("cd {path}main\n"), 1, "one machine"));
        }
        assert!(objects("a.sh", &format!("cd {HOME}jo/x\n"), 1, "one machine"));
        for host in REGISTRY_HOSTS {
            assert!(objects("a.toml", &format!("u = \"https://{host}/\"\n"), 1, "registry"));
        }
    }

    #[test]
    fn a_transcript_has_an_end() {
        assert_eq!(messages("x/transcripts/server/a.txt", "S: 220 \nC: QUIT\n"), []);
        assert!(objects("x/transcripts/server/a.txt", "S: 220 x", 1, "end with one"));
        assert!(objects("x/transcripts/server/a.txt", "C: QUIT\n# and then\n", 2, "nothing happens"));
        assert!(objects("x/transcripts/server/a.txt", "S: 220 x\r\n", 1, "end with LF"));
    }
}
