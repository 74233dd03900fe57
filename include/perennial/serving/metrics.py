"""What the service measures of itself, named by the conventions of Prometheus: base units, ``_total`` for counters."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from perennial.config import Feature
from perennial.serving.measured.features import Features

Mode = Literal["max", "livemax", "livesum"]
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SCORES = tuple(step / 10 for step in range(1, 11))


@dataclass(frozen=True, slots=True)
class Metrics:
    """Those of one process that answers; with several, each writes to files that whichever is asked adds up. ``of``
    are the features whose values are counted."""

    of: Mapping[str, Feature] = field(default_factory=dict)
    shared: bool = False
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    shown: list[tuple[str, str, str]] = field(default_factory=list)
    challenging: list[tuple[str, str, str]] = field(default_factory=list)
    sharing: list[tuple[str, ...]] = field(default_factory=list)
    features: Features = field(init=False)
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    rows: Counter = field(init=False)
    scores: Histogram = field(init=False)
    unlogged: Counter = field(init=False)
    swaps: Counter = field(init=False)
    swap_seconds: Histogram = field(init=False)
    info: Gauge = field(init=False)
    problem: Gauge = field(init=False)
    asked_at: Gauge = field(init=False)
    waiting: Gauge = field(init=False)
    spool_bytes: Gauge = field(init=False)
    write_errors: Counter = field(init=False)
    shadow: Counter = field(init=False)
    shadow_seconds: Histogram = field(init=False)
    shadow_waiting: Gauge = field(init=False)
    shadow_info: Gauge = field(init=False)
    arms: Counter = field(init=False)
    canary_left: Counter = field(init=False)
    canary_share: Gauge = field(init=False)

    def __post_init__(self) -> None:
        for name, metric in _made(self.registry).items():
            object.__setattr__(self, name, metric)
        object.__setattr__(self, "features", Features(self.of, Path(os.environ[_SHARED]) if self.shared else None))
        self.registry.register(self.features)
        if self.shared:
            for path in Path(os.environ[_SHARED]).glob("gauge_live*_*.db"):
                number = int(path.stem.rpartition("_")[2])
                if not psutil.pid_exists(number):
                    mark_process_dead(number)  # type: ignore[no-untyped-call]

    def shows(self, model: str, version: str, predictor: str) -> None:
        """This version answers, and no other one does."""
        _set_alone(self.info, self.shown, (model, version, predictor))

    def challenges(self, model: str, version: str | None, predictor: str | None) -> None:
        """This version answers in the shadow, or none does."""
        _set_alone(self.shadow_info, self.challenging, (model, version, predictor or "") if version else None)

    def canaries(self, model: str, version: str | None, share: float) -> None:
        """This version is canary, with this share of the requests, or none is."""
        _set_alone(self.canary_share, self.sharing, (model, version) if version else None, share)

    def page(self) -> bytes:
        """What Prometheus reads."""
        if not self.shared:
            return generate_latest(self.registry)
        all_of_them = CollectorRegistry()
        MultiProcessCollector(all_of_them)  # type: ignore[no-untyped-call]
        all_of_them.register(self.features)
        return generate_latest(all_of_them)


def _set_alone(gauge: Gauge, known: list[Any], labels: tuple[str, ...] | None, value: float = 1) -> None:
    """The value for these labels, and 0 for those before."""
    for before in known:
        gauge.labels(*before).set(0)
    known[:] = [labels] if labels else []
    if labels:
        gauge.labels(*labels).set(value)


def _made(on: CollectorRegistry) -> dict[str, Counter | Gauge | Histogram]:
    return {
        "requests": Counter("perennial_requests", "Requests answered", ["route", "code"], registry=on),
        "seconds": Histogram("perennial_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=on),
        "rows": Counter("perennial_predictions", "Rows answered", ["version", "predicted"], registry=on),
        "scores": Histogram("perennial_score", "Scores of classes", ["version"], buckets=SCORES, registry=on),
        "unlogged": Counter("perennial_unlogged_predictions", "Rows answered without a log", registry=on),
        "swaps": Counter("perennial_swaps", "Versions loaded, or not", ["outcome"], registry=on),
        "swap_seconds": Histogram("perennial_swap_load_seconds", "Time to load, beside requests", registry=on),
        "info": _gauge("perennial_model_info", "1: it answers", ["model", "version", "predictor"], "livemax", on),
        "problem": _gauge("perennial_problem", "1 for each problem that /readyz names", ["name"], "livemax", on),
        "asked_at": _gauge("perennial_registry_answered_timestamp_seconds", "When it answered last", [], "max", on),
        "waiting": _gauge("perennial_spool_waiting_entries", "Entries of the last write", [], "livesum", on),
        "spool_bytes": _gauge("perennial_spool_bytes", "Bytes not yet where ingest reads", [], "livesum", on),
        "write_errors": Counter("perennial_spool_write_errors", "Writes that failed", registry=on),
        "shadow": Counter("perennial_shadow_rows", "Rows chosen for the challenger", ["outcome"], registry=on),
        "shadow_seconds": Histogram("perennial_shadow_seconds", "Time to score them", buckets=SECONDS, registry=on),
        "shadow_waiting": _gauge("perennial_shadow_waiting_rows", "Rows that wait for it", [], "livesum", on),
        "arms": Counter("perennial_arm_predictions", "Rows answered, by arm", ["arm", "version"], registry=on),
        "canary_left": Counter(
            "perennial_canary_left_requests",
            "Requests of a canary that the champion answered",
            ["version", "why"],
            registry=on,
        ),
        "canary_share": _gauge("perennial_canary_share", "Of the requests", ["model", "version"], "livemax", on),
        "shadow_info": _gauge(
            "perennial_shadow_info", "1: it answers in the shadow", ["model", "version", "predictor"], "livemax", on
        ),
    }


def _gauge(
    name: str, meaning: str, labels: list[str], mode: Literal["max", "livemax", "livesum"], on: CollectorRegistry
) -> Gauge:
    return Gauge(name, meaning, labels, registry=on, multiprocess_mode=mode)
