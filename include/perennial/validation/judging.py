"""Great Expectations over bounded chunks, and the verdict per expectation over all of them.

An expectation that raised, or that had no value to judge, has not passed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.contracts import ExpectationVerdict
from perennial.validation.expectations import Rule
from perennial.validation.gx_imports import gx, made_once, whole_dataframe
from perennial.validation.sample import Sample

_SHOWN_VALUES = 10


@dataclass(slots=True)
class RuleTally:
    """What one rule found so far."""

    rule: Rule
    n_rows: int = 0
    n_missing: int = 0
    n_unexpected: int = 0
    examples: list[Any] = field(default_factory=list)
    error: str = ""
    success: bool = True
    observed: dict[str, Any] = field(default_factory=dict)
    drawn_of: int | None = None
    """The number of rows that the judged ones were drawn from; None when all were judged."""

    @property
    def n_evaluated(self) -> int:
        """Rows with a value to judge."""
        return self.n_rows - self.n_missing

    @property
    def passed(self) -> bool:
        """True only when something was judged and nothing failed."""
        return self.success and not self.error and self.n_evaluated > 0

    def verdict(self) -> ExpectationVerdict:
        """The record of this tally."""
        detail = self.error
        if not detail and self.n_evaluated == 0:
            detail = "no value to judge: every value is null" if self.n_rows else "no row to judge"
        elif not detail and self.rule.level == "batch":
            found = f"observed {self.observed.get('observed_value')}" if self.observed else ""
            detail = found or f"{self.n_unexpected} unexpected values"
        if self.drawn_of is not None:
            detail += f", judged on {self.n_rows:,} of {self.drawn_of:,} rows, drawn by the hash of their id"
        return ExpectationVerdict(
            expectation=self.rule.name,
            column=self.rule.column,
            level=self.rule.level,
            passed=self.passed,
            n_evaluated=self.n_evaluated,
            n_unexpected=self.n_unexpected,
            detail=detail,
        )


def tallies(rules: tuple[Rule, ...]) -> dict[int, RuleTally]:
    """An empty tally for every rule, by its key. Nothing judged is no pass.

    >>> one = Rule(key=3, name="ExpectColumnMeanToBeBetween", kwargs={}, level="batch", fault="", columns=("hue",))
    >>> {key: (tally.passed, tally.verdict().detail) for key, tally in tallies((one,)).items()}
    {3: (False, 'no row to judge')}
    """
    return {rule.key: RuleTally(rule) for rule in rules}


def judge(
    frame: pd.DataFrame, rules: list[Rule], found: dict[int, RuleTally]
) -> Iterator[tuple[Rule, npt.NDArray[np.int64]]]:
    """Add one frame (index 0..n-1, the typed columns that the rules name) to the tallies.

    Yields each failed row-level rule with the positions of its rows.
    """
    if not rules:
        return
    batch = whole_dataframe().get_batch({"dataframe": frame})
    failed: dict[int, int] = {}
    for one in _validate(batch, rules, "BASIC"):
        tally = found[one.expectation_config.meta["rule"]]
        n_unexpected = _add(tally, one, len(frame))
        if tally.rule.level == "row" and n_unexpected:
            failed[tally.rule.key] = n_unexpected
    # which rows failed costs as much again as whether any did, and is asked of the rules that some failed
    for one in _validate(batch, [rule for rule in rules if rule.key in failed], "COMPLETE"):
        tally = found[one.expectation_config.meta["rule"]]
        positions = one.to_json_dict()["result"].get("unexpected_index_list") or []
        if len(positions) != failed[tally.rule.key]:
            tally.error = tally.error or f"could not be judged: {_raised(one) or 'it does not say which rows fail'}"
        yield tally.rule, np.asarray(positions, dtype=np.int64)


def _validate(batch: Any, rules: list[Rule], result_format: str) -> list[Any]:
    if not rules:
        return []
    suite = gx.ExpectationSuite("schema", expectations=[rule.build() for rule in rules])
    with made_once():
        results: list[Any] = batch.validate(suite, result_format={"result_format": result_format}).results
    return results


def judge_batch(sample: Sample, rules: list[Rule], found: dict[int, RuleTally]) -> None:
    """Judge the batch-level rules on the rows of a sample, and note what it was drawn from."""
    rows = sample.rows()
    for _ in judge(rows.to_pandas(), rules, found):
        pass  # a rule of the batch names no rows
    if rows.num_rows < sample.n_seen:
        for rule in rules:
            found[rule.key].drawn_of = sample.n_seen


def _add(tally: RuleTally, one: Any, n_rows: int) -> int:
    """Add one result to its tally; the number of values that the rule refuses."""
    result = one.to_json_dict()["result"]
    tally.n_rows += n_rows
    if error := _raised(one):
        tally.error = tally.error or error
        return 0
    if tally.rule.level == "batch" and "unexpected_count" not in result:
        tally.success = tally.success and bool(one.success) and result.get("observed_value") is not None
        tally.observed = json.loads(json.dumps(result))  # plain numbers: the page renders no numpy scalar
        return 0
    tally.n_missing += int(result.get("missing_count") or 0)
    tally.n_unexpected += int(result.get("unexpected_count") or 0)
    tally.examples += list(result.get("partial_unexpected_list") or [])[: _SHOWN_VALUES - len(tally.examples)]
    tally.success = tally.success and bool(one.success)
    return int(result.get("unexpected_count") or 0)


def _raised(one: Any) -> str:
    info = one.exception_info or {}
    records = [info] if "raised_exception" in info else list(info.values())
    for record in records:
        if record.get("raised_exception"):
            return f"could not be judged: {record.get('exception_message')}"[:500]
    return ""
