"""``fairness/<measure>/<column>``: how far the groups of a protected column are treated apart. Pure."""

from collections.abc import Iterator

import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject
from perennial.evidence.answers import answers_in, demands_of
from perennial.evidence.groups.protected import grouped
from perennial.statistics.comparing.fairness import MEASURES


def fairness_signals(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, *, why: str | None = None
) -> Iterator[Signal]:
    """Every measure of every column of ``signals.fairness.columns``, on labelled rows.

    Groups with fewer than ``min_rows`` rows are left out, and named; rows without a value are a group like any other.
    ``why`` the rows say nothing makes every signal unknown. The order of the rows never matters.

    >>> list(fairness_signals(flights, subject, None, why="no labels"))
    []
    """
    asked = config.signals.fairness
    for column in asked.columns:
        side, problem = None, why or "no labelled rows"
        if rows is not None and not why:
            side, problem = grouped(config, answers_in(config, rows), rows[column], column, min_rows=asked.min_rows)
        for measure, function in MEASURES.items():
            name = SignalName("fairness", f"{measure}/{column}")
            if side is None:
                yield subject.unknown(name, asked.role, problem, threshold=asked.bound)
                continue
            found = function(side, demands=demands_of(config))
            detail = f"{found.basis}{problem}"
            yield subject.estimated(name, asked.role, found, threshold=asked.bound, is_least=False, detail=detail)
