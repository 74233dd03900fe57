"""What a window is compared with, read from the store: the champion's reference, the stretch before, earlier years."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import ModelConfig
from perennial.contracts import Since, Window
from perennial.evidence.profiles.keeping import EPOCH, MICROSECOND, layout_of
from perennial.evidence.profiles.reading import count_on, read_profile
from perennial.profiles.counting import SCORE, count_rows, grid_of
from perennial.profiles.grid import Grid
from perennial.profiles.profile import Profile, merge
from perennial.store import Store

YEAR = timedelta(weeks=52)
"""A year of whole weeks, so that weekdays meet weekdays."""
MOST_YEARS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two profiles on one grid; the scores of both are those of the champion, as the number ``score``."""

    since: Since
    reference: Profile
    window: Profile


def read_compared(
    config: ModelConfig, window: Window, version: str, *, reference: pa.Table, store: Store
) -> tuple[Compared, ...]:
    """The window beside each of what it is compared with; those but the reference only where there are rows.

    The grid is that of the champion's reference, and becomes the one on which rows are counted from now on. Raises
    StoreUnavailable and LockTimeout.
    """
    grid = grid_of_reference(config, reference)
    count_on(config, grid, made_of=f"the reference of version {version}", store=store)

    def read(stretch: Window) -> Profile:
        found = read_profile(config, stretch, as_of=window.end, grid=grid, store=store)
        return found.renamed({f"{SCORE}:{version}": SCORE})

    own = judged_stretch(config, window)
    rows = read(own)
    compared = [against_reference(config, window, rows, reference=reference, grid=grid)]
    if "previous" in config.signals.drift.against:
        compared.append(Compared(since="previous", reference=read(_before(own)), window=rows))
    if "season" in config.signals.drift.against:
        years = [read(stretch) for stretch in season_of(config, own)]
        compared.append(Compared(since="season", reference=merge(years, grid), window=rows))
    return tuple(one for one in compared if one.since == "reference" or len(one.reference.blocks))


def grid_of_reference(config: ModelConfig, reference: pa.Table) -> Grid:
    """The grid of a champion: that of its reference, the scores of its holdout among it."""
    return grid_of(reference, [*config.numbers, SCORE])


def judged_stretch(config: ModelConfig, window: Window) -> Window:
    """The window, with as much before it as makes enough blocks.

    >>> stretch = judged_stretch(flights, day(9))
    >>> stretch.end == day(9).end, (stretch.end - stretch.start).days
    (True, 10)
    """
    uncertainty = config.signals.uncertainty
    return Window(start=min(window.start, window.end - uncertainty.min_blocks * uncertainty.block), end=window.end)


def season_of(config: ModelConfig, stretch: Window) -> list[Window]:
    """The same weeks of earlier years, longer by the margin on either side; none overlaps what is compared.

    >>> [(one.start.isoformat()[:10], one.end.isoformat()[:10]) for one in season_of(flights, day(400))][:1]
    [('2013-01-23', '2013-02-21')]
    """
    margin = config.signals.drift.season_margin
    years = [number * YEAR for number in range(1, MOST_YEARS + 1)]
    wide = [Window(start=stretch.start - back - margin, end=stretch.end - back + margin) for back in years]
    return [one for one in wide if one.end <= stretch.start]


def _before(stretch: Window) -> Window:
    return Window(start=stretch.start - (stretch.end - stretch.start), end=stretch.start)


def against_reference(
    config: ModelConfig, window: Window, rows: Profile, *, reference: pa.Table, grid: Grid
) -> Compared:
    """The rows of a judged stretch beside the champion's reference: its features in train and holdout, its scores in
    the holdout. Pure.

    No block stands on both sides: of those before the window the reference has precedence, of the window's own the
    window. A reference that does not know the times of its rows (of before 0.3) is one block.
    """
    layout = layout_of(config, grid)
    known = count_rows([_timed(reference)], replace(layout, numbers=[*layout.numbers, SCORE]))
    first = _us(window.start) - layout.block_us
    own = rows.among((rows.blocks > first) | ~np.isin(rows.blocks, known.blocks))
    others = ~np.isin(known.blocks, own.blocks)
    return Compared(since="reference", reference=known.among(others) if others.any() else known, window=own)


def _timed(reference: pa.Table) -> pa.Table:
    """With the columns of a log: the score of the holdout alone, which is its only part with one."""
    n_rows = reference.num_rows
    rows = reference
    if "event_time" not in rows.column_names:
        rows = rows.append_column("event_time", pa.array([0] * n_rows, pa.timestamp("us", "UTC")))
    if SCORE in rows.column_names:
        scored = pc.if_else(pc.equal(rows["part"], "holdout"), rows[SCORE], None)
        rows = rows.drop_columns([SCORE]).append_column(SCORE, scored)
    return rows


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
