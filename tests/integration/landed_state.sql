-- What some days of two models left in the database of the release whose newest migration was 0004.
INSERT INTO perennial.batches (batch_id, model, source, window_start, window_end, status, n_staged, n_published,
    n_quarantined, n_duplicate, staged, audit, recorded_at, delivered_at, swept_at, listing)
VALUES
    ('b1', 'flights', 'predictions', '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z', 'published', 100, 90, 6, 4,
     '{"batch_id": "b1", "model": "flights", "source": "predictions", "window": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "digest": "x", "n_rows": 100, "uri": "staging/b1.parquet", "files": ["a.jsonl"], "expected_rows": 100}',
     '{"batch_id": "b1", "verdict": "publish", "reason": "", "n_rows": 100, "n_accepted": 95, "n_quarantined": 5, "share_bad": 0.05, "expectations": []}',
     '2024-01-02T06:00:00Z', '2024-01-02T06:00:00Z', '2024-02-02T06:00:00Z', 'listing-1'),
    ('b2', 'flights', 'labels', '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z', 'halted', 10, 0, 0, 0,
     '{"batch_id": "b2", "model": "flights", "source": "labels", "window": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "digest": "y", "n_rows": 10, "uri": null, "files": [], "problem": "empty delivery"}',
     NULL, '2024-01-02T06:00:00Z', '2024-01-02T06:00:00Z', NULL, NULL);

INSERT INTO perennial.quarantine VALUES
    (1, 3, 'distance is no number: ''1_000''', '{"distance": "1_000"}'), (1, 7, 'carrier is null', '{"carrier": null}');

INSERT INTO perennial.changed_deliveries VALUES
    ('flights', 'labels', '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z', 2, '2024-01-03T00:00:00Z');

INSERT INTO perennial.signals VALUES
    ('flights', '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z', 'drift/weighted_share', '2024-01-02T00:00:00Z', '2',
     'retrain', 'breached', 0.4, 0.3, '3 of 8 features'),
    ('flights', '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z', 'performance/roc_auc', '2024-01-02T00:00:00Z', '2',
     'retrain', 'unknown', NULL, 0.6, 'no labels yet');

INSERT INTO perennial.snapshots (snapshot_id, model, record, recorded_at) VALUES
    ('snapshot-1', 'flights',
     '{"snapshot_id": "snapshot-1", "model": "flights", "as_of": "2024-01-03T00:00:00Z", "train": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "holdout": {"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"}, "n_train": 90, "n_holdout": 80, "holdout_label_coverage": 0.95, "train_uri": "snapshots/train.parquet", "holdout_uri": "snapshots/holdout.parquet", "digest": "z"}',
     '2024-01-03T01:00:00Z');

INSERT INTO perennial.ledger (entry_id, model, kind, at, actor, reason, version, payload) VALUES
    ('decision-1', 'flights', 'decision', '2024-01-06T00:00:00Z', 'policy', 'retrain: decay', '2',
     '{"decision": {"decision_id": "decision-1", "model": "flights", "window": {"start": "2024-01-05T00:00:00Z", "end": "2024-01-06T00:00:00Z"}, "action": "retrain", "reasons": ["decay"], "champion": "2", "bake": "passed", "retrain_run_id": "retrain__2"}, "batch_ids": ["b1"], "signals": [], "n_signals_ok": 4, "n_new_labels": 90, "config_digest": "c"}'),
    ('intent-1', 'flights', 'promotion_intent', '2024-01-03T00:00:00Z', 'policy', 'gates passed', '1',
     '{"previous": null, "artifact_digest": "d1", "train": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "holdout": {"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"}}'),
    ('promotion-1', 'flights', 'promotion', '2024-01-03T00:00:00Z', 'policy', 'gates passed', '1',
     '{"previous": null, "artifact_digest": "d1", "train": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "holdout": {"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"}, "signoff": "signoff-1", "intent": "intent-1"}'),
    ('finding-1', 'wine', 'integrity', '2024-01-03T00:00:00Z', 'reconcile', 'the alias was moved by hand', NULL, '{}'),
    ('bake-1', 'flights', 'bake', '2024-01-04T00:00:00Z', 'policy', 'passed', '1', '{"outcome": "passed"}'),
    ('signoff-2', 'flights', 'signoff', '2024-01-04T00:00:00Z', 'policy', '1 of 1 gates passed', '2',
     '{"signoff": {"model": "flights", "version": "2", "artifact_digest": "d2", "champion_seen": "1", "gates": [{"name": "roc_auc", "passed": true, "value": 0.75, "bound": 0.6, "detail": "fine"}], "passed": true, "review": "auto", "as_of": "2024-01-04T00:00:00Z", "train": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "holdout": {"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"}}}'),
    ('promotion-2', 'flights', 'promotion', '2024-01-04T00:00:00Z', 'policy', 'gates passed', '2',
     '{"previous": "1", "artifact_digest": "d2", "train": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "holdout": {"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"}, "signoff": "signoff-2", "intent": "intent-2"}'),
    ('bake-2', 'flights', 'bake', '2024-01-05T00:00:00Z', 'policy', 'passed', '2', '{"outcome": "passed"}'),
    ('promotion-3', 'flights', 'promotion', '2024-01-05T00:00:00Z', 'policy', 'gates passed', '3',
     '{"previous": "2", "artifact_digest": "d3", "train": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}, "holdout": {"start": "2024-01-02T00:00:00Z", "end": "2024-01-03T00:00:00Z"}, "signoff": "signoff-3", "intent": "intent-3"}'),
    ('rollback-2', 'flights', 'rollback', '2024-01-05T00:00:00Z', 'anna', 'Kundschaft beklagt "Verspätung"', '2',
     '{"previous": "3", "decision_id": null, "intent": "rollback-intent"}'),
    ('hold-3', 'flights', 'hold', '2024-01-05T00:00:00Z', 'policy', 'made version 3', '3', '{"stretch": {"start": "2024-01-03T00:00:00Z", "end": "2024-01-05T00:00:00Z"}}'),
    ('request-2', 'flights', 'retrain_request', '2024-01-06T00:00:00Z', 'policy', 'decay', NULL,
     '{"model": "flights", "run_id": "retrain__2", "as_of": "2024-01-06T00:00:00Z", "cause": "decay", "requested_by": "policy", "review": null, "champion": "2", "bake": "passed"}');
