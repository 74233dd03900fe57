"""The tables. Those of Perennial itself are made by the migrations; those of a model follow its ``model.yaml``."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import Index
from sqlalchemy.sql.type_api import TypeEngine

from perennial.config import Feature, ModelConfig

metadata = MetaData(schema="perennial")
Moment = DateTime(timezone=True)

batches = Table(
    "batches",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("batch_id", Text, nullable=False, unique=True),
    Column("model", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("window_start", Moment, nullable=False),
    Column("window_end", Moment, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("n_staged", BigInteger, nullable=False),
    Column("n_published", BigInteger, nullable=False, server_default=text("0")),
    Column("n_quarantined", BigInteger, nullable=False, server_default=text("0")),
    Column("n_duplicate", BigInteger, nullable=False, server_default=text("0")),
    Column("staged", JSONB, nullable=False),
    Column("audit", JSONB),
    Column("recorded_at", Moment, nullable=False, server_default=func.now()),
    Column("delivered_at", Moment, nullable=False, server_default=func.clock_timestamp()),
    Column("swept_at", Moment),
    Column("listing", Text),
    Index("batches_by_window", "model", "window_start", "source"),
)

changed_deliveries = Table(
    "changed_deliveries",
    metadata,
    Column("model", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("window_start", Moment, primary_key=True),
    Column("window_end", Moment, primary_key=True),
    Column("n_files", BigInteger, nullable=False),
    Column("found_at", Moment, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("batch_seq", BigInteger, primary_key=True),
    Column("row_number", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("raw", Text, nullable=False),
)

signals = Table(
    "signals",
    metadata,
    Column("model", Text, primary_key=True),
    Column("window_start", Moment, primary_key=True),
    Column("window_end", Moment, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("as_of", Moment, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
    Column("detail", Text, nullable=False, server_default=""),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("snapshot_id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("record", JSONB, nullable=False),
    Column("recorded_at", Moment, nullable=False, server_default=func.now()),
)

ledger = Table(
    "ledger",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("entry_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("version", Text),
    Column("payload", JSONB, nullable=False),
    Column("recorded_at", Moment, nullable=False, server_default=func.clock_timestamp()),
    UniqueConstraint("entry_id", name="ledger_entry_id_key"),
    Index("ledger_by_model", "model", "seq"),
)

DATA_SCHEMA = "perennial_data"


def feature_type(feature: Feature) -> TypeEngine[Any]:
    """The column type of a feature."""
    if feature.type == "float":
        return Double()
    if feature.type == "int":
        return BigInteger()
    return Boolean() if feature.type == "bool" else Text()


def predictions_table(config: ModelConfig) -> Table:
    """Published predictions: id, event time, the features, score, predicted class, model version, role, batch."""
    name = f"{config.model}__predictions"
    table = Table(
        name,
        MetaData(schema=DATA_SCHEMA),
        Column("prediction_id", Text, primary_key=True),
        Column("event_time", Moment, nullable=False),
        *(Column(feature, feature_type(spec)) for feature, spec in config.features.items()),
        Column("score", Double),
        Column("predicted", Text),
        Column("model_version", Text, nullable=False),
        Column("role", Text, primary_key=True),
        Column("batch_seq", BigInteger, nullable=False),
    )
    Index(
        f"{config.model}__by_time",
        table.c.event_time,
        postgresql_using="brin",
        # without autosummarize, new pages are read in every query until somebody vacuums
        postgresql_with={"pages_per_range": 32, "autosummarize": True},
    )
    return table


def labels_table(config: ModelConfig) -> Table:
    """Published labels: ``prediction_id, label, labelled_at, batch_seq``; text for multiclass, else numbers."""
    table = Table(
        f"{config.model}__labels",
        MetaData(schema=DATA_SCHEMA),
        Column("prediction_id", Text, primary_key=True),
        Column("label", Text() if config.task == "multiclass" else Double(), nullable=False),
        Column("labelled_at", Moment, nullable=False),
        Column("batch_seq", BigInteger, nullable=False),
    )
    Index(f"{config.model}__by_batch", table.c.batch_seq)
    return table
