"""``model.yaml`` and ``recipe.py`` of a proposal: every value with its reason beside it."""

import json
import re
from dataclasses import dataclass
from datetime import timedelta

import pyarrow.compute as pc

from perennial.onboarding.columns import Column
from perennial.onboarding.history import PastRows
from perennial.onboarding.noise import MetricNoise
from perennial.onboarding.proposal import DRIFT_FLOOR, METRIC, Times, rounded_up
from perennial.onboarding.roles import Roles, texts

SHOWN_LEFT_OUT = 40
FEW_ROWS = 10_000
"""On fewer, trees of 31 leaves answer worse than the rate of the label; from here on they cost little (0063)."""


def recipe(task: str, n_train: int) -> str:
    """A ``recipe.py`` that does with any table; on few training rows with trees too small to learn them by heart.

    >>> ["max_leaf_nodes: int = 8," in recipe("binary", n_train) for n_train in (FEW_ROWS - 1, FEW_ROWS)]
    [True, False]
    """
    rounds, rate, leaves = (60, 0.07, 8) if n_train < FEW_ROWS else (100, 0.1, 31)
    return f'''"""Boosted trees on numbers, categories and booleans as they come; a place to begin."""

from sklearn.pipeline import Pipeline

from perennial.recipes import boosting


def build(
    *,
    seed: int,
    max_iter: int = {rounds},
    learning_rate: float = {rate},
    max_leaf_nodes: int = {leaves},
) -> Pipeline:
    """An unfitted estimator for a {task} task."""
    return boosting(
        "{task}", seed=seed, max_iter=max_iter, learning_rate=learning_rate, max_leaf_nodes=max_leaf_nodes
    )
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """All that a ``model.yaml`` is written from; ``drift`` is the answer of ``drift_of``."""

    model: str
    owner: str
    roles: Roles
    history: PastRows
    times: Times
    drift: dict[str, float]
    noise: MetricNoise


def model_yaml(proposed: Proposed) -> str:
    """The text of ``model.yaml``."""
    roles, history, times, noise = proposed.roles, proposed.history, proposed.times, proposed.noise
    parts = [
        _head(proposed.model, roles, proposed.owner),
        _schedule(times),
        _sources(proposed.model),
        _columns(history),
        _label(roles, history, times),
        _features(roles),
        _validation(roles, times),
        _signals(roles, times, proposed.drift, noise),
        _rest(roles, times, noise),
    ]
    return re.sub(r"(\S) {2,}#", r"\1  #", "\n".join(parts))


def written(length: timedelta) -> str:
    """A duration as ``model.yaml`` takes it.

    >>> written(timedelta(days=14)), written(timedelta(hours=6)), written(timedelta(minutes=90)), written(timedelta(0))
    ('14d', '6h', '90min', '0h')
    """
    minutes = int(length.total_seconds()) // 60
    if minutes and minutes % 1440 == 0:
        return f"{minutes // 1440}d"
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}min"


def quoted(text: str) -> str:
    """A text as YAML reads it back, whatever it holds.

    >>> quoted('Größe "x": 1')
    '"Größe \\\\"x\\\\": 1"'
    """
    return json.dumps(text, ensure_ascii=False)


def number(value: float) -> str:
    """A number as YAML takes it for one: never ``1e9``, which it takes for text.

    >>> number(1e9), number(0.05), number(2.5e-7), number(3.0)
    ('1.0e+09', '0.05', '2.5e-07', '3')
    """
    text = f"{value:.6g}"
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _head(model: str, roles: Roles, owner: str) -> str:
    return f"""# Proposed by `perennial init` from a history; every value stands to be changed.
# What does not stand here has the default of docs/reference/model-yaml.md.
model: {model}
title: {quoted(f"What will {roles.label.logged} be?")}
owner: {quoted(owner)}
task: {roles.task}
"""


def _schedule(times: Times) -> str:
    return f"""schedule:
  every: {written(times.every)}                      # about {times.labelled_a_window:,.0f} labelled rows in each
  start: {times.start:%Y-%m-%dT%H:%M:%SZ}
"""


def _sources(model: str) -> str:
    where = '"{home}/landing/' + model + '/%s/{start:%%Y-%%m-%%dT%%H%%M}/*.parquet"'
    return f"""sources:                         # where your serving system lays its logs; jsonl, csv and tables too
  predictions: {{kind: files, format: parquet, uri: {where % "predictions"}}}
  labels: {{kind: files, format: parquet, uri: {where % "labels"}, allow_empty: true}}
"""


def _columns(history: PastRows) -> str:
    names = history.names
    declared = {
        "id": names["id"],
        "timestamp": names["time"],
        "score": names["score"],
        "model_version": names["version"],
    }
    if names["predicted"] in history.predictions.column_names:
        declared["predicted"] = names["predicted"]
    return "columns: {" + ", ".join(f"{key}: {quoted(name)}" for key, name in declared.items()) + "}\n"


def _label(roles: Roles, history: PastRows, times: Times) -> str:
    coverage = history.n_labelled / max(1, history.predictions.num_rows)
    names = history.names
    lines = ["label:"]
    lines += [f"  {key}: {quoted(names[named])}" for key, named in
                 (("id", "id"), ("value", "label"), ("timestamp", "labelled_at"))]  # fmt: skip
    if roles.task == "binary":
        lines.append(f"  classes: [0, 1]                  # 1 is {roles.label.logged} = {roles.positive}".rstrip())
    elif roles.task == "multiclass":
        lines.append(f"  classes: [{', '.join(quoted(value) for value in sorted(texts(roles.label)))}]")
    lines += [
        f"  delay: {written(times.delay)}                      # nine of ten labels of the history were no later",
        f"  mature_share: {max(0.01, int(90 * coverage) / 100):.2f}             # {coverage:.1%} of the rows have one",
    ]
    return "\n".join(lines) + "\n"


def _features(roles: Roles) -> str:
    lines = ["features:"]
    lines += [_feature(feature) for feature in roles.features]
    out = list(roles.left_out.items())
    lines += [f"  # left out: {name}: {why}".replace("\n", " ") for name, why in out[:SHOWN_LEFT_OUT]]
    if len(out) > SHOWN_LEFT_OUT:
        lines.append(f"  # and {len(out) - SHOWN_LEFT_OUT} more")
    return "\n".join(lines) + "\n"


def _feature(feature: Column) -> str:
    parts = [f"type: {feature.kind}"]
    note = []
    if feature.logged != feature.name:
        parts.append(f"from: {quoted(feature.logged)}")
    if feature.kind == "category":
        parts.append(f"unseen: allow, categories: [{', '.join(quoted(value) for value in sorted(texts(feature)))}]")
    elif feature.kind in ("int", "float"):
        ends = pc.min_max(feature.clean).as_py()
        if ends["min"] == 0:
            parts.append("min: 0")
        note.append(f"{ends['min']:g} to {ends['max']:g}")
    if feature.clean.null_count - feature.n_odd:
        parts.append("nullable: true")
        note.append(f"{feature.clean.null_count - feature.n_odd} missing")
    if feature.n_odd:
        note.append(f"{feature.n_odd} are no {feature.kind}, and go to quarantine")
    return f"  {feature.name}: {{{', '.join(parts)}}}" + (f"  # {', '.join(note)}" if note else "")


def _validation(roles: Roles, times: Times) -> str:
    n_rows = len(roles.time.clean)
    bad = min(1.0, sum(feature.n_odd for feature in roles.features) / n_rows)
    allowed = min(0.5, max(0.02, rounded_up(2 * bad)))
    return f"""validation:
  max_share_bad: {number(allowed)}              # at most {bad:.2%} of the history's rows are
  min_rows: {max(1, times.labelled(times.every) // 4)}
"""


def _signals(roles: Roles, times: Times, drift: dict[str, float], noise: MetricNoise) -> str:
    metric = METRIC[roles.task]
    numbers, categories = (max(DRIFT_FLOOR, rounded_up(1.5 * drift[key])) for key in ("wasserstein", "jensen_shannon"))
    loss = _several(noise.error, 4)
    lines = [
        "signals:",
        f"  uncertainty: {{block: {written(times.block)}}}         # rows of one such stretch hang together",
        f"  min_labelled_rows: {max(30, times.labelled(times.every) // 4)}",
        f"  # the calmest quarter of the columns differs between windows by {drift['wasserstein']:.3g} standard",
        f"  # deviations (numbers), {drift['jensen_shannon']:.3g} (categories): half as much again, and 0.1 at least",
        "  drift:",
        f"    number: {{method: wasserstein, threshold: {number(numbers)}}}",
        f"    category: {{method: jensenshannon, threshold: {number(categories)}}}",
        "  performance:",
        f"    {metric}: {{role: watch, bound: {number(_bound(metric, noise))}"
        + (f", max_loss: {number(loss)}}}" if loss else "}")
        + f"  # a first model: {_shown(noise)}",
    ]
    if roles.task == "regression":
        lines.append(
            f"  gain: {{price: {number(_several(noise.paired_error, 2) or 1)}}}  # two standard errors of a difference"
        )
    return "\n".join(lines) + "\n"


def _rest(roles: Roles, times: Times, noise: MetricNoise) -> str:
    metric = METRIC[roles.task]
    side = "min" if metric != "rmse" else "max"
    n_window, n_train, n_holdout = (times.labelled(one) for one in (times.every, times.train, times.holdout))
    unitless = roles.task != "regression"
    deficit = _several(noise.paired_error, 1) or (0.02 if unitless else 1.0)
    return f"""policy: {{min_new_labels: {max(1, n_window // 2)}}}  # half of those of a window
training:                          # a first training is possible as of {times.first_training:%Y-%m-%d}
  train: {written(times.train)}
  holdout: {written(times.holdout)}
  min_train_rows: {max(10, n_train // 2)}
signoff:
  metrics: {{{metric}: {{{side}: {number(_bound(metric, noise))}}}}}
  versus_champion:
    metric: {metric}
    min_gain: {number(_several(noise.paired_error, 0.5))}                # half a standard error of a difference
  min_holdout_rows: {max(30, n_holdout // 2)}
bake:
  metric: {metric}
  bound: {number(_bound(metric, noise))}
  max_deficit: {number(deficit)}              # one such error, against the version before on the same rows
"""


def _several(error: float | None, times: float) -> float:
    return rounded_up(times * error) if error else 0.0


def _bound(metric: str, noise: MetricNoise) -> float:
    """What a first model reaches, four standard errors (or a tenth) worse; never worse than a constant's AUC."""
    value = noise.value
    if value is None:
        return 0.5 if metric == "roc_auc" else (0.05 if metric == "accuracy" else 1.0e9)
    slack = 4 * noise.error if noise.error else 0.1 * abs(value)
    if metric == "rmse":
        return rounded_up(value + slack, 3)
    return max(0.51 if metric == "roc_auc" else 0.01, int(100 * (value - slack)) / 100)


def _shown(noise: MetricNoise) -> str:
    if noise.value is None:
        return "could not be measured"
    return f"{noise.value:.4g}" + (f", standard error {noise.error:.2g} on such a holdout" if noise.error else "")
