//! Makes mails of events, sends those that are due, and notes what became of each.

use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt;
use tokio::sync::watch;

use super::kinds::{kind_of, mailed_types};
use super::message::Writer;
use super::templates::Templates;
use super::token::Tokens;
use super::transport::{MailError, NotSent, Server};
use crate::clock::{Clock, beat};
use crate::config::Settings;
use crate::ledger::LedgerError;
use crate::ledger::mail::{self, DueMail, SentMail};
use crate::ledger::outbox;
use crate::ledger::store::{AsStoreError, Store, StoreError};
use crate::metrics::{MAILS, MAILS_WAITING};
use crate::notify::RETRY_EVERY;
use crate::telemetry::one_line;

/// Time between two looks for mails that are due again.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Mails sent at once, and claimed at once.
const AT_ONCE_MAX: usize = 4;
const CLAIMED_MAX: i64 = 20;
/// How long a claim lasts: longer than it takes to send that many.
const CLAIM: TimeDelta = TimeDelta::minutes(5);
/// The first wait after a failure; each further one doubles it, up to the longest.
const RETRY_SECONDS: i64 = 10;
const RETRY_SECONDS_MAX: i64 = 6 * 3_600;
/// How long a mail is tried.
const TRIED_FOR: TimeDelta = TimeDelta::days(3);

/// Sends mails.
#[derive(Clone, Debug)]
pub(in crate::notify) struct Mailer {
    store: Store,
    clock: Clock,
    /// `None`: there is no mail server, and no mail.
    ready: Option<(Server, Writer)>,
}

impl Mailer {
    /// A mailer by the settings.
    ///
    /// # Errors
    /// If a file of the settings cannot be used.
    pub(in crate::notify) fn from_settings(
        settings: &Settings,
        store: Store,
        clock: Clock,
    ) -> Result<Self, MailError> {
        let server = Server::from_settings(&settings.mail)?;
        let ready = match (server, settings.mail.sender()) {
            (Some(server), Some(from)) => {
                let templates = Templates::read(settings.mail.templates.as_deref())?;
                let tokens = Tokens::from_settings(settings);
                let public_url = settings.http.public_url.clone();
                Some((server, Writer { from, templates, tokens, public_url }))
            }
            _ => None,
        };
        Ok(Self { store, clock, ready })
    }

    /// Makes and sends mails, whenever there is news. Ends with the ordering.
    pub(in crate::notify) async fn run(&self, mut news: watch::Receiver<()>) {
        let mut has_begun = false;
        loop {
            match self.step(&mut has_begun).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    if error.as_store_error().is_some_and(StoreError::is_transient) {
                        tracing::debug!(%error, "mails wait");
                    } else {
                        tracing::warn!(error = one_line(&error), "mails wait");
                    }
                    beat(RETRY_EVERY).await;
                    continue;
                }
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = beat(LOOK_EVERY), if self.ready.is_some() => {}
            }
        }
    }

    /// Makes mails of what is new, and sends some that are due. True if there may be more.
    async fn step(&self, has_begun: &mut bool) -> Result<bool, LedgerError> {
        let now = self.clock.now();
        let Some((server, writer)) = &self.ready else {
            if !*has_begun {
                outbox::forget(&self.store, mail::CONSUMER).await?;
                *has_begun = true;
            }
            return Ok(false);
        };
        if !*has_begun {
            // An operator who turns mail on wants no old news.
            outbox::begin(&self.store, mail::CONSUMER, now).await?;
            mail::release(&self.store).await?;
            *has_begun = true;
        }
        while mail::fan_out(&self.store, mailed_types(), now).await?.is_some() {}
        if !mail::is_any_due(&self.store, now).await? {
            return Ok(false);
        }
        let claimed = mail::claim(&self.store, CLAIMED_MAX, now, now + CLAIM).await?;
        let sending = claimed.into_iter().map(|due| self.send(server, writer, due));
        let sent: Vec<_> =
            futures::stream::iter(sending).buffer_unordered(AT_ONCE_MAX).collect().await;
        mail::note(&self.store, &sent).await?;
        let waiting = mail::waiting(&mut *self.store.read().await?).await?;
        let mails = u32::try_from(waiting.mails).unwrap_or(u32::MAX);
        metrics::gauge!(MAILS_WAITING).set(f64::from(mails));
        Ok(!sent.is_empty())
    }

    async fn send(&self, server: &Server, writer: &Writer, due: DueMail) -> SentMail {
        let (outcome, result) = self.try_send(server, writer, &due).await;
        let (at, number) = (self.clock.now(), due.number);
        let (outcome, error, due_at) = match result {
            Ok(()) => (outcome, None, None),
            Err(NotSent { error, is_final }) => {
                let wait = retry_after(due.attempts);
                let is_over = is_final || at + wait > due.created_at + TRIED_FOR;
                let outcome = match (is_final, is_over) {
                    (true, _) => outcome,
                    (false, true) => "given_up",
                    (false, false) => "failed",
                };
                (outcome, Some(error), (!is_over).then(|| at + wait))
            }
        };
        metrics::counter!(MAILS, "outcome" => outcome).increment(1);
        if let (Some(error), Some(_)) = (&error, due_at) {
            tracing::warn!(mail = number, error, "a mail was not sent; it is tried again");
        }
        SentMail { number, at, error, due_at }
    }

    async fn try_send(
        &self,
        server: &Server,
        writer: &Writer,
        due: &DueMail,
    ) -> (&'static str, Result<(), NotSent>) {
        let never = |error: &str| Err(NotSent { error: error.to_owned(), is_final: true });
        let Some(kind) = kind_of(due.event.kind) else {
            return ("unwanted", never("the type is not mailed"));
        };
        let Some(to) = &due.address else {
            return ("unwanted", never("the account has no address any more"));
        };
        if kind.is_optional && due.unsubscribed.iter().any(|unwanted| unwanted == kind.object) {
            return ("unwanted", never("the address is unsubscribed"));
        }
        match writer.write(due, kind, to) {
            Ok(message) => match server.send(message).await {
                Ok(()) => ("sent", Ok(())),
                Err(not_sent) => ("refused", Err(not_sent)),
            },
            Err(error) => {
                tracing::warn!(mail = due.number, error, "a mail cannot be written");
                ("refused", never(&error))
            }
        }
    }
}

/// The wait after a failed attempt; `attempts` were made before it.
fn retry_after(attempts: i32) -> TimeDelta {
    let doubled = RETRY_SECONDS << u32::try_from(attempts.clamp(0, 16)).unwrap_or_default();
    TimeDelta::seconds(doubled.min(RETRY_SECONDS_MAX))
}
