//! The stylesheet and the scripts, compiled in. Their names hold a digest of their content, so that
//! browsers keep them for good and still fetch a changed one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

const FOREVER: &str = "public, max-age=31536000, immutable";

/// A file of the page.
struct File {
    name: String,
    media_type: &'static str,
    text: &'static str,
}

static STYLE: LazyLock<File> =
    LazyLock::new(|| File::new("wallet", "css", include_str!("../../assets/wallet.css")));
static SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::new("wallet", "js", include_str!("../../assets/wallet.js")));
static CARD_SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::new("card", "js", include_str!("../../assets/card.js")));
static ICON: LazyLock<File> =
    LazyLock::new(|| File::new("icon", "svg", include_str!("../../assets/icon.svg")));

impl File {
    fn new(stem: &str, ending: &'static str, text: &'static str) -> Self {
        let digest = hex::encode(Sha256::digest(text));
        let media_type = match ending {
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/javascript; charset=utf-8",
        };
        Self { name: format!("{stem}-{}.{ending}", &digest[..12]), media_type, text }
    }
}

/// The names of the files, for templates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assets {
    /// The stylesheet of every page.
    pub(super) style: &'static str,
    /// The script of every page.
    pub(super) script: &'static str,
    /// The script of pages that take a card.
    pub(super) card_script: &'static str,
    /// The icon in the browser's tab.
    pub(super) icon: &'static str,
}

impl Assets {
    /// The names of this program's files.
    pub(super) fn named() -> Self {
        Self {
            style: &STYLE.name,
            script: &SCRIPT.name,
            card_script: &CARD_SCRIPT.name,
            icon: &ICON.name,
        }
    }
}

/// `GET /wallet/assets/{name}`
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, StatusCode> {
    let all = [&*STYLE, &*SCRIPT, &*CARD_SCRIPT, &*ICON];
    let file = all.into_iter().find(|file| file.name == name).ok_or(StatusCode::NOT_FOUND)?;
    let mut response = file.text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    Ok(response)
}
