//! The stylesheets, scripts and pictures: compiled in, or of the settings.

use std::sync::{Arc, LazyLock};

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Page;
use super::brand::Brand;
use super::file::File;

const FOREVER: &str = "public, max-age=31536000, immutable";

static STYLE: LazyLock<File> =
    LazyLock::new(|| File::compiled("wallet", "css", include_str!("../../assets/wallet.css")));
static SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::compiled("wallet", "js", include_str!("../../assets/wallet.js")));
static CARD_SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::compiled("card", "js", include_str!("../../assets/card.js")));
static ICON: LazyLock<File> =
    LazyLock::new(|| File::compiled("icon", "svg", include_str!("../../assets/icon.svg")));

/// The files of the page and the platform's brand, for templates.
#[derive(Clone, Debug)]
pub(super) struct Assets {
    /// The stylesheet of every page.
    pub(super) style: &'static str,
    /// The script of every page.
    pub(super) script: &'static str,
    /// The script of pages that take a card.
    pub(super) card_script: &'static str,
    /// The icon in the browser's tab.
    pub(super) icon: &'static str,
    brand: Arc<Brand>,
}

impl Assets {
    /// The platform's name.
    pub(super) fn brand_name(&self) -> Option<&str> {
        self.brand.name.as_deref()
    }

    /// The platform's logo.
    pub(super) fn logo(&self) -> Option<&str> {
        self.brand.logo.as_ref().map(|file| file.name.as_str())
    }

    /// True if there is a name or a logo.
    pub(super) fn has_brand(&self) -> bool {
        self.brand.name.is_some() || self.brand.logo.is_some()
    }

    /// The stylesheet with the platform's colours.
    pub(super) fn colours(&self) -> Option<&str> {
        self.brand.colours.as_ref().map(|file| file.name.as_str())
    }
}

impl Page {
    /// The files of the page.
    pub(super) fn assets(&self) -> Assets {
        Assets {
            style: &STYLE.name,
            script: &SCRIPT.name,
            card_script: &CARD_SCRIPT.name,
            icon: &ICON.name,
            brand: Arc::clone(&self.brand),
        }
    }
}

/// `GET /wallet/assets/{name}`
pub(super) async fn asset(
    State(page): State<Page>,
    Path(name): Path<String>,
) -> Result<Response, StatusCode> {
    let own = [&*STYLE, &*SCRIPT, &*CARD_SCRIPT, &*ICON];
    let mut all = own.into_iter().chain(&page.brand.logo).chain(&page.brand.colours);
    let file = all.find(|file| file.name == name).ok_or(StatusCode::NOT_FOUND)?;
    let mut response = file.bytes.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    Ok(response)
}
