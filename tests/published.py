"""Puts labelled rows straight into a model's tables, as if they had been ingested and published."""

from collections.abc import Iterable
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.datasets import load_breast_cancer

from logs import ROWS, day
from perennial.config import ModelConfig
from perennial.contracts import RetrainRequest, Window
from perennial.store import Store, bulk, schema

tumours = cache(lambda: load_breast_cancer(return_X_y=True, as_frame=True))


def tumour_rows(n_rows: int, seed: int) -> pd.DataFrame:
    """Resampled tumours with a little noise; the label is 1 where malignant."""
    rng = np.random.default_rng(seed)
    data, target = tumours()
    picked = rng.integers(0, len(data), n_rows)
    frame = data[["mean radius", "mean texture", "mean smoothness"]].iloc[picked].reset_index(drop=True)
    frame.columns = ["mean_radius", "mean_texture", "mean_smoothness"]
    frame["mean_radius"] = (frame["mean_radius"] + rng.normal(0, 0.5, n_rows)).where(rng.random(n_rows) > 0.05)
    frame["n_visits"] = rng.integers(0, 20, n_rows)
    frame["clinic"] = pd.Series(rng.choice(["east", "north", "west"], n_rows)).where(rng.random(n_rows) > 0.1)
    frame["screened"] = pd.Series(rng.random(n_rows) < 0.5, dtype="boolean").where(rng.random(n_rows) > 0.1)
    frame["label"] = 1.0 - target.iloc[picked].to_numpy()
    return frame


def rows_of(config: ModelConfig, window: Window, n_rows: int, seed: int) -> pd.DataFrame:
    """Features and label of one window, with ids and times spread over it; labelled two hours later."""
    template = next((name for name in ROWS if config.model.startswith(name[:8])), "")
    frame = ROWS[template](n_rows, seed) if template else tumour_rows(n_rows, seed)
    offsets = np.linspace(0, (window.end - window.start).total_seconds() * 0.9, n_rows)
    frame["prediction_id"] = [f"{window.start:%Y%m%d}-{seed}-{i:06d}" for i in range(n_rows)]
    frame["event_time"] = pd.Timestamp(window.start) + pd.to_timedelta(offsets, unit="s").round("ms")
    frame["labelled_at"] = frame["event_time"] + pd.Timedelta(hours=2)
    return frame


def publish(
    store: Store, config: ModelConfig, frame: pd.DataFrame, *, role: str = "champion", version: str = "legacy"
) -> None:
    """COPY the rows into the model's predictions, and those with a label into its labels."""
    served = frame.assign(score=0.5, predicted=None, model_version=version, role=role, batch_seq=1)
    copy_rows(store, schema.predictions_table(config), served)
    if role == "champion":
        copy_rows(store, schema.labels_table(config), frame[frame["label"].notna()].assign(batch_seq=1))


def copy_rows(store: Store, table: object, frame: pd.DataFrame) -> None:
    """COPY the columns of a delivery into its table."""
    columns = schema.delivered_columns(table)  # type: ignore[arg-type]
    with bulk.bulk_transaction(store) as cursor:
        arrow_types = {"DOUBLE PRECISION": pa.float64(), "DOUBLE": pa.float64(), "BIGINT": pa.int64()}
        arrow_types |= {"BOOLEAN": pa.bool_(), "TEXT": pa.string()}
        fields = [
            pa.field(column.name, arrow_types.get(str(column.type), pa.timestamp("us", "UTC"))) for column in columns
        ]
        rows = pa.Table.from_pandas(
            frame[[column.name for column in columns]], schema=pa.schema(fields), preserve_index=False
        )
        bulk.copy_in(cursor, table, rows.to_reader())  # type: ignore[arg-type]


def publish_days(store: Store, config: ModelConfig, days: Iterable[int], n_rows: int = 100) -> None:
    """Complete rows of several days, all labelled."""
    for number in days:
        publish(store, config, rows_of(config, day(number), n_rows, seed=number))


def request_at(config: ModelConfig, number: int, run_id: str = "retrain__1") -> RetrainRequest:
    """A retrain request as of the end of a day."""
    return RetrainRequest(
        model=config.model, run_id=run_id, as_of=day(number).end, cause="a test asks", requested_by="test"
    )
