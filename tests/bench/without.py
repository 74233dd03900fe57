"""The scoring service without a part of it, for bench_serve alone: ``python without.py PART`` and what
``python -m perennial.serving`` takes. The product has no such switch: each part is replaced in this process."""

import sys
from collections.abc import Callable
from typing import Any

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from perennial.serving.measured.counting import Counting
from perennial.serving.measured.features import Features
from perennial.serving.process import run
from perennial.serving.service import Service


def _replace(owner: type, name: str, by: Any) -> None:
    getattr(owner, name)  # raises where it has another name by now, so that no part is measured as nothing
    setattr(owner, name, by)


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _itself(metric: Any, *_: Any, **__: Any) -> Any:
    return metric


def without_features() -> None:
    """No value is counted by feature."""
    _replace(Features, "add", _nothing)


def without_metrics() -> None:
    """Nothing is counted: no figure for Prometheus, and none for the guards."""
    without_features()
    _replace(Counting, "answered", _nothing)
    for kind in (Counter, Gauge, Histogram):
        _replace(kind, "labels", _itself)
    for kind, name in ((Counter, "inc"), (Histogram, "observe"), (Gauge, "set")):
        _replace(kind, name, _nothing)


def without_spool() -> None:
    """No line is made, and none is written."""

    async def logged(*_: Any) -> bool:
        return True

    _replace(Service, "_entries", lambda *_: [])
    _replace(Service, "_logged", logged)


def without_validation() -> None:
    """A body is parsed, and nothing that stands in it is looked at."""
    began = Service.__init__

    def start(service: Service, *given: Any) -> None:
        began(service, *given)
        names = [(f"f{place}", Any, msgspec.field(name=name)) for place, name in enumerate(service.config.features)]
        row = msgspec.defstruct("Row", [*names, ("prediction_id", Any, msgspec.UNSET)])
        assert "rows" in service._decode
        service._decode["rows"] = msgspec.json.Decoder(msgspec.defstruct("Predict", [("rows", list[row])]))  # type: ignore[valid-type]

    _replace(Service, "__init__", start)


PARTS: dict[str, Callable[[], None]] = {
    "nothing": _nothing,
    "features": without_features,
    "metrics": without_metrics,
    "spool": without_spool,
    "validation": without_validation,
}

if __name__ == "__main__":
    PARTS[sys.argv[1]]()
    run(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
