//! The id of a decision: what stands in brackets at the end of a refusal, and leads `gatepost explain` to it.
//!
//! Invariants: an id is a number that was never given before, passed through a keyed permutation of 40 bits, so that it
//! doesn't tell how many there were; numbers are given only up to a bound that is durable on disk; giving one does no
//! I/O. When no bound can be written, ids go on from random numbers: a refusal never waits for an id.

use std::fmt;
use std::fs::{self, File};
use std::hash::Hasher as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use siphasher::sip::SipHasher13;

/// Bits of an id: eight characters, and 35 years at a thousand refusals a second (ours).
const ID_BITS: u32 = 40;

/// The same as a count of ids.
const IDS: u64 = 1 << ID_BITS;

/// Bits of each half of the permutation.
const HALF_BITS: u32 = ID_BITS / 2;

/// Rounds of the permutation; four make a Feistel network a permutation that can't be told from a random one.
const ROUNDS: u64 = 6;

/// Characters of an id, without the hyphen in its middle.
const ID_CHARACTERS: usize = 8;

/// Ids that one write to the disk reserves.
const RESERVED_AT_ONCE: u64 = 1_000_000;

/// The alphabet of queue ids (Crockford's base32), in lower case: it stands in a sentence.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The file with key and bound; both in one, since a bound without its key would let ids repeat.
const FILE: &str = "ids";

/// The first line of the file.
const FORM: &str = "gatepost decision ids 1";

/// The name of one decision: `k7q2-m3xf`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    /// The id with this number, when it fits into 40 bits.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        if number < IDS { Some(Self(number)) } else { None }
    }

    /// The number behind the text.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// What may be an id in `text`: a bare id, or a reply or log line with one in it. The likeliest comes first: what
    /// stands in brackets, then what stands last. Case and hyphens don't matter, and O, I and L are read as digits.
    #[must_use]
    pub fn candidates(text: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let bracketed =
            text.rsplit('[').filter_map(|part| part.split_once(']')).map(|(inner, _)| inner.trim());
        let whole = std::iter::once(text.trim());
        let is_edge = |character: char| !character.is_ascii_alphanumeric() && character != '-';
        let words = text.rsplit(is_edge).filter(|word| word.len() == ID_CHARACTERS + 1);
        for id in bracketed.chain(whole).chain(words).filter_map(Self::read) {
            if !found.contains(&id) {
                found.push(id);
            }
        }
        found
    }

    /// The id that is written so, with or without its hyphen.
    fn read(text: &str) -> Option<Self> {
        let plain: Vec<u8> = text.bytes().filter(|octet| *octet != b'-').collect();
        if plain.len() != ID_CHARACTERS {
            return None;
        }
        let mut number = 0;
        for octet in plain {
            let octet = match octet.to_ascii_lowercase() {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => other,
            };
            number = number << 5 | ALPHABET.iter().position(|&character| character == octet)? as u64;
        }
        Some(Self(number))
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; ID_CHARACTERS + 1];
        let mut rest = self.0;
        for (place, octet) in text.iter_mut().enumerate().rev() {
            if place != ID_CHARACTERS / 2 {
                *octet = ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'0');
                rest >>= 5;
            }
        }
        formatter.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The key of the permutation.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u128);

impl Key {
    fn random() -> io::Result<Self> {
        let mut octets = [0; 16];
        getrandom::fill(&mut octets).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(u128::from_le_bytes(octets)))
    }

    /// `number`, below [`IDS`], at its place in the permutation (a balanced Feistel network over keyed hashes).
    fn permute(self, number: u64) -> u64 {
        let mask = (1 << HALF_BITS) - 1;
        let (mut left, mut right) = (number >> HALF_BITS & mask, number & mask);
        for round in 0..ROUNDS {
            let mut hasher = SipHasher13::new_with_keys(self.0 as u64, (self.0 >> 64) as u64);
            hasher.write_u64(round << HALF_BITS | right);
            (left, right) = (right, left ^ (hasher.finish() & mask));
        }
        left << HALF_BITS | right
    }
}

/// Gives out ids.
#[derive(Debug)]
pub struct Ids {
    key: Option<Key>,
    /// The next number.
    next: AtomicU64,
    /// Numbers below it may be given: this is durable.
    bound: AtomicU64,
    /// Where the bound is written; the lock is held for the write.
    folder: Mutex<PathBuf>,
    exhausted: AtomicBool,
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key")
    }
}

impl Ids {
    /// Ids that go on from what `folder` says was given, with the first reservation made.
    ///
    /// # Errors
    /// When the file can't be read or written; [`Ids::random`] goes on without it. What stands there is left as it is.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (key, given) = match fs::read_to_string(folder.join(FILE)) {
            Ok(text) => parse(&text).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{} is damaged", folder.join(FILE).display()),
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Key::random()?, 0),
            Err(error) => return Err(error),
        };
        let ids = Self {
            key: Some(key),
            next: AtomicU64::new(given),
            bound: AtomicU64::new(given),
            folder: Mutex::new(folder.to_owned()),
            exhausted: AtomicBool::new(false),
        };
        ids.reserve()?;
        Ok(ids)
    }

    /// Ids from random numbers alone: two alike among a million are about as likely as not.
    #[must_use]
    pub fn random() -> Self {
        Self {
            key: None,
            next: AtomicU64::new(0),
            bound: AtomicU64::new(0),
            folder: Mutex::new(PathBuf::new()),
            exhausted: AtomicBool::new(false),
        }
    }

    /// The next id.
    pub fn next(&self) -> DecisionId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match self.key {
            Some(key) if number < self.bound.load(Ordering::Acquire) => DecisionId(key.permute(number)),
            _ => {
                if !self.exhausted.swap(true, Ordering::Relaxed) && self.key.is_some() {
                    tracing::warn!("no decision ids are reserved; ids go on from random numbers");
                }
                // Without random numbers the count still tells ids of one run apart.
                DecisionId(getrandom::u64().unwrap_or(number) & (IDS - 1))
            }
        }
    }

    /// Whether more than half of what was reserved is given.
    pub fn wants_more(&self) -> bool {
        let left = self.bound.load(Ordering::Relaxed).saturating_sub(self.next.load(Ordering::Relaxed));
        self.key.is_some() && left < RESERVED_AT_ONCE / 2
    }

    /// Makes a higher bound durable, then lets ids be given up to it. Writes and syncs a file.
    ///
    /// # Errors
    /// When it can't be written, or no number is left; ids go on up to the old bound, then from random numbers.
    pub fn reserve(&self) -> io::Result<()> {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(key) = self.key else { return Ok(()) };
        // A next number past the bound was given as a random one, and is never given again.
        let base = self.bound.load(Ordering::Relaxed).max(self.next.load(Ordering::Relaxed));
        let bound = (base + RESERVED_AT_ONCE).min(IDS);
        if bound <= base {
            return Err(io::Error::other("all numbers of decision ids are given"));
        }
        write(&folder, key, bound)?;
        self.bound.store(bound, Ordering::Release);
        self.exhausted.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn write(folder: &Path, key: Key, bound: u64) -> io::Result<()> {
    let path = folder.join(FILE);
    let draft = folder.join(format!("{FILE}.new"));
    let mut file = File::create(&draft)?;
    write!(file, "{FORM}\nkey {:032x}\nreserved {bound}\n", key.0)?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    File::open(folder)?.sync_all()
}

/// Key and bound that the text of a file gives.
fn parse(text: &str) -> Option<(Key, u64)> {
    let mut lines = text.lines();
    if lines.next()? != FORM {
        return None;
    }
    let key = u128::from_str_radix(lines.next()?.strip_prefix("key ")?, 16).ok()?;
    let bound = lines.next()?.strip_prefix("reserved ")?.parse().ok()?;
    (bound <= IDS).then_some((Key(key), bound))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_text_reads_back_however_it_is_pasted() {
        for number in [0, 1, 0x12_3456_789a, IDS - 1] {
            let id = DecisionId(number);
            let text = id.to_string();
            assert_eq!(text.len(), 9);
            for pasted in [
                text.clone(),
                text.to_uppercase(),
                text.replace('-', ""),
                format!("[{text}]"),
                format!(" {text}\n"),
                text.replace('0', "O").replace('1', "l"),
            ] {
                assert_eq!(DecisionId::candidates(&pasted), [id], "{pasted}");
            }
        }
    }

    #[test]
    fn an_id_is_found_in_a_reply_and_in_a_log_line() {
        let id = DecisionId::candidates("k7q2-m3xf")[0];
        let first = |text: &str| DecisionId::candidates(text).first().copied();
        assert_eq!(first("550 5.1.1 <x@example.org>: no such mailbox [k7q2-m3xf]"), Some(id));
        assert_eq!(first("said: 550 5.1.1 mail-from [2001:db8::1] [K7Q2M3XF] (in reply to RCPT)"), Some(id));
        assert_eq!(first("the id was k7q2-m3xf, he said"), Some(id));
        for text in ["", "no id here", "550 5.1.1 <x@example.org>", "uuuu-uuuu", "k7q2-m3x", "é"] {
            assert_eq!(first(text), None, "{text}");
        }
        assert_eq!(DecisionId::from_number(IDS), None);
    }

    #[test]
    fn the_permutation_gives_no_number_twice_and_hides_the_count() {
        let key = Key(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        let ids: Vec<u64> = (0..100_000).map(|number| key.permute(number)).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| *id < IDS));
        let near = ids.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < IDS / 1_000).count();
        assert!(near < 400, "{near} of 100,000 neighbours lie close together");
        assert_ne!(key.permute(5), Key(7).permute(5));
    }

    #[test]
    fn a_restart_goes_on_behind_all_that_may_have_been_given() {
        let folder = tempfile::tempdir().unwrap();
        let mut given = HashSet::new();
        for _ in 0..3 {
            let ids = Ids::open(folder.path()).unwrap();
            assert!(!ids.wants_more());
            for _ in 0..1_000 {
                assert!(given.insert(ids.next()));
            }
            ids.reserve().unwrap();
            assert_eq!(ids.bound.load(Ordering::Relaxed) % RESERVED_AT_ONCE, 0);
        }
    }

    #[test]
    fn ids_go_on_when_nothing_can_be_reserved() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ids.new")).unwrap();
        assert!(Ids::open(folder.path()).is_err());
        let ids = Ids::random();
        let given: HashSet<DecisionId> = (0..1_000).map(|_| ids.next()).collect();
        assert!(given.len() >= 999);

        fs::remove_dir(folder.path().join("ids.new")).unwrap();
        let ids = Ids::open(folder.path()).unwrap();
        ids.next.store(RESERVED_AT_ONCE - 1, Ordering::Relaxed);
        assert!(ids.wants_more());
        assert_eq!(ids.next().number(), ids.key.unwrap().permute(RESERVED_AT_ONCE - 1));
        let _ = (ids.next(), ids.next());
        ids.reserve().unwrap();
        let number = ids.next.load(Ordering::Relaxed);
        assert_eq!(ids.next().number(), ids.key.unwrap().permute(number));
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "gatepost decision ids 1\nkey x\nreserved 5\n", "gatepost decision ids 2\n"] {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert!(Ids::open(folder.path()).is_err(), "{text}");
            assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), text);
        }
    }
}
