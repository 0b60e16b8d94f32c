//! Charging into a ledger that already contains many charges.

use anyhow::Context;
use callmeter::simulate::Skew;

use crate::charging::Run;
use crate::world::{Site, World};

/// Charges copied at once.
const STEP: i64 = 1_000_000;

/// Records per second with `stored` charges before. These are copies of a meter's charges under
/// other calls and numbers; balances are not continued, because charging does not read them.
pub(crate) async fn measure(world: &mut World, records: u64, stored: u64) -> anyhow::Result<u64> {
    let site = world.make_site().await?;
    fill(world, &site, stored, Days::Same).await?;
    let run = Run::measure_at(world, &site, records, Skew::Even, 3).await?;
    world.drop_database(&site.database).await?;
    Ok(run.per_second)
}

/// When the copies were charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Days {
    /// When the pattern was.
    Same,
    /// Each a day earlier than the one before.
    Apart,
}

/// Charges a pattern, and copies it until so many charges are stored.
pub(crate) async fn fill(
    world: &World,
    site: &Site,
    stored: u64,
    days: Days,
) -> anyhow::Result<()> {
    let step =
        if days == Days::Apart { STEP.min(i64::try_from(stored / 20)?.max(1)) } else { STEP };
    let pattern = u64::try_from(step)?.min(stored);
    Run::measure_at(world, site, pattern, Skew::Even, 2).await?;
    let mut connection = world.connect(&site.database).await?;
    let copies = i64::try_from(stored / pattern).context("a count of charges")?;
    for copy in 1..copies {
        eprintln!("  {} charges stored", u64::try_from(copy)? * pattern);
        let earlier = if days == Days::Apart { copy } else { 0 };
        sqlx::query(MAKE_ROOM).bind(earlier).execute(&mut connection).await?;
        for sql in COPY_ONCE {
            sqlx::query(sql).bind(copy).bind(earlier).execute(&mut connection).await?;
        }
    }
    sqlx::query(MOVE_HEADS).bind(copies).execute(&mut connection).await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await?;
    Ok(())
}

/// The month of copies that were charged `$1` days earlier.
const MAKE_ROOM: &str =
    "SELECT ensure_charges_partition(now() - make_interval(days => $1::bigint::integer))";

/// Each writes the pattern's rows again, `$1` patterns later, charged `$2` days earlier.
const COPY_ONCE: [&str; 3] = [
    "INSERT INTO charges
     SELECT account_key, twilio_account_key, charges.charge_sequence + $1::bigint * wallets.charge_sequence,
         charged_at - make_interval(days => $2::bigint::integer), started_at, cycle_start, subscription_id, allowance_before_seconds,
         rate_micros, amount_micros, overshoot_micros,
         transaction_sequence + $1::bigint * wallets.sequence, record_offset, stream_key, catalog_version,
         seconds, twilio_minutes, billed_seconds, allowance_seconds, wallet_seconds,
         'CA' || md5(call_sid || $1::bigint), parent_call_sid, call_from, call_to, direction,
         matched_prefix, plan, tag
     FROM charges JOIN wallets USING (account_key)
     WHERE charges.charge_sequence <= wallets.charge_sequence",
    "INSERT INTO call_keys
     SELECT account_key, twilio_account_key, seconds,
         call_keys.charge_sequence + $1::bigint * wallets.charge_sequence,
         '\\x00'::bytea || decode(md5('CA' || encode(substr(call_key, 2), 'hex') || $1::bigint), 'hex')
     FROM call_keys JOIN wallets USING (account_key)
     WHERE $2::bigint >= 0 AND call_keys.charge_sequence <= wallets.charge_sequence",
    "INSERT INTO transactions
     SELECT account_key, transactions.sequence + $1::bigint * wallets.sequence,
         at - make_interval(days => $2::bigint::integer), amount_micros,
         balance_before_micros, balance_after_micros, NULL, type, kind, status, description,
         payment_intent_id, 'CA' || md5(call_sid || $1::bigint)
     FROM transactions JOIN wallets USING (account_key)
     WHERE transactions.sequence <= wallets.sequence",
];

const MOVE_HEADS: &str = "UPDATE wallets
    SET charge_sequence = charge_sequence * $1, sequence = sequence * $1,
        spent_sequence = spent_sequence * $1";
