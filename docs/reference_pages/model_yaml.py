"""docs/reference/model-yaml.md, from the records in perennial.config."""

import builtins
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as bounds
from pydantic import AfterValidator, AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from perennial import config
from perennial.config import values
from perennial.config.defaults.derived import DERIVED, SECTIONS
from perennial.statistics.metrics import METRICS
from perennial.statistics.ranges import Span

INTRODUCTION = """# model.yaml

Every key of a model's declaration. This page is generated from `include/perennial/config/` by `make docs`; edit the
records, not the page. `perennial check` validates all files and names file, key,
value and what is allowed. Unknown keys, repeated keys, values of another type, NaN and infinity are refused.

- A *duration* is a whole number with a unit: `90min`, `36h`, `14d`.
- A *moment* is a time with its zone: `2013-01-01T00:00:00Z`.
- A *share* is a number from 0 to 1.
"""
PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    timedelta: "duration",
    datetime: "moment",
    AwareDatetime: "moment",
    type(None): "null",
    Any: "anything",
}


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([INTRODUCTION, *(_section(record) for record in _places()), _metrics()])


@cache
def _places() -> dict[type[BaseModel], tuple[str, ...]]:
    """Each record with the paths at which it stands, in the order of the file."""
    places: dict[type[BaseModel], tuple[str, ...]] = {}
    waiting: list[tuple[str, type[BaseModel]]] = [("", config.ModelConfig)]
    while waiting:
        path, record = waiting.pop(0)
        places[record] = (*places.get(record, ()), path)
        waiting[:0] = [
            (f"{path}.{key}{suffix}".lstrip("."), found)
            for key, field in _keys(record)
            for suffix, found in _records(field.annotation)
        ]
    return places


def _keys(record: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return [(field.alias or name, field) for name, field in record.model_fields.items()]


def _records(annotation: Any, suffix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The records inside a type, with what stands for them in a path: ``.<name>`` in a mapping, ``[]`` in a list."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield suffix, annotation
        return
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _records(inner[0], suffix)
    elif origin is dict:
        yield from _records(inner[1], f"{suffix}.<name>")
    elif origin is list:
        yield from _records(inner[0], f"{suffix}[]")
    elif origin in (Union, types.UnionType):
        for one in inner:
            yield from _records(one, suffix)


def _section(record: type[BaseModel]) -> str:
    rows = [
        f"| `{key}` | {_value(field)} | {_derived(record, key) or _default(field)} |" for key, field in _keys(record)
    ]
    text = re.sub(r"\s*\n\s*", " ", inspect.getdoc(record) or "").replace("``", "`")
    head = ["| key | value | default |", "|---|---|---|"]
    return "\n".join([f"## {_title(record)}\n", f"{text}\n", *head, *rows, ""])


def _title(record: type[BaseModel]) -> str:
    paths = [f"`{path}`" for path in _places()[record] if path]
    chosen = [
        f" with `{key}: {choice}`"
        for key, field in _keys(record)
        for choice in get_args(field.annotation)[:1]
        if key in ("type", "kind") and get_origin(field.annotation) is Literal
    ]
    return (", ".join(paths) or "The file") + "".join(chosen[:1])


def _value(field: FieldInfo) -> str:
    return " ".join([_type(field.annotation), *_limits(field.metadata)]).replace("|", "\\|")


def _type(annotation: Any) -> str:
    if annotation in PLAIN:
        return PLAIN[annotation]
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"[{_title(annotation)}](#{_anchor(annotation)})"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return " ".join([_type(inner[0]), *_limits(inner[1:])])
    if origin is list:
        return f"list of {_type(inner[0])}"
    return _choice(annotation, inner)


def _choice(annotation: Any, inner: tuple[Any, ...]) -> str:
    match get_origin(annotation):
        case typing.Literal:
            return ", ".join(f"`{choice}`" for choice in inner)
        case builtins.dict:
            return f"mapping of {_type(inner[0])} to {_type(inner[1])}"
        case typing.Union | types.UnionType:
            return " or ".join(_type(one) for one in inner if one is not type(None))
    raise TypeError(f"no words for {annotation!r}: add them to docs/reference_pages/model_yaml.py")


def _limits(metadata: Any) -> Iterator[str]:
    """The bounds of a value in words, from what Pydantic keeps beside its type."""
    low, high = (next((item for item in metadata if isinstance(item, kind)), None) for kind in (bounds.Ge, bounds.Le))
    if low and high:
        yield f"from {low.ge} to {high.le}"
        metadata = [item for item in metadata if item not in (low, high)]
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _limits(item.metadata)
        elif isinstance(item, bounds.Ge):
            yield f"≥ {item.ge}"
        elif isinstance(item, bounds.Gt):
            yield f"> {item.gt}"
        elif isinstance(item, bounds.Le):
            yield f"≤ {item.le}"
        elif isinstance(item, bounds.MinLen):
            yield f"(at least {item.min_length})"
        elif isinstance(item, AfterValidator) and item.func is values.positive:
            yield "longer than zero"
        elif pattern := getattr(item, "pattern", None):
            yield f"matching `{pattern}`"


def _derived(record: type[BaseModel], key: str) -> str | None:
    """What follows from other keys where this one is left out; a section of such keys needs none of its own."""
    told = {DERIVED[path] for place in _places()[record] if (path := f"{place}.{key}".lstrip(".")) in DERIVED}
    if not told and record is config.ModelConfig and key in SECTIONS:
        return "the defaults below"
    return "; ".join(sorted(told)) or None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        needed = [name for name, one in type(value).model_fields.items() if one.is_required()]
        said = ", ".join(f"{name}: {getattr(value, name)}" for name in needed)
        return f"`{{{said}}}`" if said else "the defaults below"
    if isinstance(value, timedelta):
        return f"`{value.days}d`" if value == timedelta(days=value.days) else f"`{value // timedelta(minutes=1)}min`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _anchor(record: type[BaseModel]) -> str:
    return re.sub(r"[^\w\- ]", "", _title(record).lower()).strip().replace(" ", "-")


def _range(values: Span) -> str:
    low, high = (f"{end:g}" if math.isfinite(end) else None for end in (values.lowest, values.highest))
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _metrics() -> str:
    rows = [
        f"| {task} | `{name}` | {'more' if metric.more_is_better else 'less'} | {_range(metric.values)} |"
        for task, metrics in METRICS.items()
        for name, metric in metrics.items()
    ]
    reserved = ", ".join(f"`{name}`" for name in sorted(config.RESERVED))
    return "\n".join(
        [
            "## Metrics\n",
            "What `signals.performance`, `signoff.metrics`, `signoff.versus_champion` and `bake` may name. A bound "
            "that every value keeps, or none, is refused.\n",
            "| task | metric | better is | values |",
            "|---|---|---|---|",
            *rows,
            f"\n## Reserved names\n\nNo feature may be called {reserved}.\n",
        ]
    )
