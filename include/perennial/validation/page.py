"""The Data Docs page of one audit, from Great Expectations' own renderers, without its static files."""

import html
from functools import cache
from typing import Any

from perennial.contracts import Batch
from perennial.validation.gx_imports import (
    DefaultJinjaPageView,
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
    ValidationResultsPageRenderer,
    gx,
)
from perennial.validation.judging import RuleTally


def render(batch: Batch, tallies: list[RuleTally], *, passed: bool) -> str:
    """One HTML page with the result of every expectation over the whole batch."""
    results = [_result(tally) for tally in tallies]
    n_passed = sum(tally.passed for tally in tallies)
    outcome = ExpectationSuiteValidationResult(
        success=passed,
        results=results,
        suite_name=f"{batch.model} {batch.source} {batch.window.key}",
        statistics={
            "evaluated_expectations": len(tallies),
            "successful_expectations": n_passed,
            "unsuccessful_expectations": len(tallies) - n_passed,
            "success_percent": 100 * n_passed / len(tallies) if tallies else None,
        },
        meta={
            "great_expectations_version": gx.__version__,
            "run_id": {"run_name": batch.batch_id, "run_time": batch.window.end.isoformat()},
            "active_batch_definition": {
                "datasource_name": batch.model,
                "data_connector_name": "staging",
                "data_asset_name": batch.source,
                "batch_identifiers": {"batch_id": batch.batch_id},
            },
        },
    )
    page: str = _view().render(ValidationResultsPageRenderer().render(outcome))
    return page


@cache
def _view() -> Any:
    """Made once for all audits of a process: each new one compiles its templates anew."""
    return DefaultJinjaPageView()


def escaped(value: Any) -> Any:
    """``value`` with the markup of every text in it escaped: what was logged is shown, never run.

    >>> escaped({"observed_value": ["<b>", 7]})
    {'observed_value': ['&lt;b&gt;', 7]}
    """
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, dict):
        return {escaped(name): escaped(one) for name, one in value.items()}
    return [escaped(one) for one in value] if isinstance(value, (list, tuple)) else value


def _result(tally: RuleTally) -> ExpectationValidationResult:
    n_rows, n_missing, n_unexpected = tally.n_rows, tally.n_missing, tally.n_unexpected
    result = dict(tally.observed)
    if not result:
        result = {
            "element_count": n_rows,
            "missing_count": n_missing,
            "missing_percent": 100 * n_missing / n_rows if n_rows else None,
            "unexpected_count": n_unexpected,
            "unexpected_percent": 100 * n_unexpected / tally.n_evaluated if tally.n_evaluated else None,
            "unexpected_percent_total": 100 * n_unexpected / n_rows if n_rows else None,
            "unexpected_percent_nonmissing": 100 * n_unexpected / tally.n_evaluated if tally.n_evaluated else None,
            "partial_unexpected_list": list(tally.examples),
        }
    return ExpectationValidationResult(
        success=tally.passed,
        expectation_config=tally.rule.build().configuration,
        result=escaped(result),
        exception_info={
            "raised_exception": bool(tally.error),
            "exception_message": escaped(tally.error),
            "exception_traceback": escaped(tally.error),
        },
    )
