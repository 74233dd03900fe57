"""Fits of a backtest: in this process, once each, their answers kept on disk by the digest of all that went in.

What is kept of a fit are its scores and what it cost, not the model: nothing that is read back can run code. Policies,
baselines and later runs share them, and a run that was cut off goes on where it stopped. ``training.timeout`` bounds no
fit here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import digest_of
from perennial.errors import PerennialError, TrainingError
from perennial.training.fitting.recipe import FrozenRecipe, blame, digest_of_all
from perennial.trial.log import Log, Places

_CPU = b"cpu_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a fitted recipe answers for the rows from place ``first`` on: scores, shape (m,), and classes or None.

    ``cpu_s`` is what fitting cost when it was fitted.
    """

    first: int
    scores: NDArray[np.float64]
    predicted: NDArray[Any] | None
    cpu_s: float

    def at(self, places: Places) -> tuple[NDArray[np.float64], NDArray[Any] | None]:
        """The answers for rows at these places, none before ``first``."""
        inside = places - self.first
        return self.scores[inside], None if self.predicted is None else self.predicted[inside]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """Fits over one log, kept in ``folder``. ``cpu`` says the CPU seconds of this process.

    ``recipes`` are those that any policy names.
    """

    log: Log
    recipes: tuple[FrozenRecipe, ...]
    folder: Path
    cpu: Callable[[], float] = time.process_time
    made: dict[str, Fit] = field(default_factory=dict)
    frames: list[pd.DataFrame] = field(default_factory=list)

    def fit(self, config: ModelConfig, train: Places, asked: slice) -> Fit:
        """The recipe fitted on rows, and its answers for others. Raises TrainingError, IntegrityError."""
        key = self.key(config, train, asked)
        if key not in self.made:
            path = self.folder / f"{key}.parquet"
            self.made[key] = self._read(path, asked) if path.exists() else self._make(config, train, asked, path)
        return self.made[key]

    def key(self, config: ModelConfig, train: Places, asked: slice) -> str:
        """Names a fit by all that it depends on: recipe, configuration, rows, libraries."""
        import sklearn

        features = {name: feature.type for name, feature in config.features.items()}
        made_by = (
            digest_of_all(self._recipes(config)),
            config.training.params,
            config.training.seed,
            config.task,
            features,
        )
        aged = (half_life.total_seconds(),) if (half_life := config.training.half_life) else ()
        searched = config.training.search
        folds = config.choice_metric, config.training.cv_folds
        tried = (
            (searched and searched.model_dump(mode="json"), *folds)
            if searched or len(self._recipes(config)) > 1
            else ()
        )
        rows = (self.log.digest, digest_of(train.tobytes().hex()), asked.start, asked.stop)
        return digest_of(
            "fit", *made_by, *aged, *tried, config.label.classes, *rows, sklearn.__version__, np.__version__
        )

    def _recipes(self, config: ModelConfig) -> tuple[FrozenRecipe, ...]:
        known = {recipe.copy.name: recipe for recipe in self.recipes}
        return tuple(known[name] for name in config.training.recipes)

    def _make(self, config: ModelConfig, train: Places, asked: slice, path: Path) -> Fit:
        from perennial.registry.scoring import features_frame, score_frame
        from perennial.training.fitting.worker import fit_recipe
        from perennial.training.search.here import choose_here

        began, table = self.cpu(), self.log.table(train)
        recipe = self._recipes(config)[0]
        try:
            config, recipe = choose_here(config, self._recipes(config), table)
            model = fit_recipe(config, recipe.copy, table)
        except PerennialError:
            raise
        except Exception as error:  # a recipe may raise anything
            raise TrainingError(blame(recipe.copy, error, shown=recipe.original)) from error
        cpu_s = self.cpu() - began
        if not self.frames:
            self.frames.append(features_frame(config, self.log.rows))
        scores, predicted = score_frame(config, model, self.frames[0].iloc[asked])
        columns = {"score": scores} if predicted is None else {"score": scores, "predicted": predicted.tolist()}
        kept = pa.table(columns).replace_schema_metadata({_CPU: repr(cpu_s).encode()})
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        pq.write_table(kept, unfinished)
        unfinished.replace(path)
        return _fit_in(kept, asked.start)

    @staticmethod
    def _read(path: Path, asked: slice) -> Fit:
        return _fit_in(pq.read_table(path, memory_map=False), asked.start)


def _fit_in(table: pa.Table, first: int) -> Fit:
    classes = table["predicted"].to_numpy(zero_copy_only=False) if "predicted" in table.column_names else None
    cpu_s = float(table.schema.metadata[_CPU])
    return Fit(first=first, scores=table["score"].to_numpy(), predicted=classes, cpu_s=cpu_s)
