-- Since when a Twilio account has had a token of its own: the settings' token counts a while longer.
ALTER TABLE twilio_tokens ADD COLUMN first_set_at timestamptz;
COMMENT ON COLUMN twilio_tokens.first_set_at IS
    'When the first of its tokens was given; null: long ago. Immutable.';
