//! Signs customers in to the wallet page: links, sessions, and their end.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use sqlx::PgConnection;

use super::UnknownAccount;
use crate::change::{Affected, Change};
use crate::keys::Token;
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::wallet_sessions::{self, NewLink, OpenLink, Session, Visitor};

/// How long a link can be used.
const LINK_LIFETIME: TimeDelta = TimeDelta::seconds(60);
/// Longest path at which the page may begin.
const NEXT_BYTES_MAX: usize = 1_000;

/// Creates a sign-in link.
#[derive(Clone, Debug)]
pub struct CreateSignInLink(NewLink);

impl CreateSignInLink {
    /// A link with this token; `next` comes from [`page_path`].
    pub fn new(account: AccountId, visitor: Visitor, next: Option<String>, token: &Token) -> Self {
        let (sha256, lifetime) = (token.sha256(), LINK_LIFETIME);
        Self(NewLink { account, visitor, next, sha256, lifetime })
    }
}

impl Change for CreateSignInLink {
    /// When it expires.
    type Done = DateTime<Utc>;
    type Refusal = UnknownAccount;
    const NAME: &'static str = "sign_in::create_link";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<DateTime<Utc>, UnknownAccount> {
        let expires_at = wallet_sessions::create_link(connection, &self.0, by).await?;
        Ok(expires_at.ok_or(UnknownAccount))
    }

    fn affects(&self, _: Option<&DateTime<Utc>>) -> Affected {
        Affected::nothing()
    }
}

/// The link was used before, has expired, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchLink;

/// Uses a link up and begins a session. The session that the browser had is ended.
#[derive(Clone, Debug)]
pub struct BeginSession {
    /// SHA-256 of the link's token.
    pub link: [u8; 32],
    /// SHA-256 of the new session's token.
    pub session: [u8; 32],
    /// How long the session lasts.
    pub lifetime: TimeDelta,
    /// The browser's session so far.
    pub before: Option<Session>,
}

impl Change for BeginSession {
    type Done = OpenLink;
    type Refusal = NoSuchLink;
    const NAME: &'static str = "sign_in::begin_session";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<OpenLink, NoSuchLink> {
        let (link, session) = (&self.link, &self.session);
        let begun = wallet_sessions::begin(connection, link, session, self.lifetime, by).await?;
        let Some(link) = begun else { return Ok(Err(NoSuchLink)) };
        if let Some(before) = &self.before {
            wallet_sessions::end(connection, before, by).await?;
        }
        Ok(Ok(link))
    }

    fn affects(&self, _: Option<&OpenLink>) -> Affected {
        Affected::nothing()
    }
}

/// Signs out.
#[derive(Clone, Debug)]
pub struct EndSession(pub Session);

impl Change for EndSession {
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "sign_in::end_session";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<(), std::convert::Infallible> {
        wallet_sessions::end(connection, &self.0, by).await?;
        Ok(Ok(()))
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        Affected::nothing()
    }
}

/// Ends all sessions of an account, and its unused links.
#[derive(Clone, Debug)]
pub struct EndSessions(pub AccountId);

impl Change for EndSessions {
    /// How many.
    type Done = u64;
    type Refusal = UnknownAccount;
    const NAME: &'static str = "sign_in::end_sessions";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<u64, UnknownAccount> {
        let ended = wallet_sessions::end_all(connection, &self.0, by).await?;
        Ok(ended.ok_or(UnknownAccount))
    }

    fn affects(&self, _: Option<&u64>) -> Affected {
        Affected::nothing()
    }
}

/// Notes that an operator looks at a page.
#[derive(Clone, Debug)]
pub struct LookAtPage {
    /// The operator's session.
    pub session: Session,
    /// The page's path, without its query.
    pub path: String,
}

impl Change for LookAtPage {
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "sign_in::look_at_page";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<(), std::convert::Infallible> {
        wallet_sessions::note_look(connection, &self.session, &self.path, by).await?;
        Ok(Ok(()))
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        Affected::nothing()
    }
}

/// The path, with its query, of an address on this service: a relative one, or one of `public_url`'s
/// origin. `None`: it leads elsewhere.
pub fn page_path(address: &str, public_url: Option<&str>) -> Option<String> {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !is_plain || address.is_empty() || address.len() > NEXT_BYTES_MAX {
        return None;
    }
    let nowhere = || Url::parse("http://nowhere.invalid/").ok();
    let own = match public_url {
        Some(url) => Url::parse(url).ok()?,
        None => nowhere()?,
    };
    let found = if address.starts_with('/') {
        own.join(address).ok()?
    } else {
        Url::parse(address).ok()?
    };
    let is_own = found.origin() == own.origin() && found.username().is_empty();
    let query = found.query().map(|query| format!("?{query}")).unwrap_or_default();
    // `//host` is an address on another host.
    let path = format!("{}{query}", found.path());
    (is_own && found.password().is_none() && !path.starts_with("//")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::page_path;

    #[test]
    fn a_path_leads_to_this_service_or_nowhere() {
        let own = Some("https://wallet.example.com");
        let path = |address| page_path(address, own);
        assert_eq!(
            path("/wallet/add-funds?amount=50").as_deref(),
            Some("/wallet/add-funds?amount=50")
        );
        assert_eq!(path("https://wallet.example.com/wallet").as_deref(), Some("/wallet"));
        assert_eq!(page_path("/wallet", None).as_deref(), Some("/wallet"));
        for elsewhere in [
            "",
            "wallet",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/%0d/../..//evil.example",
            "https://evil.example/wallet",
            "https://wallet.example.com@evil.example/",
            "https://a@wallet.example.com/",
            "http://wallet.example.com/wallet",
            "javascript:alert(1)",
            "data:text/html,x",
        ] {
            assert_eq!(path(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(page_path("https://wallet.example.com/wallet", None), None);
    }
}
