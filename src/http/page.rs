//! Lists by cursor: `limit`, `after`, `from`, `to`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::fields::{Fields, instant};
use crate::json::schema;
use crate::ledger::history::{Page, Stretch};

const LIMIT_DEFAULT: u16 = 100;
const LIMIT_MAX: u16 = 1000;

/// A page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    items: Vec<T>,
    /// The value of `after` for the next page; null on the last page.
    #[schema(value_type = Option<schema::Cursor>)]
    next: Option<String>,
}

impl<T> List<T> {
    /// Renders a page, item by item.
    pub(super) fn from_page<R>(page: Page<R>, render: impl Fn(R) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(render).collect(),
            next: page.next.map(|number| number.to_string()),
        }
    }
}

/// The parameters of every list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `stretch` reads")]
pub(super) struct ListParameters {
    /// Most items of a page; the default is 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// The `next` of the previous page.
    #[param(value_type = Option<schema::Cursor>)]
    after: Option<String>,
    /// Only items at or after this time; a date is its start in UTC.
    from: Option<DateTime<Utc>>,
    /// Only items before this time.
    to: Option<DateTime<Utc>>,
}

/// Reads the parameters of every list.
pub(super) fn stretch(fields: &mut Fields) -> Stretch {
    let limit = fields.optional("limit", limit);
    let below = fields.optional("after", cursor);
    let from: Option<DateTime<Utc>> = fields.optional("from", instant);
    let to = fields.optional("to", instant);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        fields.fault("to", "is before from");
    }
    Stretch { below, from, to, limit: limit.unwrap_or(LIMIT_DEFAULT) }
}

fn limit(value: &Value) -> Result<u16, String> {
    let limit = value.as_str().and_then(|text| text.parse().ok());
    let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| format!("is not a whole number from 1 to {LIMIT_MAX}"))
}

fn cursor(value: &Value) -> Result<i64, String> {
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.filter(|number| *number > 0).ok_or_else(|| "is not a `next` of this list".to_owned())
}
