"""A loop that can not see says so: no labels, a champion that does not serve, a bake without evidence."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import unique_model
from logs import day, deliver, delivery
from monitored import log_of, publish_labels, publish_predictions, serving
from perennial import ledger
from perennial.bake.settlement import settle
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.contracts import Hold, LedgerEntry, ReleaseState, Window, to_record
from perennial.decision.blindness import newest_waited_for
from perennial.decision.facts import gather
from perennial.decision.policy import decide
from perennial.errors import EvidenceMissing
from perennial.monitoring.performance import measure_performance
from perennial.pipeline import Runtime, loops
from perennial.registry import Registry
from perennial.settings import Settings
from perennial.store import Store


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def runtime(database_url: str, mlflow_uri: str, home: Path, models_dir: Path, store: Store) -> Runtime:
    settings = Settings(home=home, models_dir=models_dir, database_url=database_url, mlflow_uri=mlflow_uri)
    return Runtime(store, Registry(mlflow_uri), settings)


def published(store: Store, config: ModelConfig, number: int, version: str, *, labels: bool = True) -> None:
    frame = log_of(config, number, seed=number).assign(model_version=version)
    publish_predictions(store, config, day(number), frame)
    if labels:
        publish_labels(store, config, day(number), frame)


def blind(config: ModelConfig, number: int, state: ReleaseState, store: Store, registry: Registry) -> str | None:
    """What the decision about a day can not see, after its run measured."""
    measure_performance(config, day(number), store=store, registry=registry, state=state)
    return gather(config, day(number), store=store, state=state, champion_alias=state.champion).blind


def test_labels_that_stop_make_the_window_blind_once_they_were_waited_for_and_no_longer_when_they_are_back(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = serving(wine, "1")
    for number in range(2):
        published(store, wine, number, "1")
        assert blind(wine, number, state, store, registry) is None
    for number in range(2, 5):
        published(store, wine, number, "1", labels=False)
        assert blind(wine, number, state, store, registry) is None
    published(store, wine, 5, "1", labels=False)
    told = str(blind(wine, 5, state, store, registry))
    assert told.startswith("blind since 2024-01-03: nothing is measured of that window or a later one, after 3d")
    assert "0 of 200 predictions of 2024-01-03 to 2024-01-04 have a label; find out why labels do not come" in told
    published(store, wine, 6, "1")
    assert blind(wine, 6, state, store, registry) is None, "what is lost is past, and the loop sees again"


def test_without_a_champion_missing_labels_are_blind_too(store: Store, wine: ModelConfig, registry: Registry) -> None:
    nobody = ReleaseState(model=wine.model)
    for number in range(4):
        published(store, wine, number, "legacy", labels=False)
    assert blind(wine, 2, nobody, store, registry) is None
    told = gather(wine, day(3), store=store, state=nobody, champion_alias=None)
    assert decide(wine, told).action == "blind"
    published(store, wine, 4, "legacy")
    assert blind(wine, 4, nobody, store, registry) is None


def test_a_champion_that_serves_nothing_is_blind(store: Store, wine: ModelConfig, registry: Registry) -> None:
    state = serving(wine, "1", champion_since=day(0).start)
    for number in range(4):
        published(store, wine, number, "another")
    assert blind(wine, 2, state, store, registry) is None
    assert "version 1 scored none of the 200 predictions" in str(blind(wine, 3, state, store, registry))


def test_labels_that_are_in_and_tell_nothing_are_blind_and_say_why(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = serving(wine, "1", champion_since=day(0).start)
    for number in range(4):
        frame = log_of(wine, number, n_rows=29).assign(model_version="1")
        publish_predictions(store, wine, day(number), frame)
        publish_labels(store, wine, day(number), frame)
        told = blind(wine, number, state, store, registry)
    assert "no performance is known: 29 labelled rows of the champion, at least 30 are needed" in str(told)


def test_a_young_champion_and_an_old_window_are_not_blind(store: Store, wine: ModelConfig, registry: Registry) -> None:
    for number in range(6):
        published(store, wine, number, "1", labels=False)
    young = serving(wine, "1", champion_since=day(3).start)
    assert blind(wine, 5, young, store, registry) is None
    assert gather(wine, day(1), store=store, state=young, champion_alias="1").blind is None
    reviewed = wine.signoff.review.model_copy(update={"deadline": timedelta(days=3)})
    slow = wine.model_copy(update={"signoff": wine.signoff.model_copy(update={"review": reviewed})})
    older = serving(wine, "1", champion_since=day(0).start)
    assert gather(wine, day(5), store=store, state=older, champion_alias="1").blind is not None
    assert gather(slow, day(5), store=store, state=older, champion_alias="1").blind is None


def test_an_excluded_stretch_is_neither_evidence_nor_waited_for(
    store: Store, wine: ModelConfig, registry: Registry
) -> None:
    state = serving(wine, "1")
    published(store, wine, 0, "1")
    blind(wine, 0, state, store, registry)
    for number in range(1, 5):
        published(store, wine, number, "1", labels=False)
    hold = Hold(entry_id="h", stretch=Window(start=day(1).start, end=day(4).end), reason="w", acknowledged=True)
    without = replace(state, holds=(replace(hold, excluded=True),))
    assert gather(wine, day(4), store=store, state=replace(state, holds=(hold,)), champion_alias="1").blind is not None
    assert gather(wine, day(4), store=store, state=without, champion_alias="1").blind is None
    everything = replace(hold, excluded=True, stretch=Window(start=day(0).start, end=day(0).end))
    judged = replace(state, holds=(everything,))
    assert gather(wine, day(4), store=store, state=judged, champion_alias="1").blind is not None


def promotion(config: ModelConfig, number: int) -> LedgerEntry:
    made_from = {"train": to_record(day(number - 2)), "holdout": to_record(day(number - 1))}
    return LedgerEntry(
        entry_id=f"promotion-{config.model}", model=config.model, kind="promotion", at=day(number).start,
        actor="policy", reason="test", version="1", payload={"previous": None, "intent": "i", **made_from},
    )  # fmt: skip


def test_a_bake_that_is_not_measured_is_blind_at_its_deadline_and_changes_nothing(
    store: Store, wine: ModelConfig
) -> None:
    ledger.append(store, promotion(wine, 0))
    due = wine.bake_ends_by(day(0).start)
    before = ledger.entries(store, wine.model)
    assert settle(wine, store=store, at=due - timedelta(seconds=1)) == "running"
    assert settle(wine, store=store, at=due) == "blind"
    assert ledger.entries(store, wine.model) == before
    assert ledger.release_state(store, wine.model).bake == "running"


def test_a_blind_window_is_red_on_the_command_line_and_decided_anew_once_labels_came(
    runtime: Runtime, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    home = runtime.settings.home
    actions = []
    for number in range(4):
        deliver(home, "wine_cultivar", day(number), delivery("wine_cultivar", day(number)).drop(columns="label"))
        (home / "landing/wine_cultivar/labels" / f"{day(number).start:%Y-%m-%d}").mkdir(parents=True)
        blind = loops.monitor(runtime.case(config), day(number))
        actions.append(blind.action)
    assert actions == ["stay", "stay", "stay", "blind"]
    with pytest.raises(EvidenceMissing, match=re.escape(blind.reasons[0])):
        runtime.case(config).carry_out(blind.decision_id)
    for name, value in {
        "PERENNIAL_DATABASE_URL": runtime.settings.database_url,
        "MLFLOW_TRACKING_URI": runtime.settings.mlflow_uri,
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
    }.items():
        monkeypatch.setenv(name, str(value))
    span = ["--start", day(3).start.isoformat(), "--end", day(3).end.isoformat()]
    ran = CliRunner().invoke(app, ["run", "monitor", config.model, *span, "--json"])
    assert ran.exit_code == 1, ran.output
    assert len(ledger.entries(runtime.store, config.model, kinds=["decision"])) == 4, "the same window, the same cause"
    for number in range(4):
        deliver(home, "wine_cultivar", day(number), delivery("wine_cultivar", day(number)))
        decided = loops.monitor(runtime.case(config), day(number))
    assert decided.action == "retrain"


def test_a_window_that_had_begun_before_the_champion_is_not_waited_for() -> None:
    since = day(3).start + timedelta(hours=6)
    assert newest_waited_for([day(2), day(3)], since=since, excluded=()) is None
    assert newest_waited_for([day(3), day(4)], since=since, excluded=()) == day(4)
