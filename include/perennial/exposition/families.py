"""The page that Prometheus reads: base units, ``_total`` for counters, a label ``model`` on what is a model's. Pure."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from perennial.contracts import Signal
from perennial.exposition.machine import MachineFigures, PoolFigures
from perennial.exposition.standing import StoreFigures

Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float | None]]
Reading = Callable[[StoreFigures], Values]
"""The values of one metric of a model, each with its labels after ``model``; a value of None is left out."""
OfMachine = Callable[[MachineFigures], Values]

ACTIONS = ("stay", "retrain", "rollback", "halt", "blind")


def page(standings: Iterable[StoreFigures], machine: MachineFigures) -> bytes:
    """What Prometheus reads, in its text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exposed(tuple(standings), machine))
    return generate_latest(registry)


class _Exposed(Collector):
    def __init__(self, standings: tuple[StoreFigures, ...], machine: MachineFigures) -> None:
        self.standings, self.machine = standings, machine

    def collect(self) -> Iterator[Metric]:
        for kind, name, meaning, labels, reading in METRICS:
            each = (((one.config.model, *found), value) for one in self.standings for found, value in reading(one))
            yield _family(kind, name, meaning, ("model", *labels), each)
        for kind, name, meaning, labels, of_machine in MACHINE_METRICS:
            yield _family(kind, name, meaning, labels, of_machine(self.machine))


def _family(kind: "Kind", name: str, meaning: str, labels: Labels, values: Values) -> Metric:
    family = kind(f"perennial_{name}", meaning, labels=labels)
    for found, value in values:
        if value is not None:
            family.add_metric(found, float(value))
    return family


def _one(value: Callable[[StoreFigures], float | None]) -> Reading:
    return lambda standing: [((), value(standing))]


def _stamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _age_s(standing: StoreFigures) -> float | None:
    """Event time from the newest row that the champion was fitted on to the latest window decided about."""
    lineage, until = standing.state.lineage, standing.decided_until
    return None if lineage is None or until is None else (until - lineage.train.end).total_seconds()


def _baking_s(standing: StoreFigures) -> float | None:
    state, until = standing.state, standing.decided_until
    if not state.in_bake or state.champion_since is None or until is None:
        return 0.0
    return max(0.0, (until - state.champion_since).total_seconds())


def _bake_left_s(standing: StoreFigures) -> float | None:
    state, until = standing.state, standing.decided_until
    if not state.in_bake or state.champion_since is None or until is None:
        return None
    return (standing.config.bake_ends_by(state.champion_since) - until).total_seconds()


def _budget_used(standing: StoreFigures) -> float | None:
    budget, until = standing.config.policy.budget, standing.decided_until
    if until is None:
        return 0.0
    since = until - budget.per
    shares = [sum(moment > since for moment in standing.state.request_times) / budget.retrains]
    if budget.cpu_s is not None:
        shares.append(sum(cpu_s for moment, cpu_s in standing.state.fits.values() if moment > since) / budget.cpu_s)
    return max(shares)


def _signals(value: Callable[[Signal], float | None]) -> Reading:
    def read(standing: StoreFigures) -> Values:
        newest: dict[str, Signal] = {}
        for signal in sorted(standing.signals, key=lambda one: one.window.start):
            newest[signal.name] = signal
        return [((name, newest[name].role), value(newest[name])) for name in sorted(newest)]

    return read


def _quality(family: str, value: Callable[[Signal], float | None]) -> Reading:
    return lambda standing: [
        ((one.name.partition("/")[2],), value(one)) for one in standing.quality if one.family == family
    ]


def _named(name: str) -> Reading:
    """A signal by its name, of whatever role."""
    return lambda standing: [((), one.value) for one in reversed(standing.signals) if one.name == name][:1]


def _counted(kind: str) -> Reading:
    return _one(lambda standing: sum(n for (found, _), n in standing.counted.items() if found == kind))


def _rows(name: str) -> Reading:
    return lambda standing: [((one.source,), getattr(one, name)) for one in standing.totals]


def _low(signal: Signal) -> float | None:
    return signal.interval.low if signal.interval else None


def _high(signal: Signal) -> float | None:
    return signal.interval.high if signal.interval else None


Kind = type[GaugeMetricFamily] | type[CounterMetricFamily]
_G, _C = GaugeMetricFamily, CounterMetricFamily
METRICS: tuple[tuple[Kind, str, str, Labels, Reading], ...] = (
    (_G, "champion_info", "1: this version serves", ("version", "stable"),
     lambda it: [((it.state.champion or "none", it.state.fallback or "none"), 1)]),
    (_G, "champion_age_seconds", "Event time since the newest row that the champion was fitted on", (), _one(_age_s)),
    (_G, "champion_since_timestamp_seconds", "Event time from which the champion serves", (),
     _one(lambda it: _stamp(it.state.champion_since))),
    (_G, "decided_until_timestamp_seconds", "Event time up to which windows are decided about", (),
     _one(lambda it: _stamp(it.decided_until))),
    (_G, "decided_at_timestamp_seconds", "When the latest window was decided about", (),
     _one(lambda it: _stamp(it.decided_at))),
    (_G, "windows_due", "Windows that are over, with their grace, and not decided about", (),
     _one(lambda it: it.n_windows_due)),
    (_G, "decision", "1: so the latest window was decided about", ("action",),
     lambda it: [((action,), float(it.action == action)) for action in ACTIONS]),
    (_C, "decisions", "Decisions, by what was decided", ("action",),
     lambda it: [((action,), it.counted[("decision", action)]) for action in ACTIONS]),
    (_G, "signal_value", "Signals of the newest run", ("signal", "role"), _signals(lambda one: one.value)),
    (_G, "signal_threshold", "Their thresholds", ("signal", "role"), _signals(lambda one: one.threshold)),
    (_G, "signal_breached", "1: breached", ("signal", "role"), _signals(lambda one: float(one.status == "breached"))),
    (_G, "signal_unknown", "1: not measured", ("signal", "role"), _signals(lambda one: float(one.status == "unknown"))),
    (_G, "quality", "Metrics of the champion on mature labels, as measured last", ("metric",),
     _quality("performance", lambda one: one.value)),
    (_G, "quality_low", "Where their intervals begin", ("metric",), _quality("performance", _low)),
    (_G, "quality_high", "Where their intervals end", ("metric",), _quality("performance", _high)),
    (_G, "quality_breached", "1: all of the interval lies beyond the bound", ("metric",),
     _quality("performance", lambda one: float(one.status == "breached"))),
    (_G, "gain", "What a retrain would have gained since the last one, added up", ("metric",),
     _quality("gain", lambda one: one.value)),
    (_G, "gain_price", "What it has to add up to", ("metric",), _quality("gain", lambda one: one.threshold)),
    (_G, "label_coverage_ratio", "Share of served predictions with their label, as measured last", (),
     _named("label_coverage")),
    (_G, "completeness_ratio", "Share of the rows expected in the newest window that arrived", (),
     _named("quality/completeness")),
    (_C, "rows_staged", "Rows delivered", ("source",), _rows("n_staged")),
    (_C, "rows_published", "Rows published", ("source",), _rows("n_published")),
    (_C, "rows_quarantined", "Rows in quarantine", ("source",), _rows("n_quarantined")),
    (_C, "deliveries_halted", "Deliveries of which nothing was published", ("source",), _rows("n_halted")),
    (_C, "retrain_cpu_seconds", "CPU seconds of the fits that made a candidate", (),
     _one(lambda it: sum(cpu_s for _, cpu_s in it.state.fits.values()))),
    (_G, "retrain_budget_used_ratio", "Share of policy.budget that is used", (), _one(_budget_used)),
    (_G, "retrains_open", "Requests without an outcome", (), _one(lambda it: len(it.state.open_requests))),
    (_C, "promotions", "Versions that took office", (), _counted("promotion")),
    (_C, "rollbacks", "Versions that were rolled back", (), _counted("rollback")),
    (_G, "bake_seconds", "Event time that the champion is in its bake; 0: it is in none", (), _one(_baking_s)),
    (_G, "bake_left_seconds", "Event time until its deadline; negative: it is late", (), _one(_bake_left_s)),
    (_G, "bake_failed", "1: the champion failed its bake and serves", (),
     _one(lambda it: float(it.state.bake == "failed"))),
    (_G, "reviews_open", "Versions that wait for a person", (), _one(lambda it: it.n_reviews)),
    (_G, "holds_open", "Stretches on which retraining waits for a word", (),
     _one(lambda it: sum(not hold.acknowledged for hold in it.state.holds))),
    (_G, "incidents_open", "Incidents that are not over", ("kind",),
     lambda it: [((kind,), n) for kind, n in sorted(it.incidents.items())]),
    (_G, "notices_undelivered", "Messages that a channel did not take", (), _one(lambda it: it.n_undelivered)),
)  # fmt: skip
"""Kind, name after ``perennial_``, what it is, its labels after ``model``, and its values."""


def _machine(value: Callable[[MachineFigures], float | None]) -> OfMachine:
    return lambda machine: [((), value(machine))]


def _pools(*values: tuple[Labels, Callable[[PoolFigures], float]]) -> OfMachine:
    return lambda machine: [((pool.pool, *more), value(pool)) for pool in machine.pools for more, value in values]


MACHINE_METRICS: tuple[tuple[Kind, str, str, Labels, OfMachine], ...] = (
    (_G, "disk_free_bytes", "Free on the disk of the state folder", (), _machine(lambda it: it.disk_free_bytes)),
    (_G, "disk_size_bytes", "All of that disk", (), _machine(lambda it: it.disk_bytes)),
    (_G, "memory_available_bytes", "Memory that can be had without swapping", (),
     _machine(lambda it: it.memory_available_bytes)),
    (_G, "memory_size_bytes", "All of it", (), _machine(lambda it: it.memory_bytes)),
    (_C, "cpu_busy_seconds", "Time that the processors were busy, added up", (), _machine(lambda it: it.cpu_busy_s)),
    (_G, "cpus", "Processors", (), _machine(lambda it: it.n_cpus)),
    (_G, "store_size_bytes", "The store's database", (), _machine(lambda it: it.store_bytes)),
    (_G, "tasks", "Tasks of Airflow that wait and run", ("pool", "state"),
     _pools((("waiting",), lambda it: it.n_waiting), (("running",), lambda it: it.n_running))),
    (_G, "tasks_waited_seconds", "How long the one that waits longest has; 0: none waits", ("pool",),
     _pools(((), lambda it: it.waited_s))),
)  # fmt: skip
"""The same of the machine and its pools, without a label ``model``."""
