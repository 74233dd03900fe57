"""What the lines of a model add up to, by month and step: one scan of the files, by DuckDB."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from perennial.store.duck import select, session

_COLUMNS = {
    "at": "TIMESTAMPTZ",
    "model": "VARCHAR",
    "step": "VARCHAR",
    "outcome": "VARCHAR",
    "seconds": "DOUBLE",
    "cpu_s": "DOUBLE",
    "peak_mb": "DOUBLE",
    "n_rows": "BIGINT",
}
_LINES = sa.table("lines", *(sa.column(name) for name in _COLUMNS))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """What one step of a model took in one month (UTC), over all its runs; ``n_rows`` is None where it counts none."""

    month: str
    step: str
    n_runs: int
    n_failed: int
    seconds: float
    cpu_s: float
    peak_mb: float
    n_rows: int | None


def read_spent(folder: Path, model: str, *, since: datetime | None, until: datetime | None) -> tuple[StepCost, ...]:
    """By month and step, in their order, what ended within ``[since, until)``. Lines that were cut off do not count."""
    files = sorted(str(path) for path in folder.glob("????-??-??.jsonl") if _may_hold(path, since, until))
    if not files:
        return ()
    columns, month = _LINES.c, sa.func.strftime(_LINES.c.at, "%Y-%m").label("month")
    query = (
        sa.select(
            month,
            columns.step,
            sa.func.count().label("n_runs"),
            sa.func.count().filter(columns.outcome == "failed").label("n_failed"),
            sa.func.sum(columns.seconds).label("seconds"),
            sa.func.sum(columns.cpu_s).label("cpu_s"),
            sa.func.max(columns.peak_mb).label("peak_mb"),
            sa.cast(sa.func.sum(columns.n_rows), sa.BigInteger).label("n_rows"),
        )
        .where(columns.model == model)
        .group_by(month, columns.step)
        .order_by(month, columns.step)
    )
    for bound in ([columns.at >= since] if since else []) + ([columns.at < until] if until else []):
        query = query.where(bound)
    with session() as connection:
        connection.read_json(files, columns=_COLUMNS, format="newline_delimited", ignore_errors=True).create_view(
            "lines"
        )
        return tuple(StepCost(**row) for row in select(connection, query).to_pylist())


def recorded_since(folder: Path) -> datetime | None:
    """The beginning of the first day that lines are kept of; None before the first."""
    first = min((path.stem for path in folder.glob("????-??-??.jsonl")), default=None)
    return datetime.fromisoformat(first).replace(tzinfo=UTC) if first else None


def _may_hold(path: Path, since: datetime | None, until: datetime | None) -> bool:
    after = since is None or path.stem >= since.astimezone(UTC).date().isoformat()
    return after and (until is None or path.stem <= until.astimezone(UTC).date().isoformat())
