//! The local Stripe over HTTP: the API below `/v1`, the control and the bank's page below
//! `/simulated`, and the sender of events.

use std::fmt;
use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::Complaint;
use super::api::{self, Answered, Arrived};
use super::form::Parameters;
use super::page::{self, Page};
use super::world::{API_VERSION, LocalStripe};
use super::{controls, delivery};

/// Most bytes of a request.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

/// Serves `listener` and delivers events until `shutdown`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    stripe: LocalStripe,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    stripe.with(|world| world.base_url = format!("http://{address}"));
    let mut changes = stripe.changes.subscribe();
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    let mut shutdown = std::pin::pin!(shutdown);
    let mut delivering = std::pin::pin!(delivery::run(stripe.clone()));
    loop {
        let refuses = stripe.lock().behaviour.refuses_connections;
        match (refuses, &listener) {
            (true, Some(_)) => {
                listener = None;
                connections.abort_all();
            }
            (false, None) => listener = Some(TcpListener::bind(address).await?),
            _ => {}
        }
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            () = &mut delivering => {
                // It ends only if it cannot begin.
                return Err(io::Error::other("events cannot be delivered"));
            }
            stream = accept(listener.as_ref()) => {
                connections.spawn(converse(stripe.clone(), stream?));
            }
            _ = changes.changed() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Accepts a connection; waits for ever without a listener.
async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn converse(stripe: LocalStripe, stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| respond(stripe.clone(), request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the local Stripe ended");
    }
}

async fn respond(
    stripe: LocalStripe,
    request: Request<Incoming>,
) -> Result<Response<Body>, Closed> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Closed)?;
    let body = body.to_bytes().to_vec();
    let (method, path) = (head.method.as_str().to_owned(), head.uri.path().to_owned());
    if method == "OPTIONS" {
        return Ok(plain(StatusCode::NO_CONTENT, String::new()));
    }
    if let Some(id) = path.strip_prefix("/simulated/3d_secure/") {
        let shown = stripe.with(|world| match method.as_str() {
            "POST" => page::answer(world, id, &Parameters::decode(&body)),
            _ => page::show(world, id),
        });
        return Ok(of_page(shown));
    }
    // As at js.stripe.com, which is an origin of its own.
    match path.as_str() {
        "/v3/" => return Ok(of_file("text/javascript", include_str!("stripe.js"))),
        "/v3/element" => return Ok(of_file("text/html", include_str!("element.html"))),
        _ => {}
    }
    if path.starts_with("/simulated/") {
        let result = controls::run(&stripe, &method, &path, &body);
        return Ok(match result {
            Ok(value) => plain(StatusCode::OK, value.to_string()),
            Err(complaint) => of_complaint(&complaint),
        });
    }
    let arrived = Arrived {
        method,
        path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        body,
        authorization: text(&head.headers, "authorization"),
        idempotency_key: text(&head.headers, "idempotency-key"),
        version: text(&head.headers, "stripe-version"),
    };
    let key = arrived.idempotency_key.clone();
    // A task of its own: the effect comes even if the client goes away.
    let answered = tokio::spawn(api::answer(stripe, arrived)).await;
    match answered {
        Ok(Some(answered)) => Ok(of_answer(answered, key.as_deref())),
        _ => Err(Closed),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn of_answer(answered: Answered, key: Option<&str>) -> Response<Body> {
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK);
    let mut response = plain(status, answered.body);
    let headers = response.headers_mut();
    let mut add = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    add("request-id", &answered.request);
    add("stripe-version", API_VERSION);
    if let Some(key) = key {
        add("idempotency-key", key);
        add("original-request", answered.original.as_deref().unwrap_or(&answered.request));
    }
    if answered.original.is_some() {
        add("idempotent-replayed", "true");
    }
    if let Some(should_retry) = answered.should_retry {
        add("stripe-should-retry", if should_retry { "true" } else { "false" });
    }
    if let Some(seconds) = answered.retry_after {
        add("retry-after", &seconds.to_string());
    }
    response
}

fn of_page(page: Result<Page, Complaint>) -> Response<Body> {
    let (status, name, value, body) = match page {
        Ok(Page::Html(html)) => {
            (StatusCode::OK, header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned(), html)
        }
        Ok(Page::Redirect(url)) => (StatusCode::SEE_OTHER, header::LOCATION, url, String::new()),
        Err(complaint) => return of_complaint(&complaint),
    };
    let mut response = plain(status, body);
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(name, value);
    }
    response
}

fn of_file(media_type: &str, text: &str) -> Response<Body> {
    let mut response = plain(StatusCode::OK, text.to_owned());
    if let Ok(value) = HeaderValue::from_str(&format!("{media_type}; charset=utf-8")) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

fn of_complaint(complaint: &Complaint) -> Response<Body> {
    let status = StatusCode::from_u16(complaint.status).unwrap_or(StatusCode::BAD_REQUEST);
    plain(status, complaint.body().to_string())
}

/// An answer with JSON, which a browser's script may read.
fn plain(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-type", "application/json"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD, PUT, PATCH, POST, DELETE"),
        ("access-control-allow-headers", "authorization, content-type, stripe-version"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
