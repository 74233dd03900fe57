"""``concept/residuals``, and ``concept/excess``: whether labels went on to follow the scores. Pure.

Beside the metrics of :mod:`perennial.monitoring.estimates.signals`: a test of the residuals of a window by permuted
blocks, and one of all windows since the promotion that may be looked at after each of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject, Window
from perennial.evidence.answers import NO_BLOCKS, answers_in
from perennial.monitoring.estimates.expectation import Expectation
from perennial.monitoring.estimates.losses import excess_of, residuals_of
from perennial.statistics.blocks import Codes
from perennial.statistics.expected.estimates import DrawnTruths
from perennial.statistics.expected.residuals import Residuals, errors_apart, sizes_apart
from perennial.statistics.intervals import around
from perennial.statistics.sequential import Seen, seen_of, shift_since, together

RESIDUALS = SignalName("concept", "residuals")
EXCESS, IN_WINDOW = SignalName("concept", "excess"), SignalName("concept", "excess_in_window")
MOST_PERMUTATIONS = 20_000
NULL_QUANTILE = 0.99
NO_ROWS = "no labelled row, or a score that is no number"


def lasting_signals(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table | None,
    *,
    known: Expectation | str,
    earlier: Iterable[Signal] = (),
    why: str | None = None,
) -> Iterator[Signal]:
    """``concept/residuals``, ``concept/excess_in_window`` and ``concept/excess``.

    ``rows`` are those of :func:`perennial.evidence.labelled.read_judged` with features; ``why`` they say nothing makes
    every signal unknown. ``earlier`` are the ``concept/excess_in_window`` of the same version, of any windows.

    >>> [(one.name, one.status) for one in lasting_signals(flights, subject, None, known="gone")]
    [('concept/residuals', 'unknown'), ('concept/excess', 'unknown')]
    """
    why = why or (known if isinstance(known, str) else None)
    judged = NO_ROWS if rows is None or isinstance(known, str) else _judged(config, rows, known)
    if why or rows is None or isinstance(known, str) or isinstance(judged, str):
        problem = why or (judged if isinstance(judged, str) else NO_ROWS)
        yield subject.unknown(RESIDUALS, config.signals.concept.role, problem, threshold=_most_residual(config))
        yield subject.unknown(EXCESS, config.signals.concept.role, problem, threshold=config.signals.concept.max_excess)
        return
    yield _residuals(config, subject, known, judged, known.group_of(rows))
    yield from _excess(config, subject, known, judged, _inside(rows, subject.window), earlier=earlier)


def _judged(config: ModelConfig, rows: pa.Table, known: Expectation) -> DrawnTruths | str:
    answers, drawn = answers_in(config, rows), known.drawn(config, rows)
    real = answers.measured(config)
    if answers.blocks is None:
        return NO_BLOCKS
    return DrawnTruths(real, drawn, answers.blocks) if real is not None and drawn is not None else NO_ROWS


def _most_residual(config: ModelConfig) -> float:
    asked = config.signals.concept
    return asked.max_residual_shift if config.task == "regression" else asked.max_residual_error


def _residuals(config: ModelConfig, subject: Subject, known: Expectation, judged: DrawnTruths, groups: Codes) -> Signal:
    """As drift is judged: breached by a size that matters, and that permuted blocks do not show."""
    role, most, alpha = config.signals.concept.role, _most_residual(config), config.alarm_level(subject.window)
    before = Residuals(values=residuals_of(config, known.holdout), groups=known.groups, blocks=known.holdout.blocks)
    now = Residuals(values=residuals_of(config, judged), groups=groups, blocks=judged.blocks)
    apart = sizes_apart if config.task == "regression" else errors_apart
    found = apart(
        before,
        now,
        n_permutations=min(MOST_PERMUTATIONS, int(np.ceil(2 / alpha))),
        confidence=NULL_QUANTILE,
        rng=np.random.default_rng(config.signals.seed),
    )
    if isinstance(found, str):
        return subject.unknown(RESIDUALS, role, found, threshold=most)
    p, least = found.chance.p, found.least_p
    unit = "standard deviations of the holdout's" if config.task == "regression" else "in the mean of like scores"
    detail = f"residuals {found.value:.3g} apart, {unit}; p {p:.2g}, {alpha:.2g} alarms; {found.chance.n_blocks} blocks"
    is_large = found.value > most
    if least > alpha:
        detail = f"{detail}: too few, p is {least:.2g} at least"
    return subject.compared(
        RESIDUALS,
        role,
        found.value,
        threshold=most,
        status="undecided" if least > alpha or (is_large and p > alpha) else "breached" if is_large else "ok",
        chance=found.chance,
        detail=detail,
    )


def _excess(
    config: ModelConfig,
    subject: Subject,
    known: Expectation,
    judged: DrawnTruths,
    inside: NDArray[np.bool_],
    *,
    earlier: Iterable[Signal],
) -> Iterator[Signal]:
    """What the rows ``inside`` the window lost beyond what was expected, and what all of the version's up to it did."""
    asked = config.signals.concept
    of_holdout = excess_of(config, known.holdout.real, known.holdout.drawn)
    own = excess_of(config, judged.real, judged.drawn)
    why = "" if inside.any() else "none of the labelled rows lies in the window itself"
    if config.signals.uncertainty.block_by is not None:
        why = "blocks of signals.uncertainty.block_by come back in every window, and count once"
    if why or isinstance(own, str) or isinstance(of_holdout, str):
        problem = next(one for one in (why, of_holdout, own) if isinstance(one, str) and one)
        yield subject.unknown(EXCESS, asked.role, problem, threshold=asked.max_excess)
        return
    before = _seen_by_block(of_holdout.values / of_holdout.expected, known.holdout.blocks)
    now = _seen_by_block(own.values[inside] / of_holdout.expected, judged.blocks[inside])
    signal = _in_window(config, subject, now, int(inside.sum()))
    yield signal
    parts = [one for one in earlier if one.window.end <= subject.window.end and not one.window.overlaps(subject.window)]
    of_window = {one.window: _seen(one) for one in (*parts, signal) if one.value is not None}
    n_rows = len(known.holdout.blocks) + int(inside.sum())
    alpha = config.alarm_level_of_champion
    found = shift_since(before, together(of_window.values()), alpha=alpha, effect=asked.effect, n_rows=n_rows)
    seen = f"{sum(part.n for part in of_window.values())} blocks of {len(of_window)} windows beside {before.n}"
    detail = f"loss beyond what scores let expect, as a share of it, in {seen}{_if_any(found.problem)}"
    yield subject.estimated(EXCESS, asked.role, found, threshold=asked.max_excess, is_least=False, detail=detail)


def _if_any(problem: str) -> str:
    return f": {problem}" if problem else " of the holdout"


def _inside(rows: pa.Table, window: Window) -> NDArray[np.bool_]:
    """Which rows are of the window itself, of those it is judged on."""
    times = rows["event_time"]
    start, end = (pa.scalar(moment, times.type) for moment in (window.start, window.end))
    inside: NDArray[np.bool_] = pc.and_(pc.greater_equal(times, start), pc.less(times, end)).to_numpy()
    return inside


def _seen_by_block(values: NDArray[np.float64], blocks: Codes) -> Seen:
    sizes = np.bincount(blocks)
    return seen_of((np.bincount(blocks, weights=values)[sizes > 0]) / sizes[sizes > 0])


def _in_window(config: ModelConfig, subject: Subject, seen: Seen, n_rows: int) -> Signal:
    """What is kept of a window for the runs after it: the mean of its blocks, and their spread where there are two."""
    detail = f"loss beyond what scores let expect, as a share of it; {n_rows} labelled rows in {seen.n} blocks"
    most, confidence = config.signals.concept.max_excess, config.signals.uncertainty.confidence
    signal = subject.known(IN_WINDOW, "watch", seen.mean, threshold=most, breached=False, detail=detail)
    if seen.n < 2:  # noqa: PLR2004 - one block shows no spread
        return signal
    error = (seen.squares / (seen.n - 1) / seen.n) ** 0.5
    return replace(signal, interval=around(seen.mean, error, n_rows, seen.n, confidence))


def _seen(signal: Signal) -> Seen:
    """What :func:`_in_window` kept."""
    if signal.interval is None:
        return Seen(n=1, mean=float(signal.value or 0.0))
    n, error = signal.interval.n_blocks, signal.interval.standard_error
    return Seen(n=n, mean=float(signal.value or 0.0), squares=error**2 * n * (n - 1))
