"""Fits of a backtest: in this process, once each, their answers kept on disk by the digest of all that went in.

What is kept of a fit are its scores and what it cost, not the model: nothing that is read back can run code. Policies,
baselines and later runs share them, and a run that was cut off goes on where it stopped. ``training.timeout`` bounds no
fit here.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
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
from perennial.training.fitting.process import as_probe
from perennial.training.fitting.recipe import FrozenRecipe, blame, digest_of_all
from perennial.trial.log import Log, Places

_CPU, _THRESHOLD = b"cpu_s", b"threshold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a fitted recipe answers for the rows from place ``first`` on: scores, shape (m,), and classes or None.

    ``cpu_s`` is what fitting cost when it was fitted, ``threshold`` from which score on a binary one predicts the
    positive class, None where it was told none.
    """

    first: int
    scores: NDArray[np.float64]
    predicted: NDArray[Any] | None
    cpu_s: float
    threshold: float | None = None

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
        """The best recipe fitted on rows as a candidate is, searched for and tuned as ``model.yaml`` asks, and its
        answers for others. Raises TrainingError, for a fit that does not converge as well, and IntegrityError.
        """
        return self._kept(config, train, asked, candidate=True)

    def probe(self, config: ModelConfig, train: Places, asked: slice) -> Fit:
        """The same of a probe: the first recipe with the parameters of ``signals.gain``, and nothing chosen for it."""
        return self._kept(as_probe(config), train, asked, candidate=False)

    def key(self, config: ModelConfig, train: Places, asked: slice, *, candidate: bool) -> str:
        """Names a fit by all that it depends on: recipe, configuration, rows, libraries."""
        import sklearn

        features = {name: feature.type for name, feature in config.features.items()}
        training = config.training
        made_by = (digest_of_all(self._recipes(config)), training.params, training.seed, config.task, features)
        aged = (half_life.total_seconds(),) if (half_life := training.half_life) else ()
        searched = training.search and training.search.model_dump(mode="json")
        chooses = candidate and _chooses(config)
        tried = (searched, config.choice_metric, training.cv_folds) if chooses else ()
        tuned = (by, config.label.decision_threshold) if chooses and (by := training.tune_threshold) else ()
        how = (*aged, *tried, *tuned, *(("converged",) if candidate else ()))
        rows = (self.log.digest, digest_of(train.tobytes().hex()), asked.start, asked.stop)
        what = "fit with its threshold" if config.task == "binary" else "fit"  # which fits of before did not keep
        return digest_of(what, *made_by, *how, config.label.classes, *rows, sklearn.__version__, np.__version__)

    def _kept(self, config: ModelConfig, train: Places, asked: slice, *, candidate: bool) -> Fit:
        key = self.key(config, train, asked, candidate=candidate)
        if key not in self.made:
            path = self.folder / f"{key}.parquet"
            if not path.exists():
                self._make(config, train, asked, path, candidate=candidate)
            self.made[key] = _fit_in(pq.read_table(path, memory_map=False), asked.start)
        return self.made[key]

    def _recipes(self, config: ModelConfig) -> tuple[FrozenRecipe, ...]:
        known = {recipe.copy.name: recipe for recipe in self.recipes}
        return tuple(known[name] for name in config.training.recipes)

    def _make(self, config: ModelConfig, train: Places, asked: slice, path: Path, *, candidate: bool) -> None:
        from perennial.registry.scoring import features_frame, own_threshold, score_frame
        from perennial.training.fitting.folds import converging
        from perennial.training.fitting.worker import fit_recipe
        from perennial.training.search.here import FitPlan, choose_here

        began, table = self.cpu(), self.log.table(train)
        choice = FitPlan(config, self._recipes(config)[0])
        try:
            with converging() if candidate else nullcontext():
                if candidate and _chooses(config):
                    choice = choose_here(config, self._recipes(config), table)
                model = fit_recipe(choice.config, choice.recipe.copy, table)
        except PerennialError:
            raise
        except Exception as error:  # a recipe may raise anything
            raise TrainingError(blame(choice.recipe.copy, error, shown=choice.recipe.original)) from error
        cpu_s = self.cpu() - began
        threshold = choice.threshold
        if threshold is None and config.task == "binary":
            threshold = own_threshold(model)
        if not self.frames:
            self.frames.append(features_frame(config, self.log.rows))
        scores, predicted = score_frame(config, model, self.frames[0].iloc[asked])
        columns = {"score": scores} if predicted is None else {"score": scores, "predicted": predicted.tolist()}
        metadata = {_CPU: repr(cpu_s), **({} if threshold is None else {_THRESHOLD: repr(threshold)})}
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), unfinished)
        unfinished.replace(path)


def _chooses(config: ModelConfig) -> bool:
    """Whether there is anything to choose by cross-validation."""
    training = config.training
    return bool(training.search or training.tune_threshold) or len(training.recipes) > 1


def _fit_in(table: pa.Table, first: int) -> Fit:
    classes = table["predicted"].to_numpy(zero_copy_only=False) if "predicted" in table.column_names else None
    metadata = table.schema.metadata
    threshold = float(metadata[_THRESHOLD]) if _THRESHOLD in metadata else None
    scores = table["score"].to_numpy()
    return Fit(first=first, scores=scores, predicted=classes, cpu_s=float(metadata[_CPU]), threshold=threshold)
