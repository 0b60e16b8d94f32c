//! A process that dies at every step of a purchase and of a release.

use super::{World, local, phone_number, text};
use crate::harness::poll::{SOON, until};
use callmeter::simulate::twilio::{NumberFault, NumberRequest};
use callmeter_core::policy::purchase_state::Step;
use reqwest::Method;
use sqlx::PgConnection;

/// Where a process is stopped, to be killed there. A transaction that is stopped is never committed;
/// what a step leaves after its commit is what the next one begins with.
enum Stop {
    /// In Postgres, by the row's change.
    Postgres(&'static str),
    /// At Twilio, in this request.
    Twilio(NumberRequest, NumberFault),
}

/// The stops of a step; none: it changes nothing.
fn stops(step: Step) -> Vec<Stop> {
    let at_twilio = |request| {
        let faults = [NumberFault::HangBeforeEffect, NumberFault::HangAfterEffect];
        faults.map(|fault| Stop::Twilio(request, fault)).into()
    };
    match step {
        Step::CheckFunds => vec![Stop::Postgres("NEW.is_checked AND NOT OLD.is_checked")],
        Step::Debit => {
            vec![Stop::Postgres("NEW.debited_at IS NOT NULL AND OLD.debited_at IS NULL")]
        }
        Step::Buy => {
            let mut stops: Vec<Stop> = at_twilio(NumberRequest::Buy);
            stops.push(Stop::Postgres("NEW.attempts > OLD.attempts"));
            stops
        }
        Step::LookUp => at_twilio(NumberRequest::List),
        Step::Confirm => vec![Stop::Postgres("NEW.status = 'active'")],
        Step::Refund => vec![Stop::Postgres("NEW.status = 'failed'")],
        Step::Remove => at_twilio(NumberRequest::Remove),
        Step::Finish => vec![Stop::Postgres("NEW.status = 'released'")],
        Step::Await | Step::Rest => vec![],
    }
}

impl World {
    /// Lets the process stop there.
    async fn set(&self, stop: &Stop, sql: &mut PgConnection) {
        match stop {
            Stop::Twilio(request, fault) => self.twilio.local.fail_numbers(*request, *fault, 0),
            Stop::Postgres(change) => {
                let trap = format!(
                    "SELECT pg_advisory_lock(77);
                     CREATE OR REPLACE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS
                         $$ BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NEW; END $$;
                     CREATE TRIGGER stop BEFORE UPDATE ON numbers FOR EACH ROW WHEN ({change})
                         EXECUTE FUNCTION stop()"
                );
                sqlx::raw_sql(&trap).execute(sql).await.expect("the trap is set");
            }
        }
    }

    /// Waits until the process has stopped, kills it, and takes the stop away.
    async fn kill_at(&mut self, stop: &Stop, asked: usize, sql: &mut PgConnection) {
        match stop {
            Stop::Twilio(request, _) => {
                until("the request hangs", SOON, async || {
                    let requests = self.twilio.local.number_requests();
                    requests[asked..].contains(request).then_some(())
                })
                .await;
                self.system.services[0].kill();
                self.twilio.local.clear_faults();
            }
            Stop::Postgres(_) => {
                let waits = "SELECT count(*) FROM pg_locks
                    WHERE locktype = 'advisory' AND NOT granted AND database =
                        (SELECT oid FROM pg_database WHERE datname = current_database())";
                until("the step waits", SOON, async || {
                    let waiting: i64 =
                        sqlx::query_scalar(waits).fetch_one(&mut *sql).await.expect("locks");
                    (waiting > 0).then_some(())
                })
                .await;
                self.system.services[0].kill();
                let end = "SELECT pg_terminate_backend(pid) FROM pg_locks
                    WHERE locktype = 'advisory' AND NOT granted AND database =
                        (SELECT oid FROM pg_database WHERE datname = current_database());
                    SELECT pg_advisory_unlock(77);
                    DROP TRIGGER stop ON numbers";
                sqlx::raw_sql(end).execute(&mut *sql).await.expect("the trap is taken away");
            }
        }
    }

    /// Begins a purchase, or a release of a number that it buys, and kills the process at a place.
    async fn interrupt(&mut self, step: Step, place: &Stop, n: usize, sql: &mut PgConnection) {
        let number = phone_number(n);
        if is_release(step) {
            let bought = self.buy(&number).await.expect(201);
            let sid = text(&bought, "sid");
            self.set(place, sql).await;
            let asked = self.twilio.local.number_requests().len();
            self.release(&sid).await.expect(202);
            self.kill_at(place, asked, sql).await;
            return;
        }
        let first = match step {
            Step::LookUp => Some(NumberFault::ServerErrorAfterEffect),
            Step::Refund => Some(NumberFault::Refuse(21_422)),
            _ => None,
        };
        let asked = self.twilio.local.number_requests().len();
        if let Some(fault) = first {
            self.twilio.local.fail_numbers(NumberRequest::Buy, fault, 1);
        }
        self.set(place, sql).await;
        let (own, key) = (self.own.clone(), format!("key-{n}"));
        let body = local(&number).to_string().into_bytes();
        let sent = tokio::spawn(async move {
            let headers = [("idempotency-key", key.as_str())];
            let path = "/v1/accounts/acme/numbers";
            drop(own.send(Method::POST, path, &headers, Some(body)).await);
        });
        self.kill_at(place, asked, sql).await;
        sent.await.expect("it ends");
    }
}

const fn is_release(step: Step) -> bool {
    matches!(step, Step::Remove | Step::Finish)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_at_any_step_leaves_a_number_that_is_bought_or_released_once() {
    let mut world = World::start("api,jobs", 100_000_000).await;
    let mut sql = world.system.sql().await;
    let (mut n, mut kept, mut failed) = (0, 0, 0);
    for step in Step::ALL {
        for stop in stops(*step) {
            n += 1;
            world.interrupt(*step, &stop, n, &mut sql).await;
            world.system.restart(0, "api,jobs");
            world.system.ready(0).await;
            let (number, status) = match step {
                Step::Refund => (phone_number(n), "failed"),
                step if is_release(*step) => (phone_number(n), "released"),
                _ => (phone_number(n), "active"),
            };
            until(&format!("{step:?}: {number} is {status}"), SOON, async || {
                let all = world.numbers().await;
                let found = all.iter().find(|found| found["phone_number"] == number)?;
                (found["status"] == status).then_some(())
            })
            .await;
            failed += usize::from(status == "failed");
            kept += usize::from(status == "active");
            if status == "active" {
                let again = world.buy_as(&format!("key-{n}"), &local(&number)).await;
                assert_eq!(again.expect(201)["status"], "active", "{step:?}");
            }
            world.assert_twilio_agrees().await;
        }
    }
    assert_eq!(world.twilio.local.owned_numbers().len(), kept);
    let rows = world.rows().await;
    let count = |kind: &str| rows.iter().filter(|row| row.0 == kind).count();
    assert_eq!((count("number_purchase"), count("refund")), (n, failed), "{rows:?}");
    let wallet = world.own.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["held"], "0.000000", "nothing stays set aside: {wallet}");
}
