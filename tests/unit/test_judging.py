"""Great Expectations judges frames, and does nothing else with them."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pandas as pd
import pytest

from perennial.validation.expectations import Rule
from perennial.validation.gx_imports import gx, gxe, made_once, pandas_execution_engine, whole_dataframe
from perennial.validation.judging import judge, tallies

BETWEEN = Rule(
    key=0,
    name="ExpectColumnValuesToBeBetween",
    kwargs={"column": "hue", "min_value": 0, "max_value": 2},
    level="row",
    fault="hue: outside [0, 2]",
    columns=("hue",),
)


def test_no_frame_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(*_: Any) -> str:
        raise AssertionError("a fingerprint of every frame, twice, costs more than all rules")

    monkeypatch.setattr(pandas_execution_engine, "hash_pandas_dataframe", hashed)
    found = tallies((BETWEEN,))
    failed = list(judge(pd.DataFrame({"hue": [1.0, 3.0]}), [BETWEEN], found))
    assert [positions.tolist() for _, positions in failed] == [[1]]
    assert not found[0].error


def test_frames_of_one_shape_are_judged_each_by_its_own_values() -> None:
    found = tallies((BETWEEN,))
    at = [
        positions.tolist()
        for hue in ([1.0, 1.0], [3.0, 1.0], [1.0, 1.0], [1.0, 3.0])
        for _, positions in judge(pd.DataFrame({"hue": hue}), [BETWEEN], found)
    ]
    assert at == [[0], [1]]
    assert (found[0].n_rows, found[0].n_unexpected) == (8, 2)


def test_what_is_made_once_is_judged_as_ever() -> None:
    def judged() -> Any:
        hue, size = (
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=2, meta=meta)
            for name, meta in (("hue", {"rule": 0}), ("size", {"rule": 1}))
        )
        asked = [hue, size]
        asked.append(gxe.ExpectColumnValuesToBeInSet(column="hue", value_set=[1.0, 3.0], mostly=0.5, meta={"rule": 2}))
        asked.append(gxe.ExpectColumnValuesToBeInSet(column="hue", value_set=[1.0, None]))  # of no rule
        frame = pd.DataFrame({"hue": [1.0, 3.0, None], "size": [0.0, 2.0, 5.0]})
        suite = gx.ExpectationSuite("schema", expectations=asked)
        results = whole_dataframe().get_batch({"dataframe": frame}).validate(suite, result_format="COMPLETE").results
        return [{**one.to_json_dict(), "meta": None} for one in results]

    expected = judged()
    with made_once():
        found = [judged(), judged()]
    assert found == [expected, expected]
    assert sorted(one["result"]["unexpected_count"] for one in expected) == [0, 1, 1, 1]
    assert judged() == expected


def test_whoever_changes_an_answer_changes_only_that() -> None:
    one = gxe.ExpectColumnValuesToBeBetween(column="hue", min_value=0, max_value=2)
    with made_once():
        one.configuration.kwargs["column"] = "size"
        assert one.configuration.kwargs["column"] == "hue"


def test_threads_that_judge_at_once_leave_nothing_behind_for_each_other() -> None:
    """The second would keep the answers of the first for those of Great Expectations, and put them back for good."""
    configuration = gxe.ExpectColumnValuesToBeBetween.configuration
    entered, both = Event(), Event()

    def first() -> None:
        with made_once():
            entered.set()
            assert not both.wait(0.3), "two threads were within it at once"

    def second() -> None:
        entered.wait()
        with made_once():
            both.set()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(first), threads.submit(second)]:
            done.result()
    assert both.is_set()
    assert gxe.ExpectColumnValuesToBeBetween.configuration is configuration
