"""How a candidate comes to be: frozen rows, a fitted run, its evaluation, a registered version."""

from dataclasses import dataclass, field
from datetime import datetime

from perennial.contracts.measured.chosen import Chosen
from perennial.contracts.measured.estimates import Estimate, Interval
from perennial.contracts.measured.judged import DataFacts, GroupFacts, Robustness, SliceGains
from perennial.contracts.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Frozen training and holdout rows. Training lies strictly before the holdout in event time.

    ``batches`` are the numbers of the deliveries that brought them, predictions and labels; empty in snapshots of
    before that was kept. ``train`` ends right before the holdout; ``earlier`` are the stretches that taught besides it.
    """

    snapshot_id: str
    model: str
    as_of: datetime
    train_uri: str
    holdout_uri: str
    digest: str
    train: Window
    holdout: Window
    n_train: int
    n_holdout: int
    holdout_label_coverage: float
    batches: tuple[int, ...] = ()
    earlier: tuple[Window, ...] = ()

    @property
    def stretches(self) -> tuple[Window, ...]:
        """Everything that its rows lie in, in the order of time."""
        return (*self.earlier, self.train, self.holdout)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRun:
    """One MLflow run that holds a fitted, not yet evaluated or registered model. ``cpu_s`` are the CPU seconds of its
    fit, searches and cross-validation included; 0 where that was not kept. ``chosen`` is None in runs of before that
    was kept.
    """

    model: str
    mlflow_run_id: str
    model_uri: str
    snapshot_id: str
    n_train: int
    cv: dict[str, float]
    cpu_s: float = 0.0
    chosen: Chosen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Candidate and baseline on the same holdout rows, which neither was fitted on.

    ``baseline`` is the champion's version, or ``constant`` for a model without a champion: the predictor that always
    answers the training prior (or mean). ``candidate`` is judged on all ``n_rows``; ``candidate_paired`` and
    ``baseline_metrics`` on the ``n_paired_rows`` among them that the baseline was not fitted or judged on either. A
    metric that could not be computed is absent, and its gate fails; ``baseline_problem`` says why there is no pair, and
    ``champion_lost`` that there will never be one: the champion can not be scored any more. ``intervals`` are those of
    ``candidate``, by metric; ``gains`` say how much better the candidate is than the baseline on the paired rows,
    positive for better, in the unit of each metric. ``groups`` is None where none is asked for, and so is ``windows``:
    the same gain on the paired rows of each of the last windows.
    ``fit_cpu_s`` are the CPU seconds that the fit took, and ``chosen`` is what it chose by cross-validation; None where
    that was not kept.
    """

    model: str
    mlflow_run_id: str
    n_rows: int
    label_coverage: float
    candidate: dict[str, float]
    baseline: str
    baseline_metrics: dict[str, float]
    n_paired_rows: int
    candidate_paired: dict[str, float] = field(default_factory=dict)
    baseline_problem: str = ""
    champion_lost: bool = False
    intervals: dict[str, Interval] = field(default_factory=dict)
    gains: dict[str, Estimate] = field(default_factory=dict)
    fit_cpu_s: float = 0.0
    groups: GroupFacts | None = None
    data: DataFacts | None = None
    robustness: Robustness | None = None
    windows: SliceGains | None = None
    chosen: Chosen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A registered model version, not yet signed off. ``artifact_digest`` is the SHA-256 over its artifact files."""

    model: str
    version: str
    mlflow_run_id: str
    artifact_digest: str
    snapshot_id: str
