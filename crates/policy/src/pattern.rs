//! Patterns with `*` and `?`, matched without regard to ASCII case.

use std::fmt;

/// A pattern: `*` stands for any characters, `?` for one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    text: Box<str>,
}

impl Pattern {
    /// The pattern as written.
    #[must_use]
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_ascii_lowercase().into() }
    }

    /// Whether it matches the whole of `text`. Takes no more than the product of both lengths.
    #[must_use]
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut text) = (self.text.chars(), text.chars());
        // Where to go on when what follows the last `*` does not match: behind it, one character further in the text.
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let ahead = pattern.clone();
            match (pattern.next(), text.clone().next()) {
                (Some('*'), _) => retry = Some((ahead, text.clone())),
                (Some('?'), Some(_)) => drop(text.next()),
                (Some(wanted), Some(found)) if wanted == found.to_ascii_lowercase() => drop(text.next()),
                (None, None) => return true,
                _ => {
                    let Some((star, mut rest)) = retry.take() else { return false };
                    if rest.next().is_none() {
                        return false;
                    }
                    text = rest.clone();
                    pattern = star.clone();
                    pattern.next();
                    retry = Some((star, rest));
                }
            }
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks_match() {
        let matches = |pattern: &str, text: &str| Pattern::new(pattern).matches(text);
        assert!(matches("*.dyn.*", "host-7.DYN.example"));
        assert!(!matches("*.dyn.*", "dyn.example"));
        assert!(matches("h?st*", "höst"));
        assert!(matches("*", "") && matches("", "") && !matches("", "a") && !matches("?", ""));
        assert!(matches("*a*b", "xaxbxb") && !matches("*a*b", "xaxbx"));
    }

    proptest! {
        #[test]
        fn a_pattern_is_what_the_regular_expression_is(pattern in "[ab*?]{0,8}", text in "[abA]{0,10}") {
            let mut expression = String::from("(?is)^");
            for character in pattern.chars() {
                match character {
                    '*' => expression.push_str(".*"),
                    '?' => expression.push('.'),
                    other => expression.push(other),
                }
            }
            expression.push('$');
            let expected = regex::Regex::new(&expression).unwrap().is_match(&text);
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), expected);
        }
    }
}
