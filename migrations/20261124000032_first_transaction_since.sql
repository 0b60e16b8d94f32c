-- The number of an account's first transaction at or after an instant; one above the last where there
-- is none. Numbers have no gap and `at` never falls, so halving finds it by some twenty look-ups in
-- the primary key, with no index on `at` to be paid for by every charge.
CREATE FUNCTION first_transaction_since(account integer, instant timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    lowest bigint := 1;
    above bigint;
    middle bigint;
    found timestamptz;
BEGIN
    SELECT coalesce(max(sequence), 0) + 1 INTO above FROM transactions WHERE account_key = account;
    WHILE lowest < above LOOP
        middle := lowest + (above - lowest) / 2;
        SELECT at INTO STRICT found FROM transactions
            WHERE account_key = account AND sequence = middle;
        IF found >= instant THEN
            above := middle;
        ELSE
            lowest := middle + 1;
        END IF;
    END LOOP;
    RETURN lowest;
END;
$$;
