"""The one place that imports Great Expectations: without analytics, and quietly."""

import logging
import os
from functools import cache
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
