"""``fairness/<measure>/<column>``: how far the groups of a protected column are treated apart. Pure."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject
from perennial.errors import first_of
from perennial.evidence.answers import NO_BLOCKS, answers_in, demands_of
from perennial.statistics.comparing.fairness import MEASURES, Grouped

NO_VALUE = "(missing)"


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
        side, problem = (None, why or "no labelled rows") if rows is None or why else _grouped(config, rows, column)
        for measure, function in MEASURES.items():
            name = SignalName("fairness", f"{measure}/{column}")
            if side is None:
                yield subject.unknown(name, asked.role, problem, threshold=asked.bound)
                continue
            found = function(side, demands=demands_of(config))
            detail = f"{found.basis}{problem}"
            yield subject.estimated(name, asked.role, found, threshold=asked.bound, is_least=False, detail=detail)


def _grouped(config: ModelConfig, rows: pa.Table, column: str) -> tuple[Grouped | None, str]:
    """The rows of large groups; and why there are none, or which were left out."""
    answers = answers_in(config, rows)
    measured = answers.measured(config)
    if measured is None:
        return None, "fewer than two rows, or a label or a score that is missing or no number"
    if answers.blocks is None:
        return None, NO_BLOCKS
    groups = rows[column].cast(pa.string()).fill_null(NO_VALUE).to_numpy(zero_copy_only=False).astype(str)
    names, counts = np.unique(groups, return_counts=True)
    small = names[counts < config.signals.fairness.min_rows]
    if len(names) - len(small) < 2:  # noqa: PLR2004 - one group is not treated apart
        return None, f"{len(names) - len(small)} groups of {column} have {config.signals.fairness.min_rows} rows"
    kept = ~np.isin(groups, small)
    left_out = f"; left out, too small: {first_of(small.tolist())}" if len(small) else ""
    return Grouped(measured.take(np.flatnonzero(kept)), groups[kept], answers.blocks[kept]), left_out
