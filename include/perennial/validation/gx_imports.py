"""The one place that imports Great Expectations: without analytics, and quietly."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.WARNING)  # hundreds of "Skipping registering function" lines

import great_expectations as gx  # noqa: E402
import great_expectations.expectations as gxe  # noqa: E402
from great_expectations.core import (  # noqa: E402
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.execution_engine import pandas_execution_engine  # noqa: E402
from great_expectations.expectations.expectation import (  # noqa: E402
    BatchExpectation,
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    Expectation,
    MulticolumnMapExpectation,
)
from great_expectations.render.renderer import ValidationResultsPageRenderer  # noqa: E402
from great_expectations.render.view import DefaultJinjaPageView  # noqa: E402

# Great Expectations hashes every frame twice, unless it is larger than this: more work than all its rules together, for
# a fingerprint that nobody reads.
pandas_execution_engine.HASH_THRESHOLD = 0

PAIR_OR_MULTI = (ColumnPairMapExpectation, MulticolumnMapExpectation)

__all__ = [
    "PAIR_OR_MULTI",
    "BatchExpectation",
    "ColumnMapExpectation",
    "DefaultJinjaPageView",
    "ExpectationSuiteValidationResult",
    "ExpectationValidationResult",
    "ValidationResultsPageRenderer",
    "configured_once",
    "gx",
    "gxe",
    "whole_dataframe",
]


@cache
def whole_dataframe() -> Any:
    """The batch definition of an ephemeral context that takes any pandas frame."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return (
        context.data_sources.add_pandas("staging")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
    )


_one_at_a_time = Lock()


@contextmanager
def configured_once() -> Iterator[None]:
    """Great Expectations makes the configuration of an expectation anew a hundred times for each that it judges.

    Within the block every expectation is asked once, and answers with copies. No expectation may change meanwhile. Of
    threads, one at a time is within it: what it changes belongs to all of them.
    """
    kept: dict[int, tuple[Any, Any]] = {}  # with the expectation itself, so that no other one gets its id

    def configuration(expectation: Any) -> Any:
        if id(expectation) not in kept:
            kept[id(expectation)] = expectation, asked.fget(expectation)
        made = kept[id(expectation)][1]
        one = object.__new__(type(made))
        one.__dict__ |= made.__dict__ | {"_kwargs": dict(made.kwargs)}
        return one

    with _one_at_a_time:
        asked = Expectation.configuration
        Expectation.configuration = property(configuration)
        try:
            yield
        finally:
            Expectation.configuration = asked
