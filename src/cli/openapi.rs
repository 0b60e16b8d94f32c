//! `callmeter openapi`: the API's document, byte for byte as `GET /openapi.json` answers it.

use super::{CommandError, print};
use crate::http::openapi::document;

pub(super) fn run() -> Result<(), CommandError> {
    // Printing ends the line, as the document does.
    print(document().trim_end())
}
