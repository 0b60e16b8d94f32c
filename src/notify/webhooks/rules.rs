//! The rules by which a target's addresses are allowed.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::address::is_public;

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `https://`
    Tls,
    /// `http://`, only to addresses that the settings allow.
    Plain,
}

/// The addresses that may be reached.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    allow_private: bool,
    allowed: Arc<[IpNet]>,
}

impl Rules {
    /// Takes the rules of the settings.
    pub(super) fn new(allow_private: bool, allowed: &[IpNet]) -> Self {
        Self { allow_private, allowed: allowed.into() }
    }

    /// True if an address may be reached. The networks of the settings may always be, the public
    /// Internet only by TLS.
    pub(super) fn allow(&self, address: IpAddr, scheme: Scheme) -> bool {
        let is_allowed = || self.allowed.iter().any(|network| network.contains(&address));
        self.allow_private || is_allowed() || scheme == Scheme::Tls && is_public(address)
    }
}

/// Why a target is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefused {
    /// It names a user.
    #[error("the address has user information")]
    User,
    /// It has an address that may not be reached.
    #[error("it leads to an address that is not allowed")]
    Address,
    /// Its name has no address.
    #[error("its name cannot be resolved: {0}")]
    Unresolved(String),
}
