//! The API's document (OpenAPI 3.1): built from the annotations of the handlers and the types of
//! their answers, and completed here with the parts that all share.
//!
//! An operation declares its parameters, its successful answers, its callers (`x-scopes`), whether
//! it is a command (`x-act`), whether its answer streams (`x-streams`), and its own problems
//! (`x-problems`). Its other answers follow from these.

mod codes;
mod docs;
mod shared;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use crate::json::schema;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = super::every_route().into_openapi();
    shared::complete(&document)
});

/// The document of `GET /openapi.json` and `callmeter openapi`.
pub(crate) fn document() -> &'static str {
    &DOCUMENT
}

/// Paths that need no key, in every role.
pub(super) fn routes() -> OpenApiRouter<Api> {
    docs::routes().routes(routes!(openapi))
}

/// Answers this document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "Service", operation_id = "showDocument",
    responses((status = 200, description = "The OpenAPI document", body = schema::AnyObject)),
    extensions(("x-scopes" = json!([])))
)]
async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::codes;

    /// The codes of all problems that the files of this module create.
    fn codes_in(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes_in(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let makers =
                ["new(", "refused(", "taken(", "not_found(", "unavailable(", "unknown_name("];
            for maker in makers {
                for made in text.split(&format!("Problem::{maker}")).skip(1).chain(
                    text.split(&format!("Self::{maker}"))
                        .skip(1)
                        .filter(|_| path.ends_with("problem.rs")),
                ) {
                    let words = made.split('"').skip(1).step_by(2);
                    let is_code = |word: &&str| {
                        word.contains('_')
                            && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                    };
                    found.extend(words.take(1).filter(is_code).map(str::to_owned));
                }
            }
        }
    }

    #[test]
    fn every_code_of_a_problem_is_documented() {
        let mut found = Vec::new();
        codes_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for code in found {
            assert!(codes::find(&code).is_some(), "{code} is not in codes.rs");
        }
    }
}
