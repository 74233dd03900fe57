"""What is wrong with a body: row, field, value, and what is allowed. Only asked once a body was refused."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from perennial.config import Feature, ModelConfig
from perennial.errors import first_of
from perennial.serving.requests.types import LONGEST_ID, Types

MOST = 20
MOMENTS = {"rows": "event_time", "labels": "labelled_at"}
"""Where the rows and labels of a replay say their time."""
_SHOWN = 80
_MOMENT = "a moment with its zone, as 2013-01-15T06:30:00Z"
_FIRST_YEAR, _LAST_YEAR = 1900, 9000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong. ``row`` counts from 0; None, as ``field``, where it is the whole body or row."""

    row: int | None = None
    field: str | None = None
    value: str | None = None
    allowed: str


def faults_of(config: ModelConfig, types: Types, body: bytes, *, key: str) -> tuple[Fault, ...]:
    """Everything that is wrong with a body that was refused; ``key`` is ``rows`` or ``labels``. At least one.

    >>> from perennial.serving.requests.types import types_of
    >>> found = faults_of(flights, types_of(flights), b'{"rows": [{"weekday": "2", "wekday": 2}]}', key="rows")
    >>> [(fault.field, fault.value, fault.allowed) for fault in found if "ekday" in fault.field]
    [('weekday', "'2'", 'a number from 0 to 6, in Monday 0'), ('wekday', '2', 'no such feature; did you mean weekday?')]
    >>> faults_of(flights, types_of(flights), b'{"rows": [', key="rows")[0].allowed
    'JSON: Input data was truncated'
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return (Fault(allowed=f"JSON: {error}"[:200]),)
    shape = f'an object with the one key {key}: {{"{key}": [...]}}'
    if not isinstance(found, dict) or set(found) != {key} or not isinstance(found[key], list):
        return (Fault(value=_shown(found), allowed=shape),)
    rows, most = found[key], config.serving.max_rows
    if not 1 <= len(rows) <= most:
        return (Fault(field=key, value=f"{len(rows)} of them", allowed=f"1 to {most} of them (serving.max_rows)"),)
    kinds = types.label_keys if key == "labels" else {**types.features, **types.others}
    faults = tuple(fault for number, row in enumerate(rows) for fault in _row(config, kinds, number, row))
    return faults or (Fault(value=_shown(found), allowed="something else; see /openapi.json"),)


def faults_of_row(config: ModelConfig, types: Types, number: int, row: Any) -> tuple[Fault, ...]:
    """Everything that is wrong with one row that was refused. At least one."""
    found = tuple(_row(config, {**types.features, **types.others}, number, row))
    return found or (Fault(row=number, value=_shown(row), allowed="something else; see /openapi.json"),)


def _row(config: ModelConfig, kinds: Mapping[str, Any], number: int, row: Any) -> Iterator[Fault]:
    if not isinstance(row, dict):
        yield Fault(row=number, value=_shown(row), allowed=f"an object with {first_of(kinds)}")
        return
    for name, kind in kinds.items():
        words = _allowed(config, name)
        if name not in row:
            if name != "prediction_id" or "label" in kinds:
                spec = config.features.get(name)
                null = "; null where it is not known" if spec is not None and spec.nullable else ""
                yield Fault(row=number, field=name, allowed=f"required: {words}{null}")
            continue
        try:
            msgspec.convert(row[name], kind)
        except msgspec.ValidationError:
            yield Fault(row=number, field=name, value=_shown(row[name]), allowed=words)
    for name in row:
        if name not in kinds:
            yield Fault(row=number, field=str(name)[:_SHOWN], value=_shown(row[name]), allowed=_unknown(name, kinds))


def out_of_time(items: Sequence[Any], name: str) -> tuple[Fault, ...]:
    """The moments of rows or labels whose windows can not be named: those at the ends of what a date holds."""
    return tuple(
        Fault(row=number, field=name, value=str(moment), allowed=f"{_MOMENT}, from {_FIRST_YEAR} to {_LAST_YEAR}")
        for number, moment in enumerate(getattr(item, name) for item in items)
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR
    )


def twice(ids: Sequence[str]) -> tuple[Fault, ...]:
    """The rows whose id an earlier row has.

    >>> [(fault.row, fault.field, fault.value) for fault in twice(["a", "b", "a"])]
    [(2, 'prediction_id', "'a'")]
    """
    first = {name: number for number, name in reversed([*enumerate(ids)])}
    return tuple(
        Fault(row=number, field="prediction_id", value=_shown(name), allowed=f"another one: row {first[name]} has it")
        for number, name in enumerate(ids)
        if first[name] != number
    )


def _unknown(name: str, kinds: Mapping[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(name, kinds, n=1)
    return f"no such feature; did you mean {near[0]}?" if near else f"no such feature; there are {first_of(kinds)}"


def _allowed(config: ModelConfig, name: str) -> str:
    if name == "prediction_id":
        return f"text of 1 to {LONGEST_ID} characters, none of them a control character"
    if name in ("event_time", "labelled_at"):
        return _MOMENT
    if name == "label":
        classes = config.label.classes
        return "a number" if classes is None else f"one of {first_of((repr(c) for c in classes), most=20)}"
    return allowed(config.features[name])


def allowed(spec: Feature) -> str:
    """What a feature may be, in words.

    >>> allowed(flights.features["temp_f"]), allowed(flights.features["origin"])
    ('a number from -40 to 130, in degree Fahrenheit, or null', 'one of EWR, JFK, LGA')
    """
    if spec.type == "bool":
        words = "true or false"
    elif spec.type == "category":
        words = f"one of {first_of(spec.categories, most=20)}" if spec.unseen == "quarantine" else "text"
    else:
        words = "a number" if spec.type == "float" else "a whole number"
        words += "" if spec.min is None else f" from {spec.min:g}"
        words += "" if spec.max is None else f" to {spec.max:g}"
        words += f", in {spec.unit}" if spec.unit else ""
    return f"{words}, or null" if spec.nullable else words


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
