"""Judge a candidate on its holdout, beside the champion on the same rows, and keep what drift is measured against."""

import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import DataFacts, Evaluation, FittedRun, Interval, ReleaseState, Snapshot, Window
from perennial.contracts.tags import BASELINE_PROBLEM_TAG, BASELINE_TAG
from perennial.errors import TrainingError
from perennial.evidence.answers import Answers
from perennial.evidence.samples import read_sample
from perennial.evidence.stretches import Labelled, count_labelled, labelled_windows
from perennial.registry.client import Registry
from perennial.registry.models import load_logged_model
from perennial.registry.reference import save_reference, with_declared
from perennial.registry.runs import log_figures, log_values
from perennial.registry.scoring import score
from perennial.store import Store
from perennial.training.baseline import Rival, versus_champion, versus_constant
from perennial.training.drawn.attributions import Attributions, attributions
from perennial.training.drawn.plots import figures
from perennial.training.importance import MOST_ROWS, feature_importance
from perennial.training.measured.data import MOST_ROWS as MOST_ROWS_ASKED
from perennial.training.measured.data import columns_asked, data_facts
from perennial.training.measured.groups import columns_of, group_facts
from perennial.training.measured.robustness import robustness
from perennial.training.measured.windows import window_gains
from perennial.training.rows import answer, pick, take_rows
from perennial.training.snapshot import verify_snapshot

_log = logging.getLogger(__name__)


def evaluate(
    config: ModelConfig, fitted: FittedRun, snapshot: Snapshot, *, store: Store, registry: Registry, state: ReleaseState
) -> Evaluation:
    """Metrics of the candidate on all holdout rows, and of candidate and champion on those new to both.

    Logs metrics, plots, the reference sample and the importance of the features to the candidate's run; a second time
    changes nothing. What can not be measured is absent. Raises TrainingError when there is no holdout row,
    IntegrityError when snapshot or model were changed, RegistryUnavailable.
    """
    verify_snapshot(snapshot, storage=store.storage)
    if snapshot.n_holdout == 0:
        raise TrainingError(f"{config.model}: no labelled row in the holdout {snapshot.holdout.key}")
    model = load_logged_model(registry, fitted.model_uri, trusted_types=config.training.trusted_types)
    candidate = answer(config, model, snapshot.holdout_uri, storage=store.storage)
    if state.champion is None:
        compared = versus_constant(config, candidate, snapshot, store=store)
    else:
        compared = versus_champion(
            config, candidate, snapshot, state.champion, store=store, registry=registry, state=state
        )
    if compared.problem:
        _log.warning("%s: no comparison with the champion: %s", config.model, compared.problem)
    columns = list(columns_of(config))
    rows = store.storage.read_table(snapshot.holdout_uri, columns=columns) if columns else None
    facts, windows = _facts(config, snapshot, store=store), _windows(config, snapshot, state, store=store)
    evaluation = evaluation_of(config, fitted, snapshot, candidate, compared, rows=rows, facts=facts, windows=windows)
    tried = take_rows(
        snapshot.holdout_uri,
        pick(snapshot.n_holdout, config.signoff.robustness.rows, config.signals.seed),
        storage=store.storage,
    )
    evaluation = replace(evaluation, robustness=robustness(config, model, tried))
    _log_evaluation(evaluation, compared, snapshot, fitted, registry=registry)
    importance, attributed = _log_reference(config, fitted, snapshot, model, store=store, registry=registry)
    log_figures(registry, fitted.mlflow_run_id, figures(config, candidate, importance, attributed), "plots")
    return evaluation


def evaluation_of(
    config: ModelConfig,
    fitted: FittedRun,
    snapshot: Snapshot,
    candidate: Answers,
    compared: Rival,
    *,
    rows: pa.Table | None = None,
    facts: DataFacts | None = None,
    windows: tuple[Labelled, ...] = (),
) -> Evaluation:
    """What the gates judge, from the candidate's answers for its holdout and what they were compared with. Pure.

    ``rows`` hold the features by which groups are told apart, in the order of the answers; ``windows`` are those that
    the candidate is judged in one by one.
    """
    return Evaluation(
        model=config.model,
        mlflow_run_id=fitted.mlflow_run_id,
        n_rows=len(candidate.labels),
        label_coverage=snapshot.holdout_label_coverage,
        candidate=candidate.metrics(config),
        baseline=compared.baseline,
        baseline_metrics=compared.metrics,
        n_paired_rows=compared.n_rows,
        candidate_paired=compared.candidate,
        baseline_problem=compared.problem,
        champion_lost=compared.champion_lost,
        intervals=_intervals(config, candidate),
        gains=compared.gains,
        fit_cpu_s=fitted.cpu_s,
        data=facts,
        groups=None if rows is None else group_facts(config, rows, candidate, compared),
        windows=window_gains(config, windows, compared) if config.signoff.windows.last else None,
        chosen=fitted.chosen,
    )


def _facts(config: ModelConfig, snapshot: Snapshot, *, store: Store) -> DataFacts:
    """Of the frozen rows, beside the rows that were served last as of the request."""
    parts = (snapshot.train_uri, snapshot.n_train), (snapshot.holdout_uri, snapshot.n_holdout)
    seed, storage = config.signals.seed, store.storage
    train, holdout = (storage.read_table(uri, columns=columns_asked(config)) for uri, _ in parts)
    samples = [take_rows(uri, pick(n_rows, MOST_ROWS_ASKED, seed), storage=storage) for uri, n_rows in parts]
    newest = Window(start=snapshot.as_of - config.training.holdout, end=snapshot.as_of)
    return data_facts(config, (train, holdout), (samples[0], samples[1]), read_sample(config, newest, store=store))


def _windows(config: ModelConfig, snapshot: Snapshot, state: ReleaseState, *, store: Store) -> tuple[Labelled, ...]:
    as_of, excluded = snapshot.as_of, state.excluded

    def count(window: Window) -> Labelled:
        return count_labelled(config, window, as_of=as_of, excluded=excluded, store=store)

    return labelled_windows(config, snapshot.holdout, as_of, count=count)


def _intervals(config: ModelConfig, candidate: Answers) -> dict[str, Interval]:
    """Those of the metrics that a gate asks for."""
    found = {name: candidate.estimate(config, name).interval for name in config.signoff.metrics}
    return {name: interval for name, interval in found.items() if interval is not None}


def _log_evaluation(
    evaluation: Evaluation, compared: Rival, snapshot: Snapshot, fitted: FittedRun, *, registry: Registry
) -> None:
    found = {
        **{f"holdout_{name}": value for name, value in evaluation.candidate.items()},
        **{f"paired_{name}": value for name, value in evaluation.candidate_paired.items()},
        **{f"baseline_{name}": value for name, value in evaluation.baseline_metrics.items()},
        "holdout_rows": float(evaluation.n_rows),
        "holdout_label_coverage": evaluation.label_coverage,
        "paired_rows": float(evaluation.n_paired_rows),
    }
    tags = {BASELINE_TAG: evaluation.baseline}
    if compared.problem:
        tags[BASELINE_PROBLEM_TAG] = compared.problem
    at_ms = int(snapshot.as_of.timestamp() * 1000)
    log_values(registry, fitted.mlflow_run_id, metrics=found, tags=tags, at_ms=at_ms, model_uri=fitted.model_uri)


def _log_reference(
    config: ModelConfig, fitted: FittedRun, snapshot: Snapshot, model: object, *, store: Store, registry: Registry
) -> tuple[dict[str, float] | None, Attributions | None]:
    """Log the sample that windows are compared with, and what the features weigh: returned with what they add."""
    most, seed = config.signals.sample_rows, config.signals.seed
    n_train, n_holdout = sample_sizes(snapshot.n_train, snapshot.n_holdout, most)
    train = take_rows(snapshot.train_uri, pick(snapshot.n_train, n_train, seed), storage=store.storage)
    holdout = take_rows(snapshot.holdout_uri, pick(snapshot.n_holdout, n_holdout, seed), storage=store.storage)
    probe = holdout.take(pa.array(pick(holdout.num_rows, MOST_ROWS, seed)))
    rows = pa.concat_tables(
        [_reference_rows(config, train, None, "train"), _reference_rows(config, holdout, model, "holdout")]
    )
    rows = with_declared(rows, config.declared)
    importance = feature_importance(config, model, probe)
    save_reference(registry, fitted.mlflow_run_id, rows, importance)
    return importance, attributions(config, model, probe, train)


def sample_sizes(n_train: int, n_holdout: int, most: int) -> tuple[int, int]:
    """How many rows of either part make the reference: at most ``most``, and in the proportion of the snapshot.

    Drift of the features is measured against both together: a holdout sampled more densely would weigh too much. Pure.

    >>> sample_sizes(300, 100, 1000), sample_sizes(4000, 1000, 1000), sample_sizes(9000, 1, 1000)
    ((300, 100), (1000, 250), (1000, 1))
    """
    share = min(1.0, most / max(n_train, n_holdout, 1))
    return max(1, round(n_train * share)), max(1, round(n_holdout * share))


def _reference_rows(config: ModelConfig, rows: pa.Table, model: object | None, part: str) -> pa.Table:
    """Features, id, time and label as in the store, with the score and the class that ``model`` answers, or null."""
    n_rows = rows.num_rows
    kept = rows.select([*config.features, "prediction_id", "event_time", "label"])
    scores, predicted = score(config, model, rows) if model is not None else (None, None)
    columns = {
        "score": pa.nulls(n_rows, pa.float64()) if scores is None else pa.array(np.asarray(scores, dtype=np.float64)),
        "predicted": pa.nulls(n_rows, pa.string()) if predicted is None else pa.array(predicted.tolist(), pa.string()),
        "part": pa.array([part] * n_rows, pa.string()),
    }
    for name, column in columns.items():
        kept = kept.append_column(name, column)
    return kept
