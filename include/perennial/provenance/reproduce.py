"""Whether a version can be made again: its recipe, configuration and frozen rows, fitted once more and compared."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.config import ModelConfig, load_model
from perennial.contracts import Snapshot
from perennial.contracts.tags import (
    CODE_TAG,
    CONFIG_TAG,
    DIGEST_TAG,
    LOCK_TAG,
    MODEL_TAG,
    RECIPE_TAG,
    SNAPSHOT_TAG,
)
from perennial.errors import ConfigError, PermanentError, first_of
from perennial.storage.work import temporary_folder

if TYPE_CHECKING:
    from perennial.contracts.measured.chosen import Chosen
    from perennial.evidence.answers import Answers
    from perennial.pipeline import Case
    from perennial.training.fitting.recipe import FrozenRecipe

_CV_TOLERANCE = 1e-9
"""Of a cross-validation's metrics: sums in another order differ in the last digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison of then and now; ``decides`` where a difference means that the version was not made again."""

    name: str
    is_same: bool
    decides: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A version fitted again: everything that was compared, and the CPU seconds of the fit, then (0: not kept) and now.

    >>> code = Check(name="code", is_same=False, decides=False, detail="")
    >>> Reproduction(model="m", version="3", checks=(code,), cpu_s_then=1.0, cpu_s=1.0).is_same
    True
    """

    model: str
    version: str
    checks: tuple[Check, ...]
    cpu_s_then: float
    cpu_s: float

    @property
    def is_same(self) -> bool:
        """Whether nothing that decides differs."""
        return all(check.is_same for check in self.checks if check.decides)


def reproduce(case: Case, version: str) -> Reproduction:
    """Fit a version again from what was kept of it, and say what is equal and what differs.

    The frozen rows are verified by their digest, and recipe and ``model.yaml`` are the copies that lie with its MLflow
    run; the fit runs in a process of its own, as the first one did. Compared are the metrics of the cross-validation
    and the answers of both fits for every holdout row, within ``signoff.max_parity_gap``; code, lock file and packages
    are compared to explain a difference. Nothing is logged or registered. Raises PermanentError for a version that was
    not made by a retrain or whose rows, recipe or files are gone, IntegrityError when rows or files were changed,
    TrainingError when the recipe can not be fitted now, RegistryUnavailable.
    """
    from perennial.registry.models import load_model as load_version
    from perennial.registry.runs import downloaded_source, metrics_of_run, tags_of_run
    from perennial.registry.versions import source_run, version_tags
    from perennial.training.fit import CPU_METRIC, read_chosen
    from perennial.training.fitting.curve import without_curve
    from perennial.training.fitting.process import run_worker
    from perennial.training.fitting.recipe import digest_of_all
    from perennial.training.rows import answer
    from perennial.training.snapshot import verify_snapshot

    tags_of_version = version_tags(case.registry, case.model, version)
    run_id = source_run(case.registry, case.model, version)
    tags, metrics = tags_of_run(case.registry, run_id), metrics_of_run(case.registry, run_id)
    snapshot = _snapshot(case, version, tags)
    verify_snapshot(snapshot, storage=case.store.storage)
    with temporary_folder("reproduce-") as folder, downloaded_source(case.registry, run_id) as source:
        config, recipes = _as_it_was(case.model, version, source, folder)
        made, recipe = _as_chosen(config, recipes, read_chosen(source))
        with case.store.storage.filesystem.open_input_stream(case.store.storage.path(snapshot.train_uri)) as rows:
            (folder / "train.parquet").write_bytes(rows.read())
        fitting = run_worker(without_curve(made), recipe, folder)
        again = _read_model(config, folder)
        before = load_version(
            case.registry,
            case.model,
            version,
            trusted_types=config.training.trusted_types,
            expected_digest=tags_of_version.get(DIGEST_TAG),
        )
        answers = [answer(config, model, snapshot.holdout_uri, storage=case.store.storage) for model in (before, again)]
        packages = (source / "packages.txt").read_text("utf-8") if (source / "packages.txt").is_file() else None
    return Reproduction(
        model=case.model,
        version=version,
        checks=(
            _same_text("recipe", tags.get(RECIPE_TAG), digest_of_all(recipes), decides=True),
            _same_text("configuration", tags.get(CONFIG_TAG), config.digest),
            _same_text("code", tags.get(CODE_TAG), case.settings.code_version),
            _same_text("lock file", tags.get(LOCK_TAG), case.settings.lock_digest),
            _same_packages(packages),
            same_metrics({name: value for name, value in metrics.items() if name.startswith("cv_")}, fitting.cv),
            same_answers(*answers, most=config.signoff.max_parity_gap),
        ),
        cpu_s_then=metrics.get(CPU_METRIC, 0.0),
        cpu_s=fitting.cpu_s,
    )


def _snapshot(case: Case, version: str, tags: Mapping[str, str]) -> Snapshot:
    from perennial.store.snapshots import recorded

    snapshot_id = tags.get(SNAPSHOT_TAG)
    found = recorded(case.store, snapshot_id) if snapshot_id else None
    if found is None or tags.get(MODEL_TAG) != case.model:
        raise PermanentError(
            f"{case.model} version {version} was not made by a retrain of this database: no snapshot of it is known, "
            "so there are no rows to fit it on"
        )
    return found


def _as_it_was(model: str, version: str, source: Path, folder: Path) -> tuple[ModelConfig, tuple[FrozenRecipe, ...]]:
    """The configuration and the recipes that lie with the run, as files that nobody edits."""
    from perennial.training.fitting.recipe import freeze_recipes

    kept = folder / "as_it_was" / model
    kept.mkdir(parents=True)
    for path in (source / "model.yaml", *source.glob("*.py")):
        if not path.is_file():
            raise PermanentError(f"{model} version {version}: its run kept no {path.name}; it can not be made again")
        shutil.copy(path, kept / path.name)
    try:
        config = load_model(kept)
    except ConfigError as error:
        raise PermanentError(
            f"{model} version {version}: what its run kept is none that this release reads: {error}"
        ) from error
    return config, freeze_recipes(kept, folder, config.training.recipes)


def _as_chosen(
    config: ModelConfig, recipes: tuple[FrozenRecipe, ...], chosen: Chosen | None
) -> tuple[ModelConfig, FrozenRecipe]:
    """The recipe that was chosen and the configuration with its parameters: nothing is searched again."""
    from perennial.training.search.best import with_params

    if chosen is None:
        return config, recipes[0]
    by_name = {recipe.copy.name: recipe for recipe in recipes}
    return with_params(config, chosen.params), by_name[chosen.recipe]


def _read_model(config: ModelConfig, folder: Path) -> Any:
    from perennial.registry.trust import MODEL_FILE, read_model

    return read_model(folder / MODEL_FILE, trusted_types=config.training.trusted_types, what="the model fitted again")


def _same_text(name: str, then: str | None, now: str, *, decides: bool = False) -> Check:
    """Digests and commits, of which the first letters tell.

    >>> _same_text("code", "0a1b", "0a1b").detail, _same_text("code", "0a1b-dirty", "0a1b").detail
    ('0a1b', 'then 0a1b-dirty, now 0a1b')
    """
    if then == now:
        return Check(name=name, is_same=True, decides=decides, detail=_shown(now))
    return Check(name=name, is_same=False, decides=decides, detail=f"then {_shown(then)}, now {_shown(now)}")


def _shown(value: str | None) -> str:
    if value is None:
        return "not kept"
    head, dash, word = value.partition("-")
    return f"{head[:16]}{dash}{word}"


def _same_packages(then: str | None) -> Check:
    from perennial.training.fit import installed_packages

    if then is None:
        return Check(name="packages", is_same=False, decides=False, detail="then not kept")
    before, now = set(then.split()), set(installed_packages().split())
    other = sorted(before ^ now, key=str.lower)
    detail = f"then {first_of([item for item in other if item in before]) or 'none of these'}, now " + (
        first_of([item for item in other if item in now]) or "none of these"
    )
    return Check(
        name="packages", is_same=not other, decides=False, detail=detail if other else f"{len(now)} of one version"
    )


def same_metrics(then: Mapping[str, float], now: Mapping[str, float]) -> Check:
    """Whether a cross-validation found the same, metric by metric. Pure.

    >>> same_metrics({"cv_roc_auc_mean": 0.7}, {"cv_roc_auc_mean": 0.7}).detail
    'all 1 equal'
    >>> same_metrics({"cv_roc_auc_mean": 0.7}, {"cv_roc_auc_mean": 0.71}).detail
    'cv_roc_auc_mean then 0.7, now 0.71'
    >>> same_metrics({}, {"cv_roc_auc_mean": 0.71}).is_same
    False
    """
    other = [
        f"{name} then {then.get(name)}, now {now.get(name)}"
        for name in sorted({*then, *now})
        if name not in then or name not in now or not np.isclose(then[name], now[name], rtol=_CV_TOLERANCE, atol=0.0)
    ]
    detail = first_of(other) if other else f"all {len(now)} equal"
    return Check(name="cross-validation", is_same=not other, decides=True, detail=detail)


def same_answers(then: Answers, now: Answers, *, most: float) -> Check:
    """Whether two fits answer the same for the same rows: scores within ``most``, and the same classes. Pure.

    >>> from perennial.evidence.answers import Answers
    >>> answers = [Answers(labels=np.array([0, 1]), scores=np.array(scores)) for scores in ([0.25, 0.5], [0.25, 0.75])]
    >>> same_answers(answers[0], answers[0], most=1e-9).detail
    '2 holdout rows, largest score difference 0'
    >>> same_answers(*answers, most=1e-9).is_same
    False
    >>> same_answers(answers[0], Answers(labels=np.array([0, 1]), scores=np.array([0.25, np.nan])), most=1e-9).is_same
    False
    """
    gap = np.abs(then.scores - now.scores)
    largest = float(gap.max()) if len(gap) else float("nan")
    n_classes = 0
    if then.predicted is not None and now.predicted is not None:
        n_classes = int((then.predicted != now.predicted).sum())
    difference = f"{len(gap)} holdout rows, largest score difference {largest:.4g}"
    if then.threshold != now.threshold:
        difference += f", positive from {then.threshold} on then and from {now.threshold} now"
    return Check(
        name="answers",
        # a NaN is no answer, and never within
        is_same=bool(largest <= most) and n_classes == 0 and then.threshold == now.threshold,
        decides=True,
        detail=f"{difference}, {n_classes} other classes" if n_classes else difference,
    )
