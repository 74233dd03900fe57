"""The drift of rows in memory against a reference in memory, as a monitor run measures it of published ones."""

import pyarrow as pa

from logs import day
from perennial.config import ModelConfig
from perennial.contracts import Signal, Subject
from perennial.evidence.profiles.keeping import layout_of
from perennial.monitoring.drift.comparing import Compared, against_reference, grid_of_reference
from perennial.monitoring.drift.signals import drift_signals
from perennial.profiles.counting import count_rows


def typed(config: ModelConfig, rows: pa.Table) -> pa.Table:
    """Without the columns that a table of the model could not hold."""
    wrong = [
        name
        for name in config.numbers
        if name in rows.column_names
        and not (pa.types.is_floating(rows[name].type) or pa.types.is_integer(rows[name].type))
    ]
    return rows.drop_columns(wrong)


def compared_of(config: ModelConfig, rows: pa.Table, reference: pa.Table, *, number: int = 0) -> Compared:
    grid = grid_of_reference(config, typed(config, reference))
    counted = count_rows([typed(config, rows)], layout_of(config, grid)).renamed({"score:1": "score"})
    return against_reference(config, day(number), counted, reference=typed(config, reference), grid=grid)


def drift_of(
    config: ModelConfig,
    rows: pa.Table,
    reference: pa.Table,
    *,
    importance: dict[str, float] | None = None,
    more: tuple[Compared, ...] = (),
) -> dict[str, Signal]:
    """The signals of the first day by their names."""
    compared = (compared_of(config, rows, reference), *more)
    subject = Subject.of_run(config.model, day(0), "1")
    found = drift_signals(config, subject, rows, reference=reference, compared=compared, importance=importance)
    return {signal.name: signal for signal in found}
