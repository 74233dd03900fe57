"""What a source sends: which columns it has, and why it could not be read. Staged, its rows are a batch."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from perennial.config import ModelConfig
from perennial.contracts import SourceKind
from perennial.errors import ConfigError, PermanentError, first_of
from perennial.ingest.staged import INTERNAL

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


def declared_columns(config: ModelConfig, source: SourceKind) -> tuple[str, ...]:
    """The delivered names of the columns that must be there. Raises ConfigError when two differ only by case."""
    names = tuple(dict.fromkeys(config.delivered(source).values()))
    if len({name.lower() for name in (*names, *INTERNAL)}) < len(names) + len(INTERNAL):
        raise ConfigError(
            f"{config.model}: columns {first_of(names, most=len(names))} of {source} differ only by case, "
            f"or one is called {first_of(INTERNAL)}; rename one in the log"
        )
    return names
