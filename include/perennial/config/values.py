"""What values in ``model.yaml`` are made of: durations, moments, shares, names; records that take nothing unknown."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

_DURATION = re.compile(r"([0-9]{1,6})\s*(min|h|d)")
_UNIT = {"min": "minutes", "h": "hours", "d": "days"}
IDENTIFIER = r"^[a-z][a-z0-9_]{0,47}$"


def _duration(value: object) -> object:
    """``90min``, ``36h`` or ``14d`` as a timedelta.

    >>> _duration("14d")
    datetime.timedelta(days=14)
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("write a duration as a whole number of at most six digits with a unit: 90min, 36h or 14d")
    return timedelta(**{_UNIT[match[2]]: int(match[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]


def positive(value: timedelta) -> timedelta:
    """The duration itself. Raises ValueError unless it is longer than zero.

    >>> positive(timedelta(days=1)).days
    1
    >>> positive(timedelta(0))
    Traceback (most recent call last):
    ValueError: must be longer than zero
    """
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


PositiveDuration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(positive)]


def _no_number(value: object) -> object:
    if isinstance(value, (int, float)):
        raise ValueError("write a moment as 2013-01-15T00:00:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside of what UTC can write") from None


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_no_number), AfterValidator(_in_utc)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=IDENTIFIER)]


class Strict(BaseModel):
    """Nothing unknown, nothing converted behind the author's back, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)
