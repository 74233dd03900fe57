"""What goes over the pipe between a process that answers and the one that scores for its challenger.

It is asked with an :class:`~perennial.serving.lines.Asked`, or with None to have it look at the alias alone, and gives
one :class:`Reply` to each.
"""

from dataclasses import dataclass

from perennial.serving.spool.writer import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger:
    """Whom the alias ``challenger`` names, and which version is loaded, as what; ``problem`` is why it is not."""

    named: str | None = None
    version: str | None = None
    predictor: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The lines to log, and why the version that is loaded could not answer: ``problem``."""

    challenger: Challenger
    entries: tuple[Entry, ...] = ()
    problem: str | None = None
    took_s: float = 0.0
