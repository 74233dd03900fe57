"""The one place that imports Great Expectations: without analytics, and quietly."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.WARNING)  # hundreds of "Skipping registering function" lines

from perennial.vendors import put_off  # noqa: E402

# One expectation of all, the divergence of a column, asks scipy for an entropy and altair for a plot: two fifths of the
# time that the import takes.
with put_off("scipy.stats", "altair"):
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.core.id_dict import IDDict
    from great_expectations.execution_engine import pandas_execution_engine
    from great_expectations.expectations.expectation import (
        BatchExpectation,
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        Expectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

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
    "made_once",
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
def made_once() -> Iterator[None]:
    """Great Expectations makes every expectation ten times, and its configuration a hundred times, to judge it once.

    Within the block each is made once and its configuration answers with copies; the ids of metrics are JSON without a
    detour. No expectation may change meanwhile. Of threads, one at a time is within it: what it changes belongs to all.
    """
    kept: dict[int, tuple[Any, Any]] = {}  # with the expectation itself, so that no other one gets its id
    made: dict[tuple[Any, ...], Any] = {}

    def configuration(expectation: Any) -> Any:
        if id(expectation) not in kept:
            kept[id(expectation)] = expectation, configured.fget(expectation)
        found = kept[id(expectation)][1]
        one = object.__new__(type(found))
        one.__dict__ |= found.__dict__ | {"_kwargs": dict(found.kwargs)}
        return one

    def expectation_of(asked: Any) -> Any:
        rule = (asked.meta or {}).get("rule")
        if rule is None:
            return built(asked)
        key = (asked.type, rule, asked.kwargs.get("batch_id"))
        if key not in made:
            made[key] = built(asked)
        return made[key]

    def id_of(mapping: Any, id_keys: Any = None, id_ignore_keys: Any = None) -> Any:
        if not mapping or id_keys is not None or id_ignore_keys is not None:
            return identified(mapping, id_keys, id_ignore_keys)
        try:
            return json.dumps(mapping, sort_keys=True)
        except TypeError:  # a value that JSON does not know
            return identified(mapping)

    with _one_at_a_time:
        configured, built, identified = Expectation.configuration, ExpectationConfiguration.to_domain_obj, IDDict.to_id
        Expectation.configuration = property(configuration)
        ExpectationConfiguration.to_domain_obj, IDDict.to_id = expectation_of, id_of
        try:
            yield
        finally:
            Expectation.configuration = configured
            ExpectationConfiguration.to_domain_obj, IDDict.to_id = built, identified
