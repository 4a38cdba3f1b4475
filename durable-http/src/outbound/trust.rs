//! Whose certificates are accepted, and why one is not.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

/// What a certificate in the form of text begins with, perhaps behind some words.
const PEM: &[u8] = b"-----BEGIN ";

/// What was given is not a certificate, so nobody can be trusted for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a certificate, in PEM or DER: {0}")]
pub struct InvalidCertificate(String);

/// Roots that a service's certificate may lead to, besides those that this machine trusts.
#[derive(Clone, Debug)]
pub(crate) struct Trust(RootCertStore);

impl Default for Trust {
    fn default() -> Self {
        Self(RootCertStore::empty())
    }
}

impl Trust {
    /// Adds all of these: one in DER, or any number in PEM.
    pub(crate) fn add(&mut self, certificates: &[u8]) -> Result<(), InvalidCertificate> {
        if !certificates.windows(PEM.len()).any(|part| part == PEM) {
            return self.add_one(certificates.into());
        }
        let mut none = true;
        for found in CertificateDer::pem_slice_iter(certificates) {
            self.add_one(found.map_err(invalid)?)?;
            none = false;
        }
        if none {
            return Err(invalid("there is none in the text"));
        }
        Ok(())
    }

    fn add_one(&mut self, certificate: CertificateDer<'_>) -> Result<(), InvalidCertificate> {
        let added = self.0.add(certificate.into_owned());
        added.map_err(|error| invalid(objection(&error).unwrap_or_else(|| error.to_string())))
    }

    /// With those that this machine trusts: it reads files. Without any https fails when it connects, and
    /// http works.
    pub(crate) fn config(self) -> Result<ClientConfig, rustls::Error> {
        let mut roots = self.0;
        let found = rustls_native_certs::load_native_certs();
        let (_, ignored) = roots.add_parsable_certificates(found.certs);
        if roots.is_empty() || ignored > 0 || !found.errors.is_empty() {
            let (trusted, errors) = (roots.len(), found.errors.len());
            tracing::debug!(trusted, ignored, errors, "certificates that are trusted");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots);
        Ok(config.with_no_client_auth())
    }
}

fn invalid(what: impl ToString) -> InvalidCertificate {
    InvalidCertificate(what.to_string())
}

/// What is wrong with a service's certificate, if that is why it cannot be talked to.
pub(crate) fn objection(error: &(dyn Error + 'static)) -> Option<String> {
    let mut error = Some(error);
    while let Some(cause) = error {
        if let Some(rustls::Error::InvalidCertificate(what)) = cause.downcast_ref() {
            return Some(in_words(what));
        }
        // Its source is that of what it is made of, so that would be passed over.
        let within = cause.downcast_ref().and_then(io::Error::get_ref);
        error = match within {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

fn in_words(what: &CertificateError) -> String {
    use CertificateError as Wrong;
    if *what == Wrong::UnknownIssuer {
        return "nobody who is trusted has issued it".to_owned();
    }
    if *what == Wrong::BadSignature {
        return "it was not signed by whom it names".to_owned();
    }
    if matches!(what, Wrong::Expired | Wrong::ExpiredContext { .. }) {
        return "it has expired".to_owned();
    }
    if matches!(what, Wrong::NotValidYet | Wrong::NotValidYetContext { .. }) {
        return "it is not valid yet".to_owned();
    }
    if let Wrong::NotValidForNameContext { presented, .. } = what {
        let names = presented.join(", ");
        return format!("it is not for this name, but for {names}");
    }
    what.to_string()
}
