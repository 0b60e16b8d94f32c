//! How scripts and commands reach Redis: authorizations by one connection, all else by another.

use std::sync::atomic::Ordering;

use redis::{Cmd, Value};

use super::connection::Link;
use super::error::BalanceError;
use super::scripts::Request;
use super::stage::Balance;

impl Balance {
    /// Runs a script on the connection of authorizations.
    pub(super) async fn ask<R: Request>(&self, request: &R) -> Result<R::Reply, BalanceError> {
        let answer = self.run_at(&self.0.link, request, self.incarnation()).await?;
        self.redis_answered();
        Ok(answer)
    }

    /// Looks whether authorizations would be answered, so that the end of a loss is noticed.
    pub(super) async fn greet(&self) -> Result<(), BalanceError> {
        let link = &self.0.link;
        link.send(&link.session().await?, &redis::cmd("PING")).await?;
        self.redis_answered();
        Ok(())
    }

    /// Runs a script on the connection of projections, once more where the first was lost: these
    /// are fenced by versions, or change nothing, and do no harm twice.
    pub(super) async fn bulk<R: Request>(&self, request: &R) -> Result<R::Reply, BalanceError> {
        match self.run_at(&self.0.bulk, request, self.incarnation()).await {
            Err(error) if error.is_lost() => {
                self.run_at(&self.0.bulk, request, self.incarnation()).await
            }
            answer => answer,
        }
    }

    /// Sends a command that changes nothing on the connection of projections, once more where the
    /// first was lost.
    pub(super) async fn look(&self, command: &Cmd) -> Result<Value, BalanceError> {
        let bulk = &self.0.bulk;
        match bulk.send(&bulk.session().await?, command).await {
            Err(error) if error.is_lost() => bulk.send(&bulk.session().await?, command).await,
            answer => answer,
        }
    }

    /// Runs many scripts in one round trip on the connection of projections.
    pub(super) async fn bulk_many<R: Request>(
        &self,
        requests: &[R],
    ) -> Result<Vec<Result<R::Reply, BalanceError>>, BalanceError> {
        let offset = self.0.settings.redis_clock_offset_micros;
        self.0.bulk.run_many(requests, self.incarnation(), offset).await
    }

    pub(super) async fn run_at<R: Request>(
        &self,
        link: &Link,
        request: &R,
        incarnation: i64,
    ) -> Result<R::Reply, BalanceError> {
        link.run(request, incarnation, self.0.settings.redis_clock_offset_micros).await
    }

    fn redis_answered(&self) {
        let now = self.0.clock.now().timestamp_micros();
        self.0.redis_answered_at.store(now, Ordering::Relaxed);
    }

    pub(super) fn redis_answered_at(&self) -> i64 {
        self.0.redis_answered_at.load(Ordering::Relaxed)
    }
}
