"""Whether a distance is large, and larger than chance makes it anywhere: the test of a family of columns. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, isfinite
from typing import Literal

import numpy as np

from perennial.contracts import Chance
from perennial.monitoring.drift.columns import OF_CATEGORIES, OF_NUMBERS, ColumnPair, beside
from perennial.profiles.profile import Profile
from perennial.statistics.drift.distances import OF_NULLS, Method
from perennial.statistics.drift.permutation import BlockCounts, DriftTest, permute_blocks

FIRST, MOST = 999, 20_000
"""Permutations for a first look, and the most that are worth their time."""
PROMISING = 0.02
"""A first look at a larger p ends the test."""
CONFIDENCE = 0.99
"""Of the null quantile that a signal shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A column, the distance that is its effect size, and from which value on it matters.

    With the method ``null_rate`` it is about the nulls of the column, else about its values.
    """

    name: str
    method: Method
    threshold: float

    @property
    def nulls(self) -> bool:
        """Whether it is about the nulls."""
        return self.method == "null_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a distance stands to its threshold and to chance."""

    asked: Effect
    value: float
    status: Literal["ok", "breached", "undecided"]
    chance: Chance
    n_reference_blocks: int
    detail: str


def judge(
    reference: Profile, window: Profile, asked: Sequence[Effect], *, alpha: float, seed: int
) -> dict[Effect, Judgement]:
    """One test of all columns that both sides have, by permuted blocks.

    ``breached`` is a distance that reaches its threshold with p at most ``alpha``, for the whole family; ``undecided``
    one that reaches it with a larger p, and every one where so few blocks could not have reached ``alpha``. ``ok`` is
    below its threshold. A column that a side does not have, or has no value of, is left out. The order of columns and
    blocks never matters but for the draw of the permutations. Raises ValueError where a side has no block.
    """
    sides = [(one, beside(reference, window, one.name)) for one in asked]
    columns = {one: column for one, column in sides if column is not None}
    values = {one: column.null_rate() if one.nulls else column.value(one.method) for one, column in columns.items()}
    known = {one: value for one, value in values.items() if isfinite(value)}
    counts = [of_column for one in known for of_column in _permuted(one, columns[one])]
    if not known:
        return {}
    test, least_p = _test(counts, reference, window, known, alpha=alpha, seed=seed)
    n_rows = int(window.n_rows.sum())
    return {one: _judged(one, value, test, alpha=alpha, least_p=least_p, n_rows=n_rows) for one, value in known.items()}


def _permuted(one: Effect, column: ColumnPair) -> list[BlockCounts]:
    if one.nulls:
        return column.permuted_nulls()
    family = OF_CATEGORIES if column.axis is None else OF_NUMBERS
    return column.permuted((*family, *({one.method} - set(family))))


def _test(
    counts: list[BlockCounts],
    reference: Profile,
    window: Profile,
    known: dict[Effect, float],
    *,
    alpha: float,
    seed: int,
) -> tuple[DriftTest, float]:
    """The test, with as many permutations as the first look makes worth it, and the least p that all could reach."""
    n_window, n_blocks = len(window.blocks), len(window.blocks) + len(reference.blocks)
    in_window = np.arange(n_blocks) >= n_blocks - n_window
    planned = min(MOST, int(np.ceil(2 / alpha)))
    ways = comb(n_blocks, n_window)
    least_p = 1 / min(ways, planned + 1)
    first = min(FIRST, planned)

    def permuted(n_permutations: int) -> DriftTest:
        return permute_blocks(
            counts,
            in_window,
            rng=np.random.default_rng(seed),
            n_permutations=n_permutations,
            quantiles=(CONFIDENCE,),
        )

    test = permuted(first)
    large = {one for one, value in known.items() if value >= one.threshold}
    worth_it = any(_p(test, one) <= PROMISING for one in large)
    return (permuted(planned) if planned > first and least_p <= alpha and worth_it else test), least_p


def _p(test: DriftTest, one: Effect) -> float:
    """The smallest p among the distances of a column, or among those of its nulls."""
    found = [
        drifted.p
        for drifted in test.found
        if drifted.column == one.name and (drifted.method in OF_NULLS) == one.nulls and drifted.p is not None
    ]
    return min(found, default=1.0)


def _judged(one: Effect, value: float, test: DriftTest, *, alpha: float, least_p: float, n_rows: int) -> Judgement:
    p = _p(test, one)
    quantile = next(d.quantiles[0] for d in test.found if (d.column, d.method) == (one.name, one.method))
    n_window, n_reference = test.n_window_blocks, test.n_reference_blocks
    status: Literal["ok", "breached", "undecided"] = "ok" if value < one.threshold else "undecided"
    detail = f"{one.method}; p {p:.2g} for all columns, {alpha:.2g} alarms; {n_window} blocks against {n_reference}"
    if least_p > alpha:
        status, detail = "undecided", f"{detail}: too few, p is {least_p:.2g} at least"
    elif value >= one.threshold and p <= alpha:
        status = "breached"
    chance = Chance(quantile=quantile, confidence=CONFIDENCE, p=p, n_rows=n_rows, n_blocks=n_window + n_reference)
    return Judgement(
        asked=one, value=value, status=status, chance=chance, n_reference_blocks=n_reference, detail=detail
    )
