//! Tokens of an OAuth 2 server, for a program's own credentials.

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};

use super::answer::{Endpoints, endpoint};
use super::{Secret, TokenAnswer, TokenError, TokenSource};
use crate::outbound::trust::InvalidCertificate;

/// Tokens by OAuth 2's client credentials grant (RFC 6749, 4.4). What a request names is the scope; of
/// Microsoft Entra ID it ends with `/.default`.
///
/// ```
/// use durable_http::{ClientCredentials, HttpCalls};
///
/// # let secret = "from the environment";
/// let source = ClientCredentials::new("https://login.example/oauth2/token", "my-client", secret);
/// let calls = HttpCalls::default().token_source("orders", source);
/// # let _ = calls;
/// ```
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    endpoints: Endpoints,
    token_url: String,
    client_id: String,
    client_secret: Secret,
}

impl ClientCredentials {
    /// The server's token endpoint, and what this program is known by there.
    pub fn new(
        token_url: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        Self {
            endpoints: Endpoints::new(),
            token_url: token_url.into(),
            client_id: client_id.into(),
            client_secret: Secret(client_secret.into()),
        }
    }

    /// Accepts what these have issued, too, as [`HttpClient::trust`](crate::HttpClient::trust) does.
    ///
    /// # Errors
    ///
    /// [`InvalidCertificate`] if one cannot be read, or there is none.
    pub fn trust(self, certificates: impl AsRef<[u8]>) -> Result<Self, InvalidCertificate> {
        Ok(Self {
            endpoints: self.endpoints.trust(certificates.as_ref())?,
            ..self
        })
    }

    fn request(&self, scope: &str) -> Result<Request<Bytes>, TokenError> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", &self.client_secret.0);
        if !scope.is_empty() {
            form.append_pair("scope", scope);
        }
        let request = Request::post(endpoint(&self.token_url, &[])?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form.finish().into());
        request.map_err(|error| TokenError::new(error.to_string()))
    }
}

impl TokenSource for ClientCredentials {
    fn fetch<'a>(&'a self, resource: &'a str) -> TokenAnswer<'a> {
        Box::pin(async move { self.endpoints.ask(self.request(resource)?).await })
    }
}
