//! What is stored of passwords, here and by other programs, and whether a password fits it.
//!
//! Invariants: a form that is not known is a failure, never a wrong password; what is made here is argon2id.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::preparation::Password;
use super::scram::{self, Keys};

/// Octets of a new salt.
const SALT_OCTETS: usize = 16;

/// The cost of argon2id (OWASP's first choice: 19 MiB, two passes, one lane).
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What is stored of a user's password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    hashes: Vec<String>,
    keys: Option<Keys>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secrets")
    }
}

impl Secrets {
    /// What is stored of a new password. Takes some tenths of a second, and chance for two salts.
    ///
    /// # Errors
    /// When the system has no random numbers, or no memory.
    pub fn new(password: &Password) -> Result<Self, String> {
        let hash = argon2id()?
            .hash_password_with_salt(password.prepared().as_bytes(), &salt()?)
            .map_err(|error| format!("cannot hash the password: {error}"))?;
        Ok(Self { hashes: vec![hash.to_string()], keys: Some(new_keys(password)?) })
    }

    /// Reads what stands in a file or a table: forms of hashes, one or more.
    #[must_use]
    pub fn read<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let (mut hashes, mut keys) = (Vec::new(), None);
        for text in texts {
            match Keys::read(text.strip_prefix("{SCRAM-SHA-256}").unwrap_or(text)) {
                Some(read) => keys = Some(read),
                None => hashes.push(text.to_owned()),
            }
        }
        Self { hashes, keys }
    }

    /// As a line of the file holds them.
    #[must_use]
    pub fn to_text(&self) -> String {
        let keys = self.keys.as_ref().map(Keys::to_text);
        let all: Vec<&str> = self.hashes.iter().map(String::as_str).chain(keys.as_deref()).collect();
        all.join(" ")
    }

    /// What SCRAM goes by, when there is such a thing.
    #[must_use]
    pub const fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// The same with what SCRAM goes by; `password` is the one that fits.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn with_keys(&self, password: &Password) -> Result<Self, String> {
        Ok(Self { hashes: self.hashes.clone(), keys: Some(new_keys(password)?) })
    }

    /// How the password is stored, for lists.
    #[must_use]
    pub fn forms(&self) -> Vec<String> {
        let form = |hash: &String| form(hash).map_or_else(|| String::from("unknown"), |form| form.name());
        let keys = self.keys.iter().map(|_| String::from("SCRAM-SHA-256"));
        self.hashes.iter().map(form).chain(keys).collect()
    }

    /// Whether the password fits. Takes as long as its makers wanted.
    ///
    /// # Errors
    /// When a form is not known and no other fits: it may be that one.
    pub fn fits(&self, password: &Password) -> Result<bool, String> {
        let mut unknown = None;
        for hash in &self.hashes {
            match fits(hash, password) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(why) => unknown = Some(why),
            }
        }
        match unknown {
            Some(why) => Err(why),
            None if self.hashes.is_empty() => self.fits_keys(password),
            None => Ok(false),
        }
    }

    /// Whether the password fits what SCRAM goes by, where that is all there is.
    fn fits_keys(&self, password: &Password) -> Result<bool, String> {
        self.keys
            .as_ref()
            .map_or_else(|| Err("no password is stored".to_owned()), |keys| Ok(keys.fit(password)))
    }
}

/// Works as long as a look at a password of a user that is there: nobody is to tell from the time that there is none.
pub(super) fn look_at_nothing(password: &Password) {
    let nothing = argon2id().map(|argon2| {
        argon2.hash_password_with_salt(password.prepared().as_bytes(), &[0; SALT_OCTETS]).is_ok()
    });
    std::hint::black_box(nothing.is_ok());
}

fn argon2id() -> Result<Argon2<'static>, String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| error.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn salt() -> Result<[u8; SALT_OCTETS], String> {
    let mut salt = [0; SALT_OCTETS];
    getrandom::fill(&mut salt).map_err(|_| "the system has no random numbers".to_owned())?;
    Ok(salt)
}

fn new_keys(password: &Password) -> Result<Keys, String> {
    Ok(Keys::of(password, &salt()?, scram::ITERATIONS))
}

/// How a password was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form<'h> {
    /// The whole text, as the PHC string format has it.
    Argon2(&'h str),
    Bcrypt(&'h str),
    ShaCrypt(&'h str),
    /// A digest of the password and a salt behind it (RFC 2307 and its followers).
    Salted(&'static digest::Algorithm, &'static str, &'h str),
}

impl Form<'_> {
    fn name(self) -> String {
        match self {
            Self::Argon2(hash) => hash.split('$').nth(1).unwrap_or("argon2").to_owned(),
            Self::Bcrypt(_) => String::from("bcrypt"),
            Self::ShaCrypt(hash) if hash.starts_with("$5$") => String::from("sha256-crypt"),
            Self::ShaCrypt(_) => String::from("sha512-crypt"),
            Self::Salted(_, scheme, _) => scheme.to_owned(),
        }
    }
}

/// The digests of schemes in braces.
static SALTED: &[(&str, &digest::Algorithm)] = &[
    ("{SSHA}", &digest::SHA1_FOR_LEGACY_USE_ONLY),
    ("{SHA}", &digest::SHA1_FOR_LEGACY_USE_ONLY),
    ("{SSHA256}", &digest::SHA256),
    ("{SSHA512}", &digest::SHA512),
];

/// Schemes in braces that only announce a form that says itself what it is.
const ANNOUNCING: [&str; 6] =
    ["{CRYPT}", "{ARGON2ID}", "{ARGON2I}", "{BLF-CRYPT}", "{SHA256-CRYPT}", "{SHA512-CRYPT}"];

fn form(text: &str) -> Option<Form<'_>> {
    let scheme_end = text.strip_prefix('{').and_then(|rest| rest.find('}')).map_or(0, |end| end + 2);
    let (scheme, hash) = text.split_at_checked(scheme_end)?;
    let is = |other: &str| scheme.eq_ignore_ascii_case(other);
    if let Some((name, algorithm)) = SALTED.iter().find(|(name, _)| is(name)) {
        return Some(Form::Salted(algorithm, name, hash));
    }
    if !scheme.is_empty() && !ANNOUNCING.iter().any(|known| is(known)) {
        return None;
    }
    let starts = |beginnings: &[&str]| beginnings.iter().any(|beginning| hash.starts_with(beginning));
    if starts(&["$argon2id$", "$argon2i$", "$argon2d$"]) {
        Some(Form::Argon2(hash))
    } else if starts(&["$2a$", "$2b$", "$2x$", "$2y$"]) {
        Some(Form::Bcrypt(hash))
    } else if starts(&["$5$", "$6$"]) {
        Some(Form::ShaCrypt(hash))
    } else {
        None
    }
}

/// Whether the password fits one hash, prepared or as it was sent: other programs hash what they get.
fn fits(hash: &str, password: &Password) -> Result<bool, String> {
    let form = form(hash).ok_or("a password is stored in a form that is not known")?;
    let (prepared, sent) = (password.prepared(), password.as_sent());
    Ok(fits_octets(form, prepared.as_bytes())? || (prepared != sent && fits_octets(form, sent.as_bytes())?))
}

fn fits_octets(form: Form<'_>, password: &[u8]) -> Result<bool, String> {
    use argon2::password_hash::Error;
    let broken = |what: &str| format!("a stored {what} can't be read");
    match form {
        Form::Argon2(hash) => match Argon2::default().verify_password(password, hash) {
            Ok(()) => Ok(true),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(_) => Err(broken("argon2 hash")),
        },
        Form::Bcrypt(hash) => bcrypt::verify(password, hash).map_err(|_| broken("bcrypt hash")),
        Form::ShaCrypt(hash) => match sha_crypt::ShaCrypt::default().verify_password(password, hash) {
            Ok(()) => Ok(true),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(_) => Err(broken("crypt hash")),
        },
        Form::Salted(algorithm, scheme, encoded) => {
            let stored = STANDARD.decode(encoded.trim_end()).map_err(|_| broken(scheme))?;
            let length = algorithm.output_len();
            let (digested, salt) = stored.split_at_checked(length).ok_or_else(|| broken(scheme))?;
            let mut context = digest::Context::new(algorithm);
            context.update(password);
            context.update(salt);
            Ok(constant_time::verify_slices_are_equal(context.finish().as_ref(), digested).is_ok())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::read(text.as_bytes()).unwrap()
    }

    fn read(text: &str) -> Secrets {
        Secrets::read(text.split_whitespace())
    }

    #[test]
    fn what_is_made_here_fits_and_reads_back() {
        let made = Secrets::new(&password("correct horse")).unwrap();
        assert_eq!(made.forms(), ["argon2id", "SCRAM-SHA-256"]);
        let text = made.to_text();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert_eq!(read(&text), made);
        assert_eq!(made.fits(&password("correct horse")), Ok(true));
        assert_eq!(made.fits(&password("wrong horse")), Ok(false));
    }

    #[test]
    fn hashes_of_other_programs_are_read() {
        for hash in [
            // By `openssl passwd -5` and `-6`.
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ] {
            assert_eq!(read(hash).fits(&password("Hello world!")), Ok(true), "{hash}");
            assert_eq!(read(&format!("{{CRYPT}}{hash}")).fits(&password("Hello world?")), Ok(false));
        }
        let rounds = "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.";
        assert_eq!(read(rounds).fits(&password("Hello world!")), Ok(true));
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        assert_eq!(read(&bcrypt).fits(&password("secret")), Ok(true));
        assert_eq!(read(&bcrypt.replace("$2b$", "$2y$")).fits(&password("secret")), Ok(true));
        assert_eq!(read(&format!("{{BLF-CRYPT}}{bcrypt}")).fits(&password("Secret")), Ok(false));
        // slappasswd -h {SSHA} -s secret, and sha1 of `password`.
        assert_eq!(read("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").fits(&password("password")), Ok(true));
        let salted = |scheme: &str, algorithm: &'static digest::Algorithm| {
            let digested = digest::digest(algorithm, b"secretsalt");
            format!("{scheme}{}", STANDARD.encode([digested.as_ref(), b"salt"].concat()))
        };
        for (scheme, algorithm) in SALTED {
            let stored = read(&salted(&scheme.to_lowercase(), algorithm));
            assert_eq!(stored.fits(&password("secret")), Ok(true), "{scheme}");
            assert_eq!(stored.fits(&password("Secret")), Ok(false), "{scheme}");
        }
    }

    #[test]
    fn what_is_not_known_is_no_wrong_password() {
        for unknown in [
            "secret",
            "{PLAIN}secret",
            "$1$salt$hash",
            "$argon2id$broken",
            "$6$broken",
            "$2b$04$x",
            "{SSHA}?",
            "{SSHA}YQ==",
        ] {
            assert!(read(unknown).fits(&password("secret")).is_err(), "{unknown}");
        }
        assert!(read("").fits(&password("secret")).is_err());
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        assert_eq!(read(&format!("$1$salt$hash {bcrypt}")).fits(&password("secret")), Ok(true));
        assert!(read(&format!("$1$salt$hash {bcrypt}")).fits(&password("wrong")).is_err());
    }

    #[test]
    fn keys_alone_do_and_keys_can_be_added() {
        let made = Secrets::new(&password("secret")).unwrap();
        let keys = read(&made.keys().unwrap().to_text());
        assert_eq!((keys.fits(&password("secret")), keys.fits(&password("Secret"))), (Ok(true), Ok(false)));
        let with = read(&bcrypt::hash("secret", 4).unwrap()).with_keys(&password("secret")).unwrap();
        assert_eq!(with.forms(), ["bcrypt", "SCRAM-SHA-256"]);
    }
}
