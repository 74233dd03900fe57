"""Token buckets: how much of each kind every key has left."""

import math
from dataclasses import dataclass, field

from perennial.config.service.limits import RateLimit


@dataclass(slots=True)
class Bucket:
    """``rate`` tokens flow in each second, up to ``most``; ``left`` was so at ``at`` (monotonic seconds)."""

    rate: float
    most: float
    left: float
    at: float

    def wait_s(self, now: float) -> float:
        """In how many seconds one token is there; 0 when it is.

        >>> bucket = Bucket(rate=2.0, most=10.0, left=1.0, at=0.0)
        >>> bucket.spend(4, 0.0)
        >>> bucket.wait_s(0.0), bucket.wait_s(2.0), bucket.wait_s(100.0), bucket.left
        (2.0, 0.0, 0.0, 10.0)
        """
        self.left = min(self.most, self.left + self.rate * max(0.0, now - self.at))
        self.at = max(self.at, now)
        return max(0.0, (1.0 - self.left) / self.rate)

    def spend(self, n_tokens: int, now: float) -> None:
        """Take tokens out, more than there are if need be: they are owed."""
        self.wait_s(now)
        self.left -= n_tokens


@dataclass(slots=True)
class Limits:
    """The buckets of one process; of several, each has its part of the rates."""

    rules: RateLimit | None
    n_processes: int = 1
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def take(self, who: str, *, now: float) -> tuple[str, int] | None:
        """Begin a request of a key; which limit it is over, in words, and in how many whole seconds to come again.

        >>> limits = Limits(RateLimit(requests_per_s=0.5, burst_s=4))
        >>> limits.take("desk", now=0.0), limits.take("desk", now=0.0)
        (None, None)
        >>> limits.take("desk", now=0.0), limits.take("shop", now=0.0)
        (('at most 0.5 requests a second (serving.rate_limit.requests_per_s)', 2), None)
        >>> limits.take("desk", now=2.0)
        """
        kinds = self._kinds()
        for kind, rate in kinds.items():
            wait_s = self._bucket(who, kind, rate, now).wait_s(now)
            if wait_s > 0:
                limit = f"at most {rate:g} {kind} a second (serving.rate_limit.{kind}_per_s)"
                return limit, max(1, math.ceil(wait_s))
        for kind, rate in kinds.items():
            self._bucket(who, kind, rate, now).spend(1, now)
        return None

    def spend_rows(self, who: str, n_rows: int, *, now: float) -> None:
        """What a request cost beyond its first row."""
        rate = self._kinds().get("rows")
        if rate is not None:
            self._bucket(who, "rows", rate, now).spend(n_rows - 1, now)

    def _kinds(self) -> dict[str, float]:
        if self.rules is None:
            return {}
        rates = {"requests": self.rules.requests_per_s, "rows": self.rules.rows_per_s}
        return {kind: rate for kind, rate in rates.items() if rate is not None}

    def _bucket(self, who: str, kind: str, rate: float, now: float) -> Bucket:
        if (who, kind) not in self._buckets:
            own, burst_s = rate / self.n_processes, 0.0 if self.rules is None else self.rules.burst_s
            most = max(1.0, own * burst_s)
            self._buckets[who, kind] = Bucket(own, most, most, now)
        return self._buckets[who, kind]
