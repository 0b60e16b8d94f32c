//! `/docs`: the document for people (Swagger UI, compiled in, so that nothing is loaded from
//! outside).

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, serve};

use crate::http::Api;
use crate::http::problem::Problem;

/// Swagger UI sets inline styles; everything else comes from this service.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
    frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("/openapi.json").validator_url("none")));

pub(super) fn routes() -> OpenApiRouter<Api> {
    let files = axum::Router::new().route("/docs/", get(docs)).route("/docs/{*file}", get(file));
    OpenApiRouter::new().routes(routes!(docs)).merge(files.into())
}

/// Shows the document as a page.
#[utoipa::path(
    get, path = "/docs", tag = "Service", operation_id = "showDocs",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")),
    extensions(("x-scopes" = json!([])))
)]
async fn docs() -> Response {
    answer("index.html")
}

async fn file(Path(name): Path<String>) -> Response {
    answer(&name)
}

fn answer(name: &str) -> Response {
    let Ok(Some(found)) = serve(name, Arc::clone(&CONFIG)) else {
        return Problem::unknown_path().into_response();
    };
    let media_type = match found.content_type.as_str() {
        "text/html" => "text/html; charset=utf-8",
        other => other,
    };
    let media_type = HeaderValue::from_str(media_type);
    let mut bytes = found.bytes.into_owned();
    if name == "index.html" {
        // The page is at `/docs`, its files are below `/docs/`.
        let page =
            String::from_utf8_lossy(&bytes).replace("<head>", "<head><base href=\"/docs/\">");
        bytes = page.into_bytes();
    }
    let mut response = (StatusCode::OK, bytes).into_response();
    let headers = response.headers_mut();
    if let Ok(media_type) = media_type {
        headers.insert(header::CONTENT_TYPE, media_type);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
