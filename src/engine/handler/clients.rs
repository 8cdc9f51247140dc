//! The clients that call services: one for each set of certificate files, so that connections are used again.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use reqwest::{Client, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject as _},
    },
};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::HttpError;
use crate::{digest, engine::config::HttpTls};

/// Clients that have been made, for all handlers. Cheap to clone; clones share.
///
/// A client holds connections to any number of services. Certificate files are read at each call, and a client is made
/// anew when what is in them has changed: a call that ends in a program's reply can afford to read some kilobytes, and
/// modification times miss changes (files that are put in place with an old time, or twice within one tick).
#[derive(Debug, Clone, Default)]
pub struct HttpClients(Arc<Mutex<HashMap<Files, Made>>>);

/// What a client is made from. `None`: it is for `http`, which needs no certificates.
type Files = Option<HttpTls>;

#[derive(Debug)]
struct Made {
    digests: [Option<String>; 3],
    client: Client,
}

/// What is in the files.
struct Pems {
    authorities: Option<Pem>,
    certificate: Option<Pem>,
    key: Option<Pem>,
}

struct Pem {
    file: PathBuf,
    bytes: Vec<u8>,
}

impl HttpClients {
    /// The client for a service that is called with these files.
    pub(super) async fn get(&self, is_https: bool, tls: &HttpTls) -> Result<Client, HttpError> {
        let files = is_https.then(|| tls.clone());
        let pems = Pems::read(files.as_ref()).await?;
        let digests = pems.digests();
        if let Some(made) = self.lock().get(&files).filter(|made| made.digests == digests) {
            return Ok(made.client.clone());
        }
        let client = client(if is_https { trust(&pems)? } else { no_trust()? })?;
        self.lock().insert(files, Made { digests, client: client.clone() });
        Ok(client)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Files, Made>> {
        // A panic elsewhere leaves the map as it was: each change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that does only what it is told: no redirects, and no proxies, which whitebox-controller's handlers never
/// went through either. So nothing here depends on the environment, but for the system's list of authorities.
fn client(tls: ClientConfig) -> Result<Client, HttpError> {
    let client = Client::builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(tls);
    client.build().map_err(|error| HttpError::Url(error.to_string()))
}

type Trust = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<Trust, HttpError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.map_err(|error| HttpError::NoAuthorities(error.to_string()))
}

/// For `http`: nobody is trusted, and the system need not have a list of authorities.
fn no_trust() -> Result<ClientConfig, HttpError> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn trust(pems: &Pems) -> Result<ClientConfig, HttpError> {
    let trust = match &pems.authorities {
        Some(pem) => builder()?.with_root_certificates(pem.authorities()?),
        None => builder()?
            .with_platform_verifier()
            .map_err(|error| HttpError::NoAuthorities(format!("the system trusts nobody: {error}")))?,
    };
    match (&pems.certificate, &pems.key) {
        (None, None) => Ok(trust.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let (chain, secret) = (certificate.certificates()?, key.key()?);
            trust.with_client_auth_cert(chain, secret).map_err(|error| {
                key.is_bad(format!("is no key for `{}`: {error}", certificate.file.display()))
            })
        }
        (Some(alone), None) => Err(alone.is_bad("is a certificate without its key: set `tls.keyFile`")),
        (None, Some(alone)) => Err(alone.is_bad("is a key without its certificate: set `tls.certFile`")),
    }
}

impl Pems {
    async fn read(files: Option<&HttpTls>) -> Result<Self, HttpError> {
        let file = |choose: fn(&HttpTls) -> Option<&PathBuf>| Pem::read(files.and_then(choose));
        Ok(Self {
            authorities: file(|tls| tls.ca_cert_file.as_ref()).await?,
            certificate: file(|tls| tls.cert_file.as_ref()).await?,
            key: file(|tls| tls.key_file.as_ref()).await?,
        })
    }

    fn digests(&self) -> [Option<String>; 3] {
        [&self.authorities, &self.certificate, &self.key]
            .map(|pem| pem.as_ref().map(|pem| digest::sha256_hex(&pem.bytes)))
    }
}

impl Pem {
    async fn read(file: Option<&PathBuf>) -> Result<Option<Self>, HttpError> {
        let Some(file) = file else { return Ok(None) };
        match tokio::fs::read(file).await {
            Ok(bytes) => Ok(Some(Self { file: file.clone(), bytes })),
            Err(error) => Err(is_bad(file, format!("cannot be read: {error}"))),
        }
    }

    fn authorities(&self) -> Result<RootCertStore, HttpError> {
        let mut store = RootCertStore::empty();
        for certificate in self.certificates()? {
            let added = store.add(certificate);
            added.map_err(|error| self.is_bad(format!("holds something that is no authority: {error}")))?;
        }
        Ok(store)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, HttpError> {
        let all: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match all {
            Ok(all) if all.is_empty() => Err(self.is_bad("holds no certificate in PEM format")),
            Ok(all) => Ok(all),
            Err(error) => Err(self.is_bad(format!("is not in PEM format: {error}"))),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, HttpError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            PemError::NoItemsFound => self.is_bad("holds no private key in PEM format"),
            error => self.is_bad(format!("is not in PEM format: {error}")),
        })
    }

    fn is_bad(&self, problem: impl Into<String>) -> HttpError {
        is_bad(&self.file, problem)
    }
}

fn is_bad(file: &Path, problem: impl Into<String>) -> HttpError {
    HttpError::Certificate { file: file.to_owned(), problem: problem.into() }
}
