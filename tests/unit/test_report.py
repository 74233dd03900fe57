"""The report of a model: it needs nothing else, tells everything, and nothing that was logged is markup."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from perennial.config import load_model
from perennial.contracts import Signal, Window
from perennial.evidence.causes import Cause, Causes, QuarantinedRow
from perennial.evidence.deliveries.quarantine import BatchQuarantine
from perennial.pipeline.readings import reading_of
from perennial.pipeline.timeline import Status, TimelineRow
from perennial.reporting.gathered import Gathered, Happened
from perennial.reporting.page import page
from perennial.settings import ROOT
from perennial.statistics.intervals import around

CONFIG = load_model(ROOT / "include" / "models" / "flight_delay")
HOSTILE = "<script>alert('x')</script>"
START, LENGTH = datetime(2013, 1, 1, tzinfo=UTC), timedelta(days=14)
WINDOWS = [Window(start=START + n * LENGTH, end=START + (n + 1) * LENGTH) for n in range(3)]
STATUS = Status(
    model="flight_delay", champion="3", champion_since=START, in_bake=False, stable="2", rolled_back=("1",),
    open_holds=(HOSTILE,), last_window=WINDOWS[-1], last_action="halt", last_reasons=(HOSTILE,),
)  # fmt: skip
ROW = TimelineRow(
    window=WINDOWS[0], n_staged=9, n_published=1234, n_quarantined=7, n_duplicate=0, action="stay", reasons=(HOSTILE,),
    breached=(), watched=(), unknown=(), performance={"roc_auc": 0.71}, events=(HOSTILE,), champion="3", stable="2",
)  # fmt: skip
SIGNAL = Signal(
    model="flight_delay", window=WINDOWS[-1], as_of=WINDOWS[-1].end, name="performance/roc_auc", role="watch",
    status="breached", value=0.5512, threshold=0.6, version="3", detail=HOSTILE,
    interval=around(0.5512, 0.01, 900, 14, 0.95),
)  # fmt: skip
BAD = BatchQuarantine(
    batch_id="b", source="predictions", window=WINDOWS[-1], status="halted", reason=HOSTILE, n_quarantined=7,
    causes=Causes(first=(
        Cause(cause=HOSTILE, n_rows=7, examples=(QuarantinedRow(row_number=1, reason=HOSTILE, raw=HOSTILE),)),
    )),
)  # fmt: skip
FOUND = Gathered(
    config=CONFIG, status=STATUS, window=WINDOWS[-1],
    rows=(*(replace(ROW, window=window) for window in WINDOWS[:2]), replace(ROW, window=WINDOWS[-1], action="halt")),
    readings=(reading_of(CONFIG, SIGNAL),),
    series={"performance/roc_auc": tuple(replace(SIGNAL, window=window) for window in WINDOWS)},
    history=(Happened(at=WINDOWS[1].end, kind="promotion", actor=HOSTILE, sentence=HOSTILE),), quarantine=(BAD,),
    n_reviews=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def told() -> str:
    return page(FOUND, made_at=START)


def test_it_needs_nothing_else_and_runs_nothing(told: str) -> None:
    assert HOSTILE not in told
    assert "<script" not in told
    assert re.findall(r"(?:src|href|url)\s*[=(]", told) == []


def test_it_tells_standing_decision_and_signals_with_interval_and_bound(told: str) -> None:
    assert "halted: a delivery is broken, and was not published" in told
    assert "Window 2013-01-29 to 2013-02-12" in told
    assert "the delivery is broken and was not published" in told
    for cell in ("0.5512", "0.5296 to 0.5728, 14 blocks", "at least 0.6"):
        assert f"<td>{cell}</td>" in told


def test_it_draws_every_window_with_what_happened_and_names_the_quarantine(told: str) -> None:
    assert told.count("<svg") == 1
    assert "performance/roc_auc: performance/roc_auc 0.5512 at last" in told
    assert "P: promoted, H: halted" in told
    assert "predictions of 2013-01-29 to 2013-02-12: 7 rows, the batch is halted" in told


def test_signals_that_act_and_are_breached_in_the_newest_window_are_said_where_it_stands() -> None:
    calm = replace(FOUND, status=replace(STATUS, last_action="stay", open_holds=()))
    said = "out of bounds in its newest window"
    assert said not in page(calm, made_at=START)
    breached = (*FOUND.rows[:-1], replace(FOUND.rows[-1], breached=("gain/roc_auc",)))
    assert said in page(replace(calm, rows=breached), made_at=START)
    assert said not in page(replace(calm, rows=breached[::-1]), made_at=START), "an older one is over"


def test_a_model_of_which_nothing_is_known_has_a_page_that_says_so() -> None:
    nothing = replace(
        FOUND, status=replace(STATUS, champion=None, last_action=None, open_holds=()), window=None, rows=(),
        readings=(), series={}, history=(), quarantine=(),
    )  # fmt: skip
    told = page(nothing, made_at=START)
    for words in ("no champion yet", "No window was decided yet.", "Nothing to draw yet.", "Nothing is in quarantine."):
        assert words in told
