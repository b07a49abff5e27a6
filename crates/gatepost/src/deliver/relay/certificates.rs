//! TLS for the tests of relaying: a server's certificate for `mx.example.org`, and a client that knows it.

use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{Handshake, HandshakeFault, Shaken, Shaking, Socket};
use crate::deliver::next_hop::{TlsLevel, TlsPlan};
use crate::net::tls_result::TlsFailure;

/// The one name in the certificate.
pub(super) const NAME: &str = "mx.example.org";

struct Both {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn both() -> &'static Both {
    static BOTH: OnceLock<Both> = OnceLock::new();
    BOTH.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed([String::from(NAME)]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Both { server: Arc::new(server), client: Arc::new(client) }
    })
}

/// The server's end.
pub(super) fn server() -> Arc<ServerConfig> {
    Arc::clone(&both().server)
}

/// A client that takes the certificate for its name, and for the plan's names where it has some.
pub(super) struct Client;

impl Handshake for Client {
    fn shake<'a>(&'a self, socket: Socket, plan: &'a TlsPlan, host_name: &'a str) -> Shaking<'a> {
        let name = match &plan.level {
            TlsLevel::Verified(names) => names[0].clone(),
            _ => host_name.to_owned(),
        };
        Box::pin(async move {
            let name = ServerName::try_from(name).unwrap();
            let connecting = TlsConnector::from(Arc::clone(&both().client)).connect(name, socket);
            connecting.await.map(|stream| Shaken { stream, remark: None }).map_err(|error| HandshakeFault {
                failure: TlsFailure::ValidationFailure,
                text: error.to_string(),
            })
        })
    }
}
