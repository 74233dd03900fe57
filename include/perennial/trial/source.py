"""Where a history comes from: the published rows of the store, or a file."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import ModelConfig
from perennial.errors import ConfigError
from perennial.store import Store
from perennial.trial.log import Log, log_of

FORMATS = (".parquet", ".jsonl", ".csv")


def log_of_store(config: ModelConfig, *, until: datetime | None, store: Store) -> Log:
    """What was published up to a moment, from the beginning: the first windows are trained on rows before them.

    Raises ConfigError when nothing was, StoreUnavailable.
    """
    from perennial.evidence.deliveries.logged import read_logged

    return log_of(config, read_logged(config, until=until, store=store))


def log_of_file(config: ModelConfig, path: Path) -> Log:
    """The log in one file of predictions with their labels, under the names that deliveries have in ``model.yaml``.

    Where the log has several roles, only rows of the role ``champion`` were served; rows that were answered with an
    error, or whose label the model caused, are left out. Raises ConfigError when the file
    can not be read, or lacks a column.
    """
    table = _read(path)
    named = {**config.delivered("predictions"), **config.delivered("labels")}
    if (role := config.columns.role) and role in table.column_names:
        table = table.filter(pc.equal(table[role], "champion"))
    for mark in (config.columns.error, config.columns.caused):
        if mark is not None and mark in table.column_names:
            table = table.filter(pc.invert(pc.fill_null(table[mark].cast(pa.bool_()), False)))
    columns = {name: table[column] for name, column in named.items() if column in table.column_names}
    if absent := [
        named[name] for name in ("prediction_id", "event_time", "label", "labelled_at") if name not in columns
    ]:
        raise ConfigError(f"{path}: no column {', '.join(absent)}; a history holds predictions and their labels")
    return log_of(config, pa.table(columns))


def _read(path: Path) -> pa.Table:
    from pyarrow import csv, json, parquet

    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: a history is a file that ends in {', '.join(FORMATS)}")
    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path, memory_map=False)
        return csv.read_csv(path) if path.suffix == ".csv" else json.read_json(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(f"{path}: not readable as a history: {error}") from None
