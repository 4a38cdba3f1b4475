//! The `tower` service.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::api::HttpApi;
use crate::body::RequestBody;
use crate::error::ApiError;
use crate::response::ResponseBody;
use crate::routes;

/// Answers every request: with 404 what is not a route of the management API.
impl<B: Body + Send + 'static> Service<Request<B>> for HttpApi {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.clone();
        let (parts, body) = request.into_parts();
        let body = RequestBody::new(body);
        Box::pin(async move { Ok(api.answer(parts, body).await) })
    }
}

impl HttpApi {
    async fn answer(&self, parts: Parts, body: RequestBody) -> Response<ResponseBody> {
        let answer = routes::answer(self, &parts, body);
        let answer = catch_panic(answer).await;
        let mut response = answer.unwrap_or_else(|error| self.refusal(error));
        if parts.method == Method::HEAD {
            *response.body_mut() = ResponseBody::default();
        }
        response
    }
}

/// A panic, for example of a program's own hook, ends one request and not the connection.
async fn catch_panic<T>(future: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let mut future = pin!(future);
    poll_fn(move |cx| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(cx));
        // The panic's own message went where the panic hook sends it.
        catch_unwind(poll).unwrap_or_else(|_| {
            let panicked = ApiError::Internal("answering it panicked".to_owned());
            Poll::Ready(Err(panicked))
        })
    })
    .await
}
