//! A browser without scripts: keeps cookies, follows nothing, and names its origin with forms.

use crate::harness::poll::SOON;
use reqwest::header::HeaderMap;
use std::collections::BTreeMap;
use std::sync::Mutex;

pub(super) struct Browser {
    client: reqwest::Client,
    pub(super) base: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// The live stream of the page.
pub(super) struct Hearing {
    stream: reqwest::Response,
    heard: String,
}

impl Hearing {
    /// Waits until it says this, after what it said before.
    pub(super) async fn hears(&mut self, words: &str) {
        let begin = self.heard.len();
        while !self.heard[begin..].contains(words) {
            let chunk = tokio::time::timeout(SOON, self.stream.chunk()).await;
            let bytes = chunk.expect("it comes soon").expect("bytes").expect("more");
            self.heard.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

/// A page as the browser got it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Browser {
    pub(super) fn new(base: &str) -> Browser {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = client.build().expect("a client");
        Browser { client, base: base.to_owned(), cookies: Mutex::default() }
    }

    /// The same browser at another address of the service.
    pub(super) fn at(&self, base: &str) -> Browser {
        let moved = Browser::new(base);
        moved.set_cookie(self.cookie().as_deref());
        moved
    }

    /// What it sends as its cookies.
    pub(super) fn cookie(&self) -> Option<String> {
        let cookies = self.cookies.lock().expect("cookies");
        let all: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Replaces all cookies.
    pub(super) fn set_cookie(&self, cookies: Option<&str>) {
        let pairs = cookies.into_iter().flat_map(|all| all.split("; "));
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        *self.cookies.lock().expect("cookies") = pairs.collect();
    }

    pub(super) async fn get(&self, path: &str) -> Seen {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    /// With more headers.
    pub(super) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Seen {
        let mut request = self.client.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    pub(super) async fn head(&self, path: &str) -> Seen {
        self.send(self.client.head(format!("{}{path}", self.base))).await
    }

    /// Opens the live stream of the page.
    pub(super) async fn listen(&self) -> Hearing {
        Hearing { stream: self.stream("/wallet/events").await, heard: String::new() }
    }

    /// Opens a stream, which must begin.
    pub(super) async fn stream(&self, path: &str) -> reqwest::Response {
        let mut request = self.client.get(format!("{}{path}", self.base));
        if let Some(cookie) = self.cookie() {
            request = request.header("cookie", cookie);
        }
        request.send().await.expect("an answer")
    }

    /// Submits a form of a page, with its hidden fields; `fields` replace them.
    pub(super) async fn submit(&self, page: &Seen, action: &str, fields: &[(&str, &str)]) -> Seen {
        let mut all = page.hidden(action);
        for (name, value) in fields {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(action, &all, Some(&self.base)).await
    }

    /// Posts fields as a page of this origin does.
    pub(super) async fn post(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        origin: Option<&str>,
    ) -> Seen {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self.client.post(format!("{}{path}", self.base)).body(body);
        request = request.header("content-type", "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        self.send(request).await
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Seen {
        if let Some(cookie) = self.cookie() {
            request = request.header("cookie", cookie);
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        for set in headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
            let (name, value) = set.split(';').next().expect("a pair").split_once('=').expect("it");
            let mut cookies = self.cookies.lock().expect("cookies");
            cookies.remove(name);
            if !set.contains("Max-Age=0") {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let text = answer.text().await.expect("text");
        Seen { status, headers, text }
    }
}

impl Seen {
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Seen {
        let (head, text) = (self.header("location"), &self.text);
        assert_eq!(self.status, status, "to {head:?}: {text}");
        self
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Where it redirects to.
    #[track_caller]
    pub(super) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no redirect: {self:?}"))
    }

    #[track_caller]
    pub(super) fn has(&self, text: &str) -> &Seen {
        assert!(self.words().contains(text), "{text:?} is not in: {}", self.words());
        self
    }

    #[track_caller]
    pub(super) fn lacks(&self, text: &str) -> &Seen {
        assert!(!self.text.contains(text), "{text:?} is in: {}", self.text);
        self
    }

    /// The text without tags, its spaces folded.
    pub(super) fn words(&self) -> String {
        let body = self.text.split("<main").nth(1).unwrap_or(&self.text);
        let mut text = String::new();
        for part in body.split('<') {
            text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
            text.push(' ');
        }
        let text = text.replace("&#38;", "&").replace("&amp;", "&").replace("&#39;", "'");
        text.split([' ', '\n', '\u{a0}']).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The value of the first attribute of this name.
    #[track_caller]
    pub(super) fn attribute(&self, name: &str) -> String {
        let begin = format!("{name}=\"");
        let rest = self.text.split(&begin).nth(1);
        let value = rest.and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no {name} in: {}", self.text)).to_owned()
    }

    /// The hidden fields of the form with this action.
    #[track_caller]
    pub(super) fn hidden(&self, action: &str) -> Vec<(String, String)> {
        let begin = format!("action=\"{action}\"");
        let form = self.text.split(&begin).nth(1);
        let form = form.unwrap_or_else(|| panic!("no form of {action} in: {}", self.text));
        let form = form.split("</form>").next().expect("its end");
        let inputs = form.split("<input type=\"hidden\" ").skip(1);
        let attribute = |input: &str, name: &str| {
            let rest = input.split(&format!("{name}=\"")).nth(1).expect("an attribute");
            rest.split('"').next().expect("a value").to_owned()
        };
        inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
    }
}
