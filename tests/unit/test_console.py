"""The console's pages: the most urgent first, every text escaped."""

from dataclasses import replace
from datetime import UTC, datetime

from perennial.config import load_model
from perennial.contracts import Signal, Window
from perennial.orchestration.console.pages import WINDOWS_SHOWN, model_page, overview
from perennial.pipeline.readings import reading_of
from perennial.pipeline.timeline import Status, TimelineRow
from perennial.settings import ROOT

CONFIG = load_model(ROOT / "include" / "models" / "flight_delay")
HOSTILE = "<script>alert('x')</script>"
WINDOW = Window(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 1, 15, tzinfo=UTC))
STATUS = Status(
    model="flight_delay", champion="3", champion_since=WINDOW.end, in_bake=False, stable="2", rolled_back=("1",),
    open_holds=(), last_window=WINDOW, last_action="stay", last_reasons=(HOSTILE,),
)  # fmt: skip
ROW = TimelineRow(
    window=WINDOW, n_staged=9, n_published=1234, n_quarantined=1, n_duplicate=0, action="stay", reasons=(HOSTILE,),
    breached=(), watched=(), unknown=(), performance={"roc_auc": 0.71234}, events=(HOSTILE,), champion="3", stable="2",
)  # fmt: skip
SIGNAL = Signal(
    model="flight_delay", window=WINDOW, as_of=WINDOW.end, name="drift/origin", role="watch", status="ok", value=0.1,
    threshold=0.2, version="3", detail=HOSTILE,
)  # fmt: skip


def test_the_most_urgent_model_is_the_first_and_nothing_that_was_logged_is_markup() -> None:
    names = {"calm": STATUS, "halted": replace(STATUS, last_action="halt"), "baking": replace(STATUS, in_bake=True)}
    models = [(CONFIG.model_copy(update={"model": name}), status) for name, status in names.items()]
    page = overview(models, root="/perennial")
    places = [page.index(f"/perennial/models/{name}") for name in ("halted", "baking", "calm")]
    assert places == sorted(places)
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_a_model_shows_breaches_first_and_its_newest_windows() -> None:
    signals = [
        SIGNAL,
        replace(SIGNAL, name="drift/dest", status="breached"),
        replace(SIGNAL, value=None, status="unknown"),
    ]
    readings = [reading_of(CONFIG, signal) for signal in signals]
    page = model_page(CONFIG, STATUS, [ROW] * (WINDOWS_SHOWN + 1), readings, root="/perennial")
    assert HOSTILE not in page
    assert page.index("drift/dest") < page.index("drift/origin")
    assert page.count("roc_auc 0.7123") == WINDOWS_SHOWN
    assert f"The newest {WINDOWS_SHOWN} of {WINDOWS_SHOWN + 1} decisions." in page


def test_pages_of_nothing_say_so() -> None:
    assert "You may see no model here." in overview([], root="/perennial")
    page = model_page(CONFIG, replace(STATUS, champion=None, last_window=None), [], [], root="/perennial")
    assert "Nothing was measured yet." in page
    assert "No window was decided yet." in page
    assert "no champion yet" in page
