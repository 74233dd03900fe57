"""What a retrain would gain, measured before it is paid for: a model fitted just before a window, beside the champion.

For each mature window w a small model is fitted on rows spread over the whole ``training.train`` before w, and compared
with the champion on w, paired, by blocks; neither has seen it. The gains of the windows since the last retrain add up
(:mod:`perennial.statistics.gain`). The small model falls short of a full fit, which is a margin: slow drift is seen
late rather than noise taken for it.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.config import ModelConfig
from perennial.contracts import Estimate, ReleaseState, Signal, SignalName, Subject, Window
from perennial.errors import TrainingError
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.labelled import not_enough, read_judged, sample_labelled
from perennial.evidence.maturity import Coverage, maturity, measurable, read_labels_in
from perennial.statistics.gain import Gain, accumulate
from perennial.storage.work import temporary_folder
from perennial.store import Store
from perennial.store.signals import measured_since, save
from perennial.training.process import run_probe
from perennial.training.recipe import freeze_recipe
from perennial.training.worker import ANSWERS_FILE, JUDGED_FILE, TRAIN_FILE


def measure_gain(
    config: ModelConfig, window: Window, *, store: Store, state: ReleaseState, models_dir: Path
) -> tuple[Signal, ...]:
    """The gain in every window that became mature by the end of ``window``, and their sum; kept, all or none of them.

    A stretch is measured once, by the first run that finds it mature, on rows that the present champion scored; where
    one window holds too few blocks, as many windows as it takes are measured together, and none of them twice. Empty
    without a champion, and with ``probe: none``. A probe that could not be fitted makes its window unknown. Raises
    StoreUnavailable.
    """
    since = state.champion_since
    if config.signals.gain.probe == "none" or state.champion is None or since is None:
        return ()
    run = Subject.of_run(config.model, window, state.champion)
    name = SignalName.gain_in_window(config.gain_metric.name)
    known = measured_since(store, config.model, version=state.champion, names=[name], start=since, by=run.as_of)
    before = [signal for signal in known if signal.as_of < run.as_of]
    ended = frozenset(signal.window for signal in before)
    labels = read_labels_in(config, window, champion=state.champion, since=since, ended=ended, store=store)
    found: list[Signal] = []
    for coverage in measurable(config, labels):
        if coverage.window in ended or maturity(config, coverage, run.as_of) != "mature":
            continue
        stretch = config.judged_over(coverage.window)
        if not any(stretch.overlaps(config.judged_over(signal.window)) for signal in (*before, *found)):
            subject = replace(run, window=coverage.window)
            found.append(_of_window(config, subject, coverage, state=state, store=store, models_dir=models_dir))
    if not found:
        return ()
    return save(store, [*found, summed(config, run, [*before, *found], state=state)])


def _of_window(
    config: ModelConfig,
    subject: Subject,
    coverage: Coverage,
    *,
    state: ReleaseState,
    store: Store,
    models_dir: Path,
) -> Signal:
    """The signal of one window; unknown, with the reason, when the probe could not be fitted or compared."""
    name, price = SignalName.gain_in_window(config.gain_metric.name), config.price
    judged, rows = read_judged(
        config,
        coverage,
        version=subject.version,
        as_of=subject.as_of,
        excluded=state.excluded,
        with_features=True,
        store=store,
    )
    why = not_enough(config, judged, rows)
    if why or rows is None:
        return subject.unknown(name, "watch", why or "no rows", threshold=price)
    gain = config.signals.gain
    train = sample_labelled(
        config,
        Window(start=judged.window.start - config.training.train, end=judged.window.start),
        as_of=subject.as_of,
        most=gain.rows if gain.probe == "small" else None,
        excluded=state.excluded,
        store=store,
    )
    if train.num_rows < (least := min(config.training.min_train_rows, gain.rows)):
        few = f"{train.num_rows} labelled rows before {judged.window.key} to fit a probe on, {least} are needed"
        return subject.unknown(name, "watch", few, threshold=price)
    try:
        answers = _answers_of_probe(config, train, rows, models_dir=models_dir)
    except TrainingError as error:
        return subject.unknown(name, "watch", f"the probe could not be fitted: {error}", threshold=price)
    return gain_signal(config, subject, answers_in(config, rows), answers, n_train=train.num_rows)


def _answers_of_probe(config: ModelConfig, train: pa.Table, rows: pa.Table, *, models_dir: Path) -> Answers:
    """What a model fitted on ``train`` answers for ``rows``, which it has not seen. Raises TrainingError."""
    with temporary_folder("probe-") as folder:
        recipe = freeze_recipe(models_dir / config.model, folder)
        pq.write_table(train, folder / TRAIN_FILE)
        pq.write_table(rows, folder / JUDGED_FILE)
        run_probe(config, recipe, folder)
        answered = pq.read_table(folder / ANSWERS_FILE, memory_map=False)
    for column in ("score", "predicted"):
        rows = rows.set_column(rows.column_names.index(column), column, answered[column])
    return answers_in(config, rows)


def gain_signal(config: ModelConfig, subject: Subject, champion: Answers, probe: Answers, *, n_train: int) -> Signal:
    """``gain/<metric>_in_window``: how much better the probe is than the champion on the same rows. Pure."""
    metric, price = config.gain_metric, config.price
    name = SignalName.gain_in_window(metric.name)
    found = probe.gain_over(champion, config, metric.name)
    if found.value is None or found.interval is None:
        return subject.unknown(name, "watch", found.problem, threshold=price)
    detail = f"a model of {n_train} earlier rows beside version {subject.version} on {found.interval.n_rows} rows"
    signal = subject.known(name, "watch", found.value, threshold=price, breached=False, detail=detail)
    return replace(signal, interval=found.interval)


def summed(config: ModelConfig, run: Subject, measured: Iterable[Signal], *, state: ReleaseState) -> Signal:
    """``gain/<metric>``: the sum over the windows since the last retrain request, breached when it is worth a retrain.

    Speaks of the newest window measured. Windows in excluded stretches are left out. Pure.
    """
    metric, gain = config.gain_metric, config.signals.gain
    name = SignalName.gain(metric.name)
    told = sorted(measured, key=lambda signal: signal.window.end)
    subject = replace(run, window=told[-1].window)
    counted = [signal for signal in told if _counts(config, signal, state.last_answered_at, state.excluded)]
    if told[-1].value is None:
        return subject.unknown(name, gain.role, told[-1].detail, threshold=config.price)
    sums = accumulate(Estimate(value=signal.value, interval=signal.interval) for signal in counted)
    return _sum_signal(config, subject, name, sums)


def _counts(config: ModelConfig, signal: Signal, answered: datetime | None, excluded: tuple[Window, ...]) -> bool:
    stretch = config.judged_over(signal.window)
    return (
        signal.value is not None
        and (answered is None or signal.as_of > answered)
        and not any(stretch.overlaps(window) for window in excluded)
    )


def _sum_signal(config: ModelConfig, subject: Subject, name: SignalName, sums: Gain) -> Signal:
    """Breached when it fires; ok when even the upper end of the sum is not worth the price; undecided between."""
    gain, price, metric = config.signals.gain, config.price, config.gain_metric
    reach = sums.reach(gain.confidence)
    detail = (
        f"a model fitted just before would have gained {sums.total:.4g} {metric.name} "
        f"({sums.total - reach:.4g} to {sums.total + reach:.4g}), added up over the last {sums.n_windows} windows"
        if sums.n_windows
        else f"a model fitted just before would have gained nothing in {metric.name}"
    )
    fires = sums.fires(price=price, confidence=gain.confidence)
    signal = subject.known(name, gain.role, sums.total, threshold=price, breached=fires, detail=detail)
    is_open = not fires and sums.n_windows > 0 and sums.total + reach > price
    return replace(signal, status="undecided") if is_open else signal
