"""The stretches that teach a candidate besides the one right before its holdout. Pure."""

from collections.abc import Iterable
from datetime import timedelta

from perennial.config import ModelConfig
from perennial.contracts import Window

YEAR = timedelta(days=365)


def earlier_stretches(config: ModelConfig, train: Window) -> tuple[Window, ...]:
    """What ``training.window`` adds to ``train``, in the order of time; no two of all these stretches overlap.

    ``growing`` adds all from ``training.since`` on. ``seasonal`` adds the season of each of the ``training.seasons``
    years before: a stretch as long as ``train`` around the day one year before its end, half of it what came next then.

    >>> def training(**over): return flights.model_copy(update={"training": flights.training.model_copy(update=over)})
    >>> earlier_stretches(flights, day(42))
    ()
    >>> earlier_stretches(training(window="growing"), day(42)) == (Window(start=day(0).start, end=day(42).start),)
    True
    >>> train = Window(start=day(700).start, end=day(741).end)
    >>> (season,) = earlier_stretches(training(window="seasonal"), train)
    >>> season == Window(start=day(356).start, end=day(397).end)
    True
    """
    wanted = config.training
    if wanted.window == "growing":
        since = wanted.since or config.schedule.start
        return (Window(start=since, end=train.start),) if since < train.start else ()
    if wanted.window == "trailing":
        return ()
    found, before = [], train.start
    for years in range(1, wanted.seasons + 1):
        shift = wanted.train / 2 - years * YEAR
        start, end = train.start + shift, min(train.end + shift, before)
        if start < end:
            found.append(Window(start=start, end=end))
            before = start
    return tuple(reversed(found))


def whole_and_gaps(train: Window, earlier: Iterable[Window]) -> tuple[Window, tuple[Window, ...]]:
    """The one stretch from the first row to the last, and what lies in it and teaches nothing.

    >>> whole_and_gaps(day(9), [day(1)]) == (
    ...     Window(start=day(1).start, end=day(9).end), (Window(start=day(2).start, end=day(8).end),))
    True
    """
    stretches = (*earlier, train)
    whole = Window(start=min(stretch.start for stretch in stretches), end=train.end)
    return whole, whole.without(stretches)
