"""A search, by Optuna, in the process that runs the recipe.

Each set of parameters is drawn by a sampler of its own, seeded by ``training.seed`` and by how many were tried before:
one that goes on after a kill draws what it would have drawn, whatever its predecessor had begun and not ended.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
import pyarrow as pa
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from perennial.config import ModelConfig
from perennial.config.training.search import Range, Search
from perennial.contracts import digest_of
from perennial.contracts.measured.chosen import Value
from perennial.errors import TrainingError
from perennial.training.fitting.folds import converging, fold_answers
from perennial.training.fitting.recipe import blame, build_estimator, params_of, takes
from perennial.training.search.tried import EARLIER_FILE, JOURNAL_FILE, State, TriedSet, tell

_NAME = "search"
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
Params = dict[str, Value]


def search(
    config: ModelConfig,
    recipe: Path,
    table: pa.Table,
    *,
    folder: Path | None = None,
    shown: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Params, int]:
    """All parameters of the recipe, with the best of those tried, and how many sets were tried.

    ``table`` is in the order of time, with features, ``event_time`` and ``label``. In ``folder`` every set that ended
    is a line of ``tried.jsonl``, and ``search.journal`` is Optuna's own; sets in ``earlier.journal`` count as tried. A
    recipe that takes nothing of ``space`` is not searched. ``shown`` is the recipe's name where ``recipe`` is a copy.
    Raises TrainingError when no set came to its end.
    """
    wanted, params = config.training.search, params_of(config, recipe)
    names = (
        takes(recipe, wanted.space)
        if wanted and len(config.training.recipes) > 1
        else set(wanted.space if wanted else ())
    )
    if wanted is None or not names:
        return params, 0
    wanted = wanted.model_copy(update={"space": {name: over for name, over in wanted.space.items() if name in names}})
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _study(config, folder)

    def try_set(trial: optuna.Trial) -> float:
        drawn = {name: _drawn(trial, name, over) for name, over in wanted.space.items()}
        try:
            return _mean_over_folds(config, recipe, table, {**params, **drawn}, trial)
        except optuna.TrialPruned:
            raise
        except Exception as error:  # a recipe may raise anything, of one set of parameters alone
            trial.set_user_attr("problem", blame(recipe, error, shown=shown))
            raise

    spent = sum((_tried(trial).seconds for trial in study.trials), 0.0)
    began = clock()
    while len(study.trials) < wanted.most and spent + clock() - began < wanted.seconds:
        study.sampler = _sampler(wanted, config.training.seed, len(study.trials))
        study.optimize(try_set, n_trials=1, catch=(Exception,))
        if folder:
            tell(folder, _tried(study.trials[-1]))
    return {**params, **_best(study, shown or recipe)}, len(study.trials)


def _study(config: ModelConfig, folder: Path | None) -> optuna.Study:
    """A study with what was tried earlier; a set that was begun and not ended is left out."""
    more = config.metric(config.choice_metric).more_is_better
    direction = optuna.study.StudyDirection.MAXIMIZE if more else optuna.study.StudyDirection.MINIMIZE
    wanted = config.training.search
    pruner = optuna.pruners.MedianPruner() if wanted and wanted.pruner == "median" else optuna.pruners.NopPruner()
    if folder is None:
        return optuna.create_study(direction=direction, pruner=pruner)
    study = optuna.create_study(
        storage=_journal(folder / JOURNAL_FILE), study_name=_NAME, direction=direction, pruner=pruner
    )
    if (folder / EARLIER_FILE).is_file():
        earlier = optuna.load_study(storage=_journal(folder / EARLIER_FILE), study_name=_NAME)
        for trial in earlier.trials:
            if trial.state.is_finished():
                study.add_trial(trial)
                tell(folder, _tried(trial))
    return study


def _journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def _sampler(wanted: Search, seed: int, number: int) -> optuna.samplers.BaseSampler:
    if wanted.sampler == "grid":  # which shuffles by its seed, and then takes what was not tried yet
        return optuna.samplers.GridSampler(dict(wanted.grid), seed=seed)
    own = int(digest_of("search", seed, number)[:8], 16)
    if wanted.sampler == "random":
        return optuna.samplers.RandomSampler(seed=own)
    return optuna.samplers.TPESampler(seed=own)


def _drawn(trial: optuna.Trial, name: str, over: list[Value] | Range) -> Value:
    if not isinstance(over, Range):
        return cast("Value", trial.suggest_categorical(name, over))
    if over.is_whole:
        return trial.suggest_int(name, int(over.low), int(over.high), log=over.log, step=int(over.step or 1))
    return trial.suggest_float(name, over.low, over.high, log=over.log, step=over.step)


def _mean_over_folds(config: ModelConfig, recipe: Path, table: pa.Table, params: Params, trial: optuna.Trial) -> float:
    """The mean of ``training.metric`` over the folds; given up on the way where the pruner says so."""
    wanted, metric, seed = config.training.search, config.metric(config.choice_metric), config.training.seed
    n_folds = (wanted.folds if wanted else None) or config.training.cv_folds
    values: list[float] = []

    def build() -> Any:
        return build_estimator(recipe, seed=seed, params=params)

    with converging():
        for number, answers in enumerate(fold_answers(config, build, table, n_folds)):
            rows = answers.measured(config)
            value = None if rows is None else metric.function(rows)
            if value is None:
                continue
            values.append(float(value))
            trial.set_user_attr("folds", values)
            trial.report(float(np.mean(values)), number)
            if number < n_folds - 1 and trial.should_prune():
                raise optuna.TrialPruned
    if not values:
        raise TrainingError(f"{config.model}: no fold has a {metric.name}; lengthen training.train")
    return float(np.mean(values))


def _tried(trial: FrozenTrial) -> TriedSet:
    state, problem = _STATES[trial.state], str(trial.user_attrs.get("problem", ""))
    return TriedSet(
        number=trial.number,
        state=state,
        params=dict(trial.params),
        folds=tuple(trial.user_attrs.get("folds", ())),
        value=trial.value if state == "complete" else None,
        seconds=trial.duration.total_seconds() if trial.duration else 0.0,
        problem=problem or ("its value is no number" if state == "failed" else ""),
    )


def _best(study: optuna.Study, shown: Path) -> Params:
    """The best set; of equal ones the first."""
    ended = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if not ended:
        problems = [_tried(trial).problem for trial in study.trials]
        why = next(filter(None, problems), "training.search.seconds were over before the first set had ended")
        raise TrainingError(f"{shown}: none of {len(problems)} sets of parameters came to its end: {why}")
    return dict(study.best_trial.params)
