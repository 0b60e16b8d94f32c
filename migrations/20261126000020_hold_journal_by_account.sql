-- An account's holds, and its voids, each by themselves: a load reads all of the first, and the last of
-- the others, however many voids a day has.
CREATE INDEX hold_journal_holds ON hold_journal (account_key, expires_at, call_sid) WHERE hold IS NOT NULL;
CREATE INDEX hold_journal_voids ON hold_journal (account_key, expires_at, call_sid) WHERE hold IS NULL;
