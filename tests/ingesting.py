"""Short ways to deliver rows to a test model and to take them through stage, audit and publish."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import select

from logs import day, delivery
from perennial.config import FileSource, ModelConfig, Sources
from perennial.contracts import Audit, Batch, Publication, SourceKind
from perennial.ingest.stage import stage
from perennial.publishing.publish import publish
from perennial.store import Store
from perennial.store.schema import labels_table, predictions_table, quarantine
from perennial.validation.audit import audit

DAY = day(0)


def landing(home: Path, name: str, source: SourceKind = "predictions") -> Path:
    """The folder of one day's files of the model template ``name``."""
    folder = home / "landing" / name / source / f"{DAY.start:%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def rows_of(template: str, n_rows: int = 40, seed: int = 1) -> list[dict[str, Any]]:
    """Prediction rows as a serving system would write them."""
    frame = delivery(template, DAY, n_rows, seed).drop(columns=["label", "labelled_at"])
    frame["event_time"] = frame["event_time"].map(lambda moment: moment.isoformat())
    rows: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return rows


def write_lines(path: Path, rows: Iterable[Mapping[str, Any] | str]) -> Path:
    """One JSON object a line; text is written as it is."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def take(
    config: ModelConfig, home: Path, store: Store, source: SourceKind = "predictions", **options: Any
) -> tuple[Batch, Audit, Publication]:
    """Stage, audit and publish the first day, whatever comes of it."""
    batch = stage(config, DAY, source, store=store, home=home, **options)
    verdict = audit(config, batch, store=store)
    return batch, verdict, publish(config, batch, verdict, store=store)


def quarantined(store: Store) -> pd.DataFrame:
    """All quarantined rows of the store, in order."""
    with store.begin() as connection:
        query = select(quarantine).order_by(quarantine.c.batch_seq, quarantine.c.row_number)
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=quarantine.columns.keys())


def published(config: ModelConfig, store: Store, source: SourceKind = "predictions") -> pd.DataFrame:
    """All published rows of one source of the model, by id."""
    table = predictions_table(config) if source == "predictions" else labels_table(config)
    with store.begin() as connection:
        query = select(table).order_by(*table.primary_key.columns)
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=table.columns.keys())


def from_files(config: ModelConfig, uri: str, kind: str, **options: Any) -> ModelConfig:
    """The model with its predictions in other files."""
    source = FileSource(kind="files", format=kind, uri=uri, **options)  # type: ignore[arg-type]
    return config.model_copy(update={"sources": Sources(predictions=source, labels=config.sources.labels)})


def validated(config: ModelConfig, **limits: Any) -> ModelConfig:
    """The model with other limits."""
    return config.model_copy(update={"validation": config.validation.model_copy(update=limits)})
