"""What a model cost, by month and step, and what that gained: figures that were recorded, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from perennial import ledger
from perennial.contracts import Hindsight, LedgerEntry, from_record
from perennial.journal import folder_of
from perennial.journal.reading import StepCost, read_spent, recorded_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from perennial.config import ModelConfig
    from perennial.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Gained:
    """What promotions gained in one metric, as hindsight found it: ``gain`` is the sum over those it could measure, of
    the rows that both versions answered. Positive is better; a promotion that made it worse counts as that."""

    metric: str
    gain: float
    n_measured: int
    n_unmeasured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was spent on a model and recorded within ``[since, until)``, by the clock of whoever recorded it.

    ``steps`` are from the lines of steps, ``fit_cpu_s`` from the ledger: of every fit whose candidate was signed off.
    The seconds of a fit stand in its step ``fit`` too, so the two are not added. ``cpu_s_per_gain`` are CPU seconds of
    fits for one unit of the metric, None where nothing was gained or more than one metric was judged by.
    """

    model: str
    since: datetime | None
    until: datetime | None
    steps: tuple[StepCost, ...]
    n_fits: int
    fit_cpu_s: float
    gained: tuple[Gained, ...]
    cpu_s_per_gain: float | None
    unknown: tuple[str, ...]

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all steps that have a line."""
        return sum(one.cpu_s for one in self.steps)

    @property
    def seconds(self) -> float:
        """Seconds of the clock of all steps that have a line; steps that ran beside each other count each."""
        return sum(one.seconds for one in self.steps)


def read_cost(
    config: ModelConfig, *, store: Store, home: Path, since: datetime | None = None, until: datetime | None = None
) -> Cost:
    """What is recorded of a model. Raises StoreUnavailable."""
    folder = folder_of(home)
    entries = [
        entry
        for entry in ledger.entries(store, config.model, kinds=["signoff", "promotion", "hindsight"])
        if within(entry.recorded_at, since, until)
    ]
    steps = read_spent(folder, config.model, since=since, until=until)
    return cost_of(config.model, entries, steps, since=since, until=until, lines_since=recorded_since(folder))


def cost_of(
    model: str,
    entries: Sequence[LedgerEntry],
    steps: tuple[StepCost, ...],
    *,
    since: datetime | None,
    until: datetime | None,
    lines_since: datetime | None,
) -> Cost:
    """The same of what was read. Pure.

    >>> nothing = cost_of("m", [], (), since=None, until=None, lines_since=None)
    >>> nothing.fit_cpu_s, nothing.cpu_s_per_gain, nothing.unknown[0]
    (0, None, 'no step has a line here: none ran as a task, or another machine keeps its lines')
    """
    fits = {
        judged["mlflow_run_id"]: float(judged.get("fit_cpu_s") or 0.0)
        for judged in (entry.payload["evaluation"] for entry in entries if entry.kind == "signoff")
    }
    hindsights = [from_record(Hindsight, entry.payload["hindsight"]) for entry in entries if entry.kind == "hindsight"]
    gained, spent = gains(hindsights), sum(fits.values())
    best = gained[0].gain if len(gained) == 1 else 0.0
    n_promoted = sum(entry.kind == "promotion" and entry.payload.get("previous") is not None for entry in entries)
    n_judged = sum(one.kind == "promotion" for one in hindsights)
    return Cost(
        model=model,
        since=since,
        until=until,
        steps=steps,
        n_fits=len(fits),
        fit_cpu_s=spent,
        gained=gained,
        cpu_s_per_gain=spent / best if best > 0 and spent > 0 else None,
        unknown=tuple(_unknown(fits, gained, n_promoted - n_judged, since=since, lines_since=lines_since)),
    )


def gains(hindsights: Iterable[Hindsight]) -> tuple[Gained, ...]:
    """What promotions gained, by metric, in the order of their names. Pure.

    >>> from perennial.contracts import Estimate
    >>> def of(value): return Hindsight(version="4", previous="3", metric="roc_auc", judged=0.02,
    ...     realised=Estimate(value=value, problem="few"), stretch=day(0))
    >>> [(one.gain, one.n_measured, one.n_unmeasured) for one in gains([of(0.25), of(-0.125), of(None)])]
    [(0.125, 2, 1)]
    """
    promotions = [one for one in hindsights if one.kind == "promotion"]
    found = []
    for metric in sorted({one.metric for one in promotions}):
        values = [one.realised.value for one in promotions if one.metric == metric]
        known = [value for value in values if value is not None]
        found.append(
            Gained(metric=metric, gain=sum(known), n_measured=len(known), n_unmeasured=len(values) - len(known))
        )
    return tuple(found)


def within(moment: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    """Whether a moment lies in ``[since, until)``, either of which may be open.

    >>> within(day(0).end, day(0).start, None), within(day(0).end, None, day(0).end)
    (True, False)
    """
    return moment is not None and (since is None or since <= moment) and (until is None or moment < until)


def _unknown(
    fits: dict[str, float],
    gained: tuple[Gained, ...],
    n_untold: int,
    *,
    since: datetime | None,
    lines_since: datetime | None,
) -> Iterable[str]:
    if lines_since is None:
        yield "no step has a line here: none ran as a task, or another machine keeps its lines"
    elif since is None or since < lines_since:
        yield f"steps before {lines_since:%Y-%m-%d} have no line"
    if n_without := sum(not seconds for seconds in fits.values()):
        yield f"{n_without} fits are from before their CPU seconds were kept"
    if n_untold > 0:
        yield f"what {n_untold} promotions gained is not known yet: their labels are not in, or nobody looked back"
    if len(gained) > 1:
        yield "promotions were judged by more than one metric: no price for one of them"
    yield (
        "steps run by the command line, tasks that were killed, fits whose candidate was not signed off, and what "
        "PostgreSQL, MLflow and Airflow took themselves have no figure"
    )
