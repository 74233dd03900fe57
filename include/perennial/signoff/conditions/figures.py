"""Figures as gates take and tell them."""

import math


def finite(value: float | None) -> float | None:
    """The value when it is a finite number, else None.

    >>> finite(float("inf")) is finite(None) is None
    True
    """
    return value if value is not None and math.isfinite(value) else None


def shown(value: float) -> str:
    """Four significant digits, whole numbers whole.

    >>> shown(336776), shown(0.70123), shown(1e-9)
    ('336776', '0.7012', '1e-09')
    """
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"  # noqa: PLR2004


def power(reach: float, margin: float) -> str:
    """What rows could not have seen, as the end of a sentence; empty where they could, or where there is no margin.

    ``reach`` is how far the interval goes to one side.

    >>> power(0.034, 0.005)
    '; these rows show differences from 0.034 on, and 0.005 was to be seen'
    >>> power(0.004, 0.005), power(0.004, 0.0)
    ('', '')
    """
    if margin <= 0 or reach <= margin:
        return ""
    return f"; these rows show differences from {shown(reach)} on, and {shown(margin)} was to be seen"
