//! The way to a coordinator: plain or TLS, with a certificate or a token as proof of who we are.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// What we know the coordinator by and prove ourselves with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The authority that has signed the coordinator's certificate, in PEM. An `https` URL needs it.
    pub ca: Option<PathBuf>,
    /// Our certificate and its chain, in PEM.
    pub cert: Option<PathBuf>,
    /// The key of it.
    pub key: Option<PathBuf>,
    /// A bearer token.
    pub token: Option<Token>,
    /// Certificate, chain and key in the place of files.
    pub pem: Option<Pem>,
}

/// A certificate, its chain and its key together, in PEM; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(String);

impl Pem {
    /// From its text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, key included: for a file that is ours alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem(…)")
    }
}

/// A bearer token; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token as it was handed out; white space around it is nothing.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The token in a file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        read(path).map(|text| Self::new(&String::from_utf8_lossy(&text)))
    }

    /// The text, for the message that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why there is no way to a coordinator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URL of a coordinator.
    #[error(
        "{url:?} is not the address of a coordinator: write http://HOST:PORT or https://HOST:PORT"
    )]
    Url {
        /// What was given.
        url: String,
    },
    /// TLS without knowing whom to trust.
    #[error("{url} needs the authority that has signed the coordinator's certificate (ca)")]
    NoAuthority {
        /// The URL.
        url: String,
    },
    /// Half an identity.
    #[error("a certificate needs its key and a key its certificate: give both or none")]
    HalfIdentity,
    /// A secret that would go over the network in plain text.
    #[error("a certificate is of no use to {url}: write https://")]
    PlainIdentity {
        /// The URL.
        url: String,
    },
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("using the certificates given")]
    Tls(#[source] tonic::transport::Error),
    /// The token holds what no token holds.
    #[error("the token is empty or holds a character that no token has")]
    Token,
}

/// A connection that says who we are on every call.
pub type Connection = InterceptedService<Channel, Bearer>;

/// Adds the token to calls, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Bearer(Option<Arc<MetadataValue<Ascii>>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            let value = MetadataValue::clone(value);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// Prepares a connection, which is made with the first call and again whenever it is lost. `tune` sets
/// its timeouts.
///
/// # Errors
/// When the URL or a credential cannot be used.
pub fn connect(
    url: &str,
    credentials: &Credentials,
    tune: impl FnOnce(Endpoint) -> Endpoint,
) -> Result<Connection, Error> {
    let with_url = |error: fn(String) -> Error| error(url.to_owned());
    let secure = url.starts_with("https://");
    if !secure && !url.starts_with("http://") {
        return Err(with_url(|url| Error::Url { url }));
    }
    let endpoint = Endpoint::from_shared(url.to_owned());
    let mut endpoint = endpoint.map_err(|_source| with_url(|url| Error::Url { url }))?;
    let identity = match (&credentials.pem, &credentials.cert, &credentials.key) {
        // Each is looked for in the text, and what is not it is passed over.
        (Some(Pem(text)), None, None) => Some(Identity::from_pem(text, text)),
        (None, Some(cert), Some(key)) => Some(Identity::from_pem(read(cert)?, read(key)?)),
        (None, None, None) => None,
        _ => return Err(Error::HalfIdentity),
    };
    if secure {
        let ca = credentials.ca.as_ref();
        let ca = ca.ok_or_else(|| with_url(|url| Error::NoAuthority { url }))?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        endpoint = endpoint.tls_config(tls).map_err(Error::Tls)?;
    } else if identity.is_some() {
        return Err(with_url(|url| Error::PlainIdentity { url }));
    }
    let bearer = match &credentials.token {
        None => Bearer::default(),
        Some(Token(text)) if text.is_empty() => return Err(Error::Token),
        Some(Token(text)) => {
            let value: Result<MetadataValue<Ascii>, _> = format!("Bearer {text}").parse();
            let mut value = value.map_err(|_source| Error::Token)?;
            value.set_sensitive(true);
            Bearer(Some(Arc::new(value)))
        }
    };
    let channel = tune(endpoint).connect_lazy();
    Ok(InterceptedService::new(channel, bearer))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_work_is_refused_with_the_reason() {
        let refused = |url: &str, credentials: &Credentials| {
            let connected = connect(url, credentials, |endpoint| endpoint);
            connected.err().map(|error| error.to_string())
        };
        let none = Credentials::default();
        assert_eq!(refused("http://host:1", &none), None);
        assert!(refused("host:1", &none).unwrap().contains("write http://"));
        assert!(refused("https://host:1", &none).unwrap().contains("(ca)"));
        let half = Credentials {
            cert: Some("c".into()),
            ..Credentials::default()
        };
        assert!(
            refused("https://host:1", &half)
                .unwrap()
                .contains("both or none")
        );
        let token = |text: &str| Credentials {
            token: Some(Token::new(text)),
            ..Credentials::default()
        };
        assert_eq!(refused("http://host:1", &token("vdt_1\n")), None);
        assert!(refused("http://host:1", &token(" ")).is_some());
        assert!(refused("http://host:1", &token("a\nb")).is_some());
        assert_eq!(format!("{:?}", Token::new("secret")), "Token(…)");
    }
}
