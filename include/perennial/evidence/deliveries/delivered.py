"""How many rows of each window came in, and until when its events go."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.evidence.rows import served
from perennial.store import Store
from perennial.store.schema import batches, predictions_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The predictions of one window: ``n_rows`` published, each counted once, of however many deliveries.

    ``n_staged``, ``n_duplicate`` and ``n_expected`` (what a manifest promised, or None) are of the first one that was
    published: what is sent again is known already, and no duplicate to wonder at.
    """

    window: Window
    n_rows: int
    n_staged: int
    n_duplicate: int
    n_expected: int | None


def read_delivered(config: ModelConfig, window: Window, *, most: int, store: Store) -> tuple[Delivered, ...]:
    """The newest ``most`` windows with published predictions up to ``window``, it included, oldest first."""
    of_window = (batches.c.window_start, batches.c.window_end)
    n_rows = func.sum(batches.c.n_published - batches.c.n_corrected).over(partition_by=of_window)
    expected = batches.c.staged["expected_rows"].as_integer()
    query = (
        select(
            *of_window, n_rows.label("n_rows"), batches.c.n_staged, batches.c.n_duplicate, expected.label("expected")
        )
        .where(
            batches.c.model == config.model,
            batches.c.source == "predictions",
            batches.c.status == "published",
            batches.c.window_start <= window.start,
            batches.c.window_end <= window.end,
        )
        .ext(distinct_on(*of_window))
        .order_by(batches.c.window_start.desc(), batches.c.window_end.desc(), batches.c.seq)
        .limit(most)
    )
    with store.begin() as connection:
        found = connection.execute(query).all()
    return tuple(
        Delivered(
            window=Window(start=row.window_start, end=row.window_end),
            n_rows=int(row.n_rows),
            n_staged=row.n_staged,
            n_duplicate=row.n_duplicate,
            n_expected=row.expected,
        )
        for row in reversed(found)
    )


def newest_delivered(config: ModelConfig, besides: Window, *, store: Store) -> datetime | None:
    """The end of the latest other window that anything was staged for: what its run measures may have been read."""
    other = ~((batches.c.window_start == besides.start) & (batches.c.window_end == besides.end))
    query = select(func.max(batches.c.window_end)).where(batches.c.model == config.model, other)
    with store.begin() as connection:
        found: datetime | None = connection.execute(query).scalar()
    return found


def newest_event(config: ModelConfig, window: Window, *, store: Store) -> datetime | None:
    """When the last served event of a window was, as known at its end; None for one without any."""
    predictions = predictions_table(config)
    query = select(func.max(predictions.c.event_time)).where(served(predictions, window, as_of=window.end))
    with store.begin() as connection:
        found: datetime | None = connection.execute(query).scalar()
    return found
