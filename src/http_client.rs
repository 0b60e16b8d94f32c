//! HTTP that this program asks of others: where every client begins.

use reqwest::{Client, ClientBuilder};

/// Makes a client. Its TLS is rustls with ring (docs/decisions/0011), and believes the certificate
/// authorities of the system. On a machine that has none the client is made all the same: plain HTTP
/// works, and an HTTPS address fails when it is asked.
///
/// # Errors
/// Where `configure` asks for what cannot be had.
pub fn client(configure: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    // Said once in each process before a client is made; a second time changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let begin = || Client::builder().user_agent(concat!("callmeter/", env!("CARGO_PKG_VERSION")));
    configure(begin()).build().or_else(|error| {
        let client = configure(begin().tls_certs_only([])).build()?;
        tracing::debug!(%error, "no certificate authorities: https addresses cannot be asked");
        Ok(client)
    })
}
