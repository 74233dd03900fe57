"""How fast labels come: the share of a window's labels that was in, by how old it was when a run counted them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from perennial.config import ModelConfig
from perennial.contracts import Signal, Window
from perennial.evidence.maturity import COVERAGE
from perennial.pipeline.health.grid import Newest
from perennial.store import Store
from perennial.store.recent.signals import every_since


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """The labels of one window, as the runs found them: after its end so long, that share of its predictions had one.

    ``wanted`` is the share at which it is mature.
    """

    window: Window
    seen: tuple[tuple[timedelta, float], ...]
    wanted: float

    @property
    def mature_after(self) -> timedelta | None:
        """How old it was when a run first found it mature; None where none did."""
        return next((age for age, share in self.seen if share >= self.wanted), None)


def read_arrivals(config: ModelConfig, newest: Newest, *, store: Store) -> tuple[Arrivals, ...]:
    """Of the newest windows those whose labels a run counted, oldest first. Raises StoreUnavailable."""
    if not newest.windows:
        return ()
    found = every_since(store, config.model, start=newest.windows[0].start, name=str(COVERAGE))
    return arrivals_of(config, newest.windows, found)


def arrivals_of(config: ModelConfig, windows: Sequence[Window], found: Iterable[Signal]) -> tuple[Arrivals, ...]:
    """The shares that runs found, by window. Pure.

    >>> from dataclasses import replace
    >>> one = subject.known(COVERAGE, "watch", 0.5, threshold=0.88, breached=True)
    >>> later = replace(one, value=0.9, as_of=one.as_of + timedelta(days=14))
    >>> (seen,) = arrivals_of(flights, [one.window], [later, one])
    >>> [share for _, share in seen.seen], seen.mature_after == later.as_of - one.window.end
    ([0.5, 0.9], True)
    """
    of_windows: dict[Window, list[Signal]] = {}
    for signal in found:
        if signal.value is not None:
            of_windows.setdefault(signal.window, []).append(signal)
    return tuple(
        Arrivals(
            window=window,
            seen=tuple(
                (one.as_of - window.end, float(one.value or 0.0))
                for one in sorted(of_windows[window], key=lambda one: one.as_of)
            ),
            wanted=config.label.mature_share,
        )
        for window in windows
        if window in of_windows
    )
