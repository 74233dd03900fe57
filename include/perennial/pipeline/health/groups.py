"""Signals that are one figure for each group of rows, over the newest windows: slices, and how far groups lie apart."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from perennial.contracts import Signal, SignalRole, Window
from perennial.pipeline.health.grid import Newest
from perennial.pipeline.health.series import Figure, figure_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One signal in the windows where it was measured, oldest first; ``detail`` and ``role`` are those of the newest.

    An unknown one is a figure without a value.
    """

    subject: str
    role: SignalRole
    figures: tuple[tuple[Window, Figure], ...]
    detail: str

    @property
    def newest(self) -> tuple[Window, Figure]:
        """The newest window with its figure."""
        return self.figures[-1]


def tracks_of(family: Literal["slice", "fairness"], found: Newest) -> tuple[Track, ...]:
    """The signals of one family by their subject, those first that are worst in their newest window. Pure.

    >>> from perennial.contracts import SignalName
    >>> made = [subject.above(SignalName("slice", name), "watch", value, 0.1) for name, value in (("a", 0), ("b", 1))]
    >>> [(one.subject, one.newest[1].status) for one in tracks_of("slice", Newest((day(1),), tuple(made)))]
    [('b', 'breached'), ('a', 'ok')]
    """
    of_names: dict[str, list[Signal]] = {}
    for signal in found.measured:
        if signal.family == family and signal.window in found.windows:
            of_names.setdefault(signal.name.partition("/")[2], []).append(signal)
    order = ("breached", "undecided", "unknown", "ok")
    made = [_track(name, signals) for name, signals in of_names.items()]
    return tuple(sorted(made, key=lambda one: (order.index(one.newest[1].status), one.subject)))


def _track(subject: str, signals: Iterable[Signal]) -> Track:
    ordered = sorted(signals, key=lambda one: one.window.start)
    last = ordered[-1]
    figures = tuple((one.window, figure_of(one)) for one in ordered)
    return Track(subject=subject, role=last.role, figures=figures, detail=last.detail)
