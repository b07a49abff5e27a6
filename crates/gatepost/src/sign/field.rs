//! Signature fields as they are written: tags, folded, with room for the signature at their end (RFC 6376 §3.2, §3.5).
//!
//! Invariants: no line but one with a single long word has over [`LINE_OCTETS`] octets; `b=` stands last, so that the
//! field with an empty one is what is hashed.

/// Octets of a line, CRLF not counted (RFC 5322 §2.1.1 asks for 78).
const LINE_OCTETS: usize = 78;

/// Octets of base64 on a line.
const BASE64_LINE_OCTETS: usize = 72;

/// A field that is being written.
#[derive(Debug)]
pub(super) struct TagField {
    name: &'static str,
    /// The value, folded, up to and with `b=`.
    value: String,
    column: usize,
}

impl TagField {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, value: String::new(), column: name.len() + 1 }
    }

    /// Adds a tag whose value may be folded at colons.
    pub(super) fn tag(mut self, tag: &str, value: &str) -> Self {
        if !self.value.is_empty() {
            self.value.push(';');
            self.column += 1;
        }
        let mut words = value.split_inclusive(':');
        self.word(" ", &format!("{tag}={}", words.next().unwrap_or_default()));
        for word in words {
            self.word("", word);
        }
        self
    }

    /// Ends with an empty `b=`, on a line of its own.
    pub(super) fn unsigned(mut self) -> Self {
        self.value.push_str(";\r\n\tb=");
        self
    }

    fn word(&mut self, space: &str, word: &str) {
        // One octet more is kept for what may follow: a semicolon.
        if self.column + space.len() + word.len() >= LINE_OCTETS {
            self.value.push_str("\r\n\t");
            self.column = 1;
        } else {
            self.value.push_str(space);
            self.column += space.len();
        }
        self.value.push_str(word);
        self.column += word.len();
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// The value with the empty `b=`, as it is hashed.
    pub(super) const fn value(&self) -> &str {
        self.value.as_str()
    }

    /// The whole field, ended by CRLF.
    pub(super) fn signed(self, signature: &str) -> String {
        let Self { name, mut value, .. } = self;
        let mut rest = signature;
        let mut is_first = true;
        while !rest.is_empty() {
            let (line, behind) = rest.split_at_checked(BASE64_LINE_OCTETS).unwrap_or((rest, ""));
            if !std::mem::take(&mut is_first) {
                value.push_str("\r\n\t");
            }
            value.push_str(line);
            rest = behind;
        }
        format!("{name}:{value}\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_folded_and_signed() {
        let names = ["from"; 40].join(":");
        let field =
            TagField::new("DKIM-Signature").tag("v", "1").tag("h", &names).tag("bh", "abc").unsigned();
        assert!(field.value().ends_with(";\r\n\tbh=abc;\r\n\tb="), "{field:?}");
        let whole = field.signed(&"x".repeat(200));
        assert!(whole.starts_with("DKIM-Signature: v=1; h=from:from:"), "{whole}");
        assert!(whole.ends_with("xxx\r\n"));
        assert!(whole.lines().all(|line| line.len() <= LINE_OCTETS), "{whole}");
        assert_eq!(whole.lines().skip(1).find(|line| !line.starts_with('\t')), None);
        assert_eq!(whole.replace("\r\n\t", "").matches('x').count(), 200);
    }
}
