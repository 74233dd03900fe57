"""Every kind of ledger entry: what it records, which modules write it, and the keys of its payload.

tests/unit/test_ledger_kinds.py reads the writers, and fails when one of them writes a key that does not stand here, or
no longer writes one that does. docs/reference/ledger.md is made of this table.
"""

from dataclasses import dataclass

from perennial.contracts import LedgerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfEntry:
    """What entries of one kind record, what each key of their payload holds, and the modules that write them."""

    meaning: str
    writers: tuple[str, ...]
    payload: dict[str, str]


_REQUEST = {
    "model": "the monitored model",
    "run_id": "id of the run that carries the request out; the same request runs once",
    "as_of": "the moment whose knowledge counts",
    "cause": "why",
    "requested_by": "`policy`, or a person",
    "review": "`auto`, `manual`, or null for the model's own policy",
    "champion": "the champion that it was asked for under; null for none",
    "bake": "how far that one's bake was; null in requests from before that was kept",
    "without_comparison": "a person's word that a champion that can not be scored is no bar",
    "anyway": "a person's word that it is made though it can not pay",
}
_PROMOTION = {
    "previous": "the champion before; null for the first",
    "artifact_digest": "digest of the files that were approved",
    "train": "the stretch it was fitted on",
    "holdout": "the stretch it was judged on",
    "threshold": "from which score on it predicts the positive class; null where `label.decision_threshold` holds",
    "signoff": "entry id of the signoff",
    "request": "entry id of the retrain request; null where a signoff is promoted by itself",
    "past_gates": "the record PastGates, where two people promoted what failed its gates; else null",
    "nothing_serves": "whether the champion before was deleted",
}
_CANARY = {
    "signoff": "entry id of the signoff that was approved",
    "strategy": "the `release.strategy`, `canary` or `ab`; absent from entries of before there were two",
    "step": "which share of `release.canary.shares` it is, from 0; 0 in an A/B",
    "share": "of the requests, from 0 to 1, from now on",
    "n_rows": "how many rows the canary had answered by then",
    "outcome": "`passed`; `breached`, `lost` (an A/B), `blind`, `expired` or `stopped` at its end; else null",
}
_ROLLBACK = {
    "previous": "the version that is rolled back",
    "decision_id": "the decision that is carried out; null for a rollback by hand",
    "artifact_digest": "digest of the files of the version that comes back; absent when the ledger does not know it",
    "hold": "the stretch to hold; absent for a rollback by hand",
    "call": "digest of the call: the decision, or the run and what it asked for",
}
_COMPLETION = {"intent": "entry id of the intent that is completed"}

KINDS: dict[LedgerKind, KindOfEntry] = {
    "decision": KindOfEntry(
        meaning="what was decided about a window",
        writers=("decision.record",),
        payload={
            "decision": "the record Decision",
            "batch_ids": "the batches it rests on",
            "config_digest": "digest of `model.yaml`",
            "n_new_labels": "labelled rows since the champion's holdout",
            "signals": "signals that are not ok: those of this run, and earlier ones that may ask for a retrain",
            "n_signals_ok": "how many others this run measured",
        },
    ),
    "retrain_request": KindOfEntry(
        meaning="a retrain was requested; counts for cooldown and budget",
        writers=("decision.record",),
        payload=_REQUEST,
    ),
    "retrain_outcome": KindOfEntry(
        meaning="what became of a retrain request; the sentence is the reason of the entry",
        writers=("decision.record",),
        payload={**_REQUEST, "ended": "`promoted`, `refused`, `rejected`, `overtaken` or `failed`"},
    ),
    "signoff": KindOfEntry(
        meaning="a candidate was judged by its gates",
        writers=("signoff.signing",),
        payload={
            "signoff": "the record Signoff, with its gates",
            "evaluation": "the record Evaluation that the gates judged",
            "config_digest": "digest of `model.yaml`",
        },
    ),
    "approval": KindOfEntry(
        meaning="one person approved a signoff that two people have to approve; its review follows",
        writers=("signoff.answering.verified",),
        payload={"signoff": "entry id of the signoff"},
    ),
    "review": KindOfEntry(
        meaning="a signoff was answered",
        writers=("signoff.review",),
        payload={
            "review": "the record Review",
            "verdict": "`approved` or `rejected`",
            "signoff": "entry id of the signoff",
            "artifact_digest": "digest of the files that were judged",
            "champion_seen": "the champion they were compared with; null for none",
            "flags": "the flags on the data that it was given in spite of, or for; absent from answers of before 0.3",
        },
    ),
    "canary_intent": KindOfEntry(
        meaning="the share of the requests that a canary answers changes, or it ends: written before MLflow is told",
        writers=("release.canary.telling",),
        payload=_CANARY,
    ),
    "canary": KindOfEntry(
        meaning="MLflow tells that share to the service; the sentence is the reason of the entry",
        writers=("release.canary.telling",),
        payload={**_CANARY, **_COMPLETION},
    ),
    "promotion_intent": KindOfEntry(
        meaning="a promotion begins: written before anything moves",
        writers=("release.promote",),
        payload=_PROMOTION,
    ),
    "promotion": KindOfEntry(
        meaning="a promotion is complete: the version serves, and its bake begins",
        writers=("release.intent",),
        payload={**_PROMOTION, **_COMPLETION},
    ),
    "bake": KindOfEntry(
        meaning="a bake has ended",
        writers=("bake.settlement",),
        payload={
            "outcome": "`passed` or `failed`",
            "windows": "its windows, oldest first: `window`, `verdict` of it alone (passed, failed, unknown), `detail`",
        },
    ),
    "rollback_intent": KindOfEntry(
        meaning="a rollback begins: written before anything moves",
        writers=("release.rollback",),
        payload=_ROLLBACK,
    ),
    "rollback": KindOfEntry(
        meaning="a rollback is complete: a version that passed its bake serves again",
        writers=("release.intent",),
        payload={**_ROLLBACK, **_COMPLETION},
    ),
    "hold": KindOfEntry(
        meaning="retraining on a stretch waits for someone's word",
        writers=("release.intent",),
        payload={"stretch": "the stretch", "version": "the version that was made from it and rolled back"},
    ),
    "acknowledgement": KindOfEntry(
        meaning="someone's word on a hold; the first one stands",
        writers=("release.hold",),
        payload={"hold": "entry id of the hold", "exclude": "whether its rows are left out of training"},
    ),
    "integrity": KindOfEntry(
        meaning="an alias was moved by hand, a version deleted, or a release that was cut off could not be finished",
        writers=("release.agreement", "release.intent"),
        payload={
            "alias": "the alias that was moved",
            "found": "the version it names; null when it is gone",
            "ledger": "the champion that the ledger knows",
            "gone": "a version that was found deleted; null for an alias that was moved",
            "agreed_at": "when ledger and alias were last known to agree, by the database's clock; null for never",
            "abandons": "entry id of the intent that is given up; without the four others",
        },
    ),
    "hindsight": KindOfEntry(
        meaning="whether a promotion or a rollback was right, on the labelled rows after it",
        writers=("signoff.record.hindsight",),
        payload={
            "hindsight": "the record Hindsight: the gain that was judged, and the one that came",
            "promotion": "entry id of the promotion",
            "rollback": "entry id of the rollback, in place of a promotion's",
        },
    ),
    "traffic": KindOfEntry(
        meaning="what answers requests followed a release; the sentence is the reason of the entry",
        writers=("release.traffic",),
        payload={
            "release": "entry id of the promotion or rollback",
            "seconds": "from its decision, or else its intent, until the service had the version",
        },
    ),
    "alert": KindOfEntry(
        meaning="an alert of Prometheus started a run; the sentence is the reason of the entry",
        writers=("pipeline.alerts.acting",),
        payload={
            "alertname": "the alert",
            "fingerprint": "Alertmanager's name of its labels",
            "starts_at": "since when it fires",
            "starts": "`monitor` or `retrain`",
            "run_id": "id of the run: the same firing is the same run",
            "conf": "what the run is told: the window, or the id of the retrain request",
        },
    ),
    "guard": KindOfEntry(
        meaning="what the scoring service's figures first said of a version in its bake; a breach is rolled back for",
        writers=("release.guarded.looking",),
        payload={
            "decision": "the record Decision: `rollback`, or `stay`",
            "status": "`ok`, `undecided`, `unseen`, `breached` or `unreachable`",
            "release": "entry id of the promotion that began the bake",
            "signals": "the signals that were judged",
            "config_digest": "digest of `model.yaml`",
        },
    ),
}
