"""The loop without Airflow while somebody, or something, works against it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from conftest import unique_model
from logs import day, deliver, delivery
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, RetrainRequest, Window, to_record
from perennial.errors import TrainingError
from perennial.pipeline import Runtime, loops
from perennial.pipeline.loops import Retrained
from perennial.registry import Registry
from perennial.registry.versions import alias_version, version_tags
from perennial.settings import Settings
from perennial.store import Store
from perennial.store.schema import predictions_table


@pytest.fixture
def runtime(database_url: str, mlflow_uri: str, home: Path, models_dir: Path, store: Store) -> Runtime:
    settings = Settings(home=home, models_dir=models_dir, database_url=database_url, mlflow_uri=mlflow_uri)
    return Runtime(store, Registry(mlflow_uri), settings)


@pytest.fixture
def served(models_dir: Path, runtime: Runtime) -> ModelConfig:
    """A model with a first champion, promoted as of the end of day 2."""
    config = unique_model(models_dir, "wine_cultivar")
    for number in range(3):
        play(config, number, runtime)
    assert loops.retrain(runtime.case(config), asked(config, "first", 2)).ended == "promoted"
    return config


def play(config: ModelConfig, number: int, runtime: Runtime) -> str:
    champion = alias_version(runtime.registry, config.model, "champion") or "legacy"
    frame = delivery("wine_cultivar", day(number), seed=number).assign(model_version=champion)
    deliver(runtime.settings.home, "wine_cultivar", day(number), frame)
    return loops.monitor(runtime.case(config), day(number)).action


def asked(config: ModelConfig, run_id: str, number: int) -> RetrainRequest:
    return RetrainRequest(model=config.model, run_id=run_id, as_of=day(number).end, cause="test", requested_by="t")


def n_rows(config: ModelConfig, runtime: Runtime) -> int:
    with runtime.store.begin() as connection:
        return connection.scalar(select(func.count()).select_from(predictions_table(config))) or 0


def test_a_retrain_that_runs_again_after_its_promotion_leaves_the_champion_as_it_is(
    runtime: Runtime, served: ModelConfig
) -> None:
    before = runtime.case(served).verify()
    tags = version_tags(runtime.registry, served.model, "1")
    again = loops.retrain(runtime.case(served), asked(served, "first", 2))
    assert again.ended == "promoted"
    assert runtime.case(served).verify() == before
    assert version_tags(runtime.registry, served.model, "1") == tags


def test_two_retrains_at_once_make_one_champion(runtime: Runtime, models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    for number in range(3):
        play(config, number, runtime)

    def go(run_id: str) -> object:
        try:
            return loops.retrain(runtime.case(config), asked(config, run_id, 2))
        except Exception as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(go, ["left", "right"]))
    state = runtime.case(config).verify()
    releases = [item for item in ended if isinstance(item, Retrained) and item.release]
    assert len(ledger.entries(runtime.store, config.model, kinds=["promotion"])) == len(releases) == 1
    assert state.champion == releases[0].version


def test_a_good_delivery_sent_again_after_a_broken_one_counts_as_the_newest(runtime: Runtime, models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    assert play(config, 0, runtime) == "stay"
    good = delivery("wine_cultivar", day(0), seed=0).assign(model_version="legacy")
    deliver(runtime.settings.home, "wine_cultivar", day(0), good.rename(columns={"hue": "shade"}))
    assert loops.monitor(runtime.case(config), day(0)).action == "halt"
    deliver(runtime.settings.home, "wine_cultivar", day(0), good)
    assert loops.monitor(runtime.case(config), day(0)).action == "stay"
    assert n_rows(config, runtime) == 120


def test_a_backfill_over_windows_before_the_promotion_neither_retrains_nor_rolls_back(
    runtime: Runtime, served: ModelConfig
) -> None:
    before = runtime.case(served).verify()
    for number in (0, 1, 2):
        frame = delivery("wine_cultivar", day(number), seed=number + 50).assign(model_version="1", score=0.5)
        frame["predicted"] = "barbera"
        deliver(runtime.settings.home, "wine_cultivar", day(number), frame)
        assert loops.monitor(runtime.case(served), day(number)).action == "stay"
    after = runtime.case(served).verify()
    assert (after.champion, after.in_bake, after.request_times) == (before.champion, True, before.request_times)


def test_a_retrain_by_hand_does_not_pass_by_a_hold(runtime: Runtime, served: ModelConfig) -> None:
    held = Window(start=day(0).start, end=day(1).end)
    entry = LedgerEntry(
        entry_id=f"hold-{served.model}", model=served.model, kind="hold", at=day(2).end, actor="policy",
        reason="rolled back", version="7", payload={"stretch": to_record(held), "version": "7"},
    )  # fmt: skip
    ledger.append(runtime.store, entry)
    with pytest.raises(TrainingError, match=f"acknowledge hold {entry.entry_id}"):
        loops.retrain(runtime.case(served), asked(served, "by hand", 2))
