-- Expired holds are found account by account, by `hold_changes_holds`. Each hold is sorted into one index less.
DROP INDEX hold_changes_by_expiry;
