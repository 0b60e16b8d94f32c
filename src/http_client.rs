//! Outgoing HTTP: creates every client of this program.

use reqwest::{Client, ClientBuilder};

/// Creates a client. Its TLS is rustls with ring (docs/decisions/0011), and trusts the certificate
/// authorities of the system. On a machine without any the client still works for plain HTTP, and
/// each HTTPS request fails.
///
/// # Errors
/// If `configure` asks for something that is not possible.
pub fn client(configure: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<Client> {
    // Needed once in each process before the first client; later calls change nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let begin = || Client::builder().user_agent(concat!("callmeter/", env!("CARGO_PKG_VERSION")));
    configure(begin()).build().or_else(|error| {
        let client = configure(begin().tls_certs_only([])).build()?;
        tracing::debug!(%error, "no certificate authorities: https requests will fail");
        Ok(client)
    })
}
