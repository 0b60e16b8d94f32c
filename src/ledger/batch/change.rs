//! What a batch changed in each wallet, for the projection after the commit.

use callmeter_core::domain::ids::AccountId;
use foldhash::HashMap;

use super::WalletChange;
use super::rows::Rows;
use crate::ledger::wallets::WalletHead;

/// Collects each wallet's change; `before` are the wallets as they were locked.
pub(super) fn of_wallets(
    rows: &Rows<'_>,
    before: &HashMap<i32, WalletHead>,
    ids: &HashMap<i32, AccountId>,
) -> Vec<WalletChange> {
    let mut charges = rows.charges_by_account().peekable();
    let mut cycles = rows.cycles.iter().peekable();
    let moved = rows.wallets.iter().filter_map(|head| {
        let account_key = head.account_key;
        let mut call_sids = Vec::new();
        while let Some(row) = charges.next_if(|row| row.owner.account_key <= account_key) {
            call_sids.push(row.call.call_sid.clone());
        }
        let mut used = Vec::new();
        while let Some(((_, subscription, start), seconds)) =
            cycles.next_if(|((key, _, _), _)| *key <= account_key)
        {
            used.push((*subscription, *start, *seconds));
        }
        Some(WalletChange {
            account: ids.get(&account_key)?.clone(),
            from_version: before.get(&account_key).map_or(0, |head| head.version),
            version: head.version,
            charge_sequence: head.charge_sequence,
            balance: head.balance,
            credit_limit: head.admission_limit(),
            budget: head.watched.budget_stop(),
            cycles: used,
            call_sids,
        })
    });
    moved.collect()
}
