"""Batches that hold unpublished rows, audited and published once more after a rule of ``model.yaml`` was mended."""

from dataclasses import dataclass

from perennial.config import ModelConfig
from perennial.contracts import Audit, Batch, SourceKind, Window
from perennial.errors import first_of
from perennial.store import Store
from perennial.store.batches import unpublished


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprocessed:
    """What became of the unpublished rows of one batch; ``n_published`` and ``n_corrected`` are of this time only.

    ``outcome`` says why nothing could be done, or what is left in quarantine.
    """

    batch_id: str
    source: SourceKind
    window: Window
    outcome: str
    n_published: int = 0
    n_corrected: int = 0
    n_quarantined: int | None = None


def reprocess(config: ModelConfig, stretch: Window, *, store: Store) -> tuple[Reprocessed, ...]:
    """Every batch of a window within ``stretch`` of which rows are not published, in the order of their staging.

    What passes the rules of today is published; nothing that is published goes back. Safe to repeat.
    """
    return tuple(
        _reprocess(config, one.batch, published=one.published, store=store)
        for one in unpublished(store, config.model, stretch)
    )


def _reprocess(config: ModelConfig, batch: Batch, *, published: bool, store: Store) -> Reprocessed:
    from perennial.publishing.publish import publish
    from perennial.validation.audit import audit

    if why := _unusable(config, batch, store):
        return Reprocessed(batch_id=batch.batch_id, source=batch.source, window=batch.window, outcome=why)
    if published:
        return _once_more(config, batch, store)
    done = publish(config, batch, audit(config, batch, store=store), store=store)
    return Reprocessed(
        batch_id=batch.batch_id,
        source=batch.source,
        window=batch.window,
        outcome=f"{done.status}: {done.reason}",
        n_published=done.n_published,
        n_corrected=done.n_corrected,
        n_quarantined=done.n_quarantined,
    )


def _unusable(config: ModelConfig, batch: Batch, store: Store) -> str | None:
    """Why the staged rows can not be audited, or None."""
    if batch.problem is not None or batch.uri is None:
        return f"nothing is staged: {batch.problem or 'no rows'}; deliver the window again"
    if not store.storage.exists(batch.uri):
        return (
            f"its staged rows are gone: the maintenance removes them after validation.keep_staging, "
            f"{config.validation.keep_staging}; deliver the window again"
        )
    from perennial.ingest.delivery import declared_columns

    staged = next(store.storage.read_batches(batch.uri)).schema.names
    if missing := [name for name in declared_columns(config, batch.source) if name not in staged]:
        return f"it was staged before [{first_of(missing)}] was declared; deliver the window again"
    return None


def _once_more(config: ModelConfig, batch: Batch, store: Store) -> Reprocessed:
    """A published batch: what of its quarantine passes now."""
    from perennial.publishing.republish import republish
    from perennial.validation.audit import audit_again

    verdict = audit_again(config, batch, store=store)
    try:
        if verdict.verdict == "halt":
            outcome = f"nothing was published, the rules of today would halt it: {verdict.reason}"
            return Reprocessed(batch_id=batch.batch_id, source=batch.source, window=batch.window, outcome=outcome)
        account, moved = republish(config, batch, verdict, store=store)
    finally:
        _remove(verdict, store)
    return Reprocessed(
        batch_id=batch.batch_id,
        source=batch.source,
        window=batch.window,
        outcome=f"{account.status}: {account.reason}",
        n_published=moved.n_published,
        n_corrected=moved.n_corrected,
        n_quarantined=account.n_quarantined,
    )


def _remove(verdict: Audit, store: Store) -> None:
    for uri in (verdict.accepted_uri, verdict.quarantine_uri, verdict.docs_uri):
        if uri and store.storage.exists(uri):
            store.storage.delete(uri)
