"""The reference holds its two parts in the proportion of the snapshot, however few rows of them it may hold."""

from pathlib import Path

import pyarrow.compute as pc

from conftest import unique_model
from perennial.contracts import ReleaseState
from perennial.registry import Registry, load_reference
from perennial.store import Store
from perennial.store.tables import ensure_data_tables
from perennial.training.evaluate import evaluate
from perennial.training.fit import fit
from perennial.training.register import register
from perennial.training.snapshot import take_snapshot
from published import publish_days, request_at


def test_the_parts_of_a_reference_weigh_what_they_weigh_in_the_snapshot(
    store: Store, mlflow_uri: str, models_dir: Path
) -> None:
    registry, config = Registry(mlflow_uri), unique_model(models_dir, "tumour_malignant")
    ensure_data_tables(store, config)
    publish_days(store, config, range(8), n_rows=300)
    state = ReleaseState(model=config.model)
    frozen = take_snapshot(config, request_at(config, 7), store=store, state=state)
    assert (frozen.n_train, frozen.n_holdout) == (1200, 600)
    assert config.signals.sample_rows == 1000
    fitted = fit(config, frozen, request_at(config, 7), store=store, registry=registry, models_dir=models_dir)
    evaluate(config, fitted, frozen, store=store, registry=registry, state=state)
    candidate = register(config, fitted, frozen, store=store, registry=registry)
    reference = load_reference(registry, config.model, candidate.version)
    assert reference is not None
    counts = {part: reference.filter(pc.equal(reference["part"], part)).num_rows for part in ("train", "holdout")}
    assert counts == {"train": 1000, "holdout": 500}
