"""Which stretch a candidate may be judged on, which it is fitted on, and how many labelled rows they hold."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import ARRAY, cast, func, literal, select

from perennial.config import ModelConfig, previous_windows
from perennial.contracts import ReleaseState, Window
from perennial.evidence.rows import arrived, counted
from perennial.evidence.training.earlier import earlier_stretches
from perennial.store import Store
from perennial.store.schema import Moment, labels_table, predictions_table

MOST_STRIDES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Served rows of a stretch, and those of them whose label had arrived."""

    stretch: Window
    n_rows: int
    n_labelled: int

    @property
    def share(self) -> float | None:
        """The share with a label; None for a stretch without rows.

        >>> Labelled(stretch=day(0), n_rows=8, n_labelled=6).share
        0.75
        >>> Labelled(stretch=day(0), n_rows=0, n_labelled=0).share
        """
        return self.n_labelled / self.n_rows if self.n_rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The holdout that was chosen, or None and the best that there was: ``best`` is None when no stretch has a row."""

    holdout: Labelled | None
    best: Labelled | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """Labelled rows that a decision counts, whose labels had arrived by the end of its window.

    ``n_new`` of events after the champion's holdout, without those of excluded stretches; without a champion
    ``n_train`` and ``n_holdout`` in the stretches that a training as of now would use.
    """

    n_new: int = 0
    n_train: int = 0
    n_holdout: int = 0


def training_rows(config: ModelConfig, as_of: datetime, state: ReleaseState, *, store: Store) -> TrainingRows:
    """What a decision as of a moment has to know of the rows that a retrain would use."""
    excluded = state.excluded
    return rows_of_a_retrain(
        config,
        as_of,
        state,
        count=lambda stretch: count_labelled(config, stretch, as_of=as_of, excluded=excluded, store=store),
        choice=lambda: choose_holdout(config, as_of, excluded=excluded, store=store),
    )


def rows_of_a_retrain(
    config: ModelConfig,
    as_of: datetime,
    state: ReleaseState,
    *,
    count: Callable[[Window], Labelled],
    choice: Callable[[], Choice],
) -> TrainingRows:
    """The same, of rows that ``count`` counts in a stretch and a holdout that ``choice`` chooses, as of a moment."""
    if state.champion is not None:
        judged = state.lineage
        if judged is None or as_of <= judged.holdout.end:
            return TrainingRows()
        return TrainingRows(n_new=count(Window(start=judged.holdout.end, end=as_of)).n_labelled)
    chosen = choice().holdout
    if chosen is None:
        return TrainingRows()
    train = train_before(config, chosen.stretch)
    n_train = sum(count(stretch).n_labelled for stretch in (*earlier_stretches(config, train), train))
    return TrainingRows(n_train=min(n_train, config.training.max_train_rows or n_train), n_holdout=chosen.n_labelled)


def news_since(
    holdout: Window, before: datetime, as_of: datetime, *, count: Callable[[Window, datetime], Labelled]
) -> int:
    """How many labels a moment knows, of events after a holdout, that an earlier one did not: what a new fit has more.

    ``count`` counts the rows of a stretch as of a moment.

    >>> def count(stretch, as_of): return Labelled(stretch=stretch, n_rows=9, n_labelled=4 + (as_of > day(9).end))
    >>> [news_since(day(5), day(9).end, day(n).end, count=count) for n in (8, 9, 11)]
    [0, 0, 1]
    """
    if as_of <= before:
        return 0
    now, then = (count(Window(start=holdout.end, end=moment), moment) for moment in (as_of, before))
    return max(0, now.n_labelled - then.n_labelled)


def train_before(config: ModelConfig, holdout: Window) -> Window:
    """The stretch that a candidate is fitted on: ``training.train`` before its holdout, less the embargo. Pure.

    >>> train_before(flights, day(42)) == Window(start=day(0).start, end=day(41).end)
    True
    """
    end = holdout.start - config.training.embargo
    return Window(start=end - config.training.train, end=end)


def holdout_ends(config: ModelConfig, as_of: datetime, *, further: timedelta = timedelta(0)) -> Iterator[datetime]:
    """Where a holdout may end, newest first: ``label.delay`` before ``as_of``, then further back in strides of it.

    Labels later than ``label.max_wait`` never come, so there is nothing to be gained further back than that and one
    holdout (and ``further``, the length of excluded stretches). Where that is more than MOST_STRIDES strides, they are
    longer. Pure.

    >>> [end.day for end in holdout_ends(flights, datetime.fromisoformat("2013-01-31T00:00:00Z"))][:3]
    [27, 23, 19]
    """
    reach = config.label.max_wait + config.training.holdout + further
    stride = max(config.label.delay, reach / MOST_STRIDES)
    for number in range(-(-reach // stride)):
        yield as_of - config.label.delay - number * stride


def holdouts(config: ModelConfig, as_of: datetime, *, excluded: Iterable[Window] = ()) -> list[Window]:
    """The stretches to choose a holdout from, newest first. Pure.

    >>> holdouts(flights, day(30).end)[0] == Window(start=day(13).start, end=day(26).end)
    True
    """
    further = sum((stretch.end - stretch.start for stretch in excluded), timedelta(0))
    length = config.training.holdout
    return [Window(start=end - length, end=end) for end in holdout_ends(config, as_of, further=further)]


def choose_holdout(config: ModelConfig, as_of: datetime, *, excluded: tuple[Window, ...] = (), store: Store) -> Choice:
    """The newest stretch whose labels are in, as ``label.mature_share`` asks.

    The newest candidate is looked at alone, since it is the answer as a rule; all others in one scan.
    """
    stretches = holdouts(config, as_of, excluded=excluded)
    newest = count_labelled(config, stretches[0], as_of=as_of, excluded=excluded, store=store)
    if _is_mature(config, newest):
        return Choice(holdout=newest, best=newest)
    older = _count_each(config, stretches[1:], as_of=as_of, excluded=excluded, store=store)
    return choose(config, [newest, *older])


def choose(config: ModelConfig, found: Sequence[Labelled]) -> Choice:
    """The first of the stretches, newest first, that is mature; and the one labelled best. Pure.

    >>> late, early = (Labelled(stretch=day(n), n_rows=8, n_labelled=k) for n, k in ((1, 4), (0, 8)))
    >>> choose(flights, [late, early]).holdout == early
    True
    >>> choose(flights, [late]) == Choice(holdout=None, best=late)
    True
    """
    with_rows = [stretch for stretch in found if stretch.n_rows]
    best = max(with_rows, key=lambda stretch: stretch.share or 0.0, default=None)
    return Choice(holdout=next((stretch for stretch in found if _is_mature(config, stretch)), None), best=best)


def labelled_windows(
    config: ModelConfig, holdout: Window, as_of: datetime, *, count: Callable[[Window], Labelled]
) -> tuple[Labelled, ...]:
    """The newest ``signoff.windows.last`` windows of the schedule that have their labels in, oldest first.

    Of those alone that reach into a holdout: on what lies before it, its candidate was fitted. ``count`` counts the
    rows of a window as of then, and is asked for no more of them than needed.

    >>> labelled_windows(flights, day(42), day(60).end, count=lambda window: Labelled(window, 8, 8))
    ()
    """
    wanted, every = config.signoff.windows.last, config.schedule.every
    if wanted is None or every is None:
        return ()
    known = previous_windows(config.schedule, as_of, (as_of - holdout.start) // every + 1)
    mature = (
        found
        for found in map(count, (one for one in known[::-1] if one.overlaps(holdout)))
        if _is_mature(config, found)
    )
    return tuple(islice(mature, wanted))[::-1]


def _is_mature(config: ModelConfig, found: Labelled) -> bool:
    return found.share is not None and found.share >= config.label.mature_share


def count_labelled(
    config: ModelConfig, stretch: Window, *, as_of: datetime, excluded: tuple[Window, ...] = (), store: Store
) -> Labelled:
    """Counts over the served rows of one stretch; a label counts when it had arrived before ``as_of``."""
    predictions, labels = predictions_table(config), labels_table(config)
    query = (
        select(func.count(), func.count(labels.c.prediction_id))
        .select_from(predictions.outerjoin(labels, arrived(predictions, labels, as_of)))
        .where(counted(predictions, stretch, as_of=as_of, excluded=excluded))
    )
    with store.begin() as connection:
        n_rows, n_labelled = connection.execute(query).one()
    return Labelled(stretch=stretch, n_rows=int(n_rows), n_labelled=int(n_labelled))


def _count_each(
    config: ModelConfig,
    stretches: Sequence[Window],
    *,
    as_of: datetime,
    excluded: tuple[Window, ...],
    store: Store,
) -> list[Labelled]:
    """The counts of stretches that may overlap, from one scan: rows are counted between all their ends."""
    if not stretches:
        return []
    bounds = sorted({moment for stretch in stretches for moment in (stretch.start, stretch.end)})
    predictions, labels = predictions_table(config), labels_table(config)
    piece = func.width_bucket(predictions.c.event_time, cast(literal(bounds, ARRAY(Moment)), ARRAY(Moment)))
    query = (
        select(piece.label("piece"), func.count(), func.count(labels.c.prediction_id))
        .select_from(predictions.outerjoin(labels, arrived(predictions, labels, as_of)))
        .where(counted(predictions, Window(start=bounds[0], end=bounds[-1]), as_of=as_of, excluded=excluded))
        .group_by("piece")
    )
    with store.begin() as connection:
        pieces = {bounds[int(number) - 1]: (int(n), int(known)) for number, n, known in connection.execute(query)}
    return [
        Labelled(
            stretch=stretch,
            n_rows=sum(n for start, (n, _) in pieces.items() if stretch.start <= start < stretch.end),
            n_labelled=sum(known for start, (_, known) in pieces.items() if stretch.start <= start < stretch.end),
        )
        for stretch in stretches
    ]
