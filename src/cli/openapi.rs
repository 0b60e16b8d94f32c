//! `callmeter openapi`: the API's document, byte for byte as `GET /openapi.json` answers it.

use super::{CommandError, print};
use crate::app::openapi_document;

pub(super) fn run() -> Result<(), CommandError> {
    // Printing ends the line, as the document does.
    print(openapi_document().trim_end())
}
