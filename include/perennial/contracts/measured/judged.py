"""What was measured of a candidate beside its metrics, for the gates."""

from dataclasses import dataclass, field

from perennial.contracts.measured.estimates import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceGain:
    """How much better the candidate is than the baseline on the ``n_rows`` rows of one slice, or of one window.

    Positive is better.
    """

    name: str
    n_rows: int
    gain: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceGains:
    """The slices of one column, the one that was found, or the windows; none, and ``problem``, where none could be
    judged."""

    slices: tuple[SliceGain, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far the candidate treats groups apart, and by how much further than the baseline on the rows of both.

    Both in [-1, 1], the second positive for worse. ``left_out`` names the groups that were too small.
    """

    candidate: Estimate
    worsening: Estimate
    left_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """What the groups of the holdout say: slices by column (``found`` for the one found), and ``measure/column``."""

    slices: dict[str, SliceGains] = field(default_factory=dict)
    fairness: dict[str, Apart] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingBehaviour:
    """How the registered version behaves in a fresh process of one thread, prepared from logged rows as when serving.

    Latencies in milliseconds: of ``n_single`` requests of one row each, and of ``n_batches`` requests of ``batch_rows``
    rows. ``model_mb`` is the size of the version's files, ``memory_mb`` the most that the process ever held, imports
    included; both in 2^20 bytes. ``signature`` says why the version's signature does not keep wrong requests out;
    empty when it does.
    """

    single_p50_ms: float
    single_p99_ms: float
    n_single: int
    batch_p50_ms: float
    batch_p99_ms: float
    batch_rows: int
    n_batches: int
    model_mb: float
    memory_mb: float
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What training and holdout rows say of themselves.

    ``n_same_ids`` rows of the holdout have an id that the training rows have too; ``shared_entities`` is the share of
    its rows whose declared entity has training rows, None without one. ``gap_s`` lie between the last event trained on
    and the first judged on. ``least_class`` is how many rows the rarest class has in ``train`` and in ``holdout``;
    empty for regression. ``powers`` say how well one feature alone foretells the labels of the holdout (AUC, the mean
    over the classes where there are more, correlation for numbers; in [0, 1]), ``drifts`` the PSI of each feature
    between the training rows and the newest rows served; what could not be computed is absent.
    """

    n_same_ids: int
    shared_entities: float | None
    gap_s: float
    least_class: dict[str, int] = field(default_factory=dict)
    powers: dict[str, float] = field(default_factory=dict)
    drifts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """How the candidate answers for rows that differ from logged ones in what should matter little, on ``n_rows`` rows.

    ``changed`` is the 99 % quantile of how far an answer moves when numbers move within their measurement error, None
    where none is declared; ``missing`` names what happened when an optional feature was missing, empty when nothing
    did. ``violations`` is the share of rows, by feature, whose answers do not follow the declared direction;
    ``moved`` the most that an answer moved, by feature, when that took other rows' values. Another predicted class
    counts as a move of 1.
    """

    n_rows: int
    changed: float | None = None
    missing: str = ""
    violations: dict[str, float] = field(default_factory=dict)
    moved: dict[str, float] = field(default_factory=dict)
