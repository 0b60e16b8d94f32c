-- Keys that read one account, and change nothing.
ALTER TABLE keys DROP CONSTRAINT keys_scope_is_known;
ALTER TABLE keys ADD CONSTRAINT keys_scope_is_known
    CHECK (scope IN ('admin', 'authorize', 'account', 'read', 'sign_in'));
ALTER TABLE keys DROP CONSTRAINT keys_of_an_account_name_it;
ALTER TABLE keys ADD CONSTRAINT keys_of_an_account_name_it
    CHECK ((scope IN ('account', 'read')) = (account_key IS NOT NULL));
