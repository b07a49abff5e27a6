//! The editors' files have every word of the language, and no other.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use policy::syntax::words;
use regex::Regex;
use serde_json::Value;

fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../editors").join(path);
    fs::read_to_string(&file).unwrap_or_else(|fault| panic!("{}: {fault}", file.display()))
}

fn json(path: &str) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

fn language() -> BTreeSet<String> {
    words::all().into_iter().map(String::from).collect()
}

/// The alternatives of expressions such as `\b(a|b)\b`.
fn alternatives(text: &str, opening: &str, between: &str, closing: &str) -> BTreeSet<String> {
    text.split(opening)
        .skip(1)
        .filter_map(|rest| rest.split(closing).next())
        .flat_map(|words| words.split(between).map(String::from).collect::<Vec<_>>())
        .filter(|word| word.chars().all(|char| char.is_ascii_alphanumeric() || char == '-'))
        .collect()
}

#[test]
fn vim_has_every_word() {
    let text = read("vim/syntax/gatepostpolicy.vim");
    let keywords = text
        .lines()
        .filter_map(|line| line.strip_prefix("syntax keyword "))
        .filter(|line| !line.ends_with(" contained"))
        .flat_map(|line| line.split(' ').skip(1));
    let mut words: BTreeSet<String> = keywords.map(String::from).collect();
    words.extend(alternatives(&text, "\\(", "\\|", "\\)\\>"));
    assert_eq!(words, language());
    for group in text.lines().filter_map(|line| line.strip_prefix("syntax ")?.split(' ').nth(1)) {
        let linked = text.contains(&format!("highlight default link {group} "));
        assert!(linked || !group.starts_with("policy"), "{group} has no colour");
    }
}

/// Every expression of a grammar, with the name of what it colours.
fn expressions(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(text) if matches!(key.as_str(), "match" | "begin" | "end") => {
                        let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
                        found.push((name.to_owned(), text.clone()));
                    }
                    _ => expressions(field, found),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| expressions(element, found)),
        _ => {}
    }
}

#[test]
fn visual_studio_code_has_every_word() {
    let package = json("vscode/package.json");
    let contributes = &package["contributes"];
    json(&format!("vscode/{}", contributes["languages"][0]["configuration"].as_str().unwrap()));
    let grammar = contributes["grammars"][0]["path"].as_str().unwrap();
    let text = read(&format!("vscode/{grammar}"));
    let grammar = json(&format!("vscode/{grammar}"));
    assert_eq!(grammar["scopeName"], contributes["grammars"][0]["scopeName"]);
    assert_eq!(alternatives(&text, "(", "|", ")"), language());

    let mut found = Vec::new();
    expressions(&grammar, &mut found);
    let found: Vec<(String, Regex)> =
        found.into_iter().map(|(name, expression)| (name, Regex::new(&expression).unwrap())).collect();
    let colours = |text: &str| -> Vec<&str> {
        let whole = |regex: &Regex| regex.find(text).is_some_and(|found| found.len() == text.len());
        found.iter().filter(|(_, regex)| whole(regex)).map(|(name, _)| name.as_str()).collect()
    };
    let units = words::SIZE_UNITS.map(|(unit, _)| format!("5 {unit}"));
    let times = words::TIME_UNITS.map(|(unit, _)| format!("5{unit}"));
    for text in
        units.iter().chain(&times).map(String::as_str).chain(["5.7.1", "192.0.2.0/24", "2001:db8::/32", "-1"])
    {
        assert!(colours(text).iter().any(|name| name.starts_with("constant.numeric")), "{text}");
    }
    for text in ["client.ip", "message.from_address", "{client.ip}"] {
        assert!(colours(text).iter().any(|name| name.starts_with("variable.other")), "{text}");
    }
    for include in text.split("\"include\": \"#").skip(1) {
        let name = include.split('"').next().unwrap();
        assert!(grammar["repository"][name].is_object(), "{name}");
    }
}
