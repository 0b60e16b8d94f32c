//! `[webhooks]` and `[mail]`: how customers are told what happened.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::TimeDelta;
use ipnet::IpNet;
use lettre::message::Mailbox;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::ConnectionUrl;
use super::error::{Problem, refuse};

/// Most retries of a web hook.
const RETRIES_MAX: usize = 30;
/// Longest time between two attempts: a week.
const RETRY_SECONDS_MAX: u32 = 604_800;

/// `[webhooks]`: events posted to customers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Webhooks {
    pub allow_private_targets: bool,
    pub allowed_networks: Items<IpNet>,
    pub resolver: Option<String>,
    pub previous_secret_hours: u32,
    pub retry_seconds: Items<u32>,
}

/// `[mail]`: e-mail to customers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented in config/callmeter.toml")]
pub struct Mail {
    pub smtp_url: Option<ConnectionUrl>,
    pub from: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub templates: Option<PathBuf>,
}

impl Webhooks {
    /// Time between a failed attempt and the next, by the number of failed ones so far; `None`: it
    /// was the last.
    pub fn retry_after(&self, failed: i32) -> Option<TimeDelta> {
        let place = usize::try_from(failed).ok()?.checked_sub(1)?;
        let seconds = self.retry_seconds.0.get(place)?;
        Some(TimeDelta::seconds((*seconds).into()))
    }

    /// The resolver of endpoints' names; `None`: the system's.
    pub fn resolver_address(&self) -> Option<SocketAddr> {
        self.resolver.as_ref().and_then(|server| server.parse().ok())
    }

    /// How long a replaced secret goes on signing.
    pub fn previous_secret_lasts(&self) -> TimeDelta {
        TimeDelta::hours(self.previous_secret_hours.into())
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.resolver.is_some() && self.resolver_address().is_none() {
            let remedy = "give the resolver's address and port, such as 127.0.0.1:53";
            return refuse("webhooks.resolver", "is not an address with a port", remedy);
        }
        if self.previous_secret_hours > 8_760 {
            return refuse(
                "webhooks.previous_secret_hours",
                "is more than a year",
                "give 0 to 8760",
            );
        }
        let retries = &self.retry_seconds.0;
        if retries.len() > RETRIES_MAX || retries.iter().any(|it| *it > RETRY_SECONDS_MAX) {
            let remedy = "give at most 30 numbers from 0 to 604800";
            return refuse("webhooks.retry_seconds", "is out of its range", remedy);
        }
        Ok(())
    }
}

impl Mail {
    /// The sender's address; `None`: no mail is sent.
    pub fn sender(&self) -> Option<Mailbox> {
        self.from.as_ref().and_then(|from| from.parse().ok())
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.from.is_some() && self.sender().is_none() {
            let remedy = "give an address, or `Name <address>`";
            return refuse("mail.from", "is not an e-mail address", remedy);
        }
        let Some(url) = &self.smtp_url else { return Ok(()) };
        let is_smtp = url.expose().parse::<url::Url>().is_ok_and(|url| {
            matches!(url.scheme(), "smtp" | "smtps")
                && url.host_str().is_some_and(|it| !it.is_empty())
        });
        if !is_smtp {
            let remedy = "give smtp://user:password@host:port or smtps://…";
            return refuse("mail.smtp_url", "is not an SMTP URL", remedy);
        }
        if self.from.is_none() {
            return refuse("mail.from", "is not set, and mail.smtp_url is", "give the sender");
        }
        Ok(())
    }
}

/// A list: in a file an array, in the environment its items with commas, with or without brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Items<T>(pub Vec<T>);

impl<'de, T> Deserialize<'de> for Items<T>
where
    T: Deserialize<'de> + std::str::FromStr,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading(std::marker::PhantomData))
    }
}

struct Reading<T>(std::marker::PhantomData<T>);

impl<'de, T> Visitor<'de> for Reading<T>
where
    T: Deserialize<'de> + std::str::FromStr,
{
    type Value = Items<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list, or its items with commas")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Items<T>, E> {
        let text = text.trim();
        let text = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
        let each = text.split(',').map(|item| item.trim().trim_matches('"'));
        let each = each.filter(|item| !item.is_empty()).map(|item| {
            item.parse().map_err(|_| E::custom(format!("{item:?} cannot be an item of this list")))
        });
        each.collect::<Result<_, _>>().map(Items)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut given: A) -> Result<Items<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = given.next_element()? {
            items.push(item);
        }
        Ok(Items(items))
    }
}
