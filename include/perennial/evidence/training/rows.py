"""The labelled rows that teach a candidate, at most ``training.max_train_rows`` of them, with every class's share."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import pyarrow as pa
from sqlalchemy import Select, case, func, literal, select

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.evidence.labelled import sample_labelled, stretch_query
from perennial.evidence.rows import arrived, counted
from perennial.evidence.samples import sample_key
from perennial.evidence.training.earlier import earlier_stretches, whole_and_gaps
from perennial.store import Store
from perennial.store.bulk import read, stream
from perennial.store.schema import labels_table, predictions_table

IN_TIME = ("event_time", "prediction_id")


def quotas(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """How many rows of each class are drawn so that there are ``most``, and every class keeps its share. Pure.

    Largest remainders (Hare); a class that has a row keeps one, while there is room for it.

    >>> quotas({"no": 700, "yes": 299, "rare": 1}, 100)
    {'no': 70, 'yes': 29, 'rare': 1}
    >>> quotas({"no": 7}, 100)
    {'no': 7}
    """
    n_rows = sum(counts.values())
    if n_rows <= most:
        return dict(counts)
    found = {name: max(1, n * most // n_rows) for name, n in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(counts[name] * most % n_rows), name))
    for name in by_remainder[: max(0, most - sum(found.values()))]:
        found[name] += 1
    while (over := sum(found.values()) - most) > 0 and (largest := max(found.values())) > 1:
        name = next(name for name, n in found.items() if n == largest)
        found[name] -= min(over, largest - 1)
    return found


@contextmanager
def stream_training(
    config: ModelConfig, train: Window, *, as_of: datetime, excluded: tuple[Window, ...] = (), store: Store
) -> Iterator[pa.RecordBatchReader]:
    """The rows of :func:`~perennial.evidence.labelled.stream_labelled` that teach a candidate, in the order of time.

    Those of ``train`` and of its :func:`earlier_stretches`; where there are more than ``training.max_train_rows``, as
    many as that, of each class those with the smallest hash of their id: the same ones every time. Raises
    StoreUnavailable.
    """
    whole, gaps = whole_and_gaps(train, earlier_stretches(config, train))
    left_out = (*excluded, *gaps)
    query = stretch_query(config, whole, as_of=as_of, excluded=left_out, with_batches=True)
    drawn = _drawn(config, whole, as_of=as_of, excluded=left_out, store=store)
    if drawn is not None:
        query = query.where(query.selected_columns.prediction_id.in_(drawn))
    with stream(store, query.order_by(*IN_TIME)) as reader:
        yield reader


def sample_training(
    config: ModelConfig,
    train: Window,
    *,
    as_of: datetime,
    most: int | None,
    excluded: tuple[Window, ...] = (),
    store: Store,
) -> pa.Table:
    """The same rows without their batches, or ``most`` of them, drawn by the hash of their ids alone."""
    whole, gaps = whole_and_gaps(train, earlier_stretches(config, train))
    left_out = (*excluded, *gaps)
    drawn = None if most is not None else _drawn(config, whole, as_of=as_of, excluded=left_out, store=store)
    if drawn is None:
        return sample_labelled(config, whole, as_of=as_of, most=most, excluded=left_out, store=store)
    query = stretch_query(config, whole, as_of=as_of, excluded=left_out)
    query = query.where(query.selected_columns.prediction_id.in_(drawn))
    return read(store, query).sort_by([(name, "ascending") for name in IN_TIME])


def _drawn(
    config: ModelConfig, whole: Window, *, as_of: datetime, excluded: tuple[Window, ...], store: Store
) -> Select[tuple[str]] | None:
    """The ids of the predictions of a stretch that are drawn; None where all of them are."""
    most = config.training.max_train_rows
    if most is None:
        return None
    predictions, labels = predictions_table(config), labels_table(config)
    label = literal("all") if config.task == "regression" else labels.c.label
    having = (
        predictions.join(labels, arrived(predictions, labels, as_of)),
        counted(predictions, whole, as_of=as_of, excluded=excluded),
    )
    by_class = select(label.label("class"), func.count()).select_from(having[0]).where(having[1]).group_by("class")
    with store.begin() as connection:
        found = {name: int(n) for name, n in connection.execute(by_class)}
    if sum(found.values()) <= most:
        return None
    kept = quotas({str(name): n for name, n in found.items()}, most)
    order = (sample_key(predictions, config.training.seed), predictions.c.prediction_id)
    place = func.row_number().over(partition_by=label, order_by=order)
    ranked = (
        select(predictions.c.prediction_id, label.label("class"), place.label("place"))
        .select_from(having[0])
        .where(having[1])
        .subquery()
    )
    last = case({name: kept[str(name)] for name in found}, value=ranked.c["class"])
    return select(ranked.c.prediction_id).where(ranked.c.place <= last)
