"""What a retrain would gain, measured before it is paid for: a model fitted just before a window, beside the champion.

For each mature window w a small model is fitted on rows spread over the whole ``training.train`` before w, and compared
with the champion on w, paired, by blocks; neither has seen it. The gains of the windows since the last retrain add up
(:mod:`perennial.statistics.gains`). The small model falls short of a full fit, which is a margin: slow drift is seen
late rather than noise taken for it.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, SignalName, Subject, Window
from perennial.errors import TrainingError
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.labelled import not_enough, read_judged, sample_labelled
from perennial.evidence.maturity import Coverage, maturity, measurable, read_labels_in
from perennial.statistics.gains import Gains, accumulate
from perennial.store import Store
from perennial.store.signals import measured_since, save
from perennial.training.process import run_probe
from perennial.training.recipe import freeze_recipe
from perennial.training.work import FIT_FOLDER, work_folder
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
    oldest = since - (window.end - window.start)
    known = measured_since(store, config.model, version=state.champion, names=[name], start=oldest, by=run.as_of)
    before = [signal for signal in known if signal.as_of < run.as_of]
    ended = frozenset(signal.window for signal in before)
    labels = read_labels_in(config, window, champion=state.champion, since=oldest, ended=ended, store=store)
    found: list[Signal] = []
    for coverage in measurable(config, labels):
        if maturity(config, coverage, run.as_of) != "mature" or coverage.window in ended:
            continue
        stretch = config.judged_over(coverage.window)
        if any(stretch.overlaps(config.judged_over(signal.window)) for signal in (*before, *found)):
            continue
        found.append(_of_window(config, replace(run, window=coverage.window), coverage, state, store, models_dir))
    if not found:
        return ()
    return save(store, [*found, summed(config, run, [*before, *found], state=state)])


def _of_window(
    config: ModelConfig, subject: Subject, coverage: Coverage, state: ReleaseState, store: Store, models_dir: Path
) -> Signal:
    """The signal of one window; unknown, with the reason, when the probe could not be fitted or compared."""
    name = SignalName.gain_in_window(config.gain_metric.name)
    judged, rows = read_judged(
        config, coverage, version=subject.version, as_of=subject.as_of, excluded=state.excluded, with_features=True,
        store=store,
    )  # fmt: skip
    if why := not_enough(config, judged, rows):
        return subject.unknown(name, "watch", why)
    assert rows is not None  # noqa: S101 - not_enough says why there are none
    try:
        answers, n_train = _probe(config, subject, judged.window, rows, state, store, models_dir)
    except TrainingError as error:
        return subject.unknown(name, "watch", f"the probe could not be fitted: {error}")
    return gain_signal(config, subject, answers_in(config, rows), answers, n_train=n_train)


def _probe(
    config: ModelConfig,
    subject: Subject,
    judged: Window,
    rows: pa.Table,
    state: ReleaseState,
    store: Store,
    models_dir: Path,
) -> tuple[Answers, int]:
    """What a model fitted on what was known right before ``judged`` answers for ``rows``, and on how many it was."""
    gain = config.signals.gain
    before = Window(start=judged.start - config.training.train, end=judged.start)
    train = sample_labelled(
        config,
        before,
        as_of=subject.as_of,
        most=gain.rows if gain.probe == "small" else None,
        excluded=state.excluded,
        store=store,
    )
    least = min(config.training.min_train_rows, gain.rows)
    if train.num_rows < least:
        raise TrainingError(f"{config.model}: {train.num_rows} labelled rows before {judged.key}, {least} needed")
    with tempfile.TemporaryDirectory(prefix=FIT_FOLDER, dir=work_folder()) as place:
        folder = Path(place)
        recipe = freeze_recipe(models_dir / config.model, folder)
        pq.write_table(train, folder / TRAIN_FILE)
        pq.write_table(rows, folder / JUDGED_FILE)
        run_probe(config, recipe, folder)
        answered = pq.read_table(folder / ANSWERS_FILE, memory_map=False)
    for column in ("score", "predicted"):
        rows = rows.set_column(rows.column_names.index(column), column, answered[column])
    return answers_in(config, rows), train.num_rows


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
    sums = accumulate((signal.value or 0.0, signal.interval) for signal in counted if signal.interval is not None)
    if not counted or told[-1].value is None:
        return subject.unknown(name, gain.role, told[-1].detail, threshold=config.price)
    return _sum_signal(config, subject, name, sums)


def _counts(
    config: ModelConfig, signal: Signal, answered: datetime | None, excluded: tuple[Window, ...]
) -> bool:
    stretch = config.judged_over(signal.window)
    return (
        signal.value is not None
        and (answered is None or signal.as_of > answered)
        and not any(stretch.overlaps(window) for window in excluded)
    )


def _sum_signal(config: ModelConfig, subject: Subject, name: SignalName, sums: Gains) -> Signal:
    gain, price, metric = config.signals.gain, config.price, config.gain_metric
    interval = sums.interval(config.signals.uncertainty.confidence)
    detail = (
        f"a model fitted just before would have gained {sums.total:.4g} {metric.name}"
        f"{f' ({interval})' if interval else ''}, added up over the last {sums.n_windows} windows"
    )
    signal = subject.known(
        name,
        gain.role,
        sums.total,
        threshold=price,
        breached=sums.worth(price, confidence=gain.confidence),
        detail=detail,
    )
    if signal.status == "ok" and (interval is None or interval.high > price):
        signal = replace(signal, status="undecided")
    return replace(signal, interval=interval)
