//! Tag lists, as signatures and key records are written (RFC 6376 §3.2).

/// The tags and their values without white space around them; `None` when a tag stands twice or isn't one, which spoils the
/// whole list.
pub(super) fn tags(list: &[u8]) -> Option<Vec<(&str, &str)>> {
    let list = str::from_utf8(list).ok()?;
    let mut tags: Vec<(&str, &str)> = Vec::new();
    for item in list.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=')?;
        let (name, value) = (name.trim_end(), value.trim());
        if name.is_empty() || tags.iter().any(|(known, _)| *known == name) {
            return None;
        }
        tags.push((name, value));
    }
    Some(tags)
}

/// The value of a tag.
pub(super) fn value<'t>(tags: &[(&str, &'t str)], name: &str) -> Option<&'t str> {
    tags.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// The items of a value that is a list, without white space around them.
pub(super) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_each_tag_once() {
        let list = tags(b" v=1; a = rsa-sha256;\r\n\th=From : To;b=a=b; ").unwrap();
        assert_eq!(list, [("v", "1"), ("a", "rsa-sha256"), ("h", "From : To"), ("b", "a=b")]);
        assert_eq!(items(value(&list, "h").unwrap()).collect::<Vec<_>>(), ["From", "To"]);
        assert_eq!(value(&list, "x"), None);
        for broken in ["v=1; v=1", "v", "=1", "v=1;;=", "v=\u{e9}; v="] {
            assert_eq!(tags(broken.as_bytes()), None, "{broken}");
        }
        assert_eq!(tags(b"\xff=1"), None);
    }
}
