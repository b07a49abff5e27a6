//! The known word that comes nearest to one that is not known, for advice.

/// Advice that names what comes nearest to `word` among `known`, when something is near.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

/// The word of `known` that is fewest edits from `word`: at most a third of its length, and at least one edit. A word
/// that only goes on, or stops early, is as near as one edit.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let shorter = word.len().min(candidate.len());
        let goes_on = shorter >= 3 && (word.starts_with(&candidate) || candidate.starts_with(&word));
        if goes_on { usize::from(word != candidate) } else { edits(&word, &candidate) }
    };
    known
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        // Of two that are as near, the one with as many letters was mistyped.
        .min_by_key(|(distance, candidate)| (*distance, candidate.len().abs_diff(word.len())))
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `one` into `other` (optimal string alignment).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let at = |row: &[usize], place: Option<usize>| {
        place.and_then(|place| row.get(place)).copied().unwrap_or(usize::MAX)
    };
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut left_before = None;
    for (line, left) in one.chars().enumerate() {
        let mut row = vec![line + 1];
        for (column, right) in other.iter().enumerate() {
            let replaced = at(&last, Some(column)).saturating_add(usize::from(left != *right));
            let removed = at(&last, Some(column + 1)).saturating_add(1);
            let added = at(&row, Some(column)).saturating_add(1);
            let right_before = column.checked_sub(1).and_then(|column| other.get(column));
            let swap = left_before == Some(*right) && right_before == Some(&left);
            let swapped =
                if swap { at(&before_last, column.checked_sub(1)).saturating_add(1) } else { usize::MAX };
            row.push(replaced.min(removed).min(added).min(swapped));
        }
        before_last = std::mem::replace(&mut last, row);
        left_before = Some(left);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["recipients", "message_size", "errors"];
        assert_eq!(nearest("recipient", known), Some("recipients"));
        assert_eq!(nearest("mesage_size", known), Some("message_size"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("alcie", ["bob", "alice"]), Some("alice"));
        assert_eq!(nearest("client.prt", ["client.port", "client.ptr"]), Some("client.ptr"));
        assert_eq!(nearest("warning", ["error", "warn"]), Some("warn"));
        assert_eq!((edits("kitten", "sitting"), edits("ab", "ba"), edits("", "abc")), (3, 1, 3));
    }
}
