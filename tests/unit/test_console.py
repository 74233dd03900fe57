"""The console's overview: the most urgent first, every text escaped."""

from dataclasses import replace
from datetime import UTC, datetime

from perennial.config import load_model
from perennial.contracts import Window
from perennial.orchestration.console.pages.overview import NextRun, overview
from perennial.pipeline.health.overview import Health
from perennial.pipeline.timeline import Status
from perennial.settings import ROOT

CONFIG = load_model(ROOT / "include" / "models" / "flight_delay")
HOSTILE = "<script>alert('x')</script>"
WINDOW = Window(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 1, 15, tzinfo=UTC))
STATUS = Status(
    model="flight_delay", champion="3", champion_since=WINDOW.end, in_bake=False, stable="2", rolled_back=("1",),
    open_holds=(), last_window=WINDOW, last_action="stay", last_reasons=(HOSTILE,),
)  # fmt: skip
HEALTH = Health(
    status=STATUS, metric="roc_auc", quality=(), worst=None, n_breached=0, gain=None, open_reviews=(), n_blind=0
)


def test_the_most_urgent_model_is_the_first_and_nothing_that_was_logged_is_markup() -> None:
    known = {
        "calm": HEALTH,
        "halted": replace(HEALTH, status=replace(STATUS, last_action="halt")),
        "baking": replace(HEALTH, status=replace(STATUS, in_bake=True)),
        "breached": replace(HEALTH, n_breached=1),
        "worse": replace(HEALTH, n_breached=2),
    }
    run = NextRun(at=WINDOW.end, paused=False)
    models = [(CONFIG.model_copy(update={"model": name}), health, run) for name, health in known.items()]
    page = overview(models, root="/perennial")
    places = [page.index(f"/perennial/models/{name}") for name in ("halted", "worse", "breached", "baking", "calm")]
    assert places == sorted(places)
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert "2013-01-15 00:00 UTC" in page
    assert "You may see no model here." in overview([], root="/perennial")
