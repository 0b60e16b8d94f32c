//! Sends scripts and commands: authorizations on one connection, all else on the other.

use callmeter_core::domain::AccountId;
use redis::{Cmd, Pipeline, Value};

use super::Redis;
use super::link::Link;
use crate::balance::model::BalanceError;
use crate::balance::scripts::{self, Request};

impl Redis {
    /// Runs a script on the connection of authorizations.
    pub(crate) async fn ask<R: Request>(&self, request: &R) -> Result<R::Reply, BalanceError> {
        self.ask_at(request, self.incarnation()).await
    }

    /// Runs a script with data that was read from this incarnation of the ledger.
    pub(crate) async fn ask_at<R: Request>(
        &self,
        request: &R,
        incarnation: i64,
    ) -> Result<R::Reply, BalanceError> {
        let answer = self.link.run(request, incarnation, self.offset_micros).await?;
        self.answered();
        Ok(answer)
    }

    /// As [`Self::ask`], with one retry: a connection may have ended unnoticed, which is no loss of
    /// Redis. For scripts that change nothing the second time.
    pub(crate) async fn ask_twice<R: Request>(
        &self,
        request: &R,
    ) -> Result<R::Reply, BalanceError> {
        match self.ask(request).await {
            Err(error) if error.is_lost() => self.ask(request).await,
            answer => answer,
        }
    }

    /// Checks whether authorizations would be answered, so that the end of a loss is noticed.
    pub(crate) async fn greet(&self) -> Result<(), BalanceError> {
        self.link.send(&self.link.session().await?, &redis::cmd("PING")).await?;
        self.answered();
        Ok(())
    }

    /// Runs a script on the connection of projections, and retries it once if it was lost. These
    /// scripts are fenced by versions, or change nothing, so a second run does no harm.
    pub(crate) async fn bulk<R: Request>(&self, request: &R) -> Result<R::Reply, BalanceError> {
        let run =
            async |link: &Link| link.run(request, self.incarnation(), self.offset_micros).await;
        match run(&self.bulk).await {
            Err(error) if error.is_lost() => run(&self.bulk).await,
            answer => answer,
        }
    }

    /// Runs many scripts in one round trip on the connection of projections.
    pub(crate) async fn bulk_many<R: Request>(
        &self,
        requests: &[R],
    ) -> Result<Vec<Result<R::Reply, BalanceError>>, BalanceError> {
        self.bulk.run_many(requests, self.incarnation(), self.offset_micros).await
    }

    /// Which of these accounts have a wallet in Redis, or a load that was announced. For any other,
    /// a projection would find nothing to change: a load that is announced later reads the ledger
    /// later.
    pub(crate) async fn are_known(
        &self,
        accounts: impl ExactSizeIterator<Item = &AccountId>,
    ) -> Result<Vec<bool>, BalanceError> {
        if accounts.len() == 0 {
            return Ok(Vec::new());
        }
        let mut questions = Pipeline::with_capacity(accounts.len());
        for account in accounts {
            let [wallet, .., loading] = scripts::keys(account);
            questions.cmd("EXISTS").arg(wallet).arg(loading);
        }
        let session = self.bulk.session().await?;
        let answers = self.bulk.send_many(&session, questions).await?;
        Ok(answers.into_iter().map(|answer| !matches!(answer, Ok(Value::Int(0)))).collect())
    }

    /// Number of holds and held micro-dollars of each account that this server has, in one round trip
    /// and without a script: all watched wallets are asked for together, a few times a second.
    pub(crate) async fn held_sums(
        &self,
        accounts: &[AccountId],
    ) -> Result<Vec<Option<(i64, i64)>>, BalanceError> {
        let mut questions = Pipeline::with_capacity(accounts.len());
        for account in accounts {
            let [wallet, ..] = scripts::keys(account);
            questions.cmd("HMGET").arg(wallet).arg("epoch").arg("holds").arg("held");
        }
        let session = self.bulk.session().await?;
        let answers = self.bulk.send_many(&session, questions).await?.into_iter();
        let sums = answers.map(|answer| {
            let (epoch, holds, held): (Option<String>, Option<i64>, Option<i64>) =
                redis::from_redis_value(answer?)
                    .map_err(|_| BalanceError::unreadable("HMGET", "no sums of holds"))?;
            let is_here = epoch.is_some_and(|epoch| *epoch == *session.epoch);
            Ok(holds.zip(held).filter(|_| is_here))
        });
        sums.collect()
    }

    /// Sends a command on the connection of projections, and retries it once if it was lost. For
    /// commands that change nothing the second time.
    pub(crate) async fn command(&self, command: &Cmd) -> Result<Value, BalanceError> {
        match self.bulk.send(&self.bulk.session().await?, command).await {
            Err(error) if error.is_lost() => {
                self.bulk.send(&self.bulk.session().await?, command).await
            }
            answer => answer,
        }
    }

    /// Drops a wallet; the next call of the account loads it, with its holds.
    pub(crate) async fn forget(&self, account: &AccountId) -> Result<(), BalanceError> {
        let [wallet, ..] = scripts::keys(account);
        self.command(redis::cmd("DEL").arg(wallet)).await.map(drop)
    }

    /// The next page of wallets, of about `keys` keys; the cursor 0 begins and ends a round.
    pub(crate) async fn scan(
        &self,
        cursor: u64,
        keys: usize,
    ) -> Result<(u64, Vec<AccountId>), BalanceError> {
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg("cm:{*}").arg("COUNT").arg(keys);
        let answer = self.command(&command).await?;
        let unreadable = || BalanceError::unreadable("SCAN", "no cursor and keys");
        let (cursor, keys): (u64, Vec<String>) =
            redis::from_redis_value(answer).map_err(|_| unreadable())?;
        let accounts = keys.iter().filter_map(|key| {
            let id = key.strip_prefix("cm:{")?.strip_suffix('}')?;
            AccountId::parse(id).ok()
        });
        Ok((cursor, accounts.collect()))
    }
}
