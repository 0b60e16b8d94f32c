//! The calls of a batch, each once, in the order of the ledger's index, so that index pages are
//! read and written from left to right. A record knows the place of its call among them.

use sqlx::{PgConnection, Row};

use super::owner::Owner;
use crate::ingest::batch::Batch;
use crate::ingest::decode::Event;
use crate::ledger::call_key::CallKey;
use crate::ledger::store::StoreError;

/// A call's place among [`Calls`].
pub(super) type Place = u32;

/// A call's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub owner: Owner,
    pub key: CallKey,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    identities: Vec<Identity>,
    /// By record: the place of its call; `None` if it is no call of an account.
    places: Vec<Option<Place>>,
    /// By place: the seconds charged for the call before this batch.
    charged: Vec<Option<i32>>,
}

impl Calls {
    /// The calls of a batch whose records belong to `owners`; none is known to be charged yet.
    pub(super) fn in_batch(batch: &Batch, owners: &[Option<Owner>]) -> Self {
        let mut calls = Vec::with_capacity(batch.records.len());
        for (index, (record, owner)) in batch.records.iter().zip(owners).enumerate() {
            let (Event::CallEnded(ended), Some(owner)) = (&record.event, *owner) else { continue };
            let key = CallKey::new(&ended.call.call_sid);
            // These numbers alone distinguish almost every pair.
            let rank = (owner.rank(), key.leading());
            calls.push((rank, Identity { owner, key }, index));
        }
        calls.sort_unstable_by(|(a_rank, a, _), (b_rank, b, _)| {
            a_rank.cmp(b_rank).then_with(|| a.key.cmp(&b.key))
        });
        let mut identities: Vec<Identity> = Vec::with_capacity(calls.len());
        let mut places = vec![None; batch.records.len()];
        for (_, identity, index) in calls {
            if identities.last() != Some(&identity) {
                identities.push(identity);
            }
            places[index] = Place::try_from(identities.len() - 1).ok();
        }
        let charged = vec![None; identities.len()];
        Self { identities, places, charged }
    }

    /// A record's call, and its place.
    pub(super) fn of_record(&self, index: usize) -> Option<(Place, &Identity)> {
        let place = self.places.get(index).copied().flatten()?;
        Some((place, self.identities.get(place as usize)?))
    }

    /// By place: the seconds charged for each call before this batch.
    pub(super) fn charged(&self) -> &[Option<i32>] {
        &self.charged
    }

    /// Reads which of the calls the ledger has.
    pub(super) async fn read(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if self.identities.is_empty() {
            return Ok(());
        }
        let all = self.identities.iter();
        let accounts: Vec<i32> = all.clone().map(|it| it.owner.account_key).collect();
        let twilio: Vec<i32> = all.clone().map(|it| it.owner.twilio_account_key).collect();
        let keys: Vec<&[u8]> = all.map(|it| it.key.as_bytes()).collect();
        let rows = sqlx::query(
            "/* read_calls */
             SELECT wanted.ordinal, k.seconds
               FROM unnest($1::integer[], $2::integer[], $3::bytea[])
                    WITH ORDINALITY AS wanted (account_key, twilio_account_key, call_key, ordinal)
               JOIN call_keys k USING (account_key, twilio_account_key, call_key)",
        )
        .bind(&accounts)
        .bind(&twilio)
        .bind(&keys)
        .fetch_all(connection)
        .await?;
        for row in rows {
            let ordinal: i64 = row.try_get(0)?;
            let place = usize::try_from(ordinal - 1).ok();
            if let Some(charged) = place.and_then(|place| self.charged.get_mut(place)) {
                *charged = Some(row.try_get(1)?);
            }
        }
        Ok(())
    }
}
