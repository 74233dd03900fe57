"""What a scoring service would have counted of a canary and of its baseline, for looks without a service."""

from datetime import timedelta

from logs import day
from perennial.guards.figures import LATENCY_S, ArmFigures, baseline_of

SHARES = (5.0, 50.0, 100.0)
EVERY, DEADLINE = timedelta(minutes=10), timedelta(hours=24)
ENOUGH = 4000
"""Rows that show that every guard surely holds."""


def counted(
    version: str, champion: str, n_rows: int, *, errors: int = 0, beside: int | None = None
) -> tuple[ArmFigures, ArmFigures]:
    """Of the canary ``version`` and of its baseline: requests of a row at 1 ms, ``errors`` of them the canary's."""
    since = day(6).end

    def arm(name: str, version: str, n: int, n_errors: int) -> ArmFigures:
        latency = [0] * (len(LATENCY_S) + 1)
        latency[14] = n
        return ArmFigures(
            version=version,
            arm=name,
            since=since,
            until=since + timedelta(hours=1),
            requests=n,
            errors=n_errors,
            rows=n,
            rows_squared=n,
            latency=tuple(latency),
            scores=(n // 2, n - n // 2),
            missing={"magnesium": 0},
        )

    n_beside = n_rows if beside is None else beside
    return arm("canary", version, n_rows, errors), arm(baseline_of(version), champion, n_beside, 0)
