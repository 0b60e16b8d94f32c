//! Resolves the names of targets, and lets through only addresses that are allowed.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::rules::{Rules, Scheme, TargetRefused};

/// Longest wait for one answer of the resolver of the settings, which is asked twice.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

/// Finds the addresses of a name.
#[derive(Clone)]
pub(super) enum Lookup {
    /// As the system does.
    System,
    /// By the resolver of the settings.
    Own(Arc<TokioResolver>),
}

impl Lookup {
    /// By the resolver at this address; `None`: the system's.
    pub(super) fn new(server: Option<SocketAddr>) -> Self {
        let Some(server) = server else { return Self::System };
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut one| {
            one.port = server.port();
            one
        });
        let server = NameServerConfig::new(server.ip(), true, connections.into());
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = ANSWER_MAX;
        options.attempts = 2;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        // A name without a dot is no name of this network.
        options.ndots = 0;
        match builder.build() {
            Ok(resolver) => Self::Own(Arc::new(resolver)),
            Err(error) => {
                tracing::error!(%error, "webhooks.resolver cannot be used: the system's is");
                Self::System
            }
        }
    }

    /// Every address of a name.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found: Vec<IpAddr> = match self {
            Self::System => {
                let found = tokio::net::lookup_host((name, 0)).await;
                found.map_err(|error| error.to_string())?.map(|it| it.ip()).collect()
            }
            Self::Own(resolver) => {
                // A final dot: the name is complete, and no domain is appended.
                let name = format!("{}.", name.trim_end_matches('.'));
                let found = resolver.lookup_ip(name).await;
                found.map_err(|error| error.to_string())?.iter().collect()
            }
        };
        if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
    }
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::System => "System",
            Self::Own(_) => "Own",
        })
    }
}

/// The resolver of a client for one scheme: it answers only if every address is allowed.
#[derive(Clone, Debug)]
pub(super) struct CheckedResolver {
    pub(super) lookup: Lookup,
    pub(super) rules: Rules,
    pub(super) scheme: Scheme,
}

impl CheckedResolver {
    /// The addresses of a name, each of them allowed.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, TargetRefused> {
        let found = self.lookup.addresses(name).await.map_err(TargetRefused::Unresolved)?;
        match found.iter().find(|address| !self.rules.allow(**address, self.scheme)) {
            Some(_) => Err(TargetRefused::Address),
            None => Ok(found),
        }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        async move {
            let found = CheckedResolver::resolve(&resolver, name.as_str()).await;
            let found =
                found.map_err(|refused| Box::new(refused) as Box<dyn Error + Send + Sync>)?;
            // Port 0: that of the address that is asked for.
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        }
        .boxed()
    }
}
