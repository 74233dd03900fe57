"""The gate's own record, on real versions and real published rows: right, wrong, too early, and not to be known."""

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io as sio
from typer.testing import CliRunner

from logs import day, wine_rows
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.contracts import Estimate, Evaluation, LedgerEntry, to_record
from perennial.contracts.measured.hindsight import Tally
from perennial.registry import Registry, artifact_digest, features_frame
from perennial.registry.versions import register_version
from perennial.signoff.record.hindsight import look_back, read_record
from perennial.statistics.intervals import around
from perennial.store import Store
from published import publish_days
from servers import logged_in
from stack.environment import ADMIN


def version(config: ModelConfig, models_dir: Path, registry: Registry, *, wrong: float) -> str:
    """A version of the recipe, fitted with a share of wrong labels."""
    scope: dict[str, Any] = {}
    exec((models_dir / config.model / "recipe.py").read_text(encoding="utf-8"), scope)  # noqa: S102 - our own recipe
    rows, rng = wine_rows(300, seed=5), np.random.default_rng(1)
    labels = np.where(rng.random(300) < wrong, rng.permutation(rows["label"]), rows["label"])
    model = scope["build"](seed=7).fit(features_frame(config, pa.Table.from_pandas(rows)), labels)
    client = registry.client
    known = client.get_experiment_by_name(config.model)
    experiment = known.experiment_id if known else client.create_experiment(config.model)
    run_id = client.create_run(experiment).info.run_id
    with tempfile.TemporaryDirectory() as folder:
        sio.dump(model, Path(folder) / "model.skops")
        logged = client.create_logged_model(experiment, name="model", source_run_id=run_id)
        client.log_model_artifacts(logged.model_id, folder)
        client.finalize_logged_model(logged.model_id, "READY")
    return register_version(
        registry, config.model, model_uri=f"models:/{logged.model_id}", run_id=run_id, tags={"perennial.owner": "test"}
    )


def promoted(
    config: ModelConfig, number: int, new: str, old: str | None, *, store: Store, registry: Registry, gain: float = 0.2
) -> None:
    """The entries of a signoff that judged a gain, and of the promotion as of the end of a day."""
    judged = Evaluation(
        model=config.model,
        mlflow_run_id=new,
        n_rows=100,
        label_coverage=1.0,
        candidate={},
        baseline=old or "constant",
        baseline_metrics={},
        n_paired_rows=100,
        gains={"accuracy": Estimate(value=gain, interval=around(gain, 0.02, 100, 12, 0.95))},
    )
    made_from = {"train": to_record(day(0)), "holdout": to_record(day(number - 1))}
    digest = artifact_digest(registry, config.model, new)
    for kind, payload in (
        ("signoff", {"evaluation": to_record(judged)}),
        ("promotion", {"previous": old, "signoff": f"signoff-{new}", "artifact_digest": digest, **made_from}),
    ):
        entry = LedgerEntry(
            entry_id=f"{kind}-{new}" if kind == "signoff" else f"{config.model}-{kind}-{new}-{number}",
            model=config.model,
            kind=kind,  # type: ignore[arg-type]
            at=day(number).end,
            actor="policy",
            reason="test",
            version=new,
            payload=payload,
        )
        ledger.append(store, entry)


def rolled_back(config: ModelConfig, number: int, left: str, back: str, *, store: Store, registry: Registry) -> None:
    """The entry of a rollback as of the end of a day."""
    digest = artifact_digest(registry, config.model, back)
    entry = LedgerEntry(
        entry_id=f"{config.model}-rollback-{back}-{number}",
        model=config.model,
        kind="rollback",
        at=day(number).end,
        actor="policy",
        reason="test",
        version=back,
        payload={"previous": left, "artifact_digest": digest},
    )
    ledger.append(store, entry)


def cut_off(*_: object) -> bool:
    """In place of a write: as sudden as a signal."""
    raise KeyboardInterrupt


def test_a_promotion_is_looked_back_on_once_its_time_is_over_and_labelled(
    wine: ModelConfig, models_dir: Path, mlflow_uri: str, store: Store, monkeypatch: pytest.MonkeyPatch, home: Path,
    database_url: str,
) -> None:  # fmt: skip
    registry = Registry(mlflow_uri)
    poor, good = (version(wine, models_dir, registry, wrong=wrong) for wrong in (0.9, 0.0))
    given: dict[str, Any] = {"store": store, "registry": registry}
    promoted(wine, 4, poor, None, **given)
    promoted(wine, 5, good, poor, **given)
    publish_days(store, wine, range(6, 10), n_rows=60)
    assert look_back(wine, as_of=day(6).end, **given).promotions == (), "its bake takes two days"

    (found,) = look_back(wine, as_of=day(7).end, **given).promotions
    assert (found.version, found.previous, found.judged) == (good, poor, 0.2)
    assert found.stretch.start == day(5).end
    assert found.right is True
    assert found.realised.interval is not None
    assert found.realised.interval.n_rows == 120
    (entry,) = ledger.entries(store, wine.model, kinds=["hindsight"])
    assert entry.reason.startswith(f"the promotion of version {good} over {poor} was right: a gain of accuracy of 0.")
    assert entry.reason.endswith("after it, 0.2 when it was judged")

    promoted(wine, 7, poor, good, **given)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ledger, "append", cut_off)
        look_back(wine, as_of=day(9).end, **given)
    with ThreadPoolExecutor(2) as pool:  # what was cut off is done by both of two who come next, and written once
        record, twin = pool.map(lambda _: look_back(wine, as_of=day(9).end, **given), range(2))
    assert record == twin
    assert len(ledger.entries(store, wine.model, kinds=["hindsight"])) == 2
    assert [one.right for one in record.promotions] == [True, False]
    assert (record.promoted.n_right, record.promoted.n_wrong, record.promoted.rate) == (1, 1, 0.5)
    assert look_back(wine, as_of=day(9).end, **given) == record == read_record(wine, store=store), "kept once"

    with logged_in(ADMIN):
        registry.client.delete_model_version(wine.model, poor)
    promoted(wine, 8, good, poor, **given)
    unknown = look_back(wine, as_of=day(20).end, **given).promotions[-1]
    assert unknown.right is None
    assert "can not be scored any more" in unknown.realised.problem

    environment = {"HOME": home, "MODELS_DIR": models_dir, "DATABASE_URL": database_url, "MLFLOW_URI": mlflow_uri}
    for name, value in environment.items():
        monkeypatch.setenv(f"PERENNIAL_{name}", str(value))
    done = CliRunner().invoke(app, ["signoff", "record", wine.model, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["promoted"], told["rates"]) == ({"n_right": 1, "n_wrong": 1}, {"promoted": 0.5, "rolled_back": None})
    assert "1 of 2 promotions was right" in CliRunner().invoke(app, ["signoff", "record", wine.model]).output


def test_a_rollback_is_looked_back_on_as_a_promotion_is(
    wine: ModelConfig, models_dir: Path, mlflow_uri: str, store: Store
) -> None:
    registry = Registry(mlflow_uri)
    poor, good = (version(wine, models_dir, registry, wrong=wrong) for wrong in (0.9, 0.0))
    given: dict[str, Any] = {"store": store, "registry": registry}
    promoted(wine, 4, good, None, **given)
    rolled_back(wine, 5, poor, good, **given)
    publish_days(store, wine, range(6, 10), n_rows=60)
    assert look_back(wine, as_of=day(6).end, **given).rollbacks == (), "its time is not over"
    (found,) = look_back(wine, as_of=day(7).end, **given).rollbacks
    assert (found.kind, found.version, found.previous, found.judged) == ("rollback", good, poor, None)
    assert found.right is True
    rolled_back(wine, 7, good, poor, **given)
    record = look_back(wine, as_of=day(9).end, **given)
    assert (record.promotions, record.rolled_back) == ((), Tally(n_right=1, n_wrong=1))
    assert str(record) == "1 of 2 rollbacks was right"
    last = ledger.entries(store, wine.model, kinds=["hindsight"])[-1]
    assert last.reason.startswith(f"the rollback of version {good} to {poor} was wrong: a gain of accuracy of -0.")
    assert look_back(wine, as_of=day(9).end, **given) == record == read_record(wine, store=store), "kept once"
