//! Tokens of what a program runs on in Azure.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};

use super::answer::{Endpoints, endpoint};
use super::{Secret, TokenAnswer, TokenError, TokenSource};

/// Tokens of Azure's managed identity: of the virtual machine, or of the App Service, that the program
/// runs on. What a request names is the resource, such as `https://management.azure.com`; a `/.default`
/// behind it is taken off.
///
/// ```
/// use durable_http::{HttpCalls, ManagedIdentity};
///
/// let identity = ManagedIdentity::virtual_machine().client_id("of one that is assigned by the user");
/// let calls = HttpCalls::default().token_source("AzureManagedIdentity", identity);
/// # let _ = calls;
/// ```
#[derive(Clone, Debug)]
pub struct ManagedIdentity {
    endpoints: Endpoints,
    endpoint: String,
    version: &'static str,
    /// What proves that it is this machine that asks.
    proof: (HeaderName, Secret),
    client_id: Option<String>,
}

impl ManagedIdentity {
    /// Of the virtual machine, from its metadata endpoint (`http://169.254.169.254`).
    pub fn virtual_machine() -> Self {
        Self {
            endpoints: Endpoints::new(),
            endpoint: String::new(),
            version: "2018-02-01",
            proof: (
                HeaderName::from_static("metadata"),
                Secret("true".to_owned()),
            ),
            client_id: None,
        }
        .metadata_endpoint("http://169.254.169.254")
    }

    /// Of the App Service or the function app: what it has in the environment as `IDENTITY_ENDPOINT` and
    /// `IDENTITY_HEADER`.
    pub fn app_service(endpoint: impl Into<String>, header: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            version: "2019-08-01",
            proof: (
                HeaderName::from_static("x-identity-header"),
                Secret(header.into()),
            ),
            ..Self::virtual_machine()
        }
    }

    /// Where the metadata of the virtual machine is asked, instead of its usual place: scheme, host and
    /// port of a stand-in.
    #[must_use]
    pub fn metadata_endpoint(self, origin: impl AsRef<str>) -> Self {
        let origin = origin.as_ref().trim_end_matches('/');
        Self {
            endpoint: format!("{origin}/metadata/identity/oauth2/token"),
            ..self
        }
    }

    /// The identity, where the user has assigned several. Default: the one there is.
    #[must_use]
    pub fn client_id(self, client_id: impl Into<String>) -> Self {
        Self {
            client_id: Some(client_id.into()),
            ..self
        }
    }

    fn request(&self, resource: &str) -> Result<Request<Bytes>, TokenError> {
        let resource = resource.strip_suffix("/.default").unwrap_or(resource);
        let mut query = vec![("api-version", self.version), ("resource", resource)];
        query.extend(self.client_id.as_deref().map(|id| ("client_id", id)));
        let (name, Secret(proof)) = &self.proof;
        let wrong = |_| TokenError::new("its header has a line break");
        let mut proof = HeaderValue::from_str(proof).map_err(wrong)?;
        proof.set_sensitive(true);
        let request = Request::get(endpoint(&self.endpoint, &query)?).header(name, proof);
        let request = request.body(Bytes::new());
        request.map_err(|error| TokenError::new(error.to_string()))
    }
}

impl TokenSource for ManagedIdentity {
    fn fetch<'a>(&'a self, resource: &'a str) -> TokenAnswer<'a> {
        Box::pin(async move { self.endpoints.ask(self.request(resource)?).await })
    }
}
