"""Values that follow from others, filled in before anything is validated.

A constant default stands at its key in the records. Here stand those that depend on the schedule, the task or another
key. What is filled in becomes part of the configuration as if it had been written: a file that says it has the same
digest. docs/decisions/0051-what-may-be-left-out.md has the reason of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from perennial.config.inputs import Schedule
from perennial.config.values import Duration

HOLDOUT_ROWS = 100
"""That of ``signoff.min_holdout_rows``. Below so many rows the standard error of a share exceeds five points."""
HOLDOUT_BLOCKS = 12
"""Ten blocks are the least that an interval means anything for; a stretch cuts through those at its two ends."""
HOLDOUTS_TAUGHT = 3
MIN_GAIN, MAX_DEFICIT, PRICE = 0.005, 0.02, 0.02
UNITLESS = frozenset(
    {
        "roc_auc", "pr_auc", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "brier", "ece",
        "precision_macro", "f1_macro", "f1_weighted", "r2",
    }
)  # fmt: skip
"""Metrics whose differences are shares, so that one margin does for all of them."""

DERIVED = {
    "title": "the model's name",
    "label.max_wait": "three times `delay` (an hour at least), or a window where that is longer",
    "label.classes": "`[0, 1]` for a binary task",
    "signals.performance": "the metric of the task with the value of no skill as its bound, role `watch`",
    "policy.cooldown": "one window",
    "policy.min_new_labels": "`signoff.min_holdout_rows`",
    "policy.max_age": "four times `training.train` and `training.holdout` together",
    "policy.budget": "four retrains in twelve windows, one day at least",
    "policy.budget.per": "twelve windows, one day at least",
    "training.train": "three holdouts",
    "training.holdout": "as many whole windows as hold twelve blocks (`signals.uncertainty.block`)",
    "training.min_train_rows": "three times `signoff.min_holdout_rows`",
    "signoff.metrics": "the metric of the task, better than no skill",
    "signoff.versus_champion": "the metric of the task, `min_gain: 0.005`",
    "signoff.versus_champion.metric": "`roc_auc`, `balanced_accuracy` or `r2`, by the task",
    "signoff.versus_champion.min_gain": "`0.005` where the metric has no unit",
    "bake.metric": "`roc_auc`, `balanced_accuracy` or `r2`, by the task",
    "bake.bound": "the value of no skill, where `metric` is that of the task",
    "bake.max_deficit": "`0.02` where the metric has no unit",
}
"""What each such value is, by its key, in words for the reference."""
SECTIONS = ("validation", "signals", "policy", "training", "signoff", "bake")


def filled(given: object) -> object:
    """What was written with what follows from it; anything but a mapping as it is. Pure, and never raises.

    >>> weekly = {"every": "7d", "start": "2024-01-01T00:00:00Z"}
    >>> full = filled({"model": "churn", "task": "binary", "schedule": weekly})
    >>> full["training"]["holdout"].days, full["training"]["train"].days, full["signoff"]["versus_champion"]
    (14, 42, {'metric': 'roc_auc', 'min_gain': 0.005})
    >>> filled({"task": "regression", "bake": {"metric": "rmse"}})["bake"]
    {'metric': 'rmse'}
    >>> filled(7)
    7
    """
    if not isinstance(given, Mapping):
        return given
    full = {name: {} for name in SECTIONS} | dict(given)
    _say(full, "title", full.get("model"))
    every = _window(full)
    _label(full, every)
    _stretches(full, every)
    _judged(full)
    return full


def _label(full: dict[str, Any], every: timedelta) -> None:
    label = _below(full, "label")
    late = max(_duration(label.get("delay"), timedelta(hours=1)), timedelta(hours=1))
    _say(label, "max_wait", max(3 * late, every))
    if full.get("task") == "binary":
        _say(label, "classes", [0, 1])


def _stretches(full: dict[str, Any], every: timedelta) -> None:
    training, policy, signoff = (_below(full, name) for name in ("training", "policy", "signoff"))
    block = _duration(_below(_below(full, "signals"), "uncertainty").get("block"), timedelta(days=1))
    _say(training, "holdout", every * max(1, math.ceil(HOLDOUT_BLOCKS * block / every)))
    holdout = _duration(training["holdout"], every)
    _say(training, "train", every * math.ceil(HOLDOUTS_TAUGHT * holdout / every))
    train = _duration(training["train"], every)
    least = signoff.get("min_holdout_rows", HOLDOUT_ROWS)
    rows = least if isinstance(least, int) else HOLDOUT_ROWS
    _say(training, "min_train_rows", HOLDOUTS_TAUGHT * rows)
    _say(policy, "min_new_labels", rows)
    _say(policy, "cooldown", every)
    late = _duration(_below(full, "label").get("delay"), timedelta(0))
    _say(policy, "max_age", max(4 * (train + holdout), holdout + late + every))
    _say(_below(policy, "budget"), "per", max(12 * every, timedelta(days=1)))


def _judged(full: dict[str, Any]) -> None:
    """Metrics and their bounds: no skill, where nothing else was said."""
    metric, bound = _no_skill(full)
    signals, signoff, bake = (_below(full, name) for name in ("signals", "signoff", "bake"))
    _say(signals, "performance", {metric: {"role": "watch", "bound": bound}})
    _say(signoff, "metrics", {metric: {"min": bound}})
    versus = _below(signoff, "versus_champion")
    _say(versus, "metric", metric)
    if versus["metric"] in UNITLESS:
        _say(versus, "min_gain", MIN_GAIN)
    _say(bake, "metric", metric)
    if bake["metric"] == metric:
        _say(bake, "bound", bound)
    if bake["metric"] in UNITLESS:
        _say(bake, "max_deficit", MAX_DEFICIT)
    gain = _below(signals, "gain")
    if (gain.get("metric") or versus["metric"]) == "r2" and gain.get("probe") != "none":
        _say(gain, "price", PRICE)


def _no_skill(full: Mapping[str, Any]) -> tuple[str, float]:
    """The metric of a task in which having no skill has one value whatever the data, and that value.

    A task that is none is refused by its own key, and for nothing that would follow from it.
    """
    if full.get("task") == "regression":
        return "r2", 0.0
    if full.get("task") == "multiclass":
        label = full.get("label")
        classes = label.get("classes") if isinstance(label, Mapping) else None
        return "balanced_accuracy", round(1 / len(classes), 4) if isinstance(classes, list) and classes else 0.5
    return "roc_auc", 0.5


def _window(full: Mapping[str, Any]) -> timedelta:
    """How long a window is, a day where the schedule does not say so, which its own record refuses then."""
    try:
        return Schedule.model_validate(full.get("schedule")).shortest
    except (ValidationError, ValueError, OverflowError):
        return timedelta(days=1)


def _duration(written: object, otherwise: timedelta) -> timedelta:
    try:
        found: timedelta = TypeAdapter(Duration).validate_python(written)
    except ValidationError:
        return otherwise
    return found if found > timedelta(0) else otherwise


def _below(record: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping under a key, a copy that may be filled; one that is left alone where something else stands there."""
    inner = record.get(key, {})
    if not isinstance(inner, Mapping):
        return {}
    record[key] = dict(inner)
    found: dict[str, Any] = record[key]
    return found


def _say(record: dict[str, Any], key: str, value: object) -> None:
    if value is not None:
        record.setdefault(key, value)
