"""The rows of the file as two logs, as a serving system would have written them, and as one table for the backtest."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.errors import ConfigError
from perennial.onboarding.columns import Column
from perennial.onboarding.roles import Roles, texts

VERSION = "history"
"""What stands as the version of rows from before there was a champion."""
TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRows:
    """``predictions`` and ``labels`` under the names of the deliveries; ``n_untimed`` rows had no readable time, and
    are in neither. ``names`` says which column is what: id, time, score, predicted, version, label, labelled_at."""

    predictions: pa.Table
    labels: pa.Table
    names: dict[str, str]
    n_untimed: int
    first: datetime
    last: datetime

    @property
    def n_labelled(self) -> int:
        """Rows whose label came."""
        return int(self.labels.num_rows)


def history_of(roles: Roles, *, delay: timedelta) -> PastRows:
    """The logs of the file's rows. A label without a time of arrival arrives ``delay`` after its event.

    Where the file has no score, every row has that of the best constant: it judges nothing, since only rows of a
    champion are evidence of how one performs. Raises ConfigError when no row has a time.
    """
    timed = pc.is_valid(roles.time.clean)
    n_rows = len(roles.time.clean)
    if not (n_timed := pc.sum(timed).as_py()):
        raise ConfigError(f"no row has a moment in {roles.time.logged!r}")
    named = {feature.logged for feature in roles.features}
    names = {key: _free(key_name, named) for key, key_name in (
        ("id", "prediction_id"), ("time", "event_time"), ("score", "score"), ("predicted", "predicted"),
        ("version", "model_version"), ("label", "label"), ("labelled_at", "labelled_at"),
    )}  # fmt: skip
    ids = roles.id.clean.cast(pa.string()) if roles.id else pa.array([f"row-{i:09d}" for i in range(1, n_rows + 1)])
    label = label_of(roles)
    columns = {names["id"]: ids, names["time"]: roles.time.clean.cast(TIME)}
    columns |= {feature.logged: delivered(feature) for feature in roles.features}
    columns |= _answers(roles, label, names)
    columns[names["version"]] = pa.repeat(VERSION, n_rows)
    arrived = roles.labelled_at.clean if roles.labelled_at else pc.add(columns[names["time"]], delay)
    known = pc.and_(timed, pc.is_valid(label))
    labelled = {names["id"]: ids, names["label"]: label, names["labelled_at"]: arrived}
    labels = pa.table(labelled).filter(pc.and_(known, pc.is_valid(arrived)))
    predictions = pa.table(columns).filter(timed)
    ends = pc.min_max(predictions[names["time"]]).as_py()
    return PastRows(
        predictions=predictions,
        labels=labels,
        names=names,
        n_untimed=n_rows - n_timed,
        first=ends["min"],
        last=ends["max"],
    )


def label_of(roles: Roles) -> pa.ChunkedArray:
    """The truth as it is declared: 0 and 1, the class as text, or a number; null where none is known."""
    clean = roles.label.clean
    if roles.task == "regression":
        return clean.cast(pa.float64())
    shown = _shown(clean)
    return pc.cast(pc.equal(shown, roles.positive), pa.float64()) if roles.task == "binary" else shown


def delivered(feature: Column) -> pa.ChunkedArray:
    """A feature as it is laid down: in its own type, as text where some of its values are none of it."""
    return feature.values if feature.n_odd else feature.clean


def joined(history: PastRows, roles: Roles) -> pa.Table:
    """Both logs as one table, as ``perennial backtest --history`` takes it, without the values that are none."""
    timed = pc.is_valid(roles.time.clean)
    rows = history.predictions
    for feature in roles.features:
        if feature.n_odd:
            place = rows.column_names.index(feature.logged)
            rows = rows.set_column(place, feature.logged, feature.clean.filter(timed))
    return rows.join(history.labels, keys=history.names["id"])


def lay_down(history: PastRows, *, landing: Path, start: datetime) -> Path:
    """Write both logs where the declared sources look for the window that begins at ``start``; their folder."""
    for source, table in (("predictions", history.predictions), ("labels", history.labels)):
        folder = landing / source / f"{start:%Y-%m-%dT%H%M}"
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / "history.part"
        pq.write_table(table, unfinished)
        unfinished.replace(folder / "history.parquet")
    return landing


def _answers(roles: Roles, label: pa.ChunkedArray, names: dict[str, str]) -> dict[str, pa.Array]:
    n_rows = len(label)
    if roles.task == "multiclass":
        frequent, n_most = next(iter(texts(roles.label).items()))
        share = n_most / max(1, n_rows - label.null_count)
        return {names["predicted"]: pa.repeat(frequent, n_rows), names["score"]: pa.repeat(float(share), n_rows)}
    if roles.score is not None:
        return {names["score"]: delivered(roles.score)}
    return {names["score"]: pa.repeat(float(pc.mean(label).as_py()), n_rows)}


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else f"perennial_{name}"


def _shown(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as :func:`perennial.onboarding.roles.texts` shows them: 1.0 is ``1``."""
    if pa.types.is_floating(values.type) and pc.all(pc.equal(values, pc.round(values))).as_py():
        values = values.cast(pa.int64())
    return values.cast(pa.string())
