//! How the far end proves who it is: by this machine's own trust, or by an authority of one's own.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, TlsMode};
use crate::model::{Error, ErrorKind};

/// What an encrypted connection to the address is made by.
pub(crate) fn connector(address: &Address) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(ring::default_provider());
    let trusted = match (&address.root, address.tls) {
        (None, TlsMode::Prefer | TlsMode::Require | TlsMode::Disable) => None,
        (None, _) => {
            let trusted = rustls_platform_verifier::Verifier::new(Arc::clone(&provider));
            let trusted = trusted.map_err(|error| no_trust(&error))?;
            Some(Arc::new(trusted) as Arc<dyn ServerCertVerifier>)
        }
        (Some(file), _) => Some(own_authority(file, &provider)?),
    };
    let verifier = Arc::new(CertificatePolicy {
        trusted,
        named: address.tls == TlsMode::VerifyFull,
        provider: Arc::clone(&provider),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| no_trust(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn no_trust(error: &rustls::Error) -> Error {
    let message = format!("this machine's trusted authorities cannot be read: {error}");
    Error::new(ErrorKind::Unsafe, message).help("name one with `sslrootcert=FILE`")
}

fn own_authority(
    file: &std::path::Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let wrong = |what: String| {
        let message = format!("cannot read the authority's certificate {}: {what}", file.display());
        Error::usage(message).help("`sslrootcert` names a PEM file")
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(verifier.map_err(|error| wrong(error.to_string()))?)
}

/// What is asked of the far end's certificate, by mode.
#[derive(Debug)]
struct CertificatePolicy {
    /// Who must know it; none where anybody is taken.
    trusted: Option<Arc<dyn ServerCertVerifier>>,
    /// Whether it must be of the name that was asked for.
    named: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for CertificatePolicy {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        match trusted.verify_server_cert(end, between, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.named => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
