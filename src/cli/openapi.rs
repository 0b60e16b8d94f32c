//! `callmeter openapi`: prints the API's document, the same bytes as `GET /openapi.json`.

use super::{CommandError, print};
use crate::app::openapi_document;

pub(super) fn run() -> Result<(), CommandError> {
    // `print` adds the end of the line, which the document has.
    print(openapi_document().trim_end())
}
