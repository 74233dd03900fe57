"""The drift of a window as signals: of every column against all it is compared with, and of what the champion uses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, SignalRole, Since, Subject
from perennial.errors import first_of
from perennial.monitoring.drift.columns import METHODS
from perennial.monitoring.drift.comparing import Compared
from perennial.monitoring.drift.judging import Effect, Judgement, judge
from perennial.monitoring.drift.screening import Column, Constant, Pair, Unmeasured, screen
from perennial.monitoring.drift.share import SHARE, unknown_share, weighted_share
from perennial.profiles.profile import Profile

SCORE = "score"


@dataclass(frozen=True, slots=True)
class _Judgements:
    """What the signals are about, and what was judged: by column, and whether it is its nulls."""

    config: ModelConfig
    subject: Subject
    by_column: Mapping[Since, Mapping[tuple[str, bool], Judgement]]

    def judged(self, since: Since, name: str, *, nulls: bool) -> Judgement | None:
        return self.by_column.get(since, {}).get((name, nulls))

    def verdict(self, name: str, *, nulls: bool = False) -> Since:
        """Which comparison speaks for a column: the season where it has a distance, and blocks enough."""
        season = self.judged("season", name, nulls=nulls)
        enough = season is not None and season.n_reference_blocks >= self.config.signals.uncertainty.min_blocks
        return "season" if enough and self.config.signals.drift.verdict == "season" else "reference"

    def role(self, since: Since, name: str, *, nulls: bool = False) -> SignalRole:
        drift = self.config.signals.drift
        if since != self.verdict(name, nulls=nulls):
            return drift.others_role
        return drift.score_role if name == SCORE else drift.features_role


def drift_signals(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table,
    *,
    reference: pa.Table,
    compared: Sequence[Compared],
    importance: dict[str, float] | None,
) -> tuple[Signal, ...]:
    """The signals of a window. Pure; the order of rows never matters.

    Both tables hold the features with their types in the store and ``score`` (double); ``rows`` also ``model_version``
    (text), ``reference`` also ``part`` (text, ``train`` or ``holdout``). They say which columns can have a distance;
    one that can not is unknown, with the reason, and a number that is constant in the reference has drifted when any
    value differs. The distances are those of ``compared``, of all rows.

    >>> rows, reference = pa.table({"model_version": ["3"]}), pa.table({"part": ["holdout"]})
    >>> asked = {"reference": reference, "compared": [], "importance": None}
    >>> {signal.status for signal in drift_signals(flights, subject, rows, **asked)}
    {'unknown'}
    """
    columns = screened(config, subject, rows, reference)
    pairs = [column for column in columns if isinstance(column, Pair)]
    fit = [pair.name for pair in pairs]
    judgements = _Judgements(config, subject, {one.since: _judged(config, subject, one, fit) for one in compared})
    sinces: list[Since] = ["reference", *(one.since for one in compared if one.since != "reference")]
    found = [signal for since in sinces for column in columns for signal in _signals(judgements, column, since)]
    by_name = {signal.name: signal for signal in found}
    verdicts = {name: by_name[str(SignalName.drift(name, judgements.verdict(name)))] for name in config.features}
    share = weighted_share(config, subject, verdicts, importance)
    return (*found, share)


def screened(config: ModelConfig, subject: Subject, rows: pa.Table, reference: pa.Table) -> tuple[Column, ...]:
    """Every feature and the score, of tables as :func:`drift_signals` takes them: what can have a distance, or why not.

    >>> found = screened(flights, subject, pa.table({"model_version": ["3"]}), pa.table({"part": ["holdout"]}))
    >>> len(found) == len(flights.features) + 1, {type(column).__name__ for column in found}
    (True, {'Unmeasured'})
    """
    features = (_screened(config, name, rows, reference) for name in config.features)
    return (*features, _screened_score(config, subject, rows, reference))


def unmeasured(config: ModelConfig, subject: Subject, why: str) -> tuple[Signal, ...]:
    """Every drift signal against the reference as unknown, for one reason. Pure.

    >>> found = unmeasured(flights, subject, "gone")
    >>> len(found) - len(flights.features) - len(nullable(flights)), {signal.status for signal in found}
    (2, {'unknown'})
    """
    judgements = _Judgements(config, subject, {})
    refused = [Unmeasured(name, why) for name in (*config.features, SCORE)]
    found = [signal for column in refused for signal in _signals(judgements, column, "reference")]
    return (*found, unknown_share(config, subject, why))


def nullable(config: ModelConfig) -> tuple[str, ...]:
    """The features whose null rate can drift: nulls of the others are in quarantine.

    >>> nullable(flights)[:2]
    ('temp_f', 'dewp_f')
    """
    return tuple(name for name, spec in config.features.items() if spec.nullable)


def _screened(config: ModelConfig, name: str, rows: pa.Table, reference: pa.Table) -> Column:
    number = name in config.numbers
    return screen(
        name,
        "number" if number else "category",
        config.signals.drift.number if number else config.signals.drift.category,
        current=_column(rows, name),
        reference=_column(reference, name),
        min_values=config.signals.drift.min_values,
    )


def _screened_score(config: ModelConfig, subject: Subject, rows: pa.Table, reference: pa.Table) -> Column:
    by_champion = rows.filter(pc.equal(rows["model_version"], subject.version))
    if rows.num_rows and not by_champion.num_rows:
        others = first_of(sorted(pc.unique(rows["model_version"]).to_pylist()))
        return Unmeasured(SCORE, f"no row of this window was scored by version {subject.version}, all by {others}")
    holdout = reference.filter(pc.equal(reference["part"], "holdout"))
    return screen(
        SCORE,
        "number",
        config.signals.drift.number,
        current=_column(by_champion, SCORE),
        reference=_column(holdout, SCORE),
        min_values=config.signals.drift.min_values,
    )


def _column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    return table[name] if name in table.column_names else None


def _asked(config: ModelConfig, name: str, *, nulls: bool = False) -> Effect:
    drift = config.signals.drift
    if nulls:
        return Effect(name=name, method="null_rate", threshold=drift.null_rate)
    how = drift.category if name in config.categories else drift.number
    return Effect(name=name, method=METHODS[how.method], threshold=how.threshold)


def asked_of(config: ModelConfig, fit: Sequence[str], *, nulls: bool = True) -> list[Effect]:
    """What is asked of all features in one test: the distances of those that are ``fit``, and of null rates.

    >>> [asked.method for asked in asked_of(flights, ["carrier"], nulls=False)]
    ['jensen_shannon']
    """
    of_nulls = [_asked(config, name, nulls=True) for name in nullable(config)]
    return [*(_asked(config, name) for name in config.features if name in fit), *(of_nulls if nulls else [])]


def _judged(
    config: ModelConfig, subject: Subject, one: Compared, fit: Sequence[str]
) -> dict[tuple[str, bool], Judgement]:
    """By column, and whether it is about its nulls; without what has no distance."""
    if not len(one.window.blocks) or not len(one.reference.blocks):
        return {}
    enough = min(one.window.n_rows.sum(), one.reference.n_rows.sum()) >= config.signals.drift.min_values
    features = asked_of(config, fit, nulls=enough)
    alpha, seed = config.alarm_level(subject.window), config.signals.seed
    found = judge(one.reference, one.window, features, alpha=alpha, seed=seed)
    if SCORE in fit and (sides := _scored(one)):
        found |= judge(*sides, [_asked(config, SCORE)], alpha=alpha, seed=seed)
    return {(asked.name, asked.method == "null_rate"): judged for asked, judged in found.items()}


def _scored(one: Compared) -> tuple[Profile, Profile] | None:
    """The blocks of either side in which the champion scored anything."""
    scores = [side.numbers.get(SCORE) for side in (one.reference, one.window)]
    there = [None if of_side is None else of_side.n_values > 0 for of_side in scores]
    if there[0] is None or there[1] is None or not there[0].any() or not there[1].any():
        return None
    return one.reference.among(there[0]), one.window.among(there[1])


def _signals(judgements: _Judgements, column: Column, since: Since) -> Iterator[Signal]:
    """The signal of a column against one of what it is compared with, and that of its nulls where it may have any.

    Against anything but the reference only where there is a distance: a stretch without rows is no fault.
    """
    found = [_distance(judgements, column, since)]
    if column.name in nullable(judgements.config):
        why = (
            column.why
            if isinstance(column, Unmeasured) and not judgements.by_column
            else "a side has too few rows with this column"
        )
        found.append(_compared(judgements, column.name, since, why, nulls=True))
    yield from (signal for signal in found if since == "reference" or signal.status != "unknown")


def _distance(judgements: _Judgements, column: Column, since: Since) -> Signal:
    if isinstance(column, Constant) and since == "reference":
        detail = f"the reference is constant ({column.value:g}); the share of values that differ"
        role = judgements.role(since, column.name)
        return judgements.subject.above(SignalName.drift(column.name), role, column.share_other, 0.0, detail=detail)
    why = column.why if isinstance(column, Unmeasured) else "a side has no value in its profiles"
    return _compared(judgements, column.name, since, why, nulls=False)


def _compared(judgements: _Judgements, column: str, since: Since, why: str, *, nulls: bool) -> Signal:
    name, role = SignalName.drift(column, since, nulls=nulls), judgements.role(since, column, nulls=nulls)
    judged = judgements.judged(since, column, nulls=nulls)
    if judged is None:
        threshold = _asked(judgements.config, column, nulls=nulls).threshold
        return judgements.subject.unknown(name, role, why, threshold=threshold)
    return judgements.subject.compared(
        name,
        role,
        judged.value,
        threshold=judged.asked.threshold,
        status=judged.status,
        chance=judged.chance,
        detail=judged.detail,
    )


__all__ = ["SCORE", "SHARE", "drift_signals", "nullable", "unmeasured"]
