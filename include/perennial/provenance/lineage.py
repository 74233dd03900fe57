"""Lineage: from a prediction to its version, rows, deliveries and files, and back from a file to the versions of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial import ledger
from perennial.contracts import Snapshot
from perennial.contracts.tags import (
    CAUSE_TAG,
    CODE_TAG,
    CONFIG_TAG,
    LOCK_TAG,
    RECIPE_TAG,
    REQUESTED_BY_TAG,
    SNAPSHOT_TAG,
)
from perennial.errors import PermanentError
from perennial.evidence.deliveries.traced import (
    TracedBatch,
    TracedLabel,
    TracedRow,
    batches_of,
    deliveries,
    find_deliveries,
    read_snapshots,
    trace,
)

if TYPE_CHECKING:
    from perennial.pipeline import Case

SAID = {
    CAUSE_TAG: "cause",
    REQUESTED_BY_TAG: "requested by",
    RECIPE_TAG: "recipe digest",
    CONFIG_TAG: "configuration digest",
    CODE_TAG: "code",
    LOCK_TAG: "lock digest",
}
"""What the run of a version says about how it was made, by tag, in a reader's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLineage:
    """How a version came to be. ``is_exact`` is False where the deliveries were not kept with its rows and are those
    of the stretches today. ``history`` is what the ledger says of it, one sentence an entry, oldest first.
    """

    model: str
    version: str
    mlflow_run_id: str
    made_of: dict[str, str]
    snapshot: Snapshot | None
    deliveries: tuple[TracedBatch, ...]
    is_exact: bool
    history: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedBy:
    """A snapshot that holds rows, or labels, of a delivery, and the versions that were made of it."""

    snapshot_id: str
    versions: tuple[str, ...]
    is_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLineage:
    """What a delivery went into. ``serving`` are those of its versions that serve, or are trusted."""

    delivery: TracedBatch
    used_by: tuple[UsedBy, ...]
    serving: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionLineage:
    """Every version of a prediction and of its label, the deliveries they came with, and the model that answered.

    ``scored_by`` is None for a version that is none of the registry's: one from before there was a champion.
    """

    prediction_id: str
    rows: tuple[TracedRow, ...]
    labels: tuple[TracedLabel, ...]
    deliveries: tuple[TracedBatch, ...]
    scored_by: VersionLineage | None


def of_version(case: Case, version: str) -> VersionLineage:
    """How a version came to be. Raises PermanentError for one that is not in the registry, RegistryUnavailable."""
    from perennial.registry.runs import tags_of_run
    from perennial.registry.versions import source_run, version_exists

    config, store = case.config, case.store
    if not version_exists(case.registry, case.model, version):
        raise PermanentError(f"{case.model}: MLflow holds no version {version}; `perennial status` names the champion")
    run_id = source_run(case.registry, case.model, version)
    tags = tags_of_run(case.registry, run_id)
    found = [one for one in read_snapshots(config, store=store) if one.snapshot_id == tags.get(SNAPSHOT_TAG)]
    snapshot = found[0] if found else None
    seqs = batches_of(config, snapshot, store=store) if snapshot else ()
    return VersionLineage(
        model=case.model,
        version=version,
        mlflow_run_id=run_id,
        made_of={word: tags[tag] for tag, word in SAID.items() if tag in tags},
        snapshot=snapshot,
        deliveries=deliveries(config, seqs, store=store),
        is_exact=snapshot is not None and bool(snapshot.batches),
        history=tuple(
            f"{item.at:%Y-%m-%d}: {item.kind.replace('_', ' ')} by {item.actor}: {item.reason}"
            for item in ledger.entries(store, case.model)
            if item.version == version
        ),
    )


def of_delivery(case: Case, named: str) -> tuple[DeliveryLineage, ...]:
    """What the deliveries of this number, id, or file went into. Raises PermanentError when there is none such."""
    from perennial.registry.runs import runs_of_snapshot
    from perennial.registry.versions import find_version

    found = find_deliveries(case.config, named, store=case.store)
    if not found:
        raise PermanentError(
            f"{case.model}: no delivery has the number, the id or a file {named!r}; give a number or an id as "
            "`perennial lineage version` shows them, or a file's path as it was delivered"
        )
    state = case.state()
    trusted = {state.champion, *state.trusted} - {None}
    of_seq: dict[int, list[UsedBy]] = {item.seq: [] for item in found}
    for snapshot in read_snapshots(case.config, store=case.store):
        held = of_seq.keys() & set(batches_of(case.config, snapshot, store=case.store))
        if not held:
            continue
        runs = runs_of_snapshot(case.registry, case.model, snapshot.snapshot_id)
        made = [find_version(case.registry, case.model, run_id) for run_id in runs]
        versions = tuple(sorted({version for version in made if version}, key=int))
        for seq in held:
            of_seq[seq].append(
                UsedBy(snapshot_id=snapshot.snapshot_id, versions=versions, is_exact=bool(snapshot.batches))
            )
    return tuple(
        DeliveryLineage(
            delivery=item,
            used_by=tuple(of_seq[item.seq]),
            serving=tuple(
                sorted({version for used in of_seq[item.seq] for version in used.versions if version in trusted})
            ),
        )
        for item in found
    )


def of_prediction(case: Case, prediction_id: str) -> PredictionLineage:
    """Where a prediction and its label came from, and the version that answered. Raises PermanentError if unknown."""
    from perennial.registry.versions import version_exists

    rows, labels = trace(case.config, prediction_id, store=case.store)
    if not rows and not labels:
        raise PermanentError(
            f"{case.model}: no prediction {prediction_id!r} is published; `perennial quarantine {case.model}` shows "
            "what was not"
        )
    scored_by = rows[0].model_version if rows else None
    is_ours = scored_by is not None and scored_by.isdecimal() and version_exists(case.registry, case.model, scored_by)
    return PredictionLineage(
        prediction_id=prediction_id,
        rows=rows,
        labels=labels,
        deliveries=deliveries(
            case.config, {item.batch_seq for item in rows} | {item.batch_seq for item in labels}, store=case.store
        ),
        scored_by=of_version(case, scored_by) if scored_by is not None and is_ours else None,
    )
