//! HTTP that this program asks of others: where every client begins.

use reqwest::ClientBuilder;

/// Begins a client. Its TLS is rustls with ring (docs/decisions/0011), which has to be said once in
/// each process before a client is built.
pub fn client() -> ClientBuilder {
    // A second time changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().user_agent(concat!("callmeter/", env!("CARGO_PKG_VERSION")))
}
