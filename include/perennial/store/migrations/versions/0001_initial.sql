CREATE TABLE perennial.batches (
    seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id      text NOT NULL UNIQUE,
    model         text NOT NULL,
    source        text NOT NULL CHECK (source IN ('predictions', 'labels')),
    window_start  timestamptz NOT NULL,
    window_end    timestamptz NOT NULL,
    status        text NOT NULL CHECK (status IN ('staged', 'published', 'halted')),
    reason        text NOT NULL DEFAULT '',
    n_staged      bigint NOT NULL,
    n_published   bigint NOT NULL DEFAULT 0,
    n_quarantined bigint NOT NULL DEFAULT 0,
    n_duplicate   bigint NOT NULL DEFAULT 0,
    staged        jsonb NOT NULL,
    audit         jsonb,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    -- no input row is ever lost
    CHECK (status <> 'published' OR n_staged = n_published + n_quarantined + n_duplicate)
);
CREATE INDEX batches_by_window ON perennial.batches (model, window_start, source);

CREATE TABLE perennial.quarantine (
    batch_seq  bigint NOT NULL,
    row_number bigint NOT NULL,
    reason     text NOT NULL,
    raw        text NOT NULL,
    PRIMARY KEY (batch_seq, row_number)
);

CREATE TABLE perennial.signals (
    model        text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    name         text NOT NULL,
    as_of        timestamptz NOT NULL,
    version      text NOT NULL,
    role         text NOT NULL CHECK (role IN ('retrain', 'alert', 'watch')),
    status       text NOT NULL CHECK (status IN ('ok', 'breached', 'unknown')),
    value        double precision,
    threshold    double precision,
    detail       text NOT NULL DEFAULT '',
    PRIMARY KEY (model, window_start, window_end, name, as_of, version),
    CHECK ((value IS NULL) = (status = 'unknown'))
);

CREATE TABLE perennial.snapshots (
    snapshot_id text PRIMARY KEY,
    model       text NOT NULL,
    record      jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE perennial.ledger (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id    text NOT NULL CONSTRAINT ledger_entry_id_key UNIQUE,
    model       text NOT NULL,
    kind        text NOT NULL,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    version     text,
    payload     jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ledger_by_model ON perennial.ledger (model, seq);

CREATE FUNCTION perennial.ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'perennial.ledger is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$body$;
CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON perennial.ledger
    FOR EACH ROW EXECUTE FUNCTION perennial.ledger_is_append_only();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON perennial.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION perennial.ledger_is_append_only();
