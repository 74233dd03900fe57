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
from perennial.config.training.threshold import deciding_by
from perennial.contracts import Estimate, ReleaseState, Signal, SignalName, Subject, Window
from perennial.errors import TrainingError
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.labelled import not_enough, read_judged
from perennial.evidence.maturity import Coverage, LabelsIn, maturity, measurable, read_labels_in
from perennial.evidence.training.rows import sample_training
from perennial.statistics.gain import Gain, accumulate
from perennial.storage.work import temporary_folder
from perennial.store import Store
from perennial.store.signals import measured_since, save
from perennial.training.fitting.process import run_probe
from perennial.training.fitting.recipe import freeze_recipe
from perennial.training.fitting.worker import ANSWERS_FILE, JUDGED_FILE, TRAIN_FILE


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
    # the probe decides at the champion's threshold: what is measured is what fresh rows teach
    config = deciding_by(config, state.threshold_of(state.champion, config.label.decision_threshold))
    run = Subject.of_run(config.model, window, state.champion)
    name = SignalName.gain_in_window(config.gain_metric.name)
    known = measured_since(store, config.model, version=state.champion, names=[name], start=since, by=run.as_of)
    before = [signal for signal in known if signal.as_of < run.as_of]
    ended = frozenset(signal.window for signal in before)
    labels = read_labels_in(config, window, champion=state.champion, since=since, ended=ended, store=store)
    found: list[Signal] = []
    for coverage in to_probe(config, labels, before):
        subject = replace(run, window=coverage.window)
        found.append(_of_window(config, subject, coverage, state=state, store=store, models_dir=models_dir))
    if not found:
        return ()
    return save(store, [*found, summed(config, run, [*before, *found], state=state)])


def to_probe(config: ModelConfig, labels: LabelsIn, before: Iterable[Signal]) -> tuple[Coverage, ...]:
    """The mature windows to measure a gain in, given the signals of earlier runs: no stretch is measured twice. Pure.

    >>> own = Coverage(window=day(1), n_rows=8, n_labelled=8, n_by_champion=8, n_by_champion_labelled=8)
    >>> labels = LabelsIn(as_of=day(9).end, covered=(own, replace(own, window=day(2))), ended=frozenset(), due=None)
    >>> to_probe(flights, labels, []) == (own,)
    True
    """
    taken = [config.judged_over(signal.window) for signal in before]
    found = []
    for coverage in measurable(config, labels):
        stretch = config.judged_over(coverage.window)
        is_known = coverage.window in labels.ended or any(stretch.overlaps(other) for other in taken)
        if not is_known and maturity(config, coverage, labels.as_of) == "mature":
            found.append(coverage)
            taken.append(stretch)
    return tuple(found)


def probe_stretch(config: ModelConfig, judged: Window) -> Window:
    """Where the newest rows of the probe lie: ``training.train`` right before what it is judged on. Pure.

    What ``training.window`` adds to a candidate's rows it adds to these.

    >>> probe_stretch(flights, day(42)) == Window(start=day(0).start, end=day(41).end)
    True
    """
    return Window(start=judged.start - config.training.train, end=judged.start)


def most_probe_rows(config: ModelConfig) -> int | None:
    """How many rows the probe is fitted on at most; None for all that a candidate is fitted on. Pure.

    >>> most_probe_rows(flights)
    10000
    >>> gain = flights.signals.gain.model_copy(update={"probe": "full"})
    >>> full = flights.model_copy(update={"signals": flights.signals.model_copy(update={"gain": gain})})
    >>> most_probe_rows(full) is None
    True
    """
    return config.signals.gain.rows if config.signals.gain.probe == "small" else None


def too_few_to_probe(config: ModelConfig, n_train: int, judged: Window) -> str | None:
    """Why so few rows make no probe, or None. Pure.

    >>> too_few_to_probe(flights, 10_000, day(42)) is None
    True
    """
    if n_train >= (least := min(config.training.min_train_rows, config.signals.gain.rows)):
        return None
    return f"{n_train} labelled rows before {judged.key} to fit a probe on, {least} are needed"


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
    train = sample_training(
        config,
        probe_stretch(config, judged.window),
        as_of=subject.as_of,
        most=most_probe_rows(config),
        excluded=state.excluded,
        store=store,
    )
    if few := too_few_to_probe(config, train.num_rows, judged.window):
        return subject.unknown(name, "watch", few, threshold=price)
    try:
        answers = _answers_of_probe(config, train, rows, models_dir=models_dir)
    except TrainingError as error:
        return subject.unknown(name, "watch", f"the probe could not be fitted: {error}", threshold=price)
    return gain_signal(config, subject, answers_in(config, rows), answers, n_train=train.num_rows)


def _answers_of_probe(config: ModelConfig, train: pa.Table, rows: pa.Table, *, models_dir: Path) -> Answers:
    """What a model fitted on ``train`` answers for ``rows``, which it has not seen. Raises TrainingError."""
    with temporary_folder("probe-") as folder:
        recipe = freeze_recipe(models_dir / config.model, folder, config.training.recipes[0])
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
    ordered = sorted(measured, key=lambda signal: signal.window.end)
    subject = replace(run, window=ordered[-1].window)
    counted = [signal for signal in ordered if _counts(config, signal, state.last_answered_at, state.excluded)]
    if ordered[-1].value is None:
        return subject.unknown(name, gain.role, ordered[-1].detail, threshold=config.price)
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
