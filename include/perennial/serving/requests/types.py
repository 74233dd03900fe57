"""The types of requests, made of the features of ``model.yaml``: msgspec decodes and validates in one pass.

A text is no number, true is no number, a name that nobody declared is refused; what is refused here is what the audit
would put into quarantine.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from perennial.config import Feature, ModelConfig, NumberFeature

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_NO_NUL = r"^[^\x00]*$"
LONGEST_ID = 200
Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_ID,
        pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)",
        description="Your own id of this prediction, as its label will name it; made up for you unless given. It "
        "stands once among the rows of a request",
        examples=["order-4711"],
    ),
]
Moment = Annotated[datetime, Meta(tz=True, examples=["2013-01-15T06:30:00Z"])]


@dataclass(frozen=True, slots=True)
class Types:
    """``predict`` and ``labels`` are the bodies of requests, ``row`` is one row of the first; ``features`` holds
    the type of each feature by its name, ``others`` those of the other keys of a row, ``label_keys`` those of a label.
    """

    predict: type[Struct]
    labels: type[Struct]
    row: type[Struct]
    features: dict[str, Any]
    others: dict[str, Any]
    label_keys: dict[str, Any]


def types_of(config: ModelConfig) -> Types:
    """The types of a model's requests.

    >>> row = {name: None for name in flights.features} | {"carrier": "AA", "origin": "JFK", "dest": "BOS"}
    >>> row |= {"scheduled_hour": 7, "scheduled_minute": 0, "weekday": 2, "distance_mi": 187}
    >>> row |= {"scheduled_duration_min": 70, "event_time": "2013-01-01T07:00:00Z"}
    >>> msgspec.convert({"rows": [row]}, types_of(flights).predict).rows[0].f0
    7.0
    >>> msgspec.convert({"rows": [row | {"weekday": "2"}]}, types_of(flights).predict)
    Traceback (most recent call last):
    msgspec.ValidationError: Expected `float`, got `str` - at `$.rows[0].weekday`
    """
    features = {name: _feature(spec) for name, spec in config.features.items()}
    given = config.serving.event_time == "given"
    others: dict[str, Any] = {"event_time": Moment} if given else {}
    keys: dict[str, Any] = {"prediction_id": Id, "label": _label(config)} | ({"labelled_at": Moment} if given else {})
    fields: list[Any] = [
        (f"f{place}", kind, msgspec.field(name=name)) for place, (name, kind) in enumerate(features.items())
    ]
    fields += [(name, kind) for name, kind in others.items()]
    fields.append(("prediction_id", Id | UnsetType, msgspec.field(default=UNSET)))
    row = _struct("Row", fields)
    label = _struct("Label", list(keys.items()))
    most = config.serving.max_rows
    predict = _struct("Predict", [("rows", Annotated[list[row], Meta(min_length=1, max_length=most)])])  # type: ignore[valid-type]
    labels = _struct("Labels", [("labels", Annotated[list[label], Meta(min_length=1, max_length=most)])])  # type: ignore[valid-type]
    return Types(predict, labels, row, features, others | {"prediction_id": Id}, keys)


def _struct(name: str, fields: list[Any]) -> type[Struct]:
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True, frozen=True)


def _feature(spec: Feature) -> Any:
    if spec.type == "category":
        kind: Any = Literal[tuple(spec.categories)] if spec.unseen == "quarantine" else str
        meta = (
            Meta(examples=spec.categories[:3])
            if spec.unseen == "quarantine"
            else Meta(pattern=_NO_NUL, examples=spec.categories[:3])
        )
        kind = Annotated[kind, meta]
    elif spec.type == "bool":
        kind = bool
    else:
        kind = _number(spec)
    return kind | None if spec.nullable else kind


def _number(spec: NumberFeature) -> Any:
    example = _between(spec)
    if spec.type == "float":
        return Annotated[float, Meta(ge=spec.min, le=spec.max, examples=[example])]
    low = _SMALLEST if spec.min is None else max(_SMALLEST, math.ceil(spec.min))
    high = _LARGEST if spec.max is None else min(_LARGEST, math.floor(spec.max))
    return Annotated[int, Meta(ge=low, le=high, examples=[int(example)])]


def _between(spec: NumberFeature) -> float:
    """Some number that is allowed.

    >>> _between(flights.features["weekday"])
    3.0
    """
    low, high = spec.min, spec.max
    if low is not None and high is not None:
        middle = low / 2 + high / 2
        return float(math.floor(middle)) if low <= math.floor(middle) else middle
    return low if low is not None else high if high is not None else 0.0


def _label(config: ModelConfig) -> Any:
    """The truth: 0 or 1 for a binary task, one of the classes, or a number."""
    if config.task == "regression":
        return float
    return Literal[tuple(config.label.classes or ())]
