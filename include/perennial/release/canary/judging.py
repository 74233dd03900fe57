"""What the service's figures say of a canary beside its baseline: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.config import ModelConfig
from perennial.contracts.tags import CANARY
from perennial.errors import first_of
from perennial.guards.figures import ArmFigures, baseline_of
from perennial.guards.judging import breaches, judge
from perennial.ledger.canaries import Canary


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What is to be done about a canary, and why; ``n_rows`` are those that it has answered by now."""

    verdict: Literal["breached", "waiting", "blind", "good"]
    reason: str
    n_rows: int = 0


def judged(config: ModelConfig, found: Canary, figures: Sequence[ArmFigures], *, now: datetime) -> Analysis:
    """Whether a canary may go on, by all that was counted of it and its baseline since it began. Pure.

    One breach is enough, whenever it is seen. It goes on once every guard surely holds, on enough rows of its present
    share, ``every`` after that was told; until then it waits, and is blind after the deadline.
    """
    asked = config.release.canary
    own, beside = _own(figures, found.version), _baseline(figures, found.version)
    n_rows = own.rows if own else 0
    signals = judge(own, [beside] if beside else [], config.release.guards, model=config.model) if own else ()
    if wrong := breaches(signals):
        return Analysis(verdict="breached", reason=first_of([f"{one.name}: {one.detail}" for one in wrong]))
    open_ones = [f"{one.name} is {one.status}: {one.detail}" for one in signals if one.status != "ok"]
    n_new = n_rows - found.n_rows if n_rows >= found.n_rows else n_rows  # the service was started anew
    lacks = None
    if n_new < asked.min_rows:
        lacks = f"{n_new} rows with {100 * found.share:g} % of the requests, {asked.min_rows} are asked for"
    elif found.since is None or now - found.since < asked.every:
        lacks = f"{100 * found.share:g} % of the requests for less than {asked.every}"
    elif open_ones:
        lacks = first_of(open_ones)
    if lacks is None:
        return Analysis(verdict="good", reason=f"{len(signals)} guards hold on {n_rows} rows", n_rows=n_rows)
    late = found.began_at is not None and now - found.began_at >= asked.deadline
    return Analysis(verdict="blind" if late else "waiting", reason=f"{'blind: ' if late else ''}{lacks}", n_rows=n_rows)


def _own(figures: Sequence[ArmFigures], version: str) -> ArmFigures | None:
    return next((one for one in figures if (one.arm, one.version) == (CANARY, version)), None)


def _baseline(figures: Sequence[ArmFigures], version: str) -> ArmFigures | None:
    return next((one for one in figures if one.arm == baseline_of(version)), None)
