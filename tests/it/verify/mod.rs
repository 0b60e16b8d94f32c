//! Every invariant holds on a correct ledger, and fails on a damaged one.

mod damage;

use callmeter::ledger::store::Store;
use callmeter::verify::{INVARIANTS, Report, examine, verify};
use damage::DAMAGE;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::harness::servers::Servers;

const LEDGER: &str = include_str!("ledger.sql");

/// As a ledger of an older release is when it is migrated: nothing is counted as spent.
const UNCOUNTED: &str =
    "UPDATE wallets SET spent_micros = 0, spending_ends_at = '1970-01-01Z', spent_sequence = 0";
const COUNT: &str = include_str!("../../../migrations/20261130000011_spending_of_this_month.sql");

/// Drops every check and foreign key and disables the triggers, so that damage is possible.
const DROP_GUARDS: &str = "DO $$ DECLARE guard record; BEGIN
    FOR guard IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
        WHERE contype IN ('c', 'f') AND conislocal AND conparentid = 0
            AND connamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', guard.owner, guard.conname);
    END LOOP;
    FOR guard IN SELECT DISTINCT tgrelid::regclass AS owner FROM pg_trigger WHERE NOT tgisinternal
    LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', guard.owner);
    END LOOP;
END $$";

/// The test's own databases.
struct Databases {
    url: String,
    admin: PgConnection,
    made: Vec<String>,
}

impl Databases {
    async fn new() -> Self {
        let url = Servers::shared().database_url;
        let admin = PgConnection::connect(&url).await.expect("Postgres answers");
        Self { url, admin, made: Vec::new() }
    }

    /// Creates a database like `template` and runs `sql` in it; returns its name.
    async fn make(&mut self, template: &str, sql: &str) -> String {
        let name = format!("verify_{}_{}", std::process::id(), self.made.len());
        self.run(format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        self.made.push(name.clone());
        let mut connection = self.connect(&name).await;
        let run = sqlx::raw_sql(sql).execute(&mut connection).await;
        run.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("the connection closes");
        name
    }

    async fn run(&mut self, sql: String) {
        sqlx::raw_sql(&sql).execute(&mut self.admin).await.expect("Postgres obeys");
    }

    async fn connect(&self, name: &str) -> PgConnection {
        let options: PgConnectOptions = self.url.parse().expect("DATABASE_URL is a URL");
        PgConnection::connect_with(&options.database(name)).await.expect("the database answers")
    }

    async fn verify(&self, name: &str) -> Report {
        let (server, _) = self.url.rsplit_once('/').expect("the URL names a database");
        let store = Store::open(&format!("{server}/{name}"), 2).expect("the URL is read");
        let report = verify(&store).await.expect("the ledger can be read");
        store.pool().close().await;
        report
    }

    async fn drop_all(mut self) {
        for name in std::mem::take(&mut self.made) {
            self.run(format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }

    /// An empty ledger.
    async fn migrated(&mut self) -> String {
        let name = self.make("template1", "SELECT 1").await;
        let mut connection = self.connect(&name).await;
        sqlx::migrate!().run(&mut connection).await.expect("the migrations run");
        connection.close().await.expect("the connection closes");
        name
    }
}

#[tokio::test]
async fn an_empty_and_a_right_ledger_are_proven_and_each_kind_of_damage_is_found() {
    let mut databases = Databases::new().await;
    let empty = databases.migrated().await;
    let report = databases.verify(&empty).await;
    assert!(report.holds, "{report:#?}");

    let right = databases.make(&empty, LEDGER).await;
    let report = databases.verify(&right).await;
    assert!(report.holds, "{report:#?}");
    let extent = report.extent;
    assert_eq!((extent.accounts, extent.transactions, extent.charges), (3, 13, 3));
    assert!(report.drift.is_zero());

    let migrated = databases.make(&right, &format!("BEGIN; {UNCOUNTED}; {COUNT}; COMMIT")).await;
    let report = databases.verify(&migrated).await;
    assert!(report.holds, "{report:#?}");
    let mut connection = databases.connect(&migrated).await;
    let spent = "SELECT spent_micros, spent_sequence FROM wallets ORDER BY account_key";
    let spent: Vec<(i64, i64)> =
        sqlx::query_as(spent).fetch_all(&mut connection).await.expect("rows");
    let right_sums = [(1_150_000, 8), (60_000, 1), (1_150_000, 4)];
    assert_eq!(spent, right_sums, "a failed rent and a card are no spending");
    connection.close().await.expect("the connection closes");

    let unguarded = databases.make(&right, DROP_GUARDS).await;
    let mut connection = databases.connect(&unguarded).await;
    let mut missed = Vec::new();
    for (name, damage) in DAMAGE {
        let mut spoilt = connection.begin().await.expect("a transaction begins");
        let run = sqlx::raw_sql(damage).execute(&mut *spoilt).await;
        run.unwrap_or_else(|error| panic!("{damage}: {error}"));
        let report = examine(&mut spoilt).await.expect("the ledger can be read");
        spoilt.rollback().await.expect("the damage is undone");
        let found = report.invariants.iter().find(|finding| finding.name == *name);
        let found = found.unwrap_or_else(|| panic!("{name} is no invariant"));
        if report.holds || found.violations.is_empty() {
            missed.push((name, damage));
        }
    }
    connection.close().await.expect("the connection closes");
    assert!(missed.is_empty(), "{missed:#?}");
    let seen = |name: &str| DAMAGE.iter().any(|(seen, _)| *seen == name);
    let unseen: Vec<_> = INVARIANTS.iter().filter(|invariant| !seen(invariant.name)).collect();
    assert!(unseen.is_empty(), "never seen to fail: {unseen:?}");
    databases.drop_all().await;
}
