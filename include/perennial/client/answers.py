"""What the service answers, and what becomes of a request that it does not answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.errors import PermanentError, TransientError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One row's answer; ``predicted`` is None for a regression. ``version`` gave it."""

    prediction_id: str
    score: float
    predicted: str | int | None
    version: str
    logged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """All rows in the order in which they were given, and in how many requests they were asked for."""

    rows: tuple[Scored, ...]
    n_requests: int
    n_retries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One fault: ``row`` counts from 0 among all rows that were given; None where it is the whole request."""

    row: int | None
    field: str | None
    value: str | None
    allowed: str


class ClientError(Exception):
    """A request was not answered."""


class Unreachable(ClientError, TransientError):
    """The service was not reached, or is not ready; nothing was answered or logged."""


class AnswerLost(ClientError, TransientError):
    """It was sent, and no answer came back: it may be answered and logged. The same call again finds out."""


class TooMuch(ClientError, TransientError):
    """More than ``serving.rate_limit`` allows, for longer than the client has patience. ``again_in_s`` seconds."""

    def __init__(self, why: str, again_in_s: float) -> None:
        super().__init__(why)
        self.again_in_s = again_in_s


class Refused(ClientError, PermanentError):
    """It will be refused again: ``code`` and ``faults`` say why."""

    def __init__(self, code: int, why: str, faults: tuple[Wrong, ...]) -> None:
        shown = "; ".join(f"row {one.row}, {one.field}: {one.value} is not {one.allowed}" for one in faults[:3])
        super().__init__(f"{code}: {why}" + (f" ({shown})" if shown else ""))
        self.code, self.faults = code, faults


def scored(body: Mapping[str, Any]) -> tuple[Scored, ...]:
    """The rows of an answer.

    >>> row = {"prediction_id": "a", "score": 0.3, "predicted": 0}
    >>> scored({"version": "3", "logged": True, "predictions": [row]})[0].version
    '3'
    """
    version, logged = str(body["version"]), bool(body["logged"])
    return tuple(
        Scored(
            prediction_id=str(one["prediction_id"]),
            score=float(one["score"]),
            predicted=one.get("predicted"),
            version=version,
            logged=logged,
        )
        for one in body["predictions"]
    )


def wrongs(body: Mapping[str, Any], first_row: int) -> tuple[Wrong, ...]:
    """The faults of a refusal, with rows counted from the first that was given.

    >>> wrongs({"faults": [{"row": 1, "field": "hour", "value": "'7'", "allowed": "a number"}]}, 100)[0].row
    101
    """
    return tuple(
        Wrong(
            row=None if one.get("row") is None else first_row + int(one["row"]),
            field=one.get("field"),
            value=one.get("value"),
            allowed=str(one["allowed"]),
        )
        for one in body.get("faults", ())
    )
