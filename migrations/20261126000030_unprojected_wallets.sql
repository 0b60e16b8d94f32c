-- Wallets that were changed while Redis could not be told: no process may use them as Redis has them
-- before it has projected them again (src/balance/believed.rs).
CREATE TABLE unprojected_wallets (
    account_key  integer      NOT NULL,
    version      bigint       NOT NULL,
    noted_at     timestamptz  NOT NULL,
    CONSTRAINT unprojected_wallets_pk PRIMARY KEY (account_key),
    CONSTRAINT unprojected_wallets_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT unprojected_wallets_version_is_positive CHECK (version > 0)
);
COMMENT ON TABLE unprojected_wallets IS 'No money. A row is deleted by whoever has projected its version or a later one.';
COMMENT ON COLUMN unprojected_wallets.version IS 'The wallet''s version that Redis may lack. Mutable, only upwards.';
COMMENT ON COLUMN unprojected_wallets.noted_at IS 'When Redis could not be told. Mutable.';
