//! Phases 1 and 2: lock the wallets of a batch, then read what pricing needs.

use std::sync::Arc;

use callmeter_core::domain::call::Call;
use callmeter_core::domain::catalog::CatalogHistory;
use callmeter_core::domain::ids::{AccountId, PhoneNumberSid, PlanId};
use callmeter_core::domain::money::Money;
use callmeter_core::domain::subscription::{Subscription, SubscriptionId, SubscriptionTimeline};
use chrono::{DateTime, NaiveDate, Utc};
use foldhash::{HashMap, HashMapExt};
use sqlx::{PgConnection, Row};

use super::calls::Calls;
use super::owner::Owner;
use super::{Charger, CommitError};
use crate::ingest::batch::Batch;
use crate::ingest::decode::Event;
use crate::ledger::call_tags;
use crate::ledger::store::StoreError;
use crate::ledger::wallets::WalletHead;
use crate::ledger::watched::{self, Watched};

/// Identity of a cycle: account, subscription, start.
pub(super) type CycleKey = (i32, SubscriptionId, DateTime<Utc>);
/// Identity of a rental period: number and first day.
pub(super) type RentalIdentity = (PhoneNumberSid, NaiveDate);

/// A rental period that the ledger already has.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownRental {
    pub price: Money,
}

/// Everything that pricing needs, as read under the locks.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub catalogs: Arc<CatalogHistory>,
    /// By record: its owner; `None` if no account has its `AccountSid`.
    pub owners: Vec<Option<Owner>>,
    pub wallets: HashMap<i32, WalletHead>,
    /// The ids of those wallets' accounts.
    pub ids: HashMap<i32, AccountId>,
    timelines: HashMap<i32, SubscriptionTimeline>,
    no_subscription: SubscriptionTimeline,
    /// The batch's calls, and which of them are charged already.
    pub calls: Calls,
    pub rentals: HashMap<RentalIdentity, KnownRental>,
    /// Seconds used of each cycle.
    pub cycles: HashMap<CycleKey, u64>,
    /// Tags given with authorizations, by account and call, for events without one.
    pub tags: HashMap<(i32, Box<str>), Box<str>>,
}

impl Snapshot {
    /// An account's subscriptions; empty if it never had one.
    pub(super) fn timeline(&self, account_key: i32) -> &SubscriptionTimeline {
        self.timelines.get(&account_key).unwrap_or(&self.no_subscription)
    }

    /// The tag given with the call's authorization.
    pub(super) fn tag(&self, account_key: i32, call: &Call) -> Option<&str> {
        if self.tags.is_empty() {
            return None;
        }
        self.tags.get(&(account_key, call.call_sid.as_str().into())).map(|tag| &**tag)
    }
}

pub(super) async fn load(
    connection: &mut PgConnection,
    charger: &Charger,
    batch: &Batch,
    skips_duplicate_check: bool,
) -> Result<Snapshot, CommitError> {
    let mut snapshot = Snapshot {
        catalogs: Arc::clone(&charger.catalogs(connection).await?),
        owners: Vec::new(),
        wallets: HashMap::new(),
        ids: HashMap::new(),
        timelines: HashMap::new(),
        no_subscription: SubscriptionTimeline::new(Vec::new()),
        calls: Calls::default(),
        rentals: HashMap::new(),
        cycles: HashMap::new(),
        tags: HashMap::new(),
    };
    let payers = Payers::in_batch(batch);
    if payers.sids.is_empty() {
        return Ok(snapshot);
    }
    lock_wallets(connection, &payers, &mut snapshot).await?;
    let heads = snapshot.wallets.values_mut();
    let heads = heads.map(|head| (head.account_key, head.sequence, &mut head.watched));
    watched::catch_up(connection, heads).await?;
    // A catalog may have been accepted during the wait for the locks.
    snapshot.catalogs = charger.catalogs(connection).await?;
    read_timelines(connection, &mut snapshot).await?;
    snapshot.calls = Calls::in_batch(batch, &snapshot.owners);
    if !skips_duplicate_check {
        snapshot.calls.read(connection).await?;
    }
    read_rentals(connection, batch, &mut snapshot).await?;
    read_cycles(connection, batch, &mut snapshot).await?;
    read_tags(connection, batch, &mut snapshot).await?;
    Ok(snapshot)
}

/// The Twilio accounts of a batch, each once.
struct Payers<'a> {
    sids: Vec<&'a str>,
    /// By record: the place of its `AccountSid` in the list.
    places: Vec<Option<usize>>,
}

impl<'a> Payers<'a> {
    fn in_batch(batch: &'a Batch) -> Self {
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut sids = Vec::new();
        let places = batch.records.iter().map(|record| {
            let sid = match &record.event {
                Event::CallEnded(ended) => ended.twilio_account_sid.as_str(),
                Event::RentalDue(rental) => rental.twilio_account_sid.as_str(),
                _ => return None,
            };
            let place = *known.entry(sid).or_insert(sids.len());
            if place == sids.len() {
                sids.push(sid);
            }
            Some(place)
        });
        let places = places.collect();
        Self { sids, places }
    }
}

async fn read_tags(
    connection: &mut PgConnection,
    batch: &Batch,
    snapshot: &mut Snapshot,
) -> Result<(), StoreError> {
    if !call_tags::are_there(connection).await? {
        return Ok(());
    }
    let records = batch.records.iter().zip(&snapshot.owners);
    let calls = records.filter_map(|(record, owner)| match &record.event {
        Event::CallEnded(ended) if ended.call.tag.is_none() => {
            Some(((*owner)?.account_key, &ended.call.call_sid))
        }
        _ => None,
    });
    let calls: Vec<_> = calls.collect();
    snapshot.tags = call_tags::find(connection, &calls).await?;
    Ok(())
}

async fn lock_wallets(
    connection: &mut PgConnection,
    payers: &Payers<'_>,
    snapshot: &mut Snapshot,
) -> Result<(), StoreError> {
    // Waits for other holders; all take the locks in the same order.
    let locked = sqlx::query(
        "/* lock_wallets */
         SELECT w.account_key, w.balance_micros, w.credit_limit_micros, w.sequence,
                w.charge_sequence, w.version, w.last_at,
                w.reserved_micros, (SELECT a.id FROM accounts a WHERE a.account_key = w.account_key),
                w.refill_level_micros, w.budget_micros, w.budget_percents, w.budget_stops,
                w.spent_micros, w.spending_ends_at, w.spent_sequence,
                coalesce(w.alert_levels_micros,
                    (SELECT levels_micros FROM alert_defaults WHERE singleton), '{}') AS alert_levels
           FROM wallets w
          WHERE w.account_key IN (
                SELECT account_key FROM twilio_accounts WHERE twilio_account_sid = ANY($1))
          ORDER BY w.account_key
            FOR UPDATE",
    )
    .bind(&payers.sids)
    .fetch_all(&mut *connection)
    .await?;
    for row in locked {
        let head = WalletHead {
            account_key: row.try_get(0)?,
            balance: Money::from_micros(row.try_get(1)?),
            credit_limit: Money::from_micros(row.try_get(2)?),
            sequence: row.try_get(3)?,
            charge_sequence: row.try_get(4)?,
            version: row.try_get(5)?,
            last_at: row.try_get(6)?,
            reserved: Money::from_micros(row.try_get(7)?),
            watched: Watched::read(&row)?,
        };
        let id =
            AccountId::parse(row.try_get(8)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
        snapshot.ids.insert(head.account_key, id);
        snapshot.wallets.insert(head.account_key, head);
    }
    // Read again: a Twilio account may have changed hands during the wait. It is charged to its new
    // owner; if that wallet is not locked, the batch runs again from the start.
    let rows = sqlx::query(
        "/* lock_wallets: owners */
         SELECT twilio_account_sid, twilio_account_key, account_key
           FROM twilio_accounts WHERE twilio_account_sid = ANY($1)",
    )
    .bind(&payers.sids)
    .fetch_all(&mut *connection)
    .await?;
    let mut owners: HashMap<String, Owner> = HashMap::with_capacity(rows.len());
    for row in rows {
        let owner = Owner { twilio_account_key: row.try_get(1)?, account_key: row.try_get(2)? };
        if !snapshot.wallets.contains_key(&owner.account_key) {
            return Err(StoreError::Conflict(sqlx::Error::RowNotFound));
        }
        owners.insert(row.try_get(0)?, owner);
    }
    let owners: Vec<Option<Owner>> =
        payers.sids.iter().map(|sid| owners.get(*sid).copied()).collect();
    let of_record = |place: &Option<usize>| place.and_then(|place| owners[place]);
    snapshot.owners = payers.places.iter().map(of_record).collect();
    Ok(())
}

async fn read_timelines(
    connection: &mut PgConnection,
    snapshot: &mut Snapshot,
) -> Result<(), StoreError> {
    let accounts: Vec<i32> = snapshot.wallets.keys().copied().collect();
    let rows = sqlx::query(
        "/* read_timelines */
         SELECT account_key, subscription_id, plan, starts_at
           FROM subscriptions WHERE account_key = ANY($1)",
    )
    .bind(&accounts)
    .fetch_all(connection)
    .await?;
    let mut entries: HashMap<i32, Vec<Subscription>> = HashMap::new();
    for row in rows {
        let plan: Option<String> = row.try_get(2)?;
        let plan = plan
            .map(|plan| PlanId::parse(&plan))
            .transpose()
            .map_err(|error| StoreError::Refused(sqlx::Error::Decode(Box::new(error))))?;
        entries.entry(row.try_get(0)?).or_default().push(Subscription {
            id: SubscriptionId(row.try_get(1)?),
            plan,
            starts_at: row.try_get(3)?,
        });
    }
    snapshot.timelines = entries
        .into_iter()
        .map(|(account_key, entries)| (account_key, SubscriptionTimeline::new(entries)))
        .collect();
    Ok(())
}

async fn read_rentals(
    connection: &mut PgConnection,
    batch: &Batch,
    snapshot: &mut Snapshot,
) -> Result<(), StoreError> {
    let (sids, starts): (Vec<&str>, Vec<NaiveDate>) = batch
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::RentalDue(rental) => {
                Some((rental.phone_number_sid.as_str(), rental.period_start))
            }
            _ => None,
        })
        .unzip();
    if sids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "/* read_rentals */
         SELECT r.phone_number_sid, r.period_start, r.price_micros
           FROM unnest($1::text[], $2::date[]) AS wanted (phone_number_sid, period_start)
           JOIN rental_periods r USING (phone_number_sid, period_start)",
    )
    .bind(&sids)
    .bind(&starts)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let sid: String = row.try_get(0)?;
        let sid = PhoneNumberSid::parse(&sid)
            .map_err(|error| StoreError::Refused(sqlx::Error::Decode(Box::new(error))))?;
        let price = Money::from_micros(row.try_get(2)?);
        snapshot.rentals.insert((sid, row.try_get(1)?), KnownRental { price });
    }
    Ok(())
}

async fn read_cycles(
    connection: &mut PgConnection,
    batch: &Batch,
    snapshot: &mut Snapshot,
) -> Result<(), StoreError> {
    let mut keys: Vec<CycleKey> = batch
        .records
        .iter()
        .zip(&snapshot.owners)
        .filter_map(|(record, owner)| match &record.event {
            Event::CallEnded(ended) => {
                let owner = (*owner)?;
                let timeline = snapshot.timeline(owner.account_key);
                let in_force = timeline.in_force(ended.call.started_at())?;
                Some((owner.account_key, in_force.subscription.id, in_force.cycle.start))
            }
            _ => None,
        })
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    keys.sort_unstable();
    keys.dedup();
    let accounts: Vec<i32> = keys.iter().map(|key| key.0).collect();
    let subscriptions: Vec<i64> = keys.iter().map(|key| key.1.0).collect();
    let starts: Vec<DateTime<Utc>> = keys.iter().map(|key| key.2).collect();
    let rows = sqlx::query(
        "/* read_cycles */
         SELECT wanted.ordinal, c.used_seconds
           FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[])
                WITH ORDINALITY AS wanted (account_key, subscription_id, cycle_start, ordinal)
           JOIN cycles c USING (account_key, subscription_id, cycle_start)",
    )
    .bind(&accounts)
    .bind(&subscriptions)
    .bind(&starts)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let ordinal: i64 = row.try_get(0)?;
        let used: i64 = row.try_get(1)?;
        let found = usize::try_from(ordinal - 1).ok().and_then(|index| keys.get(index));
        if let Some(key) = found {
            snapshot.cycles.insert(*key, u64::try_from(used).unwrap_or_default());
        }
    }
    Ok(())
}
