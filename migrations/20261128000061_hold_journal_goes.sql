-- The journal of holds before `hold_changes`. Its last hold ended two days after that migration.
DROP TRIGGER IF EXISTS hold_changes_to_journal ON hold_changes;
DROP FUNCTION hold_changes_to_journal();
DROP TABLE hold_journal;
DROP FUNCTION hold_journal_to_changes();
