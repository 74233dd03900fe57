"""A model's past, put straight into the store and the registry, for the tests of monitoring."""

from datetime import datetime
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import infer_signature
from sqlalchemy import insert

from logs import day, delivery
from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Window
from perennial.registry import Registry, features_frame
from perennial.registry.models import log_model
from perennial.registry.reference import save_reference
from perennial.registry.runs import RunKey, finish_run, start_run
from perennial.registry.versions import register_version
from perennial.store import Store, schema
from published import copy_rows

ARROW_TYPES = {"float": pa.float64(), "int": pa.int64(), "category": pa.string(), "bool": pa.bool_()}


def template_of(config: ModelConfig) -> str:
    return "wine_cultivar" if config.task == "multiclass" else "diabetes_progress"


def log_of(config: ModelConfig, number: int, *, n_rows: int = 200, seed: int = 1) -> pd.DataFrame:
    """A complete log of one day, with its labels."""
    frame = delivery(template_of(config), day(number), n_rows, seed).assign(role="champion")
    return frame if "predicted" in frame else frame.assign(predicted=None)


def feature_table(config: ModelConfig, frame: pd.DataFrame) -> pa.Table:
    """Features with their types in the store."""
    return pa.table(
        {name: pa.Array.from_pandas(frame[name], type=ARROW_TYPES[spec.type]) for name, spec in config.features.items()}
    )


def rows_of(config: ModelConfig, frame: pd.DataFrame) -> pa.Table:
    """What monitoring reads: features, time, score, predicted, model version and label."""
    table = feature_table(config, frame)
    times = pa.Array.from_pandas(frame["event_time"], type=pa.timestamp("us", "UTC"))
    table = table.append_column("event_time", times)
    table = table.append_column("score", pa.Array.from_pandas(frame["score"], type=pa.float64()))
    table = table.append_column("predicted", pa.Array.from_pandas(frame["predicted"], type=pa.string()))
    table = table.append_column("model_version", pa.Array.from_pandas(frame["model_version"], type=pa.string()))
    return table.append_column("label", pa.Array.from_pandas(frame["label"]))


def reference_of(config: ModelConfig, *, n_rows: int = 400) -> pa.Table:
    """The reference of a champion fitted and judged on the days before the calendar's first."""
    parts = []
    for part, seed in (("train", 101), ("holdout", 102)):
        frame = log_of(config, -seed, n_rows=n_rows, seed=seed)
        table = rows_of(config, frame).drop_columns(["model_version"])
        if part == "train":
            table = table.set_column(table.schema.get_field_index("score"), "score", pa.nulls(n_rows, pa.float64()))
        parts.append(table.append_column("part", pa.array([part] * n_rows)))
    return pa.concat_tables(parts)


def even_importance(config: ModelConfig) -> dict[str, float]:
    return {name: 1 / len(config.features) for name in config.features}


def _batch(store: Store, config: ModelConfig, source: str, window: Window, audit: dict[str, object]) -> int:
    values = {
        "batch_id": f"{config.model}-{source}-{window.key}-{uuid4().hex}",
        "model": config.model,
        "source": source,
        "window_start": window.start,
        "window_end": window.end,
        "status": "published",
        "n_staged": audit["n_rows"],
        "n_published": audit["n_rows"],
        "staged": {},
        "audit": audit,
    }
    with store.begin() as connection:
        statement = insert(schema.batches).values(values).returning(schema.batches.c.seq)
        return int(connection.execute(statement).scalar_one())


def publish_predictions(
    store: Store, config: ModelConfig, window: Window, frame: pd.DataFrame, **audit: object
) -> None:
    """Predictions as if they had been ingested, audited and published; ``audit`` adds to what the audit counted."""
    counted = {"n_rows": len(frame), "n_type_errors": {}, "n_out_of_range": {}, **audit}
    seq = _batch(store, config, "predictions", window, counted)
    copy_rows(store, schema.predictions_table(config), frame.assign(batch_seq=seq))


def publish_labels(
    store: Store, config: ModelConfig, window: Window, frame: pd.DataFrame, *, at: datetime | None = None
) -> None:
    """Labels that were delivered in ``window``; all arrived ``at`` one moment if it is given."""
    seq = _batch(store, config, "labels", window, {"n_rows": len(frame)})
    labels = frame[["prediction_id", "label", "labelled_at"]].assign(batch_seq=seq)
    copy_rows(store, schema.labels_table(config), labels if at is None else labels.assign(labelled_at=at))


def release(
    config: ModelConfig,
    registry: Registry,
    *,
    estimator: object | None = None,
    rows: pa.Table | None = None,
    **kept: object,
) -> str:
    """A version in the registry; ``reference`` and ``importance`` are kept with it when given.

    Its signature is that of ``rows``, by default of a day's log.
    """
    run_id = start_run(registry, RunKey(model=config.model, snapshot_id="s", request=f"r{len(kept)}"), tags={})
    if "reference" in kept:
        save_reference(registry, run_id, kept["reference"], kept.get("importance"))  # type: ignore[arg-type]
    given = feature_table(config, log_of(config, 0, n_rows=60)) if rows is None else rows
    frame = features_frame(config, given)
    model = estimator if estimator is not None else constant_model(config, frame)
    model_uri = log_model(
        registry,
        run_id,
        model,
        name="model",
        signature=infer_signature(frame),
        example=frame.head(2),
        requirements=["scikit-learn"],
        trusted_types=config.training.trusted_types,
        predict_with="predict",
    )
    finish_run(registry, run_id)
    return register_version(registry, config.model, model_uri=model_uri, run_id=run_id, tags={})


def constant_model(config: ModelConfig, frame: pd.DataFrame) -> object:
    """Answers the same for every row."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if config.task == "regression":
        return DummyRegressor(strategy="constant", constant=150.0).fit(frame, np.linspace(0, 300, len(frame)))
    return DummyClassifier(strategy="most_frequent").fit(frame, np.resize(config.label.classes or [], len(frame)))


def serving(config: ModelConfig, version: str, **state: object) -> ReleaseState:
    """The release state under which ``version`` serves since before the calendar's first day."""
    return ReleaseState(
        model=config.model,
        **{"champion": version, "champion_since": day(-1).start, **state},  # type: ignore[arg-type]
    )
