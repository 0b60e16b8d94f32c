//! Listings page by page, and objects by an id that came as text.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Deadline, Identified, List, StripeClient, StripeError};

/// Objects on a page: Stripe's maximum.
const PAGE_OBJECTS: &str = "100";
/// Most pages of one listing, so that an endless one ends: 100,000 objects.
const PAGES_MAX: usize = 1_000;

impl StripeClient {
    /// Reads one page of a listing, newest first: the objects older than `starting_after`.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        starting_after: Option<&str>,
        deadline: Deadline,
    ) -> Result<List<T>, StripeError> {
        let mut query = query.to_vec();
        query.push(("limit", PAGE_OBJECTS));
        query.extend(starting_after.map(|id| ("starting_after", id)));
        self.get(path, &query, deadline).await
    }

    /// Reads all pages of a listing, newest first.
    ///
    /// # Errors
    /// As for [`Self::get`]; `TooManyPages` if the listing does not end.
    pub async fn list<T: DeserializeOwned + Identified>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        deadline: Deadline,
    ) -> Result<Vec<T>, StripeError> {
        self.list_all(path, query, || deadline).await
    }

    /// Reads all pages of a listing, newest first, each within `page_max`: for jobs and commands,
    /// which may read for long.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn list_slowly<T: DeserializeOwned + Identified>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        page_max: Duration,
    ) -> Result<Vec<T>, StripeError> {
        self.list_all(path, query, || Deadline::after(page_max)).await
    }

    async fn list_all<T: DeserializeOwned + Identified>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        next_deadline: impl Fn() -> Deadline,
    ) -> Result<Vec<T>, StripeError> {
        let mut found: Vec<T> = Vec::new();
        for _ in 0..PAGES_MAX {
            let last = found.last().map(|object| object.id().to_owned());
            let deadline = next_deadline();
            let page = self.page(path, query, last.as_deref(), deadline).await?;
            let (is_empty, has_more) = (page.data.is_empty(), page.has_more);
            found.extend(page.data);
            if !has_more {
                return Ok(found);
            }
            if is_empty {
                let what = "a listing goes on after an empty page".to_owned();
                return Err(StripeError::Unknown { what });
            }
        }
        Err(StripeError::TooManyPages { pages: PAGES_MAX })
    }

    /// Reads one object by its id.
    pub(super) async fn object<T: DeserializeOwned>(
        &self,
        resource: &str,
        id: &str,
        deadline: Deadline,
    ) -> Result<T, StripeError> {
        self.get(&[resource, id_part(id)?], &[], deadline).await
    }
}

/// An id that is safe as a part of a path; any other names no object of Stripe's.
pub(super) fn id_part(id: &str) -> Result<&str, StripeError> {
    let is_id =
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_id { Ok(id) } else { Err(StripeError::NotFound { param: None }) }
}
