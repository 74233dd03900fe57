"""What must agree across the sections of ``model.yaml``, and what no run could ever keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, get_args

from perennial.config.release.canary import flaws_of_releases
from perennial.config.training.threshold import flaws_of_threshold
from perennial.contracts import SourceKind
from perennial.errors import first_of
from perennial.statistics.metrics import METRICS, Metric

if TYPE_CHECKING:
    from perennial.config.model import ModelConfig

RESERVED = frozenset(
    {
        "prediction_id",
        "event_time",
        "score",
        "predicted",
        "model_version",
        "role",
        "batch_seq",
        "label",
        "labelled_at",
        "row_number",
        "weighted_share",
    }
)


def contradictions(config: ModelConfig) -> Iterator[str]:
    """Everything that can not hold, each with its key, its value and what is allowed. Pure."""
    yield from _names(config)
    yield from flaws_of_releases(config)
    yield from _task(config)
    yield from flaws_of_threshold(config)
    wrong = _foreign_metrics(config)
    if wrong:
        known = first_of(METRICS[config.task], most=9)
        yield f"metrics {first_of(wrong)}: a {config.task} task has {known}"
    else:
        yield from _judgement(config)
        yield from _bounds(config)
        yield from _distances(config)
    yield from _groups(config)
    yield from _grace(config)
    yield from _times(config)
    yield from _windows(config)
    yield from _amounts(config)


def _names(config: ModelConfig) -> Iterator[str]:
    if clashes := sorted(RESERVED & set(config.features)):
        yield (
            f"features {first_of(clashes)}: reserved names; call them otherwise, and say their name in the log "
            f"as from: {clashes[0]}"
        )
    for source in get_args(SourceKind):
        named = Counter(config.delivered(source).values())
        if twice := [name for name, n in named.items() if n > 1]:
            yield f"{source}: the delivered column {first_of(twice)} is named for two things"


def _groups(config: ModelConfig) -> Iterator[str]:
    """Columns whose values are to be told apart have to be there, and to have values that are not numbers."""
    signals, signoff = config.signals, config.signoff
    protected = {"signals.fairness": signals.fairness.columns, "signoff.fairness": signoff.fairness.columns}
    sliced = {"signals.slices": signals.slices.columns, "signoff.slices": signoff.slices.columns}
    for key, named in (protected | sliced).items():
        if wrong := [name for name in named if name not in config.categories]:
            yield f"{key}.columns {first_of(wrong)}: no category and no boolean among the features"
    for key, named in protected.items():
        if named and config.task != "binary":
            yield f"{key}: it compares the rates of a decision, which a {config.task} task does not make"


def _grace(config: ModelConfig) -> Iterator[str]:
    if config.grace and config.grace >= config.schedule.shortest:
        yield (
            f"sources: a grace of {config.grace} is not shorter than the window, {config.schedule.shortest}: the run "
            "of the next one would be due first; lengthen schedule.every, or let late files wait for a run by hand"
        )


def _task(config: ModelConfig) -> Iterator[str]:
    if config.task == "multiclass" and config.columns.predicted is None:
        yield "columns.predicted: a multiclass log needs the predicted class"
    if (config.task == "regression") != (config.label.classes is None):
        yield "label.classes: [0, 1] for a binary task, a list for multiclass, absent for regression"
    elif config.task == "binary" and config.label.classes != [0, 1]:
        yield "label.classes: a binary task has the labels [0, 1], 1 the positive class"


def _foreign_metrics(config: ModelConfig) -> list[str]:
    signoff = config.signoff
    used = {*config.signals.performance, *signoff.metrics, signoff.versus_champion.metric, config.bake.metric}
    used |= set(config.guards)
    used |= {config.gain_metric_name, config.slice_metric, config.window_metric, config.choice_metric}
    return sorted(used - set(METRICS[config.task]))


def _judgement(config: ModelConfig) -> Iterator[str]:
    gain, by = config.signals.gain, config.signals.uncertainty.block_by
    metric = config.gain_metric
    if gain.probe != "none" and gain.price is None and metric.values.width > 1:
        yield (
            f"signals.gain.price: {metric.name} has a unit of its own: say how much of it a retrain has to gain, or "
            "probe: none"
        )
    if gain.price is not None and gain.price >= metric.values.width:
        yield f"signals.gain.price = {gain.price:g}: no two values of {metric.name} lie further apart"
    slices, windows = config.signoff.slices, config.signoff.windows
    for key, asked, max_loss, name in (
        ("slices", slices.asked, slices.max_loss, config.slice_metric),
        ("windows", windows.last is not None, windows.max_loss, config.window_metric),
    ):
        if asked and max_loss is None and config.metric(name).values.width > 1:
            yield (
                f"signoff.{key}.max_loss: {name} has a unit of its own: say how much of it one of the {key} may lose, "
                "or name another metric"
            )
    robust = config.signoff.robustness
    for key, named, known in (
        ("measurement_error", robust.measurement_error, config.numbers),
        ("monotone", robust.monotone, config.numbers),
        ("invariant", robust.invariant, tuple(config.features)),
    ):
        if wrong := [name for name in named if name not in known]:
            yield f"signoff.robustness.{key} {first_of(wrong)}: no such {'feature' if key == 'invariant' else 'number'}"
    if (entity := config.signoff.data.entity) is not None and entity not in config.features:
        yield f"signoff.data.entity = {entity}: no such feature"
    if by is not None and by not in config.features:
        yield f"signals.uncertainty.block_by = {by}: no such feature"


def _bounds(config: ModelConfig) -> Iterator[str]:
    """Bounds that every value of their metric keeps, or none."""
    bounds: list[tuple[str, float | None, Metric, bool]] = []
    for name, signal in config.signals.performance.items():
        metric = config.metric(name)
        bounds.append((f"signals.performance.{name}.bound", signal.bound, metric, metric.more_is_better))
    for name, gate in config.signoff.metrics.items():
        bounds.append((f"signoff.metrics.{name}.min", gate.min, config.metric(name), True))
        bounds.append((f"signoff.metrics.{name}.max", gate.max, config.metric(name), False))
    baked = config.metric(config.bake.metric)
    bounds.append(("bake.bound", config.bake.bound, baked, baked.more_is_better))
    for key, bound, metric, is_least in bounds:
        if bound is not None and (flaw := metric.values.flaw_of(bound, is_least=is_least)):
            yield f"{key} = {bound:g}: {flaw} ({metric.name})"


def _distances(config: ModelConfig) -> Iterator[str]:
    """Differences that no two values of their metric can have."""
    bake, gain = config.bake, config.signoff.versus_champion
    distances = [
        (f"signals.performance.{name}.max_loss", name, signal.max_loss)
        for name, signal in config.signals.performance.items()
    ]
    for key, name, most in (*distances, ("bake.max_deficit", bake.metric, bake.max_deficit)):
        if most is not None and most >= config.metric(name).values.width:
            yield f"{key} = {most:g}: no two values of {name} lie further apart"
    if gain.min_gain > config.metric(gain.metric).values.width:
        yield f"signoff.versus_champion.min_gain = {gain.min_gain:g}: no two values of {gain.metric} lie so far apart"


def _times(config: ModelConfig) -> Iterator[str]:
    youngest = config.training.holdout + config.label.delay
    if config.policy.max_age < youngest:
        yield (
            f"policy.max_age = {config.policy.max_age}: even a champion of today was fitted on rows {youngest} old "
            "(training.holdout and label.delay): it would always ask for a retrain"
        )
    bake, every = config.bake, config.schedule.every
    if bake.deadline is not None and every is not None and bake.deadline < bake.windows * every:
        yield f"bake.deadline = {bake.deadline}: its {bake.windows} windows take {bake.windows * every}"


def _windows(config: ModelConfig) -> Iterator[str]:
    """Windows that no holdout reaches, or that no interval could be made of."""
    wanted, every, uncertainty = config.signoff.windows.last, config.schedule.every, config.signals.uncertainty
    if wanted is None:
        return
    if every is None:
        yield "signoff.windows: the windows of a cron schedule are not known beforehand: leave it out, or use every"
        return
    reached = -(-(config.training.holdout + config.label.delay) // every)
    if wanted > reached:
        yield (
            f"signoff.windows.last = {wanted}: training.holdout reaches into {reached} windows at most, and on the "
            "others the candidate was fitted"
        )
    if not uncertainty.block_by and every < uncertainty.min_blocks * uncertainty.block:
        yield (
            f"signoff.windows: a window holds {every // uncertainty.block} blocks, and an interval needs "
            f"{uncertainty.min_blocks} (signals.uncertainty): no window could be judged"
        )


def _amounts(config: ModelConfig) -> Iterator[str]:
    """Rows that the largest deliveries allowed could not bring."""
    most, every = config.validation.max_rows, config.schedule.every
    if most is None or every is None:
        return
    taught = config.training.train if config.training.window == "trailing" else timedelta.max
    for key, wanted, name, stretch in (
        ("training.min_train_rows", config.training.min_train_rows, "training.train", taught),
        ("signoff.min_holdout_rows", config.signoff.min_holdout_rows, "training.holdout", config.training.holdout),
    ):
        held = int(most * (stretch / every))
        if wanted > held:
            yield f"{key} = {wanted}: {name} holds {held} rows at most, with {most} a window (validation.max_rows)"
