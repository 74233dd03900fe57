"""Frozen records to JSON-ready dictionaries and back, and digests over them."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

Record = TypeVar("Record")

_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def to_record(value: Any) -> dict[str, Any]:
    """A frozen record as a JSON-ready dictionary (datetimes as ISO 8601 text, NaN refused).

    >>> from perennial.contracts import Review
    >>> to_record(Review(model="m", version="3", verdict="approved", reviewer="ada", reason="fine"))["reviewer"]
    'ada'
    """
    record: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json")
    return record


def from_record(kind: type[Record], record: dict[str, Any]) -> Record:
    """The record of type ``kind`` that :func:`to_record` wrote. Raises pydantic.ValidationError otherwise.

    >>> from perennial.contracts import Window
    >>> from_record(Window, {"start": "2013-01-01T00:00:00Z", "end": "2013-01-02T00:00:00Z"}).key
    '20130101T000000Z-20130102T000000Z'
    """
    value: Record = _adapter(kind).validate_python(record)
    return value


def digest_of(*parts: object) -> str:
    """32 hex digits that depend on every part and on nothing else (SHA-256 of their canonical JSON).

    >>> digest_of("a", 1) == digest_of("a", 1) != digest_of("a1")
    True
    """
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
