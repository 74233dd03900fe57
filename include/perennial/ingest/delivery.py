"""What a source sends: which columns it has, and why it could not be read. Staged, its rows are a batch."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from perennial.config import LATENCY, MEMORY, ModelConfig, Source
from perennial.contracts import SourceKind, number_of
from perennial.errors import ConfigError, PermanentError, first_of
from perennial.ingest.formats.staged import INTERNAL

MOST_COLUMNS = 10_000


class UnusableDelivery(PermanentError):
    """A delivery that can not be read to its end; becomes ``Batch.problem``."""


@dataclass(slots=True)
class DeliveryFindings:
    """What reading a delivery found out besides its rows.

    ``present`` is None until a header or a well-formed row was seen.
    """

    digests: list[str] = field(default_factory=list)
    present: set[str] | None = None

    def saw(self, columns: Iterable[str]) -> None:
        """Note columns that the delivery has; a delivery with endless names is not remembered endlessly."""
        self.present = self.present or set()
        if len(self.present) < MOST_COLUMNS:
            self.present |= set(columns)

    def knows(self, columns: Iterable[str]) -> bool:
        """True when every one of ``columns`` was seen."""
        return self.present is not None and self.present.issuperset(columns)

    def difference(self, declared: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Declared columns that no row has, and columns that nobody declared. Both empty when no row was seen.

        >>> findings = DeliveryFindings()
        >>> findings.difference(("hue",))
        ((), ())
        >>> findings.saw(["id", "tint"])
        >>> findings.difference(("id", "hue"))
        (('hue',), ('tint',))
        """
        if self.present is None:
            return (), ()
        missing = tuple(name for name in declared if name not in self.present)
        return missing, tuple(sorted(name.replace("\0", "\\u0000") for name in self.present - set(declared)))


def declared_source(config: ModelConfig, source: SourceKind) -> Source:
    """Where a log comes from. Raises ConfigError for a shadow that ``model.yaml`` does not declare."""
    if (found := config.sources.of(source)) is None:
        raise ConfigError(f"{config.model}: sources.{source} is not declared, so nothing of it can be staged")
    return found


def declared_columns(config: ModelConfig, source: SourceKind) -> tuple[str, ...]:
    """The delivered names of the columns that must be there. Raises ConfigError when two differ only by case."""
    names = tuple(dict.fromkeys(config.delivered(source).values()))
    ours = (*INTERNAL, *(number_of(name) for name in names))
    if len({name.lower() for name in (*names, *ours)}) < len(names) + len(ours):
        raise ConfigError(
            f"{config.model}: columns {first_of(names, most=len(names))} of {source} differ only by case, "
            f"or one is called {first_of(INTERNAL)} or {number_of('...')}; rename one in the log"
        )
    return names


def number_columns(config: ModelConfig, source: SourceKind) -> dict[str, pa.DataType]:
    """Float64 or int64 by the delivered names of the columns that are declared to be numbers, and nothing else besides.

    >>> number_columns(flights, "labels"), number_columns(flights, "predictions")["weekday"]
    ({'late': DataType(double)}, DataType(double))
    """
    kinds = {name: pa.int64() if config.features[name].type == "int" else pa.float64() for name in config.numbers}
    kinds |= {"score": pa.float64(), LATENCY: pa.float64(), MEMORY: pa.float64()}
    if config.task != "multiclass":
        kinds["label"] = pa.float64()
    wanted: dict[str, set[pa.DataType | None]] = {}
    for name, delivered in config.delivered(source).items():
        wanted.setdefault(delivered, set()).add(kinds.get(name))
    return {delivered: kind for delivered, (kind, *others) in wanted.items() if kind is not None and not others}
