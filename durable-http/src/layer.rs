//! The `tower` layer: the management API around another service.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Either;
use tower_layer::Layer;
use tower_service::Service;

use crate::api::HttpApi;
use crate::response::ResponseBody;
use crate::routes::is_under_base;

/// Wraps a service: requests under the [base path](crate::HttpApiBuilder::base_path) are answered,
/// all others pass.
///
/// Unlike a nested [`HttpApi`], it matches with the base path only, so that it takes nothing away
/// from the service inside.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let hub = durable_core::TaskHub::in_memory().await?;
/// # let key = "a key of 16 bytes or more";
/// use axum::routing::get;
/// use durable_http::{HttpApi, HttpApiLayer};
/// use tower::Layer;
///
/// let api = HttpApi::builder(hub.client()).admin_key(key).build()?;
/// let app = axum::Router::new().route("/", get(|| async { "my own" }));
/// let service = HttpApiLayer::new(api).layer(app);
/// # fn is_service<S: tower::Service<http::Request<axum::body::Body>>>(_: S) {}
/// # is_service(service);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpApiLayer {
    api: HttpApi,
}

impl HttpApiLayer {
    /// A layer that answers with `api`.
    pub fn new(api: HttpApi) -> Self {
        Self { api }
    }
}

impl<S> Layer<S> for HttpApiLayer {
    type Service = HttpApiMiddleware<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpApiMiddleware {
            api: self.api.clone(),
            inner,
        }
    }
}

/// A service with the management API around it; see [`HttpApiLayer`].
#[derive(Clone, Debug)]
pub struct HttpApiMiddleware<S> {
    api: HttpApi,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for HttpApiMiddleware<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static>,
    S::Error: 'static,
    B: Body + Send + 'static,
    R: Body<Data = Bytes> + 'static,
{
    type Response = Response<Either<ResponseBody, R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if is_under_base(&self.api, request.uri().path()) {
            let answer = self.api.call(request);
            Box::pin(async move {
                let answer = answer.await.unwrap_or_else(|never| match never {});
                Ok(answer.map(Either::Left))
            })
        } else {
            let answer = self.inner.call(request);
            Box::pin(async move { Ok(answer.await?.map(Either::Right)) })
        }
    }
}
