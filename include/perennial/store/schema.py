"""The tables. Those of Perennial itself are made by the migrations; those of a model follow its ``model.yaml``.

What a column holds stands beside it as ``doc``, where its name does not say it; docs/reference/tables.md is made of it.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import Index
from sqlalchemy.sql.type_api import TypeEngine

from perennial.config import CAUSED, ERROR, Feature, ModelConfig

metadata = MetaData(schema="perennial")
Moment = DateTime(timezone=True)

batches = Table(
    "batches",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True, doc="number of the batch"),
    Column("batch_id", Text, nullable=False, unique=True, doc="digest of model, source, window and content"),
    Column("model", Text, nullable=False),
    Column("source", Text, nullable=False, doc="predictions, labels or shadow"),
    Column("window_start", Moment, nullable=False),
    Column("window_end", Moment, nullable=False, doc="no longer part of the window"),
    Column("status", Text, nullable=False, doc="staged, published or halted"),
    Column("reason", Text, nullable=False, server_default="", doc="what was halted or quarantined, and why"),
    Column("n_staged", BigInteger, nullable=False, doc="rows delivered"),
    Column("n_published", BigInteger, nullable=False, server_default=text("0")),
    Column("n_quarantined", BigInteger, nullable=False, server_default=text("0")),
    Column("n_duplicate", BigInteger, nullable=False, server_default=text("0"), doc="rows that were published before"),
    Column(
        "n_corrected",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        doc="of the published rows those that had been published before with other values, or without a new column",
    ),
    Column("staged", JSONB, nullable=False, doc="the record Batch"),
    Column("audit", JSONB, doc="the record Audit; null before it"),
    Column("recorded_at", Moment, nullable=False, server_default=func.now(), doc="when it was staged first"),
    Column(
        "delivered_at",
        Moment,
        nullable=False,
        server_default=func.clock_timestamp(),
        doc="when it was staged last: the newest of a window counts",
    ),
    Column("swept_at", Moment, doc="when its staged files were removed"),
    Column("listing", Text, doc="digest of the names, sizes and times of its files when they were staged"),
    Column(
        "profile_block_us",
        BigInteger,
        doc="length of the blocks in whose profiles all its rows are; null: in none, or they changed since",
    ),
    Index("batches_by_window", "model", "window_start", "source"),
    info={"doc": "Every batch and its account: staged = published + quarantined + duplicate, unless it was halted."},
)

changed_deliveries = Table(
    "changed_deliveries",
    metadata,
    Column("model", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("window_start", Moment, primary_key=True),
    Column("window_end", Moment, primary_key=True),
    Column("n_files", BigInteger, nullable=False, doc="files that the source holds now"),
    Column("found_at", Moment, nullable=False, doc="when maintenance found them changed"),
    info={"doc": "Windows whose files changed since they were staged: run them again."},
)

added_columns = Table(
    "added_columns",
    metadata,
    Column("model", Text, primary_key=True),
    Column("column_name", Text, primary_key=True, doc="a feature that was declared after rows had been published"),
    Column("after_seq", BigInteger, nullable=False, doc="rows of batches up to this one were published without it"),
    info={"doc": "Columns that tables of models gained: what is missing in older rows may be filled by a re-delivery."},
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("batch_seq", BigInteger, primary_key=True, doc="seq of the batch"),
    Column("row_number", BigInteger, primary_key=True, doc="from 0, as delivered"),
    Column("reason", Text, nullable=False),
    Column(
        "raw", Text, nullable=False, doc="the row as it came, or after the cast when it contradicts a published one"
    ),
    info={"doc": "The rows of published batches that were not published themselves."},
)

signals = Table(
    "signals",
    metadata,
    Column("model", Text, primary_key=True),
    Column("window_start", Moment, primary_key=True),
    Column("window_end", Moment, primary_key=True),
    Column("name", Text, primary_key=True, doc="family/subject"),
    Column("as_of", Moment, primary_key=True, doc="end of the window whose run measured it"),
    Column("version", Text, primary_key=True, doc="the champion it speaks about; none before the first"),
    Column("role", Text, nullable=False, doc="signal role: retrain, alert or watch"),
    Column("status", Text, nullable=False, doc="ok, breached, undecided or unknown"),
    Column("value", Double, doc="null exactly when unknown"),
    Column("threshold", Double),
    Column("low", Double, doc="where the interval begins; null, as the five below, for what has none"),
    Column("high", Double, doc="where it ends"),
    Column("standard_error", Double),
    Column("n_rows", BigInteger, doc="rows that it was estimated from"),
    Column("n_blocks", BigInteger, doc="independent blocks that they lie in"),
    Column("confidence", Double, doc="of the interval, two-sided; of the null quantile"),
    Column("null_quantile", Double, doc="of a distance: as large as it gets by chance, with that confidence"),
    Column("p", Double, doc="of a distance: the share of permutations with one as large anywhere in its family"),
    Column("detail", Text, nullable=False, server_default="", doc="what it rests on, or why it is unknown"),
    info={"doc": "Every signal as each run measured it."},
)

grids = Table(
    "grids",
    metadata,
    Column("model", Text, primary_key=True),
    Column("grid_id", Text, primary_key=True, doc="digest of the edges"),
    Column("made_of", Text, nullable=False, doc="rows: the first ones, or the reference of a version"),
    Column("edges", LargeBinary, nullable=False, doc="as `perennial.profiles.grid` writes them"),
    Column("chosen_at", Moment, nullable=False, server_default=func.clock_timestamp(), doc="the newest one is used"),
    info={"doc": "The bins that the numbers of a model are counted in."},
)

profiles = Table(
    "profiles",
    metadata,
    Column("model", Text, primary_key=True),
    Column("block_us", BigInteger, primary_key=True, doc="length of the block in microseconds"),
    Column("block_start", Moment, primary_key=True),
    Column("batch_seq", BigInteger, primary_key=True, doc="the batch that brought the rows; 0: all there were"),
    Column(
        "known_at",
        Moment,
        primary_key=True,
        doc="counts for what is asked as of later moments, until one with a later `known_at` does",
    ),
    Column("grid_id", Text, nullable=False, doc="the grid that its numbers are counted on"),
    Column("n_rows", BigInteger, nullable=False, doc="served rows"),
    Column("summary", LargeBinary, nullable=False, doc="as `perennial.profiles.coding` writes it"),
    info={"doc": "The published and served rows of each block, summed up; the parts of a block are added."},
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("snapshot_id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("record", JSONB, nullable=False, doc="the record Snapshot"),
    Column("recorded_at", Moment, nullable=False, server_default=func.now()),
    info={"doc": "The frozen rows of each retrain."},
)

ledger = Table(
    "ledger",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True, doc="order of writing"),
    Column("entry_id", Text, nullable=False, doc="digest of what the entry is about: written once"),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Moment, nullable=False, doc="event time: what was known when"),
    Column("actor", Text, nullable=False, doc="policy, reconcile, or a person"),
    Column("reason", Text, nullable=False),
    Column("version", Text, doc="the model version it is about"),
    Column("payload", JSONB, nullable=False),
    Column("recorded_at", Moment, nullable=False, server_default=func.clock_timestamp(), doc="the database's clock"),
    Column("previous_digest", Text, nullable=False, doc="digest of the model's entry before; empty for its first"),
    Column("digest", Text, nullable=False, doc="SHA-256 of all the other columns; the database computes both"),
    UniqueConstraint("entry_id", name="ledger_entry_id_key"),
    UniqueConstraint("model", "previous_digest", name="ledger_chain_key"),
    Index("ledger_by_model", "model", "seq"),
    info={"doc": "The append-only ledger; its kinds and their payloads have a page of their own, ledger.md."},
)

DATA_SCHEMA = "perennial_data"
KNOWN_AT, SUPERSEDED_AT, SUPERSEDED = "_known_at", "_superseded_at", "_superseded"
VERSIONING = frozenset({KNOWN_AT, SUPERSEDED_AT, SUPERSEDED})
"""Columns that only a correction writes; no feature can be called so."""


def feature_type(feature: Feature) -> TypeEngine[Any]:
    """The column type of a feature."""
    if feature.type == "float":
        return Double()
    if feature.type == "int":
        return BigInteger()
    return Boolean() if feature.type == "bool" else Text()


def delivered_columns(table: Table) -> list[Column[Any]]:
    """The columns of a model's table that a first version of a row fills.

    >>> [column.name for column in delivered_columns(labels_table(flights))]
    ['prediction_id', 'label', 'labelled_at', 'batch_seq']
    """
    return [column for column in table.columns if column.name not in VERSIONING]


def row_key(table: Table) -> list[str]:
    """The names of the columns that say which row it is, in whatever version.

    >>> row_key(predictions_table(flights))
    ['prediction_id', 'role']
    """
    return [column.name for column in table.primary_key.columns if column.name != SUPERSEDED]


def _versioning() -> tuple[Column[Any], ...]:
    """Null and 0 in the first version of a row that was never corrected: it costs nothing to write."""
    return (
        Column(KNOWN_AT, Moment, doc="a correction counts for what is asked as of later moments; null: from the start"),
        Column(SUPERSEDED_AT, Moment, doc="the `_known_at` of the version that took its place; null: none did"),
        Column(
            SUPERSEDED,
            SmallInteger,
            primary_key=True,
            autoincrement=False,
            server_default=text("0"),
            doc="0 for the newest version of a row, the superseded ones count from 1",
        ),
    )


def predictions_table(config: ModelConfig) -> Table:
    """Published predictions: id, event time, the features, score, predicted class, model version, role, batch.

    And ``_latency_ms``, ``_memory_mb``, ``_error``, ``_caused``, where ``columns`` of the model names them in the log.
    A corrected row stands there once for every version, with the moments that tell when it was the truth.
    """
    name = f"{config.model}__predictions"
    table = Table(
        name,
        MetaData(schema=DATA_SCHEMA),
        Column("prediction_id", Text, primary_key=True),
        Column("event_time", Moment, nullable=False, doc="it decides the window"),
        *(Column(feature, feature_type(spec)) for feature, spec in config.features.items()),
        Column("score", Double, doc="P(label = 1), P(predicted class), or the value"),
        Column("predicted", Text, doc="the predicted class, for multiclass"),
        Column(
            "model_version", Text, nullable=False, doc="the version that scored; any text before there is a champion"
        ),
        Column("role", Text, primary_key=True, doc="prediction role: champion for what was served"),
        *(Column(name, Boolean() if name in (ERROR, CAUSED) else Double()) for name in config.operational),
        Column("batch_seq", BigInteger, nullable=False, doc="seq of the batch that published it"),
        *_versioning(),
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
    """Published labels: ``prediction_id, label, labelled_at, batch_seq``; text for multiclass, else numbers.

    Versions as in the predictions.
    """
    table = Table(
        f"{config.model}__labels",
        MetaData(schema=DATA_SCHEMA),
        Column("prediction_id", Text, primary_key=True),
        Column("label", Text() if config.task == "multiclass" else Double(), nullable=False, doc="the truth"),
        Column("labelled_at", Moment, nullable=False, doc="when it became known"),
        Column("batch_seq", BigInteger, nullable=False, doc="seq of the batch that published it"),
        *_versioning(),
    )
    Index(f"{config.model}__by_batch", table.c.batch_seq)
    return table
