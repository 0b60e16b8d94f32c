//! A file that the page serves. Its name holds a digest of its content, so that browsers keep it for good
//! and still fetch a changed one.

use axum::body::Bytes;
use sha2::{Digest, Sha256};

/// A file of the page.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
}

impl File {
    /// A file that is compiled in.
    pub(super) fn compiled(stem: &str, ending: &str, text: &'static str) -> Self {
        Self::new(stem, ending, Bytes::from_static(text.as_bytes()))
    }

    /// A file named by its content.
    pub(super) fn new(stem: &str, ending: &str, bytes: Bytes) -> Self {
        let digest = hex::encode(Sha256::digest(&bytes));
        let media_type = match ending {
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            _ => "text/javascript; charset=utf-8",
        };
        Self { name: format!("{stem}-{}.{ending}", &digest[..12]), media_type, bytes }
    }
}
