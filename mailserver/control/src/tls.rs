//! TLS without a public key infrastructure: the certificates are made anew at each start and prove nothing. What
//! proves who is at the other end is a hash over the shared secret and the connection's own keying material (RFC 5705,
//! RFC 9266), which somebody in the middle cannot relay: see [`crate::auth`].

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use std::sync::Arc;

/// Bytes of keying material that a proof is bound to.
pub const EXPORTER_BYTES: usize = 32;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refused the configuration.
    #[error("failed to set up TLS: {0}")]
    Configuration(#[from] rustls::Error),
    /// No certificate could be made.
    #[error("failed to make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// For a client of the admin API or the link: TLS 1.3, any certificate, to be followed by a proof.
///
/// # Errors
/// [`TlsError::Configuration`].
pub fn client_config() -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// For a server of the admin API or the link: TLS 1.3, a certificate that is made now.
///
/// # Errors
/// [`TlsError`].
pub fn server_config() -> Result<Arc<ServerConfig>, TlsError> {
    let made = rcgen::generate_simple_self_signed(vec!["mailmirror.invalid".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(Arc::new(config))
}

/// The name that clients ask for; no certificate is checked against it.
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(rustls_pki_types::IpAddr::V4(rustls_pki_types::Ipv4Addr::from([127, 0, 0, 1])))
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
