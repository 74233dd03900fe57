"""Audit: what of a staged batch may be published, and whether the batch may be published at all."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

from perennial.config import ModelConfig
from perennial.contracts import Audit, Batch, from_record, to_record
from perennial.errors import IntegrityError
from perennial.evidence.causes import QUARANTINE, Causes, count_causes, within_limits
from perennial.storage.files import PASSING, PASSING_ROWS, in_groups
from perennial.store import Store
from perennial.store.batches import published_audit, record_audit
from perennial.store.duck import session
from perennial.validation.casts.casting import fields, typed_schema
from perennial.validation.expectations import rules
from perennial.validation.judging import RuleTally, judge_batch, tallies
from perennial.validation.page import render
from perennial.validation.sample import Sample
from perennial.validation.sorting import Prepared, Sorter

SAMPLE_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class _Counts:
    n_accepted: int
    n_quarantined: int
    n_type_errors: dict[str, int]


def audit(config: ModelConfig, batch: Batch, *, store: Store) -> Audit:
    """Cast, judge and split the staged rows; write ``accepted`` and ``quarantine`` beside them, and the Data Docs page.

    Row-level failures send the row to quarantine. The batch halts on its ``problem``, its number of rows, its share of
    bad rows, a failed batch-level expectation (judged on all accepted rows, or on ``SAMPLE_ROWS`` of them drawn by the
    hash of their id), and on any expectation that could not be judged. A batch that was published keeps the audit it
    was published with. Raises ConfigError for an extra expectation that can not be built.
    """
    before = published_audit(store, batch.batch_id)
    if before is not None:
        return from_record(Audit, before)
    verdict = _without_rows(config, batch) or _with_rows(config, batch, store)
    record_audit(store, batch.batch_id, to_record(verdict))
    return verdict


def audit_again(config: ModelConfig, batch: Batch, *, store: Store) -> Audit:
    """The audit of a published batch by the rules of today, which is not recorded; whoever asked removes its files.

    Raises IntegrityError when the staged file is gone.
    """
    return _without_rows(config, batch) or _with_rows(config, batch, store, again=True)


def _without_rows(config: ModelConfig, batch: Batch) -> Audit | None:
    """The audit of a batch with nothing in it to judge, or None."""
    source, may_be_empty = config.sources.of(batch.source), batch.source == "shadow"
    if batch.problem is None and batch.n_rows:
        return None
    problem = batch.problem or (None if may_be_empty or (source and source.allow_empty) else "empty delivery: no rows")
    return Audit(
        batch_id=batch.batch_id,
        verdict="halt" if problem else "publish",
        reason=problem or "empty, which this source allows",
        n_rows=batch.n_rows,
        n_accepted=0,
        n_quarantined=0,
        share_bad=1.0 if problem else 0.0,
        expectations=(),
    )


def _with_rows(config: ModelConfig, batch: Batch, store: Store, *, again: bool = False) -> Audit:
    if batch.uri is None:
        raise IntegrityError(f"batch {batch.batch_id} of {batch.model} has {batch.n_rows} rows and no staged file")
    base = batch.uri.rpartition(".")[0] + (".again" if again else "")
    accepted_uri, quarantine_uri = f"{base}.accepted{PASSING}", f"{base}.quarantine.parquet"
    docs_uri = f"docs/{batch.model}/{batch.batch_id}{'.again' if again else ''}.html"
    suite = rules(config, batch.source)
    found = tallies(suite)
    columns = fields(config, batch.source)
    with closing(session()) as connection:
        sorter = Sorter(
            columns=columns,
            window=batch.window,
            binary_label=config.task == "binary",
            rules=[rule for rule in suite if rule.level == "row"],
            found=found,
            connection=connection,
            caster=connection.cursor(),
        )
        whole = [rule for rule in suite if rule.level == "batch"]
        sample = Sample(SAMPLE_ROWS, connection) if whole else None
        counts = _sort_all(batch, sorter, sample, (accepted_uri, quarantine_uri), store=store)
    if sample is not None and counts.n_accepted:
        judge_batch(sample, whole, found)
    causes = count_causes(store.storage.read_batches(quarantine_uri)) if counts.n_quarantined else Causes()
    reason = _halt(config, batch, counts, list(found.values()), causes)
    page = render(batch, list(found.values()), passed=reason is None)
    with store.storage.write(docs_uri) as stream:
        stream.write(page.encode())
    return Audit(
        batch_id=batch.batch_id,
        verdict="halt" if reason else "publish",
        reason=reason or within_limits(causes),
        n_rows=batch.n_rows,
        n_accepted=counts.n_accepted,
        n_quarantined=counts.n_quarantined,
        share_bad=counts.n_quarantined / batch.n_rows,
        expectations=tuple(tally.verdict() for tally in found.values()),
        n_type_errors=counts.n_type_errors,
        n_out_of_range=_n_out_of_range(list(found.values())),
        accepted_uri=accepted_uri,
        quarantine_uri=quarantine_uri,
        docs_uri=docs_uri,
    )


def _sort_all(batch: Batch, sorter: Sorter, sample: Sample | None, uris: tuple[str, str], *, store: Store) -> _Counts:
    """Write accepted and quarantined rows chunk by chunk, and show ``sample`` every accepted row.

    While Great Expectations judges a chunk, the next one is cast and the one before is written.
    """
    accepted_uri, quarantine_uri = uris
    n_rows = n_accepted = n_quarantined = 0
    with ExitStack() as open_:
        accepted = open_.enter_context(store.storage.write_passing(accepted_uri, typed_schema(sorter.columns)))
        quarantine = open_.enter_context(store.storage.write_parquet(quarantine_uri, QUARANTINE))
        ahead, behind = (open_.enter_context(ThreadPoolExecutor(1)) for _ in range(2))
        written = behind.submit(lambda: None)
        for prepared in _one_ahead(_prepared(batch, sorter, store), ahead):
            outcome = sorter.sort(prepared)
            n_rows += prepared.rows.num_rows
            n_accepted += outcome.accepted.num_rows
            n_quarantined += outcome.quarantined.num_rows
            written.result()
            written = behind.submit(accepted.write_table, outcome.accepted)
            if outcome.quarantined.num_rows:
                quarantine.write_table(outcome.quarantined)
            if sample is not None:
                sample.add(outcome.accepted)
        written.result()
    if n_rows != batch.n_rows or n_accepted + n_quarantined != n_rows:
        raise IntegrityError(
            f"batch {batch.batch_id} of {batch.model}: staged {batch.n_rows}, read {n_rows}, "
            f"accepted {n_accepted}, quarantined {n_quarantined}: rows were lost or made"
        )
    return _Counts(n_accepted, n_quarantined, dict(sorter.n_type_errors))


def _prepared(batch: Batch, sorter: Sorter, store: Store) -> Iterator[Prepared]:
    first_row = 0
    for chunk in in_groups(store.storage.read_batches(str(batch.uri)), PASSING_ROWS):
        yield sorter.prepare(chunk, first_row)
        first_row += chunk.num_rows


def _one_ahead(chunks: Iterator[Prepared], thread: Executor) -> Iterator[Prepared]:
    """The same chunks, each made in ``thread`` while the one before is used."""
    coming = thread.submit(next, chunks, None)
    while (prepared := coming.result()) is not None:
        coming = thread.submit(next, chunks, None)
        yield prepared


def _halt(config: ModelConfig, batch: Batch, counts: _Counts, found: list[RuleTally], causes: Causes) -> str | None:
    """Why the batch may not be published; None when it may."""
    limits = config.validation
    reasons = []
    if batch.source == "predictions" and batch.n_rows < limits.min_rows:
        reasons.append(f"{batch.n_rows} rows, fewer than validation.min_rows {limits.min_rows}")
    if batch.source == "predictions" and limits.max_rows is not None and batch.n_rows > limits.max_rows:
        reasons.append(f"{batch.n_rows} rows, more than validation.max_rows {limits.max_rows}")
    share_bad = counts.n_quarantined / batch.n_rows
    if share_bad > limits.max_share_bad:
        reasons.append(
            f"{counts.n_quarantined} of {batch.n_rows} rows are bad, a share of {share_bad:.4f} over "
            f"validation.max_share_bad {limits.max_share_bad}"
        )
    elif not counts.n_accepted:
        reasons.append("no row is fit to be published")
    reasons += [
        f"{tally.rule.name} of {tally.rule.column or 'the batch'}: {tally.verdict().detail}"
        for tally in found
        if tally.error or (tally.rule.level == "batch" and not tally.passed)
    ]
    if not reasons:
        return None
    return "; ".join([*reasons[:5], *([f"in quarantine: {causes}"] if causes.first else [])])


def _n_out_of_range(found: list[RuleTally]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for tally in found:
        if tally.rule.limits and tally.rule.column and tally.n_unexpected:
            counted[tally.rule.column] = counted.get(tally.rule.column, 0) + tally.n_unexpected
    return counted
