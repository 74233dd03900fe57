"""What a scoring service would have counted of a canary and of its baseline, for looks without a service."""

from datetime import datetime, timedelta
from typing import Any

from logs import day
from perennial.guards.figures import LATENCY_S, ArmFigures, baseline_of

SHARES = (5.0, 50.0, 100.0)
EVERY, DEADLINE = timedelta(minutes=10), timedelta(hours=24)
ENOUGH = 4000
"""Rows that show that every guard surely holds."""


def figures_of(version: str, arm: str, n_rows: int, *, since: datetime, **known: Any) -> ArmFigures:
    """What was counted within an hour of ``n_rows`` requests of a row each; ``known`` is all but their number."""
    until = since + timedelta(hours=1)
    n_of_all = {"requests": n_rows, "rows": n_rows, "rows_squared": n_rows}
    return ArmFigures(version=version, arm=arm, since=since, until=until, **n_of_all, **known)


def counted(
    version: str, champion: str, n_rows: int, *, errors: int = 0, beside: int | None = None
) -> tuple[ArmFigures, ArmFigures]:
    """Of the canary ``version`` and of its baseline: requests of a row at 1 ms, ``errors`` of them the canary's."""

    def arm(name: str, version: str, n: int, n_errors: int) -> ArmFigures:
        latency = [0] * (len(LATENCY_S) + 1)
        latency[14] = n
        scores, missing = (n // 2, n - n // 2), {"magnesium": 0}
        return figures_of(
            version, name, n, since=day(6).end, errors=n_errors, latency=tuple(latency), scores=scores, missing=missing
        )

    n_beside = n_rows if beside is None else beside
    return arm("canary", version, n_rows, errors), arm(baseline_of(version), champion, n_beside, 0)
