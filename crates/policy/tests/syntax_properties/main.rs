//! What holds for every text: it is read without a panic and in bounded time, what is printed is read as it was, and
//! laying out changes blanks only.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod print;
mod trees;

use policy::diagnostic::Diagnostic;
use policy::span::SourceFile;
use policy::syntax::ast::File;
use policy::syntax::{self, limits, words};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const EVERYTHING: &str = include_str!("../syntax/everything.policy");

/// A tree without its places.
fn bare(file: &File) -> String {
    let shown = format!("{file:?}");
    let mut parts = shown.split("Span { file: ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    text
}

/// Checks what must hold for the findings of any text, and renders them.
fn look_at(text: &str, findings: &[Diagnostic]) {
    assert!(findings.len() <= limits::FINDINGS, "{}", findings.len());
    assert!(findings.is_sorted_by_key(|finding| finding.span.start));
    let files = [SourceFile { name: "any".into(), text: text.into() }];
    for finding in findings {
        assert!(
            finding.span.start <= finding.span.end && finding.span.end as usize <= text.len(),
            "{finding:?}"
        );
        assert!(!finding.title.is_empty() && !finding.label.is_empty(), "{finding:?}");
        assert!(finding.render(&files, false).contains(&finding.title), "{finding:?}");
    }
}

fn read_any(text: &str) {
    let (file, findings) = syntax::parse(0, text);
    look_at(text, &findings);
    match syntax::format(text) {
        Ok(laid_out) => {
            assert_eq!(findings, []);
            let (again, findings) = syntax::parse(0, &laid_out);
            assert_eq!(findings, [], "{laid_out}");
            assert_eq!(bare(&again), bare(&file), "{laid_out}");
            assert_eq!(syntax::format(&laid_out).as_ref(), Ok(&laid_out));
        }
        Err(refused) => assert_eq!(refused, findings),
    }
}

/// Pieces of policies, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    let signs = [
        "{", "}", "(", ")", ",", "=", "==", "!=", "<", "..", "&&", "||", "!", ";", "[", "]", "=~", "->",
        "\"", "'", "\\", "\n", "\n\n", "\r\n", "\t", "#", "# x\n", "//", "/*", "*/", "--", ".", "-", ":",
        "/", "@", "\u{feff}", "“", "\0",
    ];
    let values = [
        "550",
        "5.7.1",
        "1.2.3.4",
        "1.2.3.4/33",
        "2001:db8::/32",
        "::",
        ":::",
        "-1",
        "50 MB",
        "50MB",
        "5min",
        "5 minutes",
        "99999999999999999999",
        "\"text\"",
        "\"{fact}\"",
        "'x'",
        "client.ip",
        "client.",
        "zen",
        "x",
    ];
    prop_oneof![
        4 => select(words::all()).prop_map(String::from),
        4 => select(signs.to_vec()).prop_map(String::from),
        3 => select(values.to_vec()).prop_map(String::from),
        1 => "\\PC{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_tree_is_read_as_it_was(tree in trees::file()) {
        let text = print::file(&tree);
        let (read, findings) = syntax::parse(0, &text);
        prop_assert_eq!(findings, vec![], "{}", text);
        prop_assert_eq!(bare(&read), bare(&tree), "{}", text);
        read_any(&text);
        read_any(&text.replace("\", \"", "\",\n\""));
    }

    #[test]
    fn any_characters_are_read(text in "\\PC{0,200}|(?s).{0,200}") {
        read_any(&text);
    }

    #[test]
    fn any_pieces_are_read(pieces in vec(piece(), 0..60), parted in any::<bool>()) {
        read_any(&pieces.join(if parted { " " } else { "" }));
    }

    #[test]
    fn whatever_is_changed_in_a_policy_is_read(
        changes in vec((any::<Index>(), any::<Index>(), piece(), 0_u8..4), 1..6),
    ) {
        let mut text = String::from(EVERYTHING);
        for (from, to, piece, change) in changes {
            let edge = |index: Index| text.floor_char_boundary(index.index(text.len() + 1));
            let (start, end) = (edge(from).min(edge(to)), edge(from).max(edge(to)));
            match change {
                0 => text.insert_str(start, &piece),
                1 => text.replace_range(start..text.floor_char_boundary((start + 9).min(text.len())), &piece),
                2 => text.insert(start, '\n'),
                // Only now and then a great part is left out.
                _ if end - start < 200 => text.replace_range(start..end, ""),
                _ => text.truncate(end),
            }
        }
        read_any(&text);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Comments may stand between any two words of a line, each then ending the line it stands on.
    #[test]
    fn comments_stay_wherever_they_stand(places in vec(any::<Index>(), 1..8)) {
        let mut lines: Vec<String> = EVERYTHING.lines().map(String::from).collect();
        for (number, place) in places.iter().enumerate() {
            let line = place.index(lines.len());
            lines.insert(line, format!("   # remark {number}"));
            lines[line / 2].push_str(&format!(" # beside {number}"));
        }
        let text = lines.join("\n");
        let laid_out = syntax::format(&text).unwrap_or_else(|findings| panic!("{findings:?}\n{text}"));
        let comments = |text: &str| -> Vec<String> {
            text.lines().filter_map(|line| line.split_once('#')).map(|(_, comment)| comment.trim_end().to_owned()).collect()
        };
        prop_assert_eq!(comments(&laid_out), comments(&text));
        read_any(&text);
    }
}

/// Whatever word is left out, one mistake is nearly always one finding.
#[test]
fn a_missing_word_is_one_finding() {
    let mut counts = Vec::new();
    let mut at = 0;
    for piece in EVERYTHING.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let mut text = String::from(EVERYTHING);
        text.replace_range(at..at + word.len(), "");
        at += piece.len();
        let (_, findings) = syntax::parse(0, &text);
        assert!(findings.len() <= 3, "without {word:?} at {at}: {findings:#?}");
        counts.extend((!findings.is_empty()).then_some(findings.len()));
    }
    let several = counts.iter().filter(|count| **count > 1).count();
    assert!(counts.len() > 300 && several * 20 < counts.len(), "{several} of {}", counts.len());
}

#[test]
fn depth_and_size_have_limits() {
    let nested = |depth: usize| format!("define deep = {}x{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(syntax::parse(0, &nested(limits::NESTING)).1, []);
    let said = |text: &str| -> Vec<String> {
        let (_, findings) = syntax::parse(0, text);
        look_at(text, &findings);
        findings.into_iter().map(|finding| finding.title).collect()
    };
    assert_eq!(said(&nested(limits::NESTING + 1)), ["the condition is nested too deeply"]);
    assert_eq!(said(&nested(90_000)), ["the condition is nested too deeply"]);
    assert_eq!(
        said(&format!("define deep = {}x", "not ".repeat(90_000))),
        ["the condition is nested too deeply"]
    );
    assert_eq!(said(&" ".repeat(limits::FILE_OCTETS + 1)), ["the file is too long"]);
    let list = |count: usize| format!("names many = {}", vec!["\"a\""; count].join(","));
    assert_eq!(syntax::parse(0, &list(limits::ELEMENTS)).1, []);
    assert_eq!(said(&list(limits::ELEMENTS + 1)), ["the list is too long"]);
    assert!(said(&"a ".repeat(limits::TOKENS + 1)).contains(&String::from("the file holds too much")));
    assert_eq!(
        said(&format!("include \"{}\"", "a".repeat(limits::TEXT_OCTETS + 1))),
        ["the text is too long"]
    );
    assert_eq!(said(&"at nowhere {}\n".repeat(10_000)).len(), limits::FINDINGS);
    assert_eq!(said(&"} ".repeat(10_000)).len(), limits::FINDINGS);
    assert_eq!(said(&format!("names {} = \"a\"", "x".repeat(limits::NAME_OCTETS + 1))).len(), 1);
}
