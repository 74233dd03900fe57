"""What the service's figures, and in an A/B the labels, say of a canary beside its baseline: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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

    verdict: Literal["breached", "lost", "waiting", "blind", "good"]
    reason: str
    n_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What the labels of both arms say of the challenger in an A/B, in words."""

    verdict: Literal["won", "lost", "waiting", "blind"]
    reason: str


def deadline_of(config: ModelConfig, found: Canary) -> timedelta:
    """By when it has to come to its end."""
    return config.release.ab.deadline if found.strategy == "ab" else config.release.canary.deadline


def is_late(config: ModelConfig, found: Canary, now: datetime) -> bool:
    """Whether that has passed."""
    return found.began_at is not None and now - found.began_at >= deadline_of(config, found)


def judged(
    config: ModelConfig,
    found: Canary,
    figures: Sequence[ArmFigures],
    *,
    now: datetime,
    labels: Labels | None = None,
) -> Analysis:
    """Whether a canary may go on, by all that was counted of it and its baseline since it began. Pure.

    One breach is enough, whenever it is seen. It goes on once every guard surely holds, on enough rows of its present
    share, ``every`` after that was told; until then it waits, and is blind after the deadline. In an A/B the ``labels``
    have to speak for it, in place of rows and time.
    """
    own, beside = _own(figures, found.version), _baseline(figures, found.version)
    n_rows = own.rows if own else 0
    signals = judge(own, [beside] if beside else [], config.release.guards, model=config.model) if own else ()
    if wrong := breaches(signals):
        return Analysis(verdict="breached", reason=first_of([f"{one.name}: {one.detail}" for one in wrong]))
    open_ones = [f"{one.name} is {one.status}: {one.detail}" for one in signals if one.status != "ok"]
    said = f"{len(signals)} guards hold on {n_rows} rows"
    if labels is not None and labels.verdict in ("lost", "blind"):
        return Analysis(verdict="lost" if labels.verdict == "lost" else "blind", reason=labels.reason, n_rows=n_rows)
    if labels is not None:
        lacks = labels.reason if labels.verdict == "waiting" else first_of(open_ones) if open_ones else None
        said = f"{labels.reason}; {said}"
    else:
        lacks = _lacks(config, found, n_rows, open_ones, now)
    if lacks is None:
        return Analysis(verdict="good", reason=said, n_rows=n_rows)
    late = is_late(config, found, now)
    return Analysis(verdict="blind" if late else "waiting", reason=f"{'blind: ' if late else ''}{lacks}", n_rows=n_rows)


def _lacks(config: ModelConfig, found: Canary, n_rows: int, open_ones: list[str], now: datetime) -> str | None:
    """What keeps a canary from its next share; None where nothing does."""
    asked = config.release.canary
    n_new = n_rows - found.n_rows if n_rows >= found.n_rows else n_rows  # the service was started anew
    if n_new < asked.min_rows:
        return f"{n_new} rows with {100 * found.share:g} % of the requests, {asked.min_rows} are asked for"
    if found.since is None or now - found.since < asked.every:
        return f"{100 * found.share:g} % of the requests for less than {asked.every}"
    return first_of(open_ones) if open_ones else None


def _own(figures: Sequence[ArmFigures], version: str) -> ArmFigures | None:
    return next((one for one in figures if (one.arm, one.version) == (CANARY, version)), None)


def _baseline(figures: Sequence[ArmFigures], version: str) -> ArmFigures | None:
    return next((one for one in figures if one.arm == baseline_of(version)), None)
