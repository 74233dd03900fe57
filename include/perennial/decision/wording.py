"""How a decision says its figures, moments and spans."""

from datetime import datetime, timedelta

from perennial.contracts import Signal


def figures(signal: Signal) -> str:
    """A signal with its value, its bound and the window it speaks of."""
    value = "unknown" if signal.value is None else f"{signal.value:.4g}"
    value += f" ({signal.interval})" if signal.interval else ""
    bound = "" if signal.threshold is None else f" against {signal.threshold:.4g}"
    return f"{signal.name} {value}{bound} from {day(signal.window.start)}"


def day(moment: datetime) -> str:
    """A moment as short as it can be said.

    >>> from datetime import UTC
    >>> from perennial.decision.wording import day
    >>> day(datetime(2013, 3, 1, tzinfo=UTC)), day(datetime(2013, 3, 1, 6, tzinfo=UTC))
    ('2013-03-01', '2013-03-01 06:00')
    """
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M}"


def span(length: timedelta) -> str:
    """A duration as it is written in ``model.yaml``.

    >>> span(timedelta(days=14)), span(timedelta(hours=36)), span(timedelta(minutes=90))
    ('14d', '36h', '90min')
    """
    minutes = int(length.total_seconds() // 60)
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}min"
