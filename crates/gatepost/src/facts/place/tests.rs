//! Places, from files that are written here: the format is MaxMind DB 2.0.

use super::*;

/// A value of a file.
enum Datum {
    Text(&'static str),
    /// Of 16 bits.
    Short(u16),
    /// Of 32 bits.
    Number(u32),
    /// Of 64 bits.
    Long(u64),
    Map(Vec<(&'static str, Datum)>),
    /// A list of texts.
    Texts(Vec<&'static str>),
}

impl Datum {
    fn write(&self, octets: &mut Vec<u8>) {
        let mut control = |kind: u8, size: usize| {
            assert!(size < 29, "longer sizes aren't written here");
            octets.push(kind << 5 | u8::try_from(size).unwrap());
        };
        match self {
            Self::Text(text) => {
                control(2, text.len());
                octets.extend(text.as_bytes());
            }
            Self::Short(number) => {
                control(5, 2);
                octets.extend(number.to_be_bytes());
            }
            Self::Number(number) => {
                control(6, 4);
                octets.extend(number.to_be_bytes());
            }
            Self::Long(number) => {
                // An extended type: it stands in an octet of its own, less 7.
                control(0, 8);
                octets.push(2);
                octets.extend(number.to_be_bytes());
            }
            Self::Texts(texts) => {
                control(0, texts.len());
                octets.push(4);
                texts.iter().for_each(|text| Self::Text(text).write(octets));
            }
            Self::Map(pairs) => {
                control(7, pairs.len());
                for (key, value) in pairs {
                    Self::Text(key).write(octets);
                    value.write(octets);
                }
            }
        }
    }
}

/// A search tree with what stands at its leaves: each side of a node leads to another, to nothing or to a value.
struct Tree {
    nodes: Vec<[Side; 2]>,
    values: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Side {
    Nothing,
    Node(usize),
    Value(usize),
}

impl Tree {
    fn new() -> Self {
        Self { nodes: vec![[Side::Nothing; 2]], values: Vec::new() }
    }

    fn insert(mut self, network: &str, value: &Datum) -> Self {
        let (text, bits) = network.split_once('/').unwrap();
        let bits: usize = bits.parse().unwrap();
        let (address, bits) = match text.parse().unwrap() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), bits + 96),
            IpAddr::V6(v6) => (v6.to_bits(), bits),
        };
        let place = self.values.len();
        value.write(&mut self.values);
        let mut node = 0;
        for depth in 0..bits {
            let side = (address >> (127 - depth) & 1) as usize;
            if depth == bits - 1 {
                self.nodes[node][side] = Side::Value(place);
            } else if let Side::Node(next) = self.nodes[node][side] {
                node = next;
            } else {
                self.nodes.push([Side::Nothing; 2]);
                self.nodes[node][side] = Side::Node(self.nodes.len() - 1);
                node = self.nodes.len() - 1;
            }
        }
        self
    }

    fn file(&self, kind: &'static str) -> Vec<u8> {
        const SEPARATOR_OCTETS: usize = 16;
        let count = self.nodes.len();
        let mut octets = Vec::new();
        for side in self.nodes.iter().flatten() {
            let record = match side {
                Side::Nothing => count,
                Side::Node(node) => *node,
                Side::Value(place) => count + SEPARATOR_OCTETS + place,
            };
            octets.extend(&u32::try_from(record).unwrap().to_be_bytes()[1..]);
        }
        octets.extend([0; SEPARATOR_OCTETS]);
        octets.extend(&self.values);
        octets.extend(b"\xab\xcd\xefMaxMind.com");
        Datum::Map(vec![
            ("binary_format_major_version", Datum::Short(2)),
            ("binary_format_minor_version", Datum::Short(0)),
            ("build_epoch", Datum::Long(1_800_000_000)),
            ("description", Datum::Map(vec![("en", Datum::Text("written by a test"))])),
            ("languages", Datum::Texts(vec!["en"])),
            ("database_type", Datum::Text(kind)),
            ("ip_version", Datum::Short(6)),
            ("node_count", Datum::Number(u32::try_from(count).unwrap())),
            ("record_size", Datum::Short(24)),
        ])
        .write(&mut octets);
        octets
    }
}

fn country(code: &'static str) -> Datum {
    Datum::Map(vec![("country", Datum::Map(vec![("iso_code", Datum::Text(code))]))])
}

fn countries(code: &'static str) -> Vec<u8> {
    let continent = Datum::Map(vec![("continent", Datum::Map(vec![("code", Datum::Text("EU"))]))]);
    Tree::new()
        .insert("192.0.2.0/24", &country(code))
        .insert("2001:db8::/32", &country("AT"))
        .insert("198.51.100.0/24", &continent)
        .file("Test-Country")
}

fn systems() -> Vec<u8> {
    let system = Datum::Map(vec![("autonomous_system_number", Datum::Number(64_496))]);
    Tree::new().insert("192.0.2.0/25", &system).file("Test-ASN")
}

fn shown(places: &Places, client: &str) -> String {
    let found = places.find(client.parse().unwrap());
    let [("client.country", country), ("client.asn", asn)] = found.as_slice() else {
        panic!("two facts are expected: {found:?}")
    };
    format!("{country} {asn}")
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, octets: &[u8]) -> PathBuf {
        // Another file in its place, as the programs that fetch such files do it: never one that is half written.
        let path = self.0.path().join(name);
        let new = self.0.path().join("new");
        fs::write(&new, octets).unwrap();
        fs::rename(new, &path).unwrap();
        path
    }
}

#[test]
fn addresses_have_their_places() {
    let files = Files::new();
    let geo = Geo {
        country: Some(files.write("country", &countries("DE"))),
        asn: Some(files.write("asn", &systems())),
    };
    let (places, problems) = Places::open(&geo);
    assert_eq!(problems, [""; 0]);
    for (client, place) in [
        ("192.0.2.1", "DE 64496"),
        ("::ffff:192.0.2.1", "DE 64496"),
        ("192.0.2.200", "DE (none)"),
        ("2001:db8::1", "AT (none)"),
        ("198.51.100.1", "(none) (none)"),
        ("203.0.113.1", "(none) (none)"),
    ] {
        assert_eq!(shown(&places, client), place, "{client}");
    }
}

#[test]
fn without_files_a_place_is_unsure() {
    let (places, problems) = Places::open(&Geo::default());
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        shown(&places, "192.0.2.1"),
        "unsure: `geo.country` isn't set in the configuration unsure: `geo.asn` isn't set in the configuration"
    );
}

#[test]
fn a_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing() {
    let files = Files::new();
    let path = files.0.path().join("country");
    let (places, problems) = Places::open(&Geo { country: Some(path), asn: None });
    assert_eq!(problems.len(), 1);
    assert!(shown(&places, "192.0.2.1").starts_with("unsure: the file can't be read"));

    files.write("country", &countries("DE"));
    assert_eq!(places.reload(), [""; 0]);
    assert!(shown(&places, "192.0.2.1").starts_with("DE"));
    assert_eq!(places.reload(), [""; 0]);

    files.write("country", b"broken");
    assert_eq!(places.reload().len(), 1);
    assert!(shown(&places, "192.0.2.1").starts_with("DE"));
    assert_eq!(places.reload(), [""; 0], "one report a change");

    files.write("country", &countries("FR"));
    assert_eq!(places.reload(), [""; 0]);
    assert!(shown(&places, "192.0.2.1").starts_with("FR"));
}

#[test]
fn a_file_of_the_other_kind_is_refused() {
    let files = Files::new();
    let path = files.write("asn", &systems());
    assert!(open(&path, Kind::Asn).is_ok());
    let why = open(&path, Kind::Country).unwrap_err();
    assert_eq!(why, "it tells autonomous systems, not countries");
    let why = open(&files.write("country", &countries("DE")), Kind::Asn).unwrap_err();
    assert_eq!(why, "it tells countries, not autonomous systems");
}

#[test]
fn no_damage_to_a_file_makes_a_look_up_panic() {
    let files = Files::new();
    let whole = countries("DE");
    for place in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0xff;
        let (places, _) = Places::open(&Geo { country: Some(files.write("country", &damaged)), asn: None });
        for client in ["192.0.2.1", "2001:db8::1", "203.0.113.1"] {
            assert!(!shown(&places, client).is_empty());
        }
    }
}
