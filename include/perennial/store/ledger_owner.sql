-- Gives the ledger to a role that nobody can log in as, so that the application's own can not switch its triggers off.
-- For an administrator of the server, in Perennial's database; as often as one likes. The application calls the
-- function after its migrations (perennial.store.roles.ownership), and the local stack and docker-compose.yaml run this file.
DO $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_ledger') THEN
        CREATE ROLE perennial_ledger NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database of the server made it just now
END
$body$;

-- It only ever gives away what the present owner of the ledger owns, and only once.
CREATE OR REPLACE FUNCTION public.perennial_give_ledger_away() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    application text := (SELECT relowner::regrole::text FROM pg_class WHERE oid = to_regclass('perennial.ledger'));
BEGIN
    IF application = 'perennial_ledger' OR to_regprocedure('perennial.ledger_chained()') IS NULL THEN
        RETURN;
    END IF;
    ALTER SCHEMA perennial OWNER TO perennial_ledger;  -- the owner of a schema may drop what is in it
    ALTER TABLE perennial.ledger OWNER TO perennial_ledger;
    ALTER FUNCTION perennial.ledger_is_append_only() OWNER TO perennial_ledger;
    ALTER FUNCTION perennial.ledger_digest(perennial.ledger, text) OWNER TO perennial_ledger;
    ALTER FUNCTION perennial.ledger_chained() OWNER TO perennial_ledger;
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA perennial TO %s', application);
    EXECUTE format('GRANT SELECT, INSERT ON perennial.ledger TO %s', application);
    EXECUTE format('GRANT SELECT ON SEQUENCE perennial.ledger_seq_seq TO %s', application);
END
$body$;
