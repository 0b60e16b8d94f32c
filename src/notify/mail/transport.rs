//! The mail server: how it is reached, and what its refusals mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport, Message, Tokio1Executor};
use percent_encoding::percent_decode_str;
use url::Url;

use super::templates::TemplateError;
use crate::config;

/// Longest wait for one answer of the server.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Why no mail can be sent with these settings.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The file of certificate authorities cannot be read.
    #[error("mail.ca_file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// TLS or the address is not usable.
    #[error("the mail server of mail.smtp_url cannot be used")]
    Server(#[source] Error),
    /// A template is not usable.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotSent {
    /// In words.
    pub(super) error: String,
    /// The server refuses this mail for good.
    pub(super) is_final: bool,
}

/// The mail server.
#[derive(Clone, Debug)]
pub(super) struct Server(AsyncSmtpTransport<Tokio1Executor>);

impl Server {
    /// By the settings; `None`: there is none.
    pub(super) fn from_settings(settings: &config::Mail) -> Result<Option<Self>, MailError> {
        let Some(url) = settings.smtp_url.as_ref() else { return Ok(None) };
        let Ok(url) = url.expose().parse::<Url>() else { return Ok(None) };
        drop(rustls::crypto::ring::default_provider().install_default());
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let mut tls = TlsParameters::builder(host.clone());
        if let Some(path) = &settings.ca_file {
            for certificate in certificates(path)? {
                tls = tls.add_root_certificate(certificate);
            }
        }
        let tls = tls.build_rustls().map_err(MailError::Server)?;
        let has_password = url.password().is_some();
        // A password never travels in the clear.
        let (tls, port) = match (url.scheme(), has_password) {
            ("smtps", _) => (Tls::Wrapper(tls), 465),
            (_, true) => (Tls::Required(tls), 587),
            (_, false) => (Tls::Opportunistic(tls), 25),
        };
        let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(url.port().unwrap_or(port))
            .tls(tls)
            .timeout(Some(ANSWER_MAX));
        if let Some(password) = url.password() {
            let plain = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            server = server.credentials(Credentials::new(plain(url.username()), plain(password)));
        }
        Ok(Some(Self(server.build())))
    }

    /// Sends a mail.
    pub(super) async fn send(&self, message: Message) -> Result<(), NotSent> {
        self.0.send(message).await.map(|_| ()).map_err(|error| not_sent(&error))
    }
}

/// The end of each certificate in PEM.
const END: &str = "-----END CERTIFICATE-----";

fn certificates(path: &Path) -> Result<Vec<Certificate>, MailError> {
    let unreadable = |source| MailError::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let each = text.split_inclusive(END).filter(|part| part.contains(END));
    each.map(|part| Certificate::from_pem(part.as_bytes()).map_err(MailError::Server)).collect()
}

/// What a failure means. Refused credentials concern every mail: an operator may correct them.
fn not_sent(error: &Error) -> NotSent {
    let code = error.status().map(u16::from);
    let is_about_us = matches!(code, Some(530 | 534 | 535 | 538));
    let told: String = crate::telemetry::one_line(error).chars().take(500).collect();
    NotSent { error: told.replace('\0', ""), is_final: error.is_permanent() && !is_about_us }
}
