"""From a file to a checked model folder with its history laid down: what ``perennial init`` does."""

import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.config import ModelConfig, load_model
from perennial.config.values import IDENTIFIER
from perennial.contracts import Window
from perennial.errors import ConfigError, first_of
from perennial.onboarding.columns import columns_of
from perennial.onboarding.history import history_of, joined, lay_down
from perennial.onboarding.noise import MetricNoise, noise_of
from perennial.onboarding.proposal import Times, drift_of, times_of
from perennial.onboarding.reading.database import is_database, read_database
from perennial.onboarding.reading.files import read_table
from perennial.onboarding.roles import Hints, Roles, roles_of
from perennial.onboarding.writing import Proposed, model_yaml, recipe
from perennial.pipeline.checking import problems_of
from perennial.trial.source import log_of_file

_PLACE = "_place"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A model folder that passes its check, where its history lies, and what to say of both."""

    config: ModelConfig
    folder: Path
    roles: Roles
    times: Times
    noise: MetricNoise
    window: Window
    history: Path
    n_rows: int
    n_labelled: int
    n_untimed: int


def start(
    model: str,
    table: pa.Table,
    said: Hints,
    *,
    owner: str,
    delay: timedelta,
    models_dir: Path,
    home: Path,
) -> ModelFolder:
    """Propose a model from a table, check it, and write it; ``model.yaml``, which makes it one, comes last.

    Raises ConfigError for a name that is taken or none, for a file that allows no model, and
    :class:`perennial.onboarding.roles.Unclear` where an answer is needed; TrainingError when a first fit fails.
    """
    folder = models_dir / model
    if not re.fullmatch(IDENTIFIER, model):
        raise ConfigError(f"{model!r}: a model is called by a plain word: {IDENTIFIER}")
    if folder.exists():
        raise ConfigError(f"{folder} is there already: call the new model otherwise, or move it away")
    roles = roles_of(columns_of(table), said)
    history = history_of(roles, delay=delay)
    times = times_of(history)
    proposed = Proposed(
        model=model,
        owner=owner,
        roles=roles,
        history=history,
        times=times,
        drift=drift_of(history, roles, times),
        noise=MetricNoise(),
    )
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / model
        draft.mkdir()
        (draft / "recipe.py").write_text(recipe(roles.task, times.labelled(times.train)), encoding="utf-8")
        _write(draft, model_yaml(proposed))
        config = load_model(draft)
        rows = Path(scratch) / "history.parquet"
        pq.write_table(joined(history, roles), rows)
        noise = noise_of(config, log_of_file(config, rows), times, folder=draft, scratch=Path(scratch))
        _write(draft, model_yaml(replace(proposed, noise=noise)))
        config = load_model(draft)
        if problems := list(problems_of(Path(scratch), config)):
            raise ConfigError("\n".join(problems))
        window = Window(start=times.start, end=times.end)
        lay_down(history, landing=home / "landing" / model, start=times.start)
        kept = home / "onboarding" / model / "history.parquet"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rows, kept)
        models_dir.mkdir(parents=True, exist_ok=True)
        _publish(draft, folder)
    return ModelFolder(
        config=config,
        folder=folder,
        roles=roles,
        times=times,
        noise=noise,
        window=window,
        history=kept,
        n_rows=history.predictions.num_rows,
        n_labelled=history.n_labelled,
        n_untimed=history.n_untimed,
    )


def table_of(source: str | Path, labels: Path | None, *, table: str | None = None) -> pa.Table:
    """The rows of a file, or of a ``table`` of the PostgreSQL that ``source`` is the URL of.

    Columns of a file of labels stand beside them, matched by the one column that both have. Raises ConfigError when
    they share none, or several, or when a label file names one row twice.
    """
    if is_database(str(source)):
        rows, called = read_database(str(source), table), str(table)
    elif table is not None:
        raise ConfigError(
            f"--table {table}: is of a database; --from has to be its URL, postgresql://user@host/database"
        )
    else:
        rows, called = read_table(Path(source)), Path(source).name
    if labels is None:
        return rows
    others = read_table(labels)
    common = [name for name in rows.column_names if name in others.column_names]
    if len(common) != 1:
        raise ConfigError(
            f"{labels}: shares {len(common)} columns with {called} ({first_of(common) or 'none'}); exactly one, the "
            "id, is expected"
        )
    key = others[common[0]]
    if n_twice := len(key) - pc.count_distinct(key, mode="all").as_py():
        raise ConfigError(f"{labels}: {n_twice} rows carry a {common[0]} that stands in it before")
    try:
        others = others.set_column(others.column_names.index(common[0]), common[0], key.cast(rows[common[0]].type))
        numbered = rows.append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
        return numbered.join(others, keys=common[0]).sort_by(_PLACE).drop_columns([_PLACE])
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{labels}: {common[0]} can not be matched with {called}: {error}") from None


def _write(folder: Path, text: str) -> None:
    (folder / "model.yaml").write_text(text, encoding="utf-8")


def _publish(draft: Path, folder: Path) -> None:
    """A folder is no model before its ``model.yaml`` is whole. Raises ConfigError when another run made it."""
    try:
        folder.mkdir()
    except FileExistsError:
        raise ConfigError(f"{folder} was made by another run meanwhile; this one wrote no model") from None
    shutil.copy(draft / "recipe.py", folder / "recipe.py")
    unfinished = shutil.copy(draft / "model.yaml", folder / "model.yaml.part")
    Path(unfinished).replace(folder / "model.yaml")
