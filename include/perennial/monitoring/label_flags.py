"""Flags of a window whose labels are in: labels, or the champion, are not what they can be. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Estimate, Signal, SignalName, Subject
from perennial.errors import first_of
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.labelled import census
from perennial.evidence.lateness import Lateness, LatenessSeen
from perennial.statistics.blocks import blocks_of_times

BELOW_CHANCE, LABEL_RATE = SignalName.flag("below_chance"), SignalName.flag("label_rate")
CALIBRATION, LATENESS = SignalName.flag("calibration"), SignalName.flag("lateness")
CHANCE = 0.5
"""The area under the ROC curve of scores that say nothing."""
LEAST_EARLIER = 2
"""Fewer earlier windows do not say how much lateness varies."""
FLOOR = 0.01
"""Lateness below this share of ``label.delay`` counts as that: minutes instead of seconds are no finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagBasis:
    """What a window is held against: the reference of its version, or why it is ``gone``, and how late labels were."""

    reference: pa.Table | None
    gone: str = ""
    lateness: LatenessSeen | None = None


def label_flags(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, *, beside: FlagBasis, why: str | None = None
) -> Iterator[Signal]:
    """The flags of ``signals.flags`` that speak of labels; ``why`` nothing can be said makes them unknown.

    ``rows`` are what :func:`perennial.evidence.labelled.read_judged` gives with features. The order of the rows never
    matters.

    >>> beside = FlagBasis(reference=None, gone="gone")
    >>> {found.status for found in label_flags(flights, subject, None, beside=beside, why="no labels")}
    {'unknown'}
    """
    flags = config.signals.flags
    lost = tuple(SignalName.flag("lost_class", name) for name in config.categories) if flags.lost_class else ()
    wanted = {BELOW_CHANCE: flags.below_chance, LABEL_RATE: flags.label_rate is not None}
    wanted |= {CALIBRATION: flags.calibration is not None, LATENESS: flags.lateness is not None}
    if rows is None or why:
        for name in (*(name for name, is_on in wanted.items() if is_on), *lost):
            yield subject.unknown(name, "alert", why or "no labelled rows")
        return
    answers = answers_in(config, rows)
    if wanted[BELOW_CHANCE]:
        yield _below_chance(config, subject, answers, rows, beside)
    if wanted[LABEL_RATE]:
        yield _label_rate(config, subject, answers, beside)
    if wanted[CALIBRATION]:
        yield _calibration(config, subject, answers, beside)
    if wanted[LATENESS]:
        yield lateness_flag(config, subject, beside.lateness)
    for signal in lost:
        yield _lost_class(config, subject, signal, rows, beside)


def _below_chance(config: ModelConfig, subject: Subject, answers: Answers, rows: pa.Table, beside: FlagBasis) -> Signal:
    """ROC AUC, of which no part of the interval reaches 0.5; for other tasks the gain over the constant predictor."""
    if config.task == "binary":
        found = answers.estimate(config, "roc_auc")
        if found.value is None:
            found = Estimate(problem=f"roc_auc can not be computed: {census(rows)}")
        return subject.estimated(BELOW_CHANCE, "alert", found, threshold=CHANCE, is_least=True)
    if beside.reference is None:
        return subject.unknown(BELOW_CHANCE, "alert", beside.gone, threshold=0.0)
    metric = config.signoff.versus_champion.metric
    found = answers.gain_over(_constant(config, answers, beside.reference), config, metric)
    detail = f"gain in {metric} over the constant predictor; {found.basis}"
    return subject.estimated(BELOW_CHANCE, "alert", found, threshold=0.0, is_least=True, detail=detail)


def _constant(config: ModelConfig, answers: Answers, reference: pa.Table) -> Answers:
    """What the predictor that always says the mean, or the most frequent class, of the reference would have said."""
    labels, n_rows = reference["label"].to_numpy(zero_copy_only=False), len(answers.labels)
    if config.task == "regression":
        return replace(answers, scores=np.full(n_rows, labels.mean()))
    classes, counts = np.unique(labels.astype(str), return_counts=True)
    return replace(answers, predicted=np.full(n_rows, classes[counts.argmax()]))


def _label_rate(config: ModelConfig, subject: Subject, answers: Answers, beside: FlagBasis) -> Signal:
    """The label rate (of the class that is farthest out; the mean label), outside the range of the reference's blocks.

    The range is that of the reference's blocks of time with ``min_class_rows`` rows, widened on either side.
    """
    known = beside.reference
    if known is None or "event_time" not in known.column_names:
        why = beside.gone or f"the reference of version {subject.version} holds no event_time: it was made before 0.3"
        return subject.unknown(LABEL_RATE, "alert", why)
    asked, widen = config.signals.uncertainty, config.signals.flags.label_rate or 0.0
    blocks = blocks_of_times(known["event_time"].to_numpy(), asked.block)
    sizes = np.bincount(blocks)
    full = sizes >= asked.min_class_rows
    if full.sum() < asked.min_blocks:
        why = f"the reference has {full.sum()} blocks of {asked.min_class_rows} rows; {asked.min_blocks} are needed"
        return subject.unknown(LABEL_RATE, "alert", why)
    labels = known["label"].to_numpy(zero_copy_only=False)
    found = []
    for name, mine, theirs in _shares(config, answers.labels, labels):
        rates = np.bincount(blocks, weights=theirs)[full] / sizes[full]
        low, high = float(rates.min()), float(rates.max())
        reach = widen * (high - low)
        value = float(mine.mean())
        beyond = max(low - reach - value, value - high - reach)
        found.append((beyond, name, mine, low - reach, high + reach))
    _, name, mine, low, high = max(found, key=lambda one: one[:2])
    rate = answers.mean(config, mine)
    if rate.value is None:
        return subject.unknown(LABEL_RATE, "alert", rate.problem)
    is_least = abs(rate.value - low) < abs(rate.value - high)
    detail = f"{name} {rate.value:.4g}; {low:.4g} to {high:.4g} is the range of the reference, widened; {rate.basis}"
    bound = low if is_least else high
    return subject.estimated(LABEL_RATE, "alert", rate, threshold=bound, is_least=is_least, detail=detail)


def _shares(
    config: ModelConfig, labels: NDArray[Any], known: NDArray[Any]
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """What a rate is taken of, in the window and in the reference: the label itself, or each class."""
    if config.task != "multiclass":
        what = "label rate" if config.task == "binary" else "mean label"
        yield what, labels.astype(np.float64), known.astype(np.float64)
        return
    mine, theirs = labels.astype(str), known.astype(str)
    for name in np.unique(np.concatenate([mine, theirs])):
        yield f"share of {name}", (mine == name).astype(np.float64), (theirs == name).astype(np.float64)


def _calibration(config: ModelConfig, subject: Subject, answers: Answers, beside: FlagBasis) -> Signal:
    """Outcomes less scores in the mean (calibration in the large), against a share of the outcomes' spread."""
    if beside.reference is None:
        return subject.unknown(CALIBRATION, "alert", beside.gone)
    known = answers_in(config, beside.reference.filter(pc.is_valid(beside.reference["score"])))
    spread = float(known.outcomes.std()) if len(known.labels) else 0.0
    if not spread > 0:
        why = "the outcomes of the reference's holdout are all the same: nothing to measure a difference by"
        return subject.unknown(CALIBRATION, "alert", why)
    found = answers.mean(config, answers.outcomes - answers.scores)
    if found.value is None:
        return subject.unknown(CALIBRATION, "alert", found.problem)
    most = (config.signals.flags.calibration or 0.0) * spread
    detail = (
        f"outcomes are {answers.outcomes.mean():.4g}, scores {answers.scores.mean():.4g} in the mean; {found.basis}"
    )
    too_low = found.value < 0
    bound = -most if too_low else most
    return subject.estimated(CALIBRATION, "alert", found, threshold=bound, is_least=too_low, detail=detail)


def lateness_flag(config: ModelConfig, subject: Subject, seen: LatenessSeen | None) -> Signal:
    """By which factor the median or the 90 % quantile of lateness lies outside the range of earlier windows; 1 within.

    >>> now, usual = (Lateness(n_labels=900, median_h=hours, q90_h=70.0) for hours in (200.0, 45.0))
    >>> lateness_flag(flights, subject, LatenessSeen(now=now, earlier=(usual, usual))).status
    'breached'
    """
    most = config.signals.flags.lateness or 1.0
    if seen is None or seen.now is None or len(seen.earlier) < LEAST_EARLIER:
        n_earlier = 0 if seen is None else len(seen.earlier)
        why = f"{n_earlier} earlier windows have enough labels to compare lateness with; {LEAST_EARLIER} are needed"
        if seen is not None and seen.now is None:
            why = f"fewer than {config.signals.min_labelled_rows} labels"
        return subject.unknown(LATENESS, "alert", why, threshold=most)
    floor = FLOOR * config.label.delay.total_seconds() / 3600
    factor = max(
        _factor(floor, getattr(seen.now, name), [getattr(known, name) for known in seen.earlier])
        for name in ("median_h", "q90_h")
    )
    usual = Lateness(
        n_labels=sum(known.n_labels for known in seen.earlier),
        median_h=float(np.median([known.median_h for known in seen.earlier])),
        q90_h=float(np.median([known.q90_h for known in seen.earlier])),
    )
    detail = f"{seen.now}; in {len(seen.earlier)} earlier windows {usual}"
    return subject.above(LATENESS, "alert", factor, most, detail=detail)


def _factor(floor: float, now: float, earlier: list[float]) -> float:
    value, known = max(now, floor), [max(hours, floor) for hours in earlier]
    return max(value / max(known), min(known) / value, 1.0)


def _lost_class(config: ModelConfig, subject: Subject, signal: SignalName, rows: pa.Table, beside: FlagBasis) -> Signal:
    """How many values of a category have one label only, where the reference lets expect another one.

    Looked at are values with ``min_rows`` rows, of which the reference would have given ``min_class_rows`` another
    label.
    """
    column = signal.subject.partition("/")[2]
    known = beside.reference
    if known is None or column not in known.column_names:
        why = beside.gone or f"the reference of version {subject.version} has no {column}"
        return subject.unknown(signal, "alert", why, threshold=0.0)
    now, before = (_by_value(table, column) for table in (rows, known))
    asked = config.signals.uncertainty.min_class_rows
    big = now.groupby("value")["label"].agg(["size", "nunique", "first"])
    single = big[(big["size"] >= config.signals.flags.min_rows) & (big["nunique"] == 1)]
    lost = []
    for value, found in single.iterrows():
        labels = before.loc[before["value"] == value, "label"]
        share_other = float((labels != found["first"]).mean()) if len(labels) else 0.0
        if 0 < share_other < 1 and share_other * found["size"] >= asked:
            lost.append(f"{value}: {found['size']} rows, all {found['first']}; {share_other:.3f} were not before")
    detail = first_of(lost) if lost else "no value lost one"
    return subject.above(signal, "alert", float(len(lost)), 0.0, detail=detail)


def _by_value(table: pa.Table, column: str) -> pd.DataFrame:
    """Value (text) and label (text, so that all tasks are one case) of the rows that have both."""
    kept = {"value": table[column].cast(pa.string()), "label": table["label"].cast(pa.string())}
    return pa.table(kept).to_pandas().dropna()
