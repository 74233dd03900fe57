"""Every signal of a window as people and programs read it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.config import ModelConfig
from perennial.config.notify import Severity
from perennial.contracts import Signal, SignalName, SignalRole, SignalStatus, Window
from perennial.errors import ConfigError
from perennial.statistics.metrics import METRICS
from perennial.store import Store, signals

Direction = Literal["least", "most", "range"]
"""What a threshold is: the least that a value may be, the most, or the nearer end of a range."""
_LEAST = frozenset(
    {"attribution/ndcg", "quality/completeness", "served_by_champion", "label_coverage", "flag/below_chance"}
)
_RANGE = frozenset({"quality/volume", "flag/label_rate", "flag/calibration"})
_BREACHED: dict[SignalRole, Severity] = {"halt": "critical", "alert": "warning", "retrain": "warning", "watch": "info"}
_OF_METRICS = frozenset({"performance", "bake", "estimate", "slice"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One signal of a window. ``subject`` is its column, metric or slice: the name without the family.

    ``low``, ``high``, ``n_rows``, ``n_blocks`` and ``confidence`` are those of the interval, where it has one.
    ``severity`` is None where it is in order; ``evidence`` is the page of its window, below Airflow's address.
    """

    family: str
    subject: str
    window: Window
    as_of: datetime
    version: str | None
    role: SignalRole
    status: SignalStatus
    severity: Severity | None
    value: float | None
    low: float | None
    high: float | None
    threshold: float | None
    direction: Direction
    n_rows: int | None
    n_blocks: int | None
    confidence: float | None
    detail: str
    evidence: str


def read_signals(config: ModelConfig, start: datetime | None = None, *, store: Store) -> tuple[Reading, ...]:
    """Every signal of the window that begins at ``start``, or of the newest that was measured, in the order of names.

    Also what its run measured of earlier windows, whose labels came in meanwhile. Raises ConfigError for a window that
    was never measured; empty where none was.
    """
    found = signals.around(store, config.model, start=start)
    if start is not None and not found:
        raise ConfigError(f"{config.model}: no run measured a window that begins at {start.isoformat()}")
    return tuple(
        reading_of(config, signal)
        for signal in sorted(found, key=lambda one: (-one.window.start.timestamp(), one.name))
    )


def reading_of(config: ModelConfig, signal: Signal) -> Reading:
    """One signal as it is read. Pure.

    >>> read = reading_of(flights, subject.above(SignalName.drift("temp_f"), "watch", 0.3, 0.1))
    >>> read.family, read.subject, read.status, read.direction, read.low
    ('drift', 'temp_f', 'breached', 'most', None)
    """
    interval = signal.interval
    return Reading(
        family=signal.family,
        subject=signal.name.partition("/")[2],
        window=signal.window,
        as_of=signal.as_of,
        version=signal.version,
        role=signal.role,
        status=signal.status,
        severity=severity_of(signal),
        value=signal.value,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        threshold=signal.threshold,
        direction=direction_of(config, signal.name),
        n_rows=None if interval is None else interval.n_rows,
        n_blocks=None if interval is None else interval.n_blocks,
        confidence=None if interval is None else interval.confidence,
        detail=signal.detail,
        evidence=f"/perennial/models/{signal.model}/windows/{signal.window.key}",
    )


def severity_of(signal: Signal) -> Severity | None:
    """How much it asks for: critical where the run ends red for it, warning where someone is told or a retrain is asked
    for, info where it is only shown, or could not be told. Pure.

    >>> read = subject.above(SignalName.drift("temp_f"), "halt", 0.3, 0.1)
    >>> severity_of(read), severity_of(subject.unknown(SignalName.drift("temp_f"), "halt", "gone"))
    ('critical', 'info')
    """
    if signal.status != "breached":
        return None if signal.status == "ok" else "info"
    return _BREACHED[signal.role]


def direction_of(config: ModelConfig, name: str) -> Direction:
    """What the threshold of a signal is, by its name in the store. Pure.

    >>> [direction_of(flights, name) for name in ("performance/roc_auc", "performance/roc_auc_loss", "bake/roc_auc")]
    ['least', 'most', 'least']
    >>> direction_of(flights, "performance/log_loss"), direction_of(flights, "flag/label_rate")
    ('most', 'range')
    """
    if name in _RANGE or name.startswith("control/"):
        return "range"
    if name in _LEAST:
        return "least"
    subject = name.partition("/")[2]
    metric = METRICS[config.task].get(subject.partition("/")[0] if name.startswith("slice/") else subject)
    of_metric = SignalName.family_of(name) in _OF_METRICS and metric is not None
    if SignalName.family_of(name) == "silent" or (of_metric and metric is not None and metric.more_is_better):
        return "least"
    return "most"
