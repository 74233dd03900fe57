"""Which values a metric can have at all."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """The least and the greatest value of a metric, both of which it can have; infinite where there is none.

    >>> Span(0, 1).width, Span(highest=1).width
    (1, inf)
    """

    lowest: float = -math.inf
    highest: float = math.inf

    @property
    def width(self) -> float:
        """How far apart two values can be."""
        return self.highest - self.lowest

    def is_end(self, value: float) -> bool:
        """Whether a value is the least or the greatest of a range that has both.

        >>> Span(0, 1).is_end(1.0), Span(0, 1).is_end(0.99), Span(0).is_end(0.0)
        (True, False, False)
        """
        return math.isfinite(self.width) and any(
            math.isclose(value, end, abs_tol=1e-12) for end in (self.lowest, self.highest)
        )

    def flaw_of(self, bound: float, *, is_least: bool) -> str | None:
        """Why a bound (the least value allowed, or the most) says nothing: no value keeps it, or every one does.

        >>> [Span(0, 1).flaw_of(bound, is_least=True) for bound in (0.6, 1.0)]
        [None, None]
        >>> Span(0, 1).flaw_of(1.2, is_least=True), Span(0, 1).flaw_of(0.0, is_least=True)
        ('no value keeps this bound, since none is above 1', 'every value keeps this bound, since none is below 0')
        >>> Span(0).flaw_of(-1.0, is_least=False), Span(0).flaw_of(0.0, is_least=False)
        ('no value keeps this bound, since none is below 0', None)
        """
        above, below = f"none is above {self.highest:g}", f"none is below {self.lowest:g}"
        if is_least:
            never, always = (bound > self.highest, above), (bound <= self.lowest, below)
        else:
            never, always = (bound < self.lowest, below), (bound >= self.highest, above)
        if never[0]:
            return f"no value keeps this bound, since {never[1]}"
        return f"every value keeps this bound, since {always[1]}" if always[0] else None


SHARE = Span(0, 1)
DISTANCE = Span(0)
AT_MOST_ONE = Span(highest=1)
NUMBER = Span()
