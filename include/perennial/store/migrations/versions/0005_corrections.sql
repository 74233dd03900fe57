-- of the published rows those whose key was published before
ALTER TABLE perennial.batches
    ADD COLUMN n_corrected bigint NOT NULL DEFAULT 0 CHECK (n_corrected BETWEEN 0 AND n_published);

CREATE TABLE perennial.added_columns (
    model       text NOT NULL,
    column_name text NOT NULL,
    after_seq   bigint NOT NULL,
    PRIMARY KEY (model, column_name)
);

-- n_expected, n_arrived, n_quarantined and status are of the newest delivery, n_published, n_late and n_corrected of all:
-- rows that were not there before, those of them that came with a later delivery than the first published one, and rows
-- that took the place of a published one or filled its new columns
CREATE OR REPLACE VIEW perennial.completeness AS
SELECT
    model, window_start, window_end, source,
    (array_agg((staged ->> 'expected_rows')::bigint ORDER BY delivered_at DESC, seq DESC))[1] AS n_expected,
    (array_agg(n_staged ORDER BY delivered_at DESC, seq DESC))[1] AS n_arrived,
    (array_agg(n_quarantined ORDER BY delivered_at DESC, seq DESC))[1] AS n_quarantined,
    (array_agg(status ORDER BY delivered_at DESC, seq DESC))[1] AS status,
    sum(n_published - n_corrected)::bigint AS n_published,
    coalesce(sum(n_published - n_corrected) FILTER (WHERE nth > 1), 0)::bigint AS n_late,
    sum(n_corrected)::bigint AS n_corrected
FROM (
    SELECT *, row_number() OVER (PARTITION BY model, source, window_start, window_end, status ORDER BY seq) AS nth
    FROM perennial.batches
) AS numbered
GROUP BY model, window_start, window_end, source;
