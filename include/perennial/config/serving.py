"""How the scoring service answers for a model, and what it keeps of its answers."""

from typing import Annotated, Literal

from pydantic import Field

from perennial.config.service.limits import RateLimit
from perennial.config.values import Strict


class Serving(Strict):
    """What ``perennial serve`` does for this model.

    The registry is asked every ``poll_s`` seconds which version is champion.

    ``durable``: an answer leaves once its lines are on the disk (``before``), or once the operating system has them
    and the disk up to 50 ms later (``after``: a killed process loses nothing, a power cut up to 50 ms of answers). When
    they can not be written, ``on_full_disk`` refuses requests, or answers them without a log.

    ``event_time``: when a request arrived is its event time (``arrival``), or each row and label says its own
    (``given``), as a replay does. A file goes where ingest looks for it ``rotate_s`` seconds after its first line, when
    it has ``rotate_mb`` MB (2**20 bytes), and when its window ends.

    After a release the service is asked whether it followed, where PERENNIAL_SERVING_URLS names it; the release is red
    when it did not within ``follow_within_s`` seconds.

    A request has at most ``max_rows`` rows and ``max_body_kb`` kB (1,024 bytes); ``rate_limit`` says how much each key
    may ask in a second, as much as it can without one.
    """

    poll_s: Annotated[float, Field(gt=0, le=3600)] = 2.0
    follow_within_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    durable: Literal["before", "after"] = "before"
    on_full_disk: Literal["refuse", "answer"] = "refuse"
    event_time: Literal["arrival", "given"] = "arrival"
    rotate_s: Annotated[float, Field(gt=0)] = 60.0
    rotate_mb: Annotated[int, Field(ge=1)] = 64
    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    max_body_kb: Annotated[int, Field(ge=1, le=1_048_576)] = 1_024
    rate_limit: RateLimit | None = Field(default=None, exclude_if=lambda value: value is None)
