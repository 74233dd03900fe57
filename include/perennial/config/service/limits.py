"""How much one key may ask of the scoring service."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from perennial.config.values import Strict

Rate = Annotated[float, Field(gt=0)] | None


class RateLimit(Strict):
    """At most so much a second for each key, or for all who ask together where no key is asked for.

    ``requests_per_s`` counts requests, ``rows_per_s`` their rows or labels; both may be given. What was not used is
    kept for ``burst_s`` seconds. A request is taken while something is left, and what it costs beyond is owed; one that
    comes too early gets 429, with ``Retry-After``.
    """

    requests_per_s: Rate = None
    rows_per_s: Rate = None
    burst_s: Annotated[float, Field(gt=0, le=3600)] = 10.0

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.requests_per_s is None and self.rows_per_s is None:
            raise ValueError("give requests_per_s, rows_per_s or both; without a limit leave rate_limit out")
        return self
