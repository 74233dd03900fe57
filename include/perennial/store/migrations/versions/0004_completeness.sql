-- a digest of the names, sizes and times of the files that a batch was staged from
ALTER TABLE perennial.batches ADD COLUMN listing text;

CREATE TABLE perennial.changed_deliveries (
    model        text NOT NULL,
    source       text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    n_files      bigint NOT NULL,
    found_at     timestamptz NOT NULL,
    PRIMARY KEY (model, source, window_start, window_end)
);

-- n_expected, n_arrived, n_quarantined and status are of the newest delivery, n_published, n_late and n_corrected of all:
-- rows that came with a later delivery than the first published one, and rows that contradict what was published
CREATE VIEW perennial.completeness AS
SELECT
    model, window_start, window_end, source,
    (array_agg((staged ->> 'expected_rows')::bigint ORDER BY delivered_at DESC, seq DESC))[1] AS n_expected,
    (array_agg(n_staged ORDER BY delivered_at DESC, seq DESC))[1] AS n_arrived,
    (array_agg(n_quarantined ORDER BY delivered_at DESC, seq DESC))[1] AS n_quarantined,
    (array_agg(status ORDER BY delivered_at DESC, seq DESC))[1] AS status,
    sum(n_published)::bigint AS n_published,
    coalesce(sum(n_published) FILTER (WHERE nth > 1), 0)::bigint AS n_late,
    coalesce(sum(n_quarantined - (audit ->> 'n_quarantined')::bigint) FILTER (WHERE status = 'published'), 0)::bigint
        AS n_corrected
FROM (
    SELECT *, row_number() OVER (PARTITION BY model, source, window_start, window_end, status ORDER BY seq) AS nth
    FROM perennial.batches
) AS numbered
GROUP BY model, window_start, window_end, source;
