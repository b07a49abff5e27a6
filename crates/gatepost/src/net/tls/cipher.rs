//! The cipher suites that there are: all with forward secrecy and authenticated encryption.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite as suites;

use crate::config::TlsVersion;

macro_rules! ciphers {
    ($($variant:ident $name:literal $suite:ident,)+) => {
        /// A cipher suite.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Cipher {
            $(
                #[doc = $name]
                $variant,
            )+
        }

        /// The cipher suites by their IANA names, best first.
        pub(crate) const CIPHER_WORDS: &[(&str, Cipher)] = &[$(($name, Cipher::$variant),)+];

        impl Cipher {
            pub(super) const fn suite(self) -> SupportedCipherSuite {
                match self {
                    $(Self::$variant => suites::$suite,)+
                }
            }
        }
    };
}

ciphers! {
    Aes256 "TLS_AES_256_GCM_SHA384" TLS13_AES_256_GCM_SHA384,
    Aes128 "TLS_AES_128_GCM_SHA256" TLS13_AES_128_GCM_SHA256,
    ChaCha20 "TLS_CHACHA20_POLY1305_SHA256" TLS13_CHACHA20_POLY1305_SHA256,
    EcdsaAes256 "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    EcdsaAes128 "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    EcdsaChaCha20 "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    RsaAes256 "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    RsaAes128 "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    RsaChaCha20 "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

impl Cipher {
    /// The version of TLS that it is for.
    pub(crate) const fn version(self) -> TlsVersion {
        match self.suite() {
            SupportedCipherSuite::Tls13(_) => TlsVersion::V1_3,
            SupportedCipherSuite::Tls12(_) => TlsVersion::V1_2,
        }
    }
}

/// The IANA name of a suite that was negotiated.
pub(super) fn name_of(suite: SupportedCipherSuite) -> &'static str {
    let known = CIPHER_WORDS.iter().find(|(_, cipher)| cipher.suite().suite() == suite.suite());
    known.map_or("unknown", |(name, _)| name)
}
