"""Seven candidates that must not serve, each made of real rows by a real retrain, and stopped by what is meant for it.

All of them are judged beside one champion, which knows one feature; with none of the faults, the eighth is promoted.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
import yaml
from sqlalchemy.engine import URL

from conftest import unique_model
from logs import day
from monitored import publish_labels, publish_predictions
from perennial.config import ModelConfig, load_model
from perennial.pipeline import Case, Runtime, loops
from perennial.pipeline.loops import Retrained
from perennial.registry import alias_version
from perennial.registry.versions import get_version, set_version_tags
from published import publish, rows_of
from servers import create_database
from trained import Trained, asked, copied, kept, runtime_of

pytestmark = pytest.mark.xdist_group("stopped")  # the champion is made once

A_DAY, NOW = 600, 9
WEAK = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def build(*, seed, max_iter=100):
    return make_pipeline(make_column_transformer(("passthrough", ["mean_smoothness"])), LogisticRegression(C=1e4))
"""
SLOW = """
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline


def build(*, seed, max_iter=100):
    chosen = make_column_transformer(("passthrough", ["mean_texture", "mean_smoothness", "n_visits"]))
    return make_pipeline(chosen, RandomForestClassifier(150, max_depth=6, random_state=seed))
"""
GATES: dict[str, Any] = {
    "versus_champion": {"metric": "roc_auc", "min_gain": 0.005},
    "slices": {"columns": ["clinic"], "min_rows": 60, "metric": "brier", "max_loss": 0.05},
    "fairness": {"columns": ["screened"], "bound": 0.2, "max_worsening": 0.2},
    "windows": {"last": 2, "min_rows": 100},
    "min_holdout_rows": 100,
}
Change = Callable[[pd.DataFrame], pd.DataFrame]


def rows(config: ModelConfig, number: int) -> pd.DataFrame:
    """Tumours of one day; one patient in eight is from the clinic in the north."""
    frame, rng = rows_of(config, day(number), A_DAY, seed=number), np.random.default_rng(number)
    return frame.assign(clinic=rng.choice(["east", "north", "west"], A_DAY, p=[0.44, 0.12, 0.44]))


def declare(folder: Path, *, recipe: str | None = None, **sections: dict[str, Any]) -> ModelConfig:
    """The model with other keys in sections of its ``model.yaml``, and another recipe."""
    path = folder / "model.yaml"
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, keys in sections.items():
        told[name] |= keys
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    if recipe is not None:
        (folder / "recipe.py").write_text(recipe, encoding="utf-8")
    return load_model(folder)


@pytest.fixture(scope="module")
def champion(
    postgres_server: URL, migrated_template: str, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """Version 1, fitted on one feature and promoted as of the end of day 4."""
    folder = tmp_path_factory.mktemp("champion")
    (folder / "models").mkdir()
    config = unique_model(folder / "models", "tumour_malignant")
    recipe = (folder / "models" / config.model / "recipe.py").read_text(encoding="utf-8")
    database = f"stopped_{uuid4().hex[:12]}"
    runtime = runtime_of(create_database(postgres_server, database, migrated_template), mlflow_uri, folder)
    weak = declare(folder / "models" / config.model, recipe=WEAK, signoff={"metrics": {"roc_auc": {"min": 0.55}}})
    case = runtime.case(weak)
    case.prepare()
    for number in range(5):
        publish(runtime.store, weak, rows(weak, number))
    assert loops.retrain(case, asked(weak, "first", 4)).ended == "promoted"
    strict = declare(
        folder / "models" / config.model, recipe=recipe, signoff={**GATES, "metrics": {"roc_auc": {"min": 0.7}}}
    )
    return kept(strict, database, runtime, folder)


@pytest.fixture
def runtime(champion: Trained, postgres_server: URL, mlflow_uri: str, tmp_path: Path) -> Iterator[Runtime]:
    """A copy of the champion's world."""
    runtime = copied(champion, postgres_server, mlflow_uri, tmp_path / "world")
    yield runtime
    runtime.close()


@pytest.fixture
def folder(runtime: Runtime, champion: Trained) -> Path:
    return runtime.settings.models_dir / champion.config.model


@pytest.fixture
def retrained(runtime: Runtime, folder: Path) -> Callable[..., tuple[Case, Retrained]]:
    """Publishes days 5 to 9, each changed as told, and retrains as of the last of them."""

    def go(change: Change = lambda frame: frame, **declared: Any) -> tuple[Case, Retrained]:
        case = runtime.case(declare(folder, **declared))
        for number in range(5, NOW + 1):
            publish(runtime.store, case.config, change(rows(case.config, number)), version="1")
        return case, loops.retrain(case, asked(case.config, "next", NOW))

    return go


def failed(ended: Retrained) -> dict[str, str]:
    """The gates that stopped it, with their sentences; nothing of it serves."""
    assert ended.signoff is not None
    assert ended.release is None
    return {gate.name: gate.detail for gate in ended.signoff.failed}


def test_with_none_of_the_faults_it_is_promoted(retrained: Callable[..., tuple[Case, Retrained]]) -> None:
    case, ended = retrained()
    assert ended.ended == "promoted", ended.outcome
    assert ended.signoff is not None
    judged = {gate.name: gate for gate in ended.signoff.gates}
    assert {"slice/clinic", "fairness/statistical_parity/screened", "windows/roc_auc", "parity"} <= set(judged)
    assert "none of the last 2 windows may lose more than 0.05, and 0 of them lose" in judged["windows/roc_auc"].detail
    assert case.verify().champion == "2"


def test_better_over_all_and_worse_in_one_clinic(retrained: Callable[..., tuple[Case, Retrained]]) -> None:
    """In the north somebody mixed up the labels of three days, and the candidate has learnt them."""
    taught = day(7).start + (day(7).end - day(7).start) * 0.75  # its holdout begins

    def mixed_up(frame: pd.DataFrame) -> pd.DataFrame:
        there = (frame["clinic"] == "north") & (frame["event_time"] < pd.Timestamp(taught))
        return frame.assign(label=frame["label"].where(~there, 1 - frame["label"]))

    _, ended = retrained(mixed_up)
    why = failed(ended)
    assert list(why) == ["slice/clinic"], why
    assert why["slice/clinic"].startswith("clinic=north (")
    assert ended.signoff is not None
    assert next(gate for gate in ended.signoff.gates if gate.name == "versus_champion/roc_auc").passed


def test_one_that_leaks(retrained: Callable[..., tuple[Case, Retrained]]) -> None:
    """Who was found ill comes again, and the log was written afterwards."""

    def told(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(n_visits=(frame["n_visits"] % 5 + 10 * frame["label"]).astype(int))

    case, ended = retrained(told)
    assert ended.ended == "waiting", "a flag takes it from the policy"
    assert ended.signoff is not None
    assert [flag.name for flag in ended.signoff.flags] == ["flag/leakage"]
    assert ended.signoff.flags[0].detail.startswith("n_visits alone foretells the labels with 1")
    assert alias_version(case.registry, case.model, "champion") == "1"


def test_one_that_is_unfair(retrained: Callable[..., tuple[Case, Retrained]]) -> None:
    """Whom the screening sent is ill more often; so it is in the rows, and so the candidate answers."""

    def sent(frame: pd.DataFrame) -> pd.DataFrame:
        ill, rng = frame["label"] == 1, np.random.default_rng(3)
        screened = np.where(ill, rng.random(A_DAY) < 0.8, rng.random(A_DAY) < 0.3)
        return frame.assign(screened=pd.Series(screened, dtype="boolean"))

    why = failed(retrained(sent)[1])
    assert "fairness/statistical_parity/screened" in why
    assert {name.partition("/")[0] for name in why} == {"fairness"}, why


def test_one_that_is_too_slow(retrained: Callable[..., tuple[Case, Retrained]]) -> None:
    why = failed(retrained(recipe=SLOW, signoff={"serving": {"max_p50_ms": 4.0, "requests": 20}})[1])
    assert list(why) == ["serving/single_p50_ms"], why
    assert why["serving/single_p50_ms"].endswith("ms; 4 ms allowed")


def test_one_that_was_altered_after_its_gates(retrained: Callable[..., tuple[Case, Retrained]], tmp_path: Path) -> None:
    case, waiting = retrained(signoff={"review": {"mode": "manual", "deadline": "1h", "poll_s": 1.0}})
    assert (waiting.ended, waiting.version) == ("waiting", "2")
    (tmp_path / "model.skops").write_text("forged", encoding="utf-8")
    source = str(get_version(case.registry, case.model, "2").source)
    case.registry.client.log_model_artifact(source.removeprefix("models:/"), str(tmp_path / "model.skops"))
    set_version_tags(case.registry, case.model, "2", {"signoff": "approved", "reviewer": "ada"})
    assert waiting.signoff is not None
    answer = case.review(waiting.signoff.signoff_id)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("rejected", "policy")
    assert answer.reason.startswith("the files changed from digest")
    assert case.conclude(waiting.request.request_id, signoff_id=waiting.signoff.signoff_id).startswith(
        "version 2 rejected by policy: the files changed"
    )
    assert case.verify().champion == "1"


def test_one_with_sixty_holdout_rows(retrained: Callable[..., tuple[Case, Retrained]]) -> None:
    why = failed(retrained(training={"holdout": "130min"}, signoff={"windows": {}, "slices": {}, "fairness": {}})[1])
    assert why["min_holdout_rows"] == "labelled holdout rows: 60, at least 100 needed"
    assert why["versus_champion/roc_auc"].startswith(
        "only 60 rows new to both candidate and champion 1; 100 are needed"
    )


def test_one_made_from_flagged_labels(runtime: Runtime, folder: Path) -> None:
    """For one day everybody was labelled ill. The candidate passes its gates, and no policy answers for it."""
    case = runtime.case(load_model(folder))
    for number in range(5, NOW + 1):
        frame = rows(case.config, number)
        frame = frame.assign(label=1.0) if number == 6 else frame
        served = frame.assign(score=0.3, predicted=None, model_version="1", role="champion")
        publish_predictions(runtime.store, case.config, day(number), served)
        publish_labels(runtime.store, case.config, day(number), frame)
        case.measure_performance(day(number))
    ended = loops.retrain(case, asked(case.config, "next", NOW))
    assert ended.ended == "waiting", ended.outcome
    assert ended.signoff is not None
    assert ("flag/label_rate", day(6)) in [(flag.name, flag.window) for flag in ended.signoff.flags]
    assert case.verify().champion == "1"
