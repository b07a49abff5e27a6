//! Keys that sign: read from PEM, made anew, and shown as the DNS record that verifiers ask for.
//!
//! Invariants: a private key is never printed or logged; what signs has a length that verifiers take.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{digest, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::NotSigned;

/// Lengths of RSA keys that are made, in bits: RFC 8301 §3.2 asks for 2048 at least, and some verifiers take no more
/// than 4096.
pub const RSA_BITS: [u32; 3] = [2048, 3072, 4096];

/// Octets of base64 on a line of PEM (RFC 7468 §2).
const PEM_LINE_OCTETS: usize = 64;

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 6376 §3.3.3.
    RsaSha256,
    /// RFC 8463.
    Ed25519Sha256,
}

impl Algorithm {
    /// The value of `a=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
        }
    }

    /// The value of `k=` in the key's record (RFC 6376 §3.6.1, RFC 8463 §4).
    #[must_use]
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa",
            Self::Ed25519Sha256 => "ed25519",
        }
    }
}

/// A private key.
pub struct SigningKey(Pair);

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("SigningKey").field(&self.algorithm()).finish()
    }
}

/// Why a text is no key that signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// There is no PEM block of a private key.
    NoKey,
    /// The key has a passphrase.
    Encrypted,
    /// The key is neither RSA nor Ed25519, or is broken.
    Unusable,
    /// An RSA key under 2048 bits or over 8192.
    Length,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::NoKey => "no private key in PEM is in it",
            Self::Encrypted => "the key has a passphrase, which nobody would type",
            Self::Unusable => "the key is broken, or neither RSA nor Ed25519",
            Self::Length => "an RSA key has 2048 to 8192 bits (RFC 8301 §3.2)",
        })
    }
}

impl std::error::Error for KeyError {}

impl SigningKey {
    /// The first private key in the PEM text: PKCS#8, or PKCS#1 for RSA.
    ///
    /// # Errors
    /// Why there is none that signs.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(der) => der,
            Err(_) if pem.contains("ENCRYPTED") => return Err(KeyError::Encrypted),
            Err(_) => return Err(KeyError::NoKey),
        };
        // In PKCS#1 a passphrase is said inside the block, and the rest is no DER.
        if pem.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let rsa = |pair: Result<RsaKeyPair, aws_lc_rs::error::KeyRejected>| match pair {
            Ok(pair) => Ok(Self(Pair::Rsa(Box::new(pair)))),
            Err(why) if matches!(why.to_string().as_str(), "TooSmall" | "TooLarge") => Err(KeyError::Length),
            Err(_) => Err(KeyError::Unusable),
        };
        match &der {
            PrivateKeyDer::Pkcs1(key) => rsa(RsaKeyPair::from_der(key.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(key) => {
                let key = key.secret_pkcs8_der();
                match Ed25519KeyPair::from_pkcs8_maybe_unchecked(key) {
                    Ok(pair) => Ok(Self(Pair::Ed25519(Box::new(pair)))),
                    Err(_) => rsa(RsaKeyPair::from_pkcs8(key)),
                }
            }
            _ => Err(KeyError::Unusable),
        }
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Pair::Rsa(_) => Algorithm::RsaSha256,
            Pair::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// Its length in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        match &self.0 {
            Pair::Rsa(pair) => pair.public_modulus_len().saturating_mul(8),
            Pair::Ed25519(_) => 256,
        }
    }

    /// The signature over what is hashed, in base64.
    ///
    /// # Errors
    /// A fault of the library or a lack of memory.
    pub(super) fn sign(&self, hashed: &[u8]) -> Result<String, NotSigned> {
        match &self.0 {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), hashed, &mut signature)
                    .map_err(|_| NotSigned)?;
                Ok(STANDARD.encode(signature))
            }
            // The hash itself is what is signed (RFC 8463 §3).
            Pair::Ed25519(pair) => {
                let digest = digest::digest(&digest::SHA256, hashed);
                let signature = pair.try_sign(digest.as_ref()).map_err(|_| NotSigned)?;
                Ok(STANDARD.encode(signature))
            }
        }
    }

    /// The public key as it stands in `p=`; `None` when the library can't tell it.
    #[must_use]
    pub fn public_key(&self) -> Option<String> {
        Some(match &self.0 {
            Pair::Rsa(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
                STANDARD.encode(der.as_ref())
            }
            Pair::Ed25519(pair) => STANDARD.encode(pair.public_key().as_ref()),
        })
    }

    /// The text of the key's record (RFC 6376 §3.6.1).
    #[must_use]
    pub fn record(&self) -> Option<String> {
        let public_key = self.public_key()?;
        Some(format!("v=DKIM1; k={}; p={public_key}", self.algorithm().key_type()))
    }
}

/// A kind of key that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKey {
    /// RSA of that many bits, one of [`RSA_BITS`].
    Rsa(u32),
    /// Ed25519.
    Ed25519,
}

impl NewKey {
    /// A key that never was before, in PEM; `None` when the system has no randomness or the length isn't offered.
    #[must_use]
    pub fn make(self) -> Option<String> {
        let der = match self {
            Self::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return None,
                };
                let pair = rsa::KeyPair::generate(size).ok()?;
                let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
                STANDARD.encode(der.as_ref())
            }
            // Without the public key in it, which older programs refuse.
            Self::Ed25519 => STANDARD.encode(Ed25519KeyPair::generate().ok()?.to_pkcs8v1().ok()?.as_ref()),
        };
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = der.as_str();
        while !rest.is_empty() {
            let (line, behind) = rest.split_at_checked(PEM_LINE_OCTETS).unwrap_or((rest, ""));
            pem.push_str(line);
            pem.push('\n');
            rest = behind;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Some(pem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_made_are_read_again() {
        for (kind, algorithm, bits) in [
            (NewKey::Rsa(2048), Algorithm::RsaSha256, 2048),
            (NewKey::Ed25519, Algorithm::Ed25519Sha256, 256),
        ] {
            let pem = kind.make().unwrap();
            assert!(pem.lines().all(|line| line.len() <= PEM_LINE_OCTETS));
            let key = SigningKey::from_pem(&pem).unwrap();
            assert_eq!((key.algorithm(), key.bits()), (algorithm, bits));
            assert!(key.record().unwrap().starts_with(&format!("v=DKIM1; k={}; p=", algorithm.key_type())));
            assert!(!format!("{key:?}").contains(pem.lines().nth(1).unwrap()));
            assert_ne!(kind.make(), Some(pem), "two keys are never the same");
        }
        assert_eq!(NewKey::Rsa(1024).make(), None);
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let short = include_str!("testdata/rsa-1024.pem");
        for (pem, error) in [
            ("", KeyError::NoKey),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", KeyError::NoKey),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                KeyError::Encrypted,
            ),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", KeyError::Unusable),
            (short, KeyError::Length),
        ] {
            assert_eq!(SigningKey::from_pem(pem).err(), Some(error), "{pem}");
        }
        for pem in [include_str!("testdata/rsa-pkcs1.pem"), include_str!("testdata/rsa-pkcs8.pem")] {
            assert_eq!(SigningKey::from_pem(pem).unwrap().bits(), 2048);
        }
        assert_eq!(
            SigningKey::from_pem(include_str!("testdata/rsa-pkcs1.pem")).unwrap().public_key(),
            SigningKey::from_pem(include_str!("testdata/rsa-pkcs8.pem")).unwrap().public_key(),
        );
    }

    #[test]
    fn the_key_of_rfc_8463_has_its_record() {
        let key = SigningKey::from_pem(include_str!("testdata/rfc8463-ed25519.pem")).unwrap();
        let record = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(key.record().as_deref(), Some(record));
    }
}
