//! Header sections as signatures see them: fields from the bottom up, in the relaxed form (RFC 6376 §3.4.2, §5.4.2).
//!
//! Invariants: a field is taken once; what is no field is left alone.

/// Fields of one name that are signed (ours: our verifier and others limit the names in `h=`).
const INSTANCES_MAX: usize = 10;

/// The fields of a header section, from the top.
#[derive(Debug)]
pub(super) struct HeaderSection<'h>(Vec<Field<'h>>);

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'h> {
    /// Without white space.
    pub(super) name: &'h str,
    /// What stands behind the colon, with its line ends.
    pub(super) value: &'h [u8],
}

impl<'h> HeaderSection<'h> {
    /// Reads the section; what comes behind an empty line is not looked at.
    pub(super) fn new(mut octets: &'h [u8]) -> Self {
        let mut fields = Vec::new();
        while !octets.is_empty() && !octets.starts_with(b"\r\n") {
            let (field, rest) = octets.split_at_checked(field_end(octets)).unwrap_or((octets, &[]));
            octets = rest;
            let Some((name, value)) = memchr::memchr(b':', field).and_then(|at| field.split_at_checked(at))
            else {
                continue;
            };
            let name = str::from_utf8(name).unwrap_or_default().trim_end_matches([' ', '\t']);
            if !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic()) {
                fields.push(Field { name, value: value.get(1..).unwrap_or_default() });
            }
        }
        Self(fields)
    }

    /// The fields of that name, from the top.
    pub(super) fn named<'s>(&'s self, name: &'s str) -> impl DoubleEndedIterator<Item = Field<'h>> + 's {
        self.0.iter().copied().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }

    /// How many fields of that name there are, no more than are signed.
    pub(super) fn count(&self, name: &str) -> usize {
        self.named(name).take(INSTANCES_MAX).count()
    }

    /// What is hashed for the names of `h=`: each name the next field from the bottom, or nothing.
    pub(super) fn hashed<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<u8> {
        let mut taken: Vec<(&str, usize)> = Vec::new();
        let mut hashed = Vec::new();
        for name in names {
            let at = match taken.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, count)) => {
                    *count += 1;
                    *count
                }
                None => {
                    taken.push((name, 0));
                    0
                }
            };
            if let Some(field) = self.named(name).rev().nth(at) {
                relaxed(field.name, field.value, &mut hashed);
                hashed.extend_from_slice(b"\r\n");
            }
        }
        hashed
    }
}

/// Octets of the field that comes first, its last line end included.
fn field_end(octets: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let rest = octets.get(end..).unwrap_or_default();
        end += memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        if !matches!(octets.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

/// Adds the field in its relaxed form, without a line end (RFC 6376 §3.4.2).
pub(super) fn relaxed(name: &str, value: &[u8], form: &mut Vec<u8>) {
    form.extend(name.bytes().map(|octet| octet.to_ascii_lowercase()));
    form.push(b':');
    let mut is_space = false;
    let mut is_first = true;
    for octet in value {
        match octet {
            b' ' | b'\t' => is_space = true,
            b'\r' | b'\n' => {}
            other => {
                if std::mem::take(&mut is_space) && !is_first {
                    form.push(b' ');
                }
                is_first = false;
                form.push(*other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(section: &[u8], names: &[&str]) -> String {
        String::from_utf8(HeaderSection::new(section).hashed(names.iter().copied())).unwrap()
    }

    #[test]
    fn fields_have_their_relaxed_form() {
        // RFC 6376 §3.4.5.
        let section = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\nC: body\r\n";
        assert_eq!(hashed(section, &["a", "B", "c"]), "a:X\r\nb:Y Z\r\n");
        assert_eq!(hashed(b"Subject:\r\n  a  \t b \r\nX:\r\n", &["x", "subject"]), "x:\r\nsubject:a b\r\n");
    }

    #[test]
    fn fields_of_one_name_are_taken_from_the_bottom() {
        let section = b"To: one\r\nX-Other: x\r\nno field\r\nto: two\r\nTO: three";
        assert_eq!(hashed(section, &["to", "TO"]), "to:three\r\nto:two\r\n");
        assert_eq!(hashed(section, &["to", "to", "to", "to"]), "to:three\r\nto:two\r\nto:one\r\n");
        assert_eq!(HeaderSection::new(section).count("To"), 3);
    }

    #[test]
    fn whatever_a_section_is_it_ends() {
        for section in [&b""[..], b"\r\n", b":\r\n", b" \r\n", b"a", b"a:", b"\xff: x\r\n", b"\n\n:\n"] {
            assert_eq!(HeaderSection::new(section).count("x"), 0);
        }
    }
}
