//! Answers as CSV: who wants them, and how they are streamed. `crate::csv` writes the lines.

use std::cmp::Reverse;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::Stream;

pub(super) use crate::csv::{Line, MEDIA_TYPE, pages};

/// True if a caller prefers CSV to JSON (RFC 9110, 12.5.1): by weight, then by the more specific
/// range, then by the order. The default is JSON.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<&str> = accepted.flat_map(|value| value.split(',')).collect();
    let csv = preference(&accepted, ["text/csv", "text/*", "*/*"]);
    csv.is_some_and(|csv| {
        let json = preference(&accepted, ["application/json", "application/*", "*/*"]);
        csv.thousandths > 0 && json.is_none_or(|json| csv > json)
    })
}

/// The preference for a media type; greater is preferred. The order of the fields matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    thousandths: u16,
    exactness: Reverse<usize>,
    place: Reverse<usize>,
}

/// The preference of a list of media ranges for a type; `names` go from exact to general.
fn preference(accepted: &[&str], names: [&str; 3]) -> Option<Preference> {
    names.iter().enumerate().find_map(|(exactness, name)| {
        accepted.iter().enumerate().find_map(|(place, range)| {
            let (range, parameters) = range.split_once(';').unwrap_or((range, ""));
            range.trim().eq_ignore_ascii_case(name).then(|| Preference {
                thousandths: weight(parameters),
                exactness: Reverse(exactness),
                place: Reverse(place),
            })
        })
    })
}

/// The weight in a range's parameters, in thousandths; an unreadable one counts as absent.
fn weight(parameters: &str) -> u16 {
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let read = |weight: &str| {
        let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
        let is_number = decimals.len() <= 3 && decimals.bytes().all(|it| it.is_ascii_digit());
        let thousandths: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| is_number)?;
        match whole {
            "0" => Some(thousandths),
            "1" if thousandths == 0 => Some(1000),
            _ => None,
        }
    };
    weight.and_then(read).unwrap_or(1000)
}

/// Marks an answer that depends on `Accept`.
pub(super) fn varying(mut response: Response) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from(header::ACCEPT));
    response
}

/// Streams an export as it is read. If it fails midway the connection breaks, so that the client
/// knows that it is not complete.
pub(super) fn respond<E>(parts: impl Stream<Item = Result<String, E>> + Send + 'static) -> Response
where
    E: std::error::Error + Send + Sync + 'static,
{
    use futures::StreamExt as _;
    let body = Body::from_stream(parts.map(|part| part.map(Bytes::from)));
    let mut response = body.into_response();
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    varying(response)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::wanted;

    #[test]
    fn csv_is_for_those_who_prefer_it_to_json() {
        let check = |accept: &[&'static str], expected| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(wanted(&headers), expected, "{accept:?}");
        };
        check(&[], false);
        check(&["text/csv"], true);
        check(&["TEXT/CSV; charset=utf-8"], true);
        check(&["text/*"], true);
        check(&["*/*"], false);
        check(&["text/html"], false);
        check(&["text/csv;q=0"], false);
        check(&["text/csv;q=0.000, text/*"], false);
        check(&["application/json;q=0.1, text/csv;q=0.9"], true);
        check(&["text/csv;q=0.1, application/json;q=0.9"], false);
        check(&["text/csv;q=0.1, application/json"], false);
        check(&["application/json", "text/csv;q=0.9"], false);
        check(&["application/json;q=0", "text/csv;q=0.001"], true);
        check(&["text/csv, */*"], true);
        check(&["*/*, text/csv"], true);
        check(&["*/*;q=0.5, text/csv;q=0.4"], false);
        check(&["text/csv, application/json"], true);
        check(&["application/json, text/csv"], false);
        check(&["application/json;q=x, text/csv;q=0.9"], false);
    }
}
