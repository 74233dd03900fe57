"""The history that a replay runs over: every served row with its label and when that arrived, in memory."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.errors import ConfigError, first_of
from perennial.evidence.stretches import Labelled

Places = NDArray[np.intp]
TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The rows of a history in the order of time.

    ``rows`` has the columns ``prediction_id`` (text), ``event_time`` (timestamp[us], UTC), the features, and ``label``
    (double, text for multiclass; null where none ever came). ``times`` and ``arrived`` are datetime64[us] of shape
    (n,), the latter NaT where no label came; ``keys`` (uint64) is the order in which rows are drawn for samples.
    """

    rows: pa.Table
    times: NDArray[np.datetime64]
    arrived: NDArray[np.datetime64]
    keys: NDArray[np.uint64]
    digest: str

    def bounds(self, stretch: Window) -> tuple[int, int]:
        """The place of the first row of a stretch, and that after its last."""
        first, last = np.searchsorted(self.times, [moment(stretch.start), moment(stretch.end)])
        return int(first), int(last)

    def within(self, stretch: Window, *, excluded: Iterable[Window] = ()) -> Places:
        """The places of the rows of a stretch, without those of the excluded ones; ascending."""
        places = np.arange(*self.bounds(stretch))
        for out in excluded:
            times = self.times[places]
            places = places[(times < moment(out.start)) | (times >= moment(out.end))]
        return places

    def known(self, places: Places, as_of: datetime) -> Places:
        """Those of the rows whose label had arrived before a moment."""
        return places[self.arrived[places] < moment(as_of)]

    def count(self, stretch: Window, *, as_of: datetime, excluded: Sequence[Window] = ()) -> Labelled:
        """The rows of a stretch, and those of them whose label had arrived before a moment."""
        places = self.within(stretch, excluded=excluded)
        return Labelled(stretch=stretch, n_rows=len(places), n_labelled=len(self.known(places, as_of)))

    def drawn(self, places: Places, most: int | None) -> Places:
        """At most so many of the rows, drawn by their keys; ascending."""
        if most is None or len(places) <= most:
            return places
        return np.sort(places[np.argpartition(self.keys[places], most)[:most]])

    def table(self, places: Places, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows at these places, all columns unless some are named."""
        rows = self.rows if columns is None else self.rows.select(list(columns))
        return rows.take(pa.array(places))


def moment(value: datetime) -> np.datetime64:
    """A moment as numpy compares it, in UTC without its zone.

    >>> str(moment(day(0).end))
    '2013-01-02T00:00:00.000000'
    """
    return np.datetime64(value.astimezone(UTC).replace(tzinfo=None), "us")


def log_of(config: ModelConfig, rows: pa.Table) -> Log:
    """The log of rows with ``prediction_id``, ``event_time``, the features, ``label`` and ``labelled_at``.

    Labels and the moments of their arrival are null together. Raises ConfigError for absent columns, ids that stand
    twice, rows without an id or a time, and a history without a row.
    """
    wanted = {
        "prediction_id": pa.string(),
        "event_time": TIME,
        **{name: _type(config, name) for name in config.features},
        "label": pa.string() if config.task == "multiclass" else pa.float64(),
        "labelled_at": TIME,
    }
    if absent := [name for name in wanted if name not in rows.column_names]:
        raise ConfigError(f"{config.model}: the history has no column {first_of(absent)}")
    try:
        table = pa.table({name: _cast(rows[name], kind) for name, kind in wanted.items()})
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{config.model}: the history does not hold what model.yaml declares: {error}") from None
    if flaw := _flaw(table):
        raise ConfigError(f"{config.model}: {flaw}")
    table = table.sort_by([("event_time", "ascending"), ("prediction_id", "ascending")]).combine_chunks()
    arrived = table["labelled_at"].to_numpy().astype("datetime64[us]")
    return Log(
        rows=table.drop_columns(["labelled_at"]),
        times=table["event_time"].to_numpy().astype("datetime64[us]"),
        arrived=arrived,
        keys=_keys(table, config.signals.seed),
        digest=_digest(table),
    )


def windows_of(config: ModelConfig, log: Log, *, since: datetime | None, until: datetime | None) -> tuple[Window, ...]:
    """The windows of the schedule between two moments that hold a row, oldest first, up to the last whole one.

    Raises ConfigError for a cron schedule, whose windows are only known to the scheduler.
    """
    schedule = config.schedule
    if schedule.every is None:
        raise ConfigError(f"{config.model}: a backtest needs schedule.every: the windows of a cron are not in the log")
    first, last = (pd.Timestamp(log.times[place], tz="UTC").to_pydatetime() for place in (0, -1))
    start, every = schedule.start, schedule.every
    number = max(0, (max(first, since or first) - start) // every)
    end = min(until or schedule.end or last + every, schedule.end or last + every)
    windows = []
    while (begin := start + number * every) + every <= end and begin <= last:
        windows.append(Window(start=begin, end=begin + every))
        number += 1
    return tuple(window for window in windows if len(log.within(window)))


def _type(config: ModelConfig, feature: str) -> pa.DataType:
    kinds = {"float": pa.float64(), "int": pa.int64(), "category": pa.string(), "bool": pa.bool_()}
    return kinds[config.features[feature].type]


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if kind == TIME and pa.types.is_timestamp(column.type) and column.type.tz is None:
        column = pc.assume_timezone(column, "UTC")
    if pa.types.is_floating(column.type):  # a NaN from a file is no value
        column = pc.if_else(pc.is_nan(column), None, column)
    return column.cast(kind)


def _flaw(table: pa.Table) -> str | None:
    if not table.num_rows:
        return "the history holds no row"
    for name in ("prediction_id", "event_time"):
        if n_null := table[name].null_count:
            return f"{n_null} of {table.num_rows} rows of the history have no {name}"
    if n_twice := table.num_rows - pc.count_distinct(table["prediction_id"]).as_py():
        return f"{n_twice} rows of the history carry a prediction id that stands in it before"
    late = pc.sum(pc.xor(pc.is_null(table["label"]), pc.is_null(table["labelled_at"]))).as_py()
    return f"{late} rows of the history have a label or its time of arrival, and not the other" if late else None


def _keys(table: pa.Table, seed: int) -> NDArray[np.uint64]:
    ids = table["prediction_id"].to_numpy(zero_copy_only=False)
    keys: NDArray[np.uint64] = pd.util.hash_array(ids.astype(object), hash_key=f"{seed:016d}"[-16:], categorize=False)
    return keys


def _digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()
