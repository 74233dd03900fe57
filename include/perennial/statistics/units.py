"""Whether numbers came in another unit: the known factors between units, and which of them explains a shift.

Factors are exact by definition (NIST SP 811, appendix B), but for months and years, which are means.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Scale = tuple[float, float, tuple[str, ...]]
"""``size``, ``zero`` and other names of a unit: ``(x - zero) * size`` is in the first unit of its quantity."""

UNITS: tuple[dict[str, Scale], ...] = (
    {
        "metre": (1.0, 0.0, ("meter", "m")),
        "kilometre": (1000.0, 0.0, ("kilometer", "km")),
        "centimetre": (0.01, 0.0, ("centimeter", "cm")),
        "millimetre": (0.001, 0.0, ("millimeter", "mm")),
        "mile": (1609.344, 0.0, ("mi", "statute mile")),
        "nautical mile": (1852.0, 0.0, ("nmi",)),
        "yard": (0.9144, 0.0, ("yd",)),
        "foot": (0.3048, 0.0, ("feet", "ft")),
        "inch": (0.0254, 0.0, ("inches", "in")),
    },
    {
        "metre per second": (1.0, 0.0, ("meter per second", "m/s")),
        "kilometre per hour": (1 / 3.6, 0.0, ("kilometer per hour", "km/h", "kph")),
        "mile per hour": (0.44704, 0.0, ("miles per hour", "mph")),
        "knot": (1852 / 3600, 0.0, ("kn", "kt")),
    },
    {
        "degree Celsius": (1.0, 0.0, ("celsius", "°c", "c")),
        "degree Fahrenheit": (5 / 9, 32.0, ("fahrenheit", "°f", "f")),
        "kelvin": (1.0, 273.15, ("k",)),
    },
    {
        "pascal": (1.0, 0.0, ("pa",)),
        "hectopascal": (100.0, 0.0, ("hpa", "millibar", "mbar")),
        "kilopascal": (1000.0, 0.0, ("kpa",)),
        "bar": (1e5, 0.0, ()),
        "atmosphere": (101325.0, 0.0, ("atm",)),
        "millimetre of mercury": (133.322387415, 0.0, ("mmhg", "torr")),
        "inch of mercury": (3386.38864, 0.0, ("inhg",)),
        "pound per square inch": (6894.757293, 0.0, ("psi",)),
    },
    {
        "gram": (1.0, 0.0, ("g",)),
        "kilogram": (1000.0, 0.0, ("kg",)),
        "tonne": (1e6, 0.0, ("t",)),
        "ounce": (28.349523125, 0.0, ("oz",)),
        "pound": (453.59237, 0.0, ("lb", "lbs")),
    },
    {
        "litre": (1.0, 0.0, ("liter", "l")),
        "millilitre": (0.001, 0.0, ("milliliter", "ml")),
        "cubic metre": (1000.0, 0.0, ("cubic meter", "m3")),
        "gallon": (3.785411784, 0.0, ("us gallon", "gal")),
    },
    {
        "second": (1.0, 0.0, ("s", "sec")),
        "millisecond": (0.001, 0.0, ("ms",)),
        "microsecond": (1e-6, 0.0, ("us",)),
        "minute": (60.0, 0.0, ("min",)),
        "hour": (3600.0, 0.0, ("h",)),
        "day": (86400.0, 0.0, ("d",)),
        "week": (604800.0, 0.0, ()),
        "month": (2629746.0, 0.0, ()),
        "year": (31556952.0, 0.0, ("y",)),
    },
    {
        "fraction": (1.0, 0.0, ("share", "ratio")),
        "percent": (0.01, 0.0, ("%", "per cent")),
        "per mille": (0.001, 0.0, ("‰",)),
        "basis point": (0.0001, 0.0, ("bp",)),
    },
    {"degree": (1.0, 0.0, ("deg", "°")), "radian": (180 / np.pi, 0.0, ("rad",))},
)
USUAL = (
    ("mile", "kilometre"), ("foot", "metre"), ("inch", "centimetre"), ("knot", "mile per hour"),
    ("mile per hour", "metre per second"), ("kilometre per hour", "metre per second"),
    ("degree Fahrenheit", "degree Celsius"), ("hectopascal", "millimetre of mercury"), ("pound", "kilogram"),
    ("gallon", "litre"), ("minute", "second"), ("day", "hour"), ("fraction", "percent"), ("kilogram", "gram"),
    ("second", "microsecond"),
)  # fmt: skip
"""What is tried on a number whose unit is not declared, or not one of these, in both directions."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """From one unit to another: ``x * factor + offset``."""

    name: str
    factor: float
    offset: float = 0.0

    def undo(self, values: Numbers) -> Numbers:
        """The values in the unit they came from.

        >>> conversions("degree Fahrenheit")[0].undo(np.array([0.0, 100.0])).round(9).tolist()
        [32.0, 212.0]
        """
        return (values - self.offset) / self.factor


@dataclass(frozen=True, slots=True)
class Explained:
    """A conversion, and how much nearer (Kolmogorov-Smirnov, in [0, 1]) it brings a window to its reference."""

    conversion: Conversion
    before: float
    after: float

    @property
    def shift(self) -> float:
        """The part of the distance that it explains."""
        return self.before - self.after


@cache
def conversions(unit: str | None) -> tuple[Conversion, ...]:
    """What a number of this unit may have been converted to; the usual ones, where the unit is none that is known.

    Of a rate (``inch per hour``) its first part is converted. Pure.

    >>> [known.name for known in conversions("mph")]
    ['mile per hour to metre per second', 'mile per hour to kilometre per hour', 'mile per hour to knot']
    >>> len(conversions("inch per hour")), len(conversions("widgets")) == len(conversions(None))
    (8, True)
    """
    for text in ((unit or "").strip().lower(), (unit or "").strip().lower().partition(" per ")[0]):
        for family in UNITS:
            for name, (_, _, others) in family.items():
                if text in (name.lower(), f"{name.lower()}s", *others):
                    return tuple(_between(family, name, other) for other in family if other != name)
    return tuple(_usual())


def _usual() -> Iterator[Conversion]:
    for pair in USUAL:
        family = next(family for family in UNITS if pair[0] in family)
        yield from (_between(family, one, other) for one, other in permutations(pair))


def _between(family: dict[str, Scale], one: str, other: str) -> Conversion:
    (size, zero, _), (other_size, other_zero, _) = family[one], family[other]
    factor = size / other_size
    return Conversion(f"{one} to {other}", factor, other_zero - zero * factor)


def explain_shift(
    current: Numbers, reference: Numbers, *, unit: str | None = None, tolerance: float = 0.05
) -> Explained | None:
    """The change of unit that explains most of how two samples differ; None where none does. Pure.

    Both are finite, of shape (n,) and (m,). A factor is looked at where it brings the medians of the values that are
    not zero within ``tolerance`` of each other, a change of the zero as well (Fahrenheit) where it brings the medians
    within half the reference's quartile distance.

    >>> miles = np.random.default_rng(1).lognormal(7, 0.5, 1000)
    >>> explain_shift(miles * 1.609344, miles, unit="mile").conversion.name
    'mile to kilometre'
    >>> explain_shift(miles, miles, unit="mile")
    """
    before = ks_distance(current, reference)
    found = [
        Explained(known, before, ks_distance(known.undo(current), reference))
        for known in conversions(unit)
        if _medians_agree(known, current, reference, tolerance)
    ]
    best = max(found, key=lambda one: one.shift, default=None)
    return best if best is not None and best.shift > 0 else None


def _medians_agree(known: Conversion, current: Numbers, reference: Numbers, tolerance: float) -> bool:
    if known.offset:
        low, middle, high = np.quantile(reference, (0.25, 0.5, 0.75))
        return bool(abs(np.median(known.undo(current)) - middle) <= (high - low) / 2)
    mine, theirs = current[current != 0], reference[reference != 0]
    if not len(mine) or not len(theirs):
        return False
    middle = np.median(theirs)
    return bool(abs(np.median(known.undo(mine)) - middle) <= tolerance * abs(middle))


def ks_distance(one: Numbers, other: Numbers) -> float:
    """The greatest distance between the distribution functions of two samples, in [0, 1]. (Kolmogorov-Smirnov)

    >>> ks_distance(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    one, other = np.sort(one), np.sort(other)
    at = np.concatenate([one, other])
    shares = [np.searchsorted(side, at, side="right") / len(side) for side in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())
