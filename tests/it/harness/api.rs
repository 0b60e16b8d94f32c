//! The HTTP API as a client uses it.

use crate::harness::document;
use crate::harness::leaks::Numbers;
use crate::harness::poll::SOON;
use crate::model::check::{Reported, Wallet};
use crate::model::evidence::{Charge, Transaction, amount, instant, integer, string};
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use std::time::Duration;

/// The admin key of every service.
pub(crate) const ADMIN_KEY: &str = "an-admin-key-of-the-tests-0123456789";

#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    pub(crate) base: String,
    key: Option<String>,
    /// Collects the phone numbers in requests.
    numbers: Numbers,
}

/// Status, content type and body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// Whether the answer is a replayed one.
    pub(crate) replayed: bool,
    pub(crate) retry_after: Option<String>,
    pub(crate) vary: Option<String>,
    pub(crate) allow: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body, if the status is `status`; else fails.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The code of a problem with this status; else fails.
    pub(crate) fn problem(&self, status: u16) -> String {
        let problem = self.expect(status);
        assert_eq!(self.content_type, "application/problem+json", "{problem}");
        assert_eq!(problem["status"], json!(status), "{problem}");
        for key in ["type", "title"] {
            assert!(problem[key].is_string(), "no {key}: {problem}");
        }
        problem["code"].as_str().unwrap_or_else(|| panic!("no code: {problem}")).to_owned()
    }
}

impl Api {
    pub(crate) fn new(base: String) -> Api {
        let client =
            callmeter::http_client::client(|client| client.timeout(Duration::from_secs(20)));
        let client = client.expect("an HTTP client");
        Api { client, base, key: Some(ADMIN_KEY.to_owned()), numbers: Numbers::default() }
    }

    /// The same API, but notes the numbers in its requests.
    pub(crate) fn noting(self, numbers: &Numbers) -> Api {
        Api { numbers: numbers.clone(), ..self }
    }

    /// The same API with another key, or none.
    pub(crate) fn with_key(&self, key: Option<&str>) -> Api {
        Api { key: key.map(str::to_owned), ..self.clone() }
    }

    /// The same API at another URL.
    pub(crate) fn at(&self, base: String) -> Api {
        Api { base, ..self.clone() }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        self.note(path, headers, body.as_deref());
        let name = method.as_str().to_lowercase();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        Self::answer(&name, path, request).await
    }

    /// Posts a body of any type, without a key.
    pub(crate) async fn post_as(
        &self,
        path: &str,
        content_type: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer> {
        self.note(path, headers, Some(&body));
        let mut request = self.client.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("bytes of a header");
            request = request.header(*name, value);
        }
        let request = request.header("content-type", content_type).body(body);
        Self::answer("post", path, request).await
    }

    fn note(&self, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) {
        self.numbers.note(path.as_bytes());
        self.numbers.note(body.unwrap_or_default());
        for (_, value) in headers {
            self.numbers.note(value.as_bytes());
        }
    }

    /// Sends a request and checks the answer against the document.
    async fn answer(method: &str, path: &str, request: reqwest::RequestBuilder) -> Result<Answer> {
        let mut response = request.send().await?;
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type");
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().to_owned();
        let replayed = response.headers().get("idempotent-replayed");
        let replayed = replayed.is_some_and(|value| value == "true");
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let (retry_after, vary, allow) = (header("retry-after"), header("vary"), header("allow"));
        let text = match content_type.as_str() {
            // It has no end: its beginning is enough.
            "text/event-stream" => {
                let first = response.chunk().await?.unwrap_or_default();
                String::from_utf8_lossy(&first).into_owned()
            }
            _ => response.text().await?,
        };
        let answer = Answer { status, content_type, replayed, retry_after, vary, allow, text };
        document::check(method, path, &answer);
        Ok(answer)
    }

    /// Opens a stream of events, which must begin soon.
    pub(crate) async fn stream(&self, path: &str) -> reqwest::Response {
        let client = reqwest::Client::new();
        let request = client.get(format!("{}{path}", self.base));
        let request = request.bearer_auth(self.key.as_deref().unwrap_or_default());
        let answer = tokio::time::timeout(SOON, request.send()).await;
        answer.expect("it begins soon").expect("an answer")
    }

    /// The raw answer to `Accept: media_type`.
    pub(crate) async fn raw(&self, path: &str, media_type: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.base)).header("accept", media_type);
        let request = request.bearer_auth(self.key.as_deref().unwrap_or_default());
        request.send().await.expect("an answer")
    }

    async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|body| body.to_string().into_bytes());
        self.send(method, path, &[], body).await.unwrap_or_else(|error| panic!("{path}: {error:#}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.must(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.must(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.must(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.must(Method::PATCH, path, Some(body)).await
    }

    /// All items of a list, page by page.
    pub(crate) async fn items(&self, path: &str, limit: usize) -> Result<Vec<Value>> {
        let sign = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{sign}limit={limit}");
        let mut items = Vec::new();
        let mut url = first.clone();
        loop {
            let answer = self.send(Method::GET, &url, &[], None).await?;
            ensure!(answer.status == 200, "{url}: {answer:?}");
            let page = answer.json();
            let more = page["items"].as_array().context("no items")?;
            ensure!(more.len() <= limit, "a page of {} items, limit {limit}", more.len());
            items.extend(more.iter().cloned());
            match page.get("next").context("no next")? {
                Value::Null => return Ok(items),
                Value::String(next) => url = format!("{first}&after={next}"),
                other => anyhow::bail!("next is {other}"),
            }
        }
    }

    pub(crate) async fn charges(&self, account: &str) -> Result<Vec<Charge>> {
        let items = self.items(&format!("/v1/accounts/{account}/calls"), 1_000).await?;
        items.iter().map(Charge::parse).collect()
    }

    pub(crate) async fn transactions(&self, account: &str) -> Result<Vec<Transaction>> {
        let items = self.items(&format!("/v1/accounts/{account}/transactions"), 1_000).await?;
        items.iter().map(Transaction::parse).collect()
    }

    pub(crate) async fn wallet(&self, account: &str) -> Result<Wallet> {
        let path = format!("/v1/accounts/{account}/wallet");
        let answer = self.send(Method::GET, &path, &[], None).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        let wallet = answer.json();
        let (balance, held) = (amount(&wallet, "balance")?, amount(&wallet, "held")?);
        let available = balance + amount(&wallet, "credit_limit")? - held;
        ensure!(amount(&wallet, "available")? == available, "available in {wallet}");
        ensure!(wallet["currency"] == "USD", "currency in {wallet}");
        let allowance = match wallet.get("allowance").context("no allowance")? {
            Value::Null => None,
            cycle => {
                ensure!(instant(cycle, "cycle_end")? > instant(cycle, "cycle_start")?, "{cycle}");
                let seconds = |key: &str| integer(cycle, key);
                Some((
                    string(cycle, "plan")?,
                    instant(cycle, "cycle_start")?,
                    seconds("included_seconds")?,
                    seconds("used_seconds")?,
                    seconds("remaining_seconds")? + seconds("held_seconds")?,
                ))
            }
        };
        Ok(Wallet { balance, as_of: instant(&wallet, "as_of")?, allowance })
    }

    /// Everything about an account that the model compares.
    pub(crate) async fn reported(&self, account: &str) -> Result<Reported> {
        Ok(Reported {
            charges: self.charges(account).await?,
            transactions: self.transactions(account).await?,
            wallet: self.wallet(account).await?,
        })
    }

    /// The sum of a metric over the series with all these `labels`, in whole units; none if there
    /// is no such series.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<i64> {
        let answer = self.with_key(None).send(Method::GET, "/metrics", &[], None).await.ok()?;
        let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let mut sum = None;
        for line in answer.text.lines().filter(|line| line.starts_with(name)) {
            let (series, value) = line.rsplit_once(' ')?;
            let of_this_name = matches!(series[name.len()..].chars().next(), None | Some('{'));
            if of_this_name && wanted.iter().all(|label| series.contains(label)) {
                let whole: i64 = value.split('.').next()?.parse().ok()?;
                sum = Some(sum.unwrap_or(0) + whole);
            }
        }
        sum
    }
}
