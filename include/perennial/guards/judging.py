"""What the figures of an arm say beside those of others, as signals: no label, no clock, nothing read."""

from collections.abc import Callable, Iterator, Sequence

from perennial.config.release.guards import Guards
from perennial.contracts import Estimate, Signal, SignalName, Subject, Window
from perennial.guards.apart import distance, latency_ratio, rise, typical_s
from perennial.guards.figures import ArmFigures

QUANTILES = {"median": 0.5, "p99": 0.99}


def judge(own: ArmFigures, beside: Sequence[ArmFigures], bounds: Guards, *, model: str) -> tuple[Signal, ...]:
    """The signals of one arm, or of a version in its bake, beside others, in a fixed order.

    Requests are compared with the first of ``beside`` that has any; scores and missing features with each that has
    rows, and are as near as the nearest of them: breached only when they surely lie beyond the bound from all. A figure
    that could not have shown it is ``undecided`` or ``unknown``, with the reason, and never ``ok``.

    >>> asked = dict(since=day(0).start, until=day(0).end, rows=9000, rows_squared=9000, requests=9000)
    >>> before = ArmFigures(version="2", arm="champion", errors=9, scores=(8000, 1000), **asked)
    >>> own = ArmFigures(version="3", arm="champion", errors=900, scores=(1000, 8000), **asked)
    >>> {one.name: one.status for one in judge(own, [before], Guards(max_latency_ratio=None), model="m")}
    {'guard/error_rate': 'breached', 'guard/score': 'breached'}
    >>> own = ArmFigures(version="3", arm="champion", errors=0, scores=(8000, 1000), **asked)
    >>> [one.status for one in judge(own, [before], Guards(max_latency_ratio=None), model="m")]
    ['ok', 'ok']
    >>> none = ArmFigures(version="3", arm="champion", since=day(0).start, until=day(0).end)
    >>> [one.status for one in judge(none, [before], Guards(), model="m")]
    ['unknown', 'unknown', 'unknown', 'unknown']
    """
    window = Window(start=own.since, end=own.until)
    subject = Subject.of_run(model, window, own.version)
    asked = next((one for one in beside if one.requests), None)
    with_rows = [one for one in beside if one.rows]
    return (
        *_errors(subject, own, asked, bounds),
        *_latency(subject, own, asked, bounds),
        *_scores(subject, own, with_rows, bounds),
        *_missing(subject, own, with_rows, bounds),
    )


def breaches(signals: Sequence[Signal]) -> tuple[Signal, ...]:
    """Those that a version is rolled back for.

    >>> found = subject.known(SignalName.guard("score"), "alert", 0.5, threshold=0.2, breached=True)
    >>> len(breaches([found, subject.unknown(SignalName.guard("error_rate"), "alert", "no requests")]))
    1
    """
    return tuple(signal for signal in signals if signal.status == "breached")


def _errors(subject: Subject, own: ArmFigures, asked: ArmFigures | None, bounds: Guards) -> Iterator[Signal]:
    most = bounds.max_error_rise
    if most is None:
        return
    others = (asked.errors, asked.requests) if asked else None
    found = rise((own.errors, own.requests), others, bounds.confidence)
    detail = f"{own.errors} of {own.requests} requests not answered"
    detail += f"; {asked.errors} of {asked.requests} by {asked}" if asked else "; nothing to compare it with"
    yield subject.estimated(
        SignalName.guard("error_rate"), "alert", found, threshold=most, is_least=False, detail=detail
    )


def _latency(subject: Subject, own: ArmFigures, asked: ArmFigures | None, bounds: Guards) -> Iterator[Signal]:
    most = bounds.max_latency_ratio
    if most is None:
        return
    for word, share in QUANTILES.items():
        name = SignalName.guard(f"latency_{word}")
        if asked is None:
            yield subject.unknown(
                name, "alert", "nothing to compare it with: no other version answered", threshold=most
            )
            continue
        found = latency_ratio(own.latency, asked.latency, share, bounds.confidence)
        if found.value is None:
            yield subject.unknown(name, "alert", found.problem, threshold=most)
            continue
        before_s, own_s = typical_s(asked.latency, share), typical_s(own.latency, share)
        detail = f"{1000 * own_s:.3g} ms in {own.requests} requests; {1000 * before_s:.3g} ms in {asked.requests} by "
        detail += f"{asked}{'' if found.interval else f': {found.problem}'}"
        threshold = max(most, bounds.min_latency_ms / 1000 / before_s)
        yield subject.estimated(name, "alert", found, threshold=threshold, is_least=False, detail=detail)


def _scores(subject: Subject, own: ArmFigures, beside: Sequence[ArmFigures], bounds: Guards) -> Iterator[Signal]:
    most = bounds.max_score_distance
    if most is None:
        return

    def apart(other: ArmFigures) -> Estimate:
        n_independent = (own.n_independent, other.n_independent)
        return distance(own.scores, other.scores, n_independent, bounds.confidence)

    yield _nearest(subject, SignalName.guard("score"), most, own, _each(beside, apart))


def _missing(subject: Subject, own: ArmFigures, beside: Sequence[ArmFigures], bounds: Guards) -> Iterator[Signal]:
    """One for each feature; the error of all their intervals together is that of one (C. Bonferroni)."""
    most = bounds.max_missing_rise
    names = sorted({name for one in (own, *beside) for name in one.missing})
    if most is None or not names:
        return
    each = 1 - (1 - bounds.confidence) / len(names)
    for name in names:

        def more(other: ArmFigures, name: str = name) -> Estimate:
            return rise(_worth(own, name), _worth(other, name), each)

        yield _nearest(subject, SignalName.guard(f"missing/{name}"), most, own, _each(beside, more))


def _worth(figures: ArmFigures, name: str) -> tuple[float, float]:
    """The rows without a feature, and all rows, as many as they are worth."""
    n_worth = figures.n_independent
    return figures.missing.get(name, 0) / figures.rows * n_worth if figures.rows else 0.0, n_worth


def _each(beside: Sequence[ArmFigures], apart: Callable[[ArmFigures], Estimate]) -> list[tuple[ArmFigures, Estimate]]:
    return [(one, apart(one)) for one in beside]


def _nearest(
    subject: Subject, name: SignalName, most: float, own: ArmFigures, found: Sequence[tuple[ArmFigures, Estimate]]
) -> Signal:
    """The figure beside whichever it may be nearest to."""
    if not own.rows or not found:
        why = "nothing to compare it with" if own.rows else "it answered no rows"
        return subject.unknown(name, "alert", why, threshold=most)
    known = [(one, figure, figure.interval.low) for one, figure in found if figure.interval is not None]
    if not known:
        return subject.unknown(name, "alert", found[0][1].problem, threshold=most)
    nearest, figure, _ = min(known, key=lambda item: item[2])
    detail = f"{own.rows} rows, worth {own.n_independent:.0f}; {nearest.rows} of {nearest}"
    detail += f", and farther from {', '.join(str(one) for one, _ in found if one is not nearest)}" * (len(found) > 1)
    return subject.estimated(name, "alert", figure, threshold=most, is_least=False, detail=detail)
