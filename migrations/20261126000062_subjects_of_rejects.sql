-- Whom and what a rejected record names, as decoding reads it: whatever its escapes, and though its bytes
-- are left in Kafka or were blanked.
ALTER TABLE rejects
    ADD COLUMN twilio_account_sid text COLLATE "C",
    ADD COLUMN call_sid text COLLATE "C";
COMMENT ON COLUMN rejects.twilio_account_sid IS
    'AccountSid of the record, else of its key; null: neither can be read, or it was kept before this column was.';
COMMENT ON COLUMN rejects.call_sid IS 'CallSid of the record; null as above.';
CREATE INDEX rejects_by_call ON rejects (twilio_account_sid, call_sid) WHERE twilio_account_sid IS NOT NULL;
