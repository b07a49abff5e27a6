//! What the players of both ends share: the files, the escapes in a line, and the comparison at every cut.

use std::fmt::Write as _;
use std::path::PathBuf;

/// The transcripts of `folder` below `tests/transcripts`, in order; never none.
pub(crate) fn all(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no transcripts");
    found
}

/// Holds what `play` says, whole and cut every 1, 2, 3 and 7 octets, against the transcripts of `folder`.
/// `UPDATE_TRANSCRIPTS` rewrites those that differ. Where the cut itself is the matter, as behind STARTTLS, a
/// transcript says `! uncut`.
pub(crate) fn hold(folder: &str, play: impl Fn(&str, usize) -> String) {
    let update = std::env::var_os("UPDATE_TRANSCRIPTS").is_some();
    let mut wrong = Vec::new();
    for (path, transcript) in all(folder) {
        let played = play(&transcript, usize::MAX);
        if update && played != transcript {
            std::fs::write(&path, &played).unwrap();
        } else if played != transcript {
            wrong.push(format!("{}:\n{}", path.display(), difference(&transcript, &played)));
        }
        for cut in [1, 2, 3, 7].into_iter().filter(|_| !transcript.contains("\n! uncut\n")) {
            let cut_up = play(&transcript, cut);
            if cut_up != played {
                let difference = difference(&played, &cut_up);
                wrong.push(format!("{} cut every {cut} octets:\n{difference}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Octets of a line: `\r \n \0 \t \\ \xNN`, and `{text*count}` repeats.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    if let Some((before, rest)) = text.split_once('{')
        && let Some((inside, after)) = rest.split_once('}')
        && let Some((repeated, count)) = inside.rsplit_once('*')
    {
        return [unescape(before), unescape(&repeated.repeat(count.parse().unwrap())), unescape(after)]
            .concat();
    }
    let mut octets = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            octets.extend(character.to_string().as_bytes());
            continue;
        }
        match characters.next().unwrap() {
            'r' => octets.push(b'\r'),
            'n' => octets.push(b'\n'),
            't' => octets.push(b'\t'),
            '0' => octets.push(0),
            'x' => {
                let digits: String = characters.by_ref().take(2).collect();
                octets.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => octets.extend(other.to_string().as_bytes()),
        }
    }
    octets
}

/// The first lines that differ.
fn difference(expected: &str, played: &str) -> String {
    let mut text = String::new();
    let (mut left, mut right) = (expected.lines(), played.lines());
    for number in 1.. {
        match (left.next(), right.next()) {
            (None, None) => break,
            (one, other) if one == other => {}
            (one, other) => {
                writeln!(text, "  line {number}\n    written: {one:?}\n    played:  {other:?}").unwrap();
                break;
            }
        }
    }
    text
}
