//! Targets: which addresses an endpoint may have.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::resolver::{CheckedResolver, Lookup};
use super::rules::{Rules, Scheme, TargetRefused};
use crate::config;

/// Longest address of an endpoint.
const CHARACTERS_MAX: usize = 2_000;
/// Longest wait for the addresses of a name while its endpoint is created.
const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// A text that is no address of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an https:// address of at most 2000 characters, without a fragment")]
pub struct NoTarget;

/// Checks targets.
#[derive(Clone, Debug)]
pub struct Targets {
    rules: Rules,
    lookup: Lookup,
}

impl Targets {
    /// Takes the allowed networks and the resolver from the settings.
    pub fn from_settings(settings: &config::Webhooks) -> Self {
        let networks = &settings.allowed_networks.0;
        let rules = Rules::new(settings.allow_private_targets, networks);
        Self { rules, lookup: Lookup::new(settings.resolver_address()) }
    }

    /// The resolver of a client for a scheme.
    pub(super) fn resolver(&self, scheme: Scheme) -> CheckedResolver {
        CheckedResolver { lookup: self.lookup.clone(), rules: self.rules.clone(), scheme }
    }

    /// Reads an address.
    ///
    /// # Errors
    /// If it is none of an endpoint.
    pub fn parse(text: &str) -> Result<Url, NoTarget> {
        let is_short = text.chars().count() <= CHARACTERS_MAX;
        let url = text.parse::<Url>().ok().filter(|_| is_short).ok_or(NoTarget)?;
        let is_complete = url.host_str().is_some_and(|host| !host.is_empty());
        if !is_complete || url.fragment().is_some() || scheme_of(&url).is_none() {
            return Err(NoTarget);
        }
        Ok(url)
    }

    /// Checks what needs no name to be resolved, and returns the scheme. Connections to an address
    /// in numbers ask no resolver, so it is checked here.
    pub(super) fn check_text(&self, url: &Url) -> Result<Scheme, TargetRefused> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetRefused::User);
        }
        let scheme = scheme_of(url).ok_or(TargetRefused::Address)?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(scheme),
            None => return Err(TargetRefused::Address),
        };
        if self.rules.allow(address, scheme) { Ok(scheme) } else { Err(TargetRefused::Address) }
    }

    /// Checks a target and every address of its name.
    ///
    /// # Errors
    /// If it may not be reached now. It is checked again whenever it is reached.
    pub async fn check(&self, url: &Url) -> Result<(), TargetRefused> {
        let scheme = self.check_text(url)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        let resolver = self.resolver(scheme);
        let found = tokio::time::timeout(LOOKUP_MAX, resolver.resolve(name)).await;
        let too_long = || Err(TargetRefused::Unresolved("it takes too long".to_owned()));
        found.unwrap_or_else(|_| too_long()).map(|_| ())
    }
}

fn scheme_of(url: &Url) -> Option<Scheme> {
    match url.scheme() {
        "https" => Some(Scheme::Tls),
        "http" => Some(Scheme::Plain),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Scheme, TargetRefused, Targets};
    use crate::config::{Items, Webhooks};

    fn targets(allow_private_targets: bool) -> Targets {
        Targets::from_settings(&Webhooks {
            allow_private_targets,
            allowed_networks: Items(vec!["127.0.1.0/24".parse().unwrap()]),
            resolver: None,
            previous_secret_hours: 24,
            retry_seconds: Items(vec![]),
        })
    }

    #[test]
    fn an_address_in_numbers_is_known_in_every_spelling() {
        let refused = Err(TargetRefused::Address);
        let cases = [
            ("https://8.8.8.8/hook", Ok(Scheme::Tls)),
            ("http://8.8.8.8/hook", refused.clone()),
            ("https://127.0.1.9:8443/", Ok(Scheme::Tls)),
            ("http://127.0.1.9:8080/", Ok(Scheme::Plain)),
            ("https://127.0.2.1/", refused.clone()),
            ("https://2130706433/", refused.clone()),
            ("https://0x7f.1/", refused.clone()),
            ("https://0177.0.0.01/", refused.clone()),
            ("https://①②⑦.0.0.1/", refused.clone()),
            ("https://127.0.0.1./", refused.clone()),
            ("https://[::1]/", refused.clone()),
            ("https://[::ffff:127.0.1.1]/", refused.clone()),
            ("https://[64:ff9b::7f00:1]/", refused.clone()),
            ("https://[fe80::1]/", refused.clone()),
            ("https://me:secret@8.8.8.8/", Err(TargetRefused::User)),
            ("https://me@example.com/", Err(TargetRefused::User)),
            ("http://example.com/", Ok(Scheme::Plain)),
        ];
        for (text, expected) in cases {
            assert_eq!(
                targets(false).check_text(&Targets::parse(text).unwrap()),
                expected,
                "{text}"
            );
        }
        let anywhere = Targets::parse("http://10.0.0.1/").unwrap();
        assert_eq!(targets(true).check_text(&anywhere), Ok(Scheme::Plain));
    }

    #[test]
    fn other_texts_are_no_targets() {
        let long = format!("https://example.com/{}", "a".repeat(2_000));
        for text in [
            "",
            "example.com",
            "ftp://example.com/",
            "https://",
            "https://a b/",
            "https://example.com/#part",
            "https://999.1.1.1/",
            "file:///etc/passwd",
            &long,
        ] {
            assert!(Targets::parse(text).is_err(), "{text}");
        }
    }
}
