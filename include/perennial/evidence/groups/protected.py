"""The groups of a protected column, as the measures of fairness take them."""

import numpy as np
import pyarrow as pa

from perennial.config import ModelConfig
from perennial.errors import first_of
from perennial.evidence.answers import NO_BLOCKS, Answers
from perennial.evidence.groups.worst import texts_of
from perennial.statistics.comparing.fairness import Grouped


def grouped(
    config: ModelConfig, answers: Answers, values: pa.ChunkedArray, column: str, *, min_rows: int
) -> tuple[Grouped | None, str]:
    """The rows of groups with ``min_rows`` rows; and why there are none, or which groups were left out.

    ``values`` are those of the ``column`` for the rows of the answers, in their order. Rows without a value are a group
    like any other.
    """
    measured = answers.measured(config)
    if measured is None:
        return None, "fewer than two rows, or a label or a score that is missing or no number"
    if answers.blocks is None:
        return None, NO_BLOCKS
    groups = texts_of(values)
    names, counts = np.unique(groups, return_counts=True)
    small = names[counts < min_rows]
    if len(names) - len(small) < 2:  # noqa: PLR2004 - one group is not treated apart
        return None, f"{len(names) - len(small)} groups of {column} have {min_rows} rows"
    kept = ~np.isin(groups, small)
    left_out = f"; left out, too small: {first_of(small.tolist())}" if len(small) else ""
    return Grouped(measured.take(np.flatnonzero(kept)), groups[kept], answers.blocks[kept]), left_out
