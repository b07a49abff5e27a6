//! A header section that filters change: fields as they stand, in their order.
//!
//! Invariants: what nobody changes stays octet for octet; a value can't end its field, nor a name hold what ends it.

/// Octets that filters may add to a header section together (ours).
pub const ADDED_OCTETS_MAX: usize = 256 * 1024;

/// A header section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// Each with its CRLF, folded lines with theirs.
    fields: Vec<Vec<u8>>,
}

impl Fields {
    /// The fields of `section`, which ends before the empty line.
    #[must_use]
    pub fn read(section: &[u8]) -> Self {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        for line in section.split_inclusive(|octet| *octet == b'\n') {
            match fields.last_mut() {
                Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                    field.extend_from_slice(line)
                }
                _ => fields.push(line.to_vec()),
            }
        }
        Self { fields }
    }

    /// All of the section.
    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        self.fields.concat()
    }

    /// Name and value of each field, as a filter hears of them: lines are separated by LF, and without `leading_blanks` the
    /// blanks in front are gone. What is no field is left out.
    pub fn told(&self, leading_blanks: bool) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
        self.fields.iter().filter_map(move |field| {
            let name = name(field)?;
            let value = field.get(field.iter().position(|octet| *octet == b':')? + 1..)?;
            let mut value: Vec<u8> = value.iter().copied().filter(|octet| *octet != b'\r').collect();
            value.pop_if(|octet| *octet == b'\n');
            if !leading_blanks {
                let blanks = value.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
                value.drain(..blanks);
            }
            Some((name, value))
        })
    }

    /// Adds a field behind the others.
    pub fn add(&mut self, field: Vec<u8>) {
        self.fields.push(field);
    }

    /// Inserts a field behind the first `place` ones.
    pub fn insert(&mut self, place: usize, field: Vec<u8>) {
        self.fields.insert(place.min(self.fields.len()), field);
    }

    /// Puts `field` in the place of the `number`th one of that name, from 1, or takes that out; with none, adds it.
    pub fn change(&mut self, number: usize, name: &[u8], field: Option<Vec<u8>>) {
        let named = |known: &Vec<u8>| self::name(known).is_some_and(|known| known.eq_ignore_ascii_case(name));
        let mut place =
            self.fields.iter().enumerate().filter(|(_, known)| named(known)).map(|(place, _)| place);
        let place = place.nth(number.saturating_sub(1));
        match (place, field) {
            (Some(place), Some(field)) => {
                if let Some(known) = self.fields.get_mut(place) {
                    *known = field;
                }
            }
            (Some(place), None) => drop(self.fields.remove(place)),
            (None, Some(field)) => self.fields.push(field),
            (None, None) => {}
        }
    }
}

fn name(field: &[u8]) -> Option<&[u8]> {
    let (name, _) = field.split_at_checked(field.iter().position(|octet| *octet == b':')?)?;
    let name = name.trim_ascii_end();
    is_name(name).then_some(name)
}

/// Whether this can be a field's name (RFC 5322 §2.2).
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|octet| (33..=126).contains(octet) && *octet != b':')
}

/// A field that a filter made; `None` when its name is none. A line of the value that begins with no blank gets one.
#[must_use]
pub fn made(name: &[u8], value: &[u8], leading_blanks: bool) -> Option<Vec<u8>> {
    if !is_name(name) {
        return None;
    }
    let mut field = name.to_vec();
    field.push(b':');
    if !leading_blanks {
        field.push(b' ');
    }
    for (number, line) in value.split(|octet| *octet == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // An empty line in it would end the header section.
        if number > 0 && line.trim_ascii().is_empty() {
            continue;
        }
        if number > 0 {
            field.extend_from_slice(b"\r\n");
            if !matches!(line.first(), Some(b' ' | b'\t')) {
                field.push(b'\t');
            }
        }
        field.extend(line.iter().map(|octet| if matches!(octet, 0 | b'\r') { b' ' } else { *octet }));
    }
    field.extend_from_slice(b"\r\n");
    Some(field)
}

/// Where the header section of `content` ends and where its body begins; `None` when it has no empty line.
#[must_use]
pub fn ends(content: &[u8]) -> Option<(usize, usize)> {
    if content.starts_with(b"\r\n") {
        return Some((0, 2));
    }
    memchr::memmem::find(content, b"\r\n\r\n").map(|end| (end + 2, end + 4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECTION: &[u8] = b"From: a\r\nSubject: one\r\n two\r\nX: 1\r\nnonsense\r\nx: 2\r\n";

    fn text(fields: &Fields) -> String {
        String::from_utf8(fields.written()).unwrap()
    }

    #[test]
    fn fields_are_told_without_their_blanks_and_written_as_they_were() {
        let fields = Fields::read(SECTION);
        assert_eq!(fields.written(), SECTION);
        let told: Vec<_> = fields.told(false).collect();
        assert_eq!(told.len(), 4, "what is no field is not told");
        assert_eq!(told[1], (&b"Subject"[..], b"one\n two".to_vec()));
        assert_eq!(fields.told(true).next().unwrap().1, b" a");
    }

    #[test]
    fn fields_are_added_inserted_changed_and_removed() {
        let mut fields = Fields::read(SECTION);
        fields.change(2, b"X", made(b"X", b"3", false));
        fields.change(1, b"x", None);
        fields.change(5, b"Y", made(b"Y", b"new", false));
        fields.change(5, b"Z", None);
        fields.insert(0, made(b"First", b"f", true).unwrap());
        fields.insert(99, made(b"Last", b"l", false).unwrap());
        assert_eq!(
            text(&fields),
            "First:f\r\nFrom: a\r\nSubject: one\r\n two\r\nnonsense\r\nX: 3\r\nY: new\r\nLast: l\r\n"
        );
    }

    #[test]
    fn the_end_of_the_section_is_found() {
        assert_eq!(ends(b"A: b\r\n\r\nbody"), Some((6, 8)));
        assert_eq!(ends(b"\r\nbody"), Some((0, 2)));
        assert_eq!(ends(b"A: b\r\n"), None);
    }

    proptest! {
        #[test]
        fn a_made_field_is_one_field(name in proptest::collection::vec(any::<u8>(), 0..8), value in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), any::<u8>()], 0..40), blanks: bool) {
            if let Some(field) = made(&name, &value, blanks) {
                prop_assert!(field.ends_with(b"\r\n"));
                prop_assert_eq!(ends(&field), None);
                prop_assert_eq!(Fields::read(&field).fields.len(), 1);
            }
        }

        #[test]
        fn any_section_is_written_as_it_was(section in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), any::<u8>()], 0..60)) {
            let fields = Fields::read(&section);
            prop_assert_eq!(fields.written(), section);
            let _ = fields.told(false).count();
        }
    }
}
