//! Certificates of the coordinator, and the authority for those of its callers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use daemon::chain;
use daemon::shutdown::Shutdown;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What is spoken on a port after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// gRPC.
    H2,
    /// Everything else.
    Http1,
}

/// Where certificates lie, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The coordinator's chain, its own certificate first.
    pub cert: PathBuf,
    /// The key of it.
    pub key: PathBuf,
    /// The authority for certificates of callers; none for callers without.
    pub client_ca: Option<PathBuf>,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of what is looked for.
    #[error("reading {} ({key})", path.display())]
    File {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A file has none.
    #[error("{} ({key}) holds no certificate", path.display())]
    Empty {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The certificate and the key do not belong together, or are of a kind that is not taken.
    #[error("the certificate and key of tls.cert and tls.key cannot be used")]
    Identity(#[source] rustls::Error),
    /// The authority is no authority.
    #[error("the authority of tls.client_ca cannot be used")]
    Authority(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What handshakes are made with.
#[derive(Clone, Debug)]
pub struct Tls {
    h2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let config = server_config(files)?;
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Self {
            h2: speaking(b"h2"),
            http1: speaking(b"http/1.1"),
        })
    }

    pub(super) fn acceptor(&self, alpn: Alpn) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(match alpn {
            Alpn::H2 => &self.h2,
            Alpn::Http1 => &self.http1,
        }))
    }
}

fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates("tls.cert", &files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
        key: "tls.key",
        path: files.key.clone(),
        source,
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path)?),
    };
    builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Identity)
}

/// What verifies certificates of callers.
pub(crate) fn verifier(client_ca: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable = |error| TlsError::Authority(Box::new(error));
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.client_ca", client_ca)? {
        roots.add(certificate).map_err(unusable)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // A caller may show a token in the place of a certificate.
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Authority(Box::new(error)))
}

/// The certificates in a file; one at least.
pub(crate) fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File {
        key,
        path: path.to_owned(),
        source,
    };
    let all = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(failed)?;
    if all.is_empty() {
        return Err(TlsError::Empty {
            key,
            path: path.to_owned(),
        });
    }
    Ok(all)
}

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Takes renewed certificates into use for the connections that come, until the process drains. Files that
/// cannot be used change nothing.
pub async fn follow(files: TlsFiles, current: watch::Sender<Tls>, shutdown: Shutdown) {
    let mut seen = files.stamps();
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let stamps = files.stamps();
        if stamps == seen {
            continue;
        }
        seen = stamps;
        match Tls::read(&files) {
            Ok(tls) => {
                current.send_replace(tls);
                tracing::info!("renewed certificates are in use");
            }
            Err(error) => tracing::error!(
                error = chain(&error),
                "the certificates in use stay: the new ones cannot be used"
            ),
        }
    }
}

impl TlsFiles {
    /// What tells whether one of them was written.
    fn stamps(&self) -> [Option<SystemTime>; 3] {
        let written = |path: &Path| std::fs::metadata(path).ok()?.modified().ok();
        [
            written(&self.cert),
            written(&self.key),
            self.client_ca.as_deref().and_then(written),
        ]
    }
}
