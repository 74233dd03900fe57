"""What a step read and wrote, from the records that it was given and gave: no step says more for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from perennial.config import FileSource
from perennial.contracts import Audit, Batch, Candidate, Evaluation, FittedRun, Publication, Snapshot, SourceKind
from perennial.evidence.deliveries.tables import QUARANTINE, published_in
from perennial.provenance.datasets.named import Dataset, file_on, run_of, table_in, version_of

if TYPE_CHECKING:
    from perennial.pipeline import Case

R = TypeVar("R")
MOST_FILES = 100
"""Of one delivery. Of more, their folders are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """The datasets that a step ``read`` and those that it ``written``, in no order that says anything."""

    read: tuple[Dataset, ...] = ()
    written: tuple[Dataset, ...] = ()


def touched(case: Case, given: Iterable[Any], result: Any) -> Touched:
    """What the step that was ``given`` these records and gave ``result`` read and wrote; nothing of other steps."""
    found = _OF_RESULT.get(type(result))
    return found(case, tuple(given), result) if found else Touched()


def _staged(case: Case, _: tuple[Any, ...], batch: Batch) -> Touched:
    source = case.config.sources.of(batch.source)
    read: tuple[Dataset, ...] = ()
    if isinstance(source, FileSource):
        read = tuple(file_on(source.uri, path) for path in files_or_folders(batch.files))
    elif source is not None:
        url = case.settings.table_urls(case.config)[source.url_env]
        read = (table_in(url, source.table, source.schema_name),)
    return Touched(read=read, written=_stored(case, batch.uri))


def files_or_folders(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The paths of a delivery's files; of very many, their folders, each once.

    >>> files_or_folders(("/a/1", "/a/2")), files_or_folders(tuple(f"/a/{i}" for i in range(101)))
    (('/a/1', '/a/2'), ('/a',))
    """
    return paths if len(paths) <= MOST_FILES else tuple(dict.fromkeys(path.rpartition("/")[0] for path in paths))


def _audited(case: Case, given: tuple[Any, ...], audited: Audit) -> Touched:
    batch = _one(given, Batch)
    written = _stored(case, audited.accepted_uri, audited.quarantine_uri)
    return Touched(read=_stored(case, batch.uri if batch else None), written=written)


def _published(case: Case, given: tuple[Any, ...], account: Publication) -> Touched:
    if account.status == "halted":
        return Touched()
    batch, audited = _one(given, Batch), _one(given, Audit)
    faulty = audited.quarantine_uri if audited and audited.n_quarantined else None
    read = _stored(case, audited.accepted_uri, faulty) if audited else ()  # none: a shadow, in one step
    table = _table(case, batch.source if batch else "shadow")
    quarantine = (_in_store(case, QUARANTINE),) if account.n_quarantined else ()
    return Touched(read=read, written=(table, *quarantine))


def _frozen(case: Case, _: tuple[Any, ...], frozen: Snapshot) -> Touched:
    published = (_table(case, "predictions"), _table(case, "labels"))
    return Touched(read=published, written=_stored(case, frozen.train_uri, frozen.holdout_uri))


def _fitted(case: Case, given: tuple[Any, ...], fitted: FittedRun) -> Touched:
    frozen = _one(given, Snapshot)
    read = _stored(case, frozen.train_uri) if frozen else ()
    return Touched(read=read, written=(run_of(case.settings.require_mlflow_uri(), fitted.mlflow_run_id),))


def _judged(case: Case, given: tuple[Any, ...], evaluation: Evaluation) -> Touched:
    frozen, mlflow_uri = _one(given, Snapshot), case.settings.require_mlflow_uri()
    rows = _stored(case, frozen.train_uri, frozen.holdout_uri) if frozen else ()
    return Touched(read=(*rows, run_of(mlflow_uri, evaluation.mlflow_run_id)))


def _registered(case: Case, _: tuple[Any, ...], candidate: Candidate) -> Touched:
    mlflow_uri = case.settings.require_mlflow_uri()
    return Touched(
        read=(run_of(mlflow_uri, candidate.mlflow_run_id),),
        written=(version_of(mlflow_uri, candidate.model, candidate.version),),
    )


_OF_RESULT: dict[type, Callable[[Case, tuple[Any, ...], Any], Touched]] = {
    Batch: _staged,
    Audit: _audited,
    Publication: _published,
    Snapshot: _frozen,
    FittedRun: _fitted,
    Evaluation: _judged,
    Candidate: _registered,
}


def _one(given: tuple[Any, ...], kind: type[R]) -> R | None:
    return next((one for one in given if isinstance(one, kind)), None)


def _stored(case: Case, *uris: str | None) -> tuple[Dataset, ...]:
    """Files of the storage, by what records call them."""
    file = partial(file_on, case.settings.storage)
    return tuple(file(case.store.storage.path(uri)) for uri in uris if uri)


def _table(case: Case, source: SourceKind) -> Dataset:
    return _in_store(case, published_in(case.config, source))


def _in_store(case: Case, table: str) -> Dataset:
    schema, _, name = table.rpartition(".")
    return table_in(case.settings.require_database_url(), name, schema)
