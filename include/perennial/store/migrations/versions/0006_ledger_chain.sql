-- Trigger functions read with a search path of their own, so that nobody's schema stands before the system's.
-- What is hashed is one JSON array; perennial.ledger.chain computes the same without these functions.
CREATE FUNCTION perennial.ledger_digest(entry perennial.ledger, previous_digest text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT encode(sha256(convert_to(json_build_array(
        previous_digest, entry.seq, entry.entry_id, entry.model, entry.kind,
        (extract(epoch FROM entry.at) * 1000000)::bigint,
        entry.actor, entry.reason, entry.version, entry.payload,
        (extract(epoch FROM entry.recorded_at) * 1000000)::bigint
    )::text, 'UTF8')), 'hex')
$body$;

ALTER TABLE perennial.ledger ADD COLUMN previous_digest text, ADD COLUMN digest text;

-- the one change that the ledger ever takes: its entries get their digests, in the order of their writing
ALTER TABLE perennial.ledger DISABLE TRIGGER ledger_no_change;
DO $body$
DECLARE
    one perennial.ledger;
    before text;
    model text;
BEGIN
    FOR one IN SELECT * FROM perennial.ledger AS entry ORDER BY entry.model, entry.seq LOOP
        IF model IS DISTINCT FROM one.model THEN
            model := one.model;
            before := '';
        END IF;
        UPDATE perennial.ledger
            SET previous_digest = before, digest = perennial.ledger_digest(one, before) WHERE seq = one.seq;
        before := perennial.ledger_digest(one, before);
    END LOOP;
END
$body$;
ALTER TABLE perennial.ledger ENABLE TRIGGER ledger_no_change;

ALTER TABLE perennial.ledger
    ALTER COLUMN previous_digest SET NOT NULL,
    ALTER COLUMN digest SET NOT NULL,
    -- no two entries follow the same one, whatever a transaction was able to see
    ADD CONSTRAINT ledger_chain_key UNIQUE (model, previous_digest);

-- One appends to a model's chain at a time, until its transaction ends. A number that was drawn before the lock was had
-- may be older than that of the newest entry: it is drawn again, so that the order of numbers is that of the chain.
CREATE FUNCTION perennial.ledger_chained() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    newest record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('perennial:ledger:' || NEW.model, 0));
    SELECT entry.seq, entry.digest INTO newest
        FROM perennial.ledger AS entry WHERE entry.model = NEW.model ORDER BY entry.seq DESC LIMIT 1;
    IF newest.seq > NEW.seq THEN
        NEW.seq := nextval(pg_get_serial_sequence('perennial.ledger', 'seq'));
    END IF;
    NEW.recorded_at := clock_timestamp();
    NEW.previous_digest := coalesce(newest.digest, '');
    NEW.digest := perennial.ledger_digest(NEW, NEW.previous_digest);
    RETURN NEW;
END
$body$;
CREATE TRIGGER ledger_chain BEFORE INSERT ON perennial.ledger
    FOR EACH ROW EXECUTE FUNCTION perennial.ledger_chained();
