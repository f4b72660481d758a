//! The certificate that clients see: from files, read again when they change; without any, one that is made now.

use super::{Settings, TlsFiles};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or is no PEM.
    #[error("failed to read {path}: {why}; g_ssl_cert and g_ssl_key name PEM files", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Key and certificate do not fit, or are of a kind that is not known.
    #[error("failed to use the certificate: {0}")]
    Use(#[from] rustls::Error),
    /// No certificate could be made.
    #[error("failed to make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// The certificate in use. Cheap to clone; one TLS configuration stays valid while the certificate behind it changes.
#[derive(Clone, Debug)]
pub struct Certificates {
    current: Arc<RwLock<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// The certificate that the settings name, or one made for the server's name and its domains.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn new(settings: &Settings) -> Result<Self, CertificateError> {
        if settings.tls.is_none() {
            tracing::warn!("clients are shown a certificate that nobody has signed: set g_ssl_cert and g_ssl_key");
        }
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(load(settings)?))) })
    }

    /// The configuration for all ports that clients use: TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`CertificateError::Use`].
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        Ok(Arc::new(config))
    }

    /// Reads the files again when they or their names change, for ever. What is wrong changes nothing.
    pub async fn follow(self, mut settings: watch::Receiver<Arc<Settings>>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut complained = false;
        loop {
            tokio::select! {
                _ = look.tick() => {}
                changed = settings.changed() => if changed.is_err() { return },
            }
            let now = settings.borrow_and_update().clone();
            if now.tls.is_none() {
                continue;
            }
            let Ok(loaded) = tokio::task::spawn_blocking(move || load(&now)).await else { return };
            match loaded {
                Ok(loaded) => {
                    complained = false;
                    self.replace(loaded);
                }
                Err(error) if !complained => {
                    complained = true;
                    tracing::warn!(%error, "the certificate that was read before stays in use");
                }
                Err(_) => {}
            }
        }
    }

    fn replace(&self, loaded: CertifiedKey) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.cert != loaded.cert {
            *current = Arc::new(loaded);
            tracing::info!("clients are shown a new certificate");
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn load(settings: &Settings) -> Result<CertifiedKey, CertificateError> {
    let (chain, key) = match &settings.tls {
        Some(files) => read(files)?,
        None => make(settings)?,
    };
    Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
}

type Der = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(files: &TlsFiles) -> Result<Der, CertificateError> {
    let failed = |path: &PathBuf, why: String| CertificateError::File { path: path.clone(), why };
    let certificates = CertificateDer::pem_file_iter(&files.cert).map_err(|e| failed(&files.cert, e.to_string()))?;
    let chain: Result<Vec<_>, _> = certificates.collect();
    let chain = chain.map_err(|error| failed(&files.cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(failed(&files.cert, "there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| failed(&files.key, error.to_string()))?;
    Ok((chain, key))
}

fn make(settings: &Settings) -> Result<Der, CertificateError> {
    let mut names = vec![settings.server_name.clone()];
    names.extend(settings.domains.iter().filter(|domain| **domain != settings.server_name).cloned());
    names.push("localhost".to_owned());
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    Ok((vec![made.cert.der().clone()], key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::read::from_text;

    fn settings(more: &str) -> Settings {
        from_text(&format!("g_mirror_secret \"0123456789abcdef\"\n{more}"), "mail.example.com").unwrap().settings
    }

    fn shown(certificates: &Certificates) -> Vec<u8> {
        certificates.current.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn without_files_a_certificate_is_made() {
        let certificates = Certificates::new(&settings("")).unwrap();
        assert!(certificates.server_config().is_ok());
    }

    #[tokio::test]
    async fn files_are_read_again_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
        let renew = || {
            let made = rcgen::generate_simple_self_signed(vec!["mail.example.com".to_owned()]).unwrap();
            std::fs::write(&cert, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            made.cert.der().to_vec()
        };
        let first = renew();
        let settings = settings(&format!("g_ssl_cert \"{}\"\ng_ssl_key \"{}\"\n", cert.display(), key.display()));
        let certificates = Certificates::new(&settings).unwrap();
        assert_eq!(shown(&certificates), first);

        std::fs::write(&cert, "nonsense").unwrap();
        assert!(matches!(load(&settings), Err(CertificateError::File { .. })));
        let (sender, receiver) = watch::channel(Arc::new(settings));
        let following = tokio::spawn(certificates.clone().follow(receiver));
        let second = renew();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while shown(&certificates) != second {
            assert!(std::time::Instant::now() < deadline, "the new certificate is shown in time");
            sender.send_modify(|_| {});
            tokio::task::yield_now().await;
        }
        following.abort();
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let settings = settings("g_ssl_cert \"/nonexistent/a.pem\"\ng_ssl_key \"/nonexistent/b.pem\"\n");
        let error = Certificates::new(&settings).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/a.pem") && error.contains("g_ssl_cert"), "{error}");
    }
}
