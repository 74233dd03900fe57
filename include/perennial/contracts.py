"""The frozen records that pass between stages, and nothing else.

They are small enough for XCom: ids, windows, counts, digests and URIs, never rows or models. ``to_record`` and
``from_record`` turn them into JSON-ready dictionaries and back.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

Record = TypeVar("Record")

SourceKind = Literal["predictions", "labels"]
Role = Literal["retrain", "alert", "watch"]
SignalStatus = Literal["ok", "breached", "unknown"]
Action = Literal["stay", "retrain", "rollback", "halt"]
BakeState = Literal["none", "running", "passed", "failed"]
LedgerKind = Literal[
    "decision",
    "retrain_request",
    "retrain_outcome",
    "signoff",
    "review",
    "promotion_intent",
    "promotion",
    "bake",
    "rollback_intent",
    "rollback",
    "hold",
    "acknowledgement",
    "integrity",
]


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def to_record(value: Any) -> dict[str, Any]:
    """A frozen record as a JSON-ready dictionary (datetimes as ISO 8601 text, NaN refused)."""
    record: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json")
    return record


def from_record(kind: type[Record], record: dict[str, Any]) -> Record:
    """The record of type ``kind`` that :func:`to_record` wrote. Raises pydantic.ValidationError otherwise."""
    value: Record = _adapter(kind).validate_python(record)
    return value


def digest_of(*parts: object) -> str:
    """32 hex digits that depend on every part and on nothing else (SHA-256 of their canonical JSON).

    >>> digest_of("a", 1) == digest_of("a", 1) != digest_of("a1")
    True
    """
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def utc(moment: datetime) -> datetime:
    """The same moment in UTC. Raises ValueError when it carries no zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} carries no time zone; write it as {moment.isoformat()}Z")
    return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Half-open UTC interval ``[start, end)`` of event time."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start))
        object.__setattr__(self, "end", utc(self.end))
        if self.end <= self.start:
            raise ValueError(f"window ends at {self.end.isoformat()}, not after its start {self.start.isoformat()}")

    @property
    def key(self) -> str:
        """Sorts by time and is fit for a file name or a run id: ``20130101T000000Z-20130115T000000Z``."""
        return f"{self.start:%Y%m%dT%H%M%SZ}-{self.end:%Y%m%dT%H%M%SZ}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The staged raw rows of one window from one source.

    ``problem`` says why the batch can not even be audited (missing, empty, unreadable, broken schema); None otherwise.
    """

    batch_id: str
    model: str
    source: SourceKind
    window: Window
    digest: str
    n_rows: int
    uri: str | None
    files: tuple[str, ...]
    missing_columns: tuple[str, ...] = ()
    extra_columns: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectationVerdict:
    """What one Great Expectations expectation found over the whole batch."""

    expectation: str
    column: str | None
    level: Literal["row", "batch"]
    passed: bool
    n_evaluated: int
    n_unexpected: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The verdict over one staged batch. ``accepted_uri`` and ``quarantine_uri`` are Parquet paths in the storage."""

    batch_id: str
    verdict: Literal["publish", "halt"]
    reason: str
    n_rows: int
    n_accepted: int
    n_quarantined: int
    share_bad: float
    expectations: tuple[ExpectationVerdict, ...]
    n_type_errors: dict[str, int] = field(default_factory=dict)
    n_out_of_range: dict[str, int] = field(default_factory=dict)
    accepted_uri: str | None = None
    quarantine_uri: str | None = None
    docs_uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The account of one batch: ``n_staged == n_published + n_quarantined + n_duplicate`` unless it was halted."""

    batch_id: str
    status: Literal["published", "halted"]
    reason: str
    n_staged: int
    n_published: int
    n_quarantined: int
    n_duplicate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One measured quantity of one window with its threshold.

    ``name`` is ``family/subject`` (``drift/temp``, ``drift/weighted_share``, ``quality/null_rate/temp``,
    ``performance/roc_auc``, ``bake/roc_auc``). ``value`` is None exactly when ``status`` is ``unknown``, and then
    ``detail`` says why: an unknown signal is never a pass. ``as_of`` is the end of the window whose run measured it:
    performance of a window is measured by a later run, when its labels are in. ``version`` is the champion it speaks
    about.
    """

    model: str
    window: Window
    as_of: datetime
    name: str
    role: Role
    status: SignalStatus
    value: float | None
    threshold: float | None
    version: str | None
    detail: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != (self.status == "unknown"):
            raise ValueError(f"{self.name}: value {self.value} with status {self.status}")
        if self.value is not None and self.value != self.value:
            raise ValueError(f"{self.name}: NaN is not a value; report it as unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done about one window, and why. ``decision_id`` depends on model, window and published batches."""

    decision_id: str
    model: str
    window: Window
    action: Action
    reasons: tuple[str, ...]
    champion: str | None
    bake: BakeState
    breached: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    retrain_run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainRequest:
    """Why and as of when a model is to be retrained. ``run_id`` is deterministic, so the same request runs once."""

    model: str
    run_id: str
    as_of: datetime
    cause: str
    requested_by: str
    review: Literal["auto", "manual"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Frozen training and holdout rows. Training lies strictly before the holdout in event time."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One MLflow run that holds a fitted, not yet evaluated or registered model."""

    model: str
    mlflow_run_id: str
    model_uri: str
    snapshot_id: str
    n_train: int
    cv: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Candidate and baseline on the same holdout rows, which neither was fitted on.

    ``baseline`` is the champion's version, or ``constant`` for a model without a champion: the predictor that always
    answers the training prior (or mean). ``candidate`` is judged on all ``n_rows``; ``candidate_paired`` and
    ``baseline_metrics`` on the ``n_paired_rows`` among them that the baseline was not fitted or judged on either. A
    metric that could not be computed is absent, and its gate fails; ``baseline_problem`` says why there is no pair.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A registered model version, not yet signed off. ``artifact_digest`` is the SHA-256 over its artifact files."""

    model: str
    version: str
    mlflow_run_id: str
    artifact_digest: str
    snapshot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One pass/fail condition. Missing evidence (``value`` None) never passes."""

    name: str
    passed: bool
    value: float | None
    bound: float | None
    detail: str

    def __post_init__(self) -> None:
        if self.passed and self.value is None:
            raise ValueError(f"gate {self.name} passes without evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signoff:
    """The verdict over all gates for one exact artifact, against the champion that was seen."""

    model: str
    version: str
    artifact_digest: str
    champion_seen: str | None
    gates: tuple[Gate, ...]
    passed: bool
    review: Literal["auto", "manual"]
    as_of: datetime
    train: Window
    holdout: Window

    def __post_init__(self) -> None:
        if self.passed and (not self.gates or not all(gate.passed for gate in self.gates)):
            raise ValueError(f"signoff of {self.model} version {self.version} passes over a failed or missing gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The answer of a reviewer, of the policy (``auto``), or of the deadline."""

    model: str
    version: str
    verdict: Literal["approved", "rejected"]
    reviewer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A completed promotion or rollback."""

    model: str
    kind: Literal["promotion", "rollback"]
    version: str
    previous: str | None
    entry_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger. ``entry_id`` is deterministic: appending it twice changes nothing.

    ``at`` is event time (what the decision knew), ``recorded_at`` and ``seq`` are the database's own.
    """

    entry_id: str
    model: str
    kind: LedgerKind
    at: datetime
    actor: str
    reason: str
    version: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    seq: int | None = None
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A stretch of event time on which retraining waits for someone's word.

    ``excluded`` stretches were acknowledged as faulty: their rows are left out of later snapshots.
    """

    entry_id: str
    stretch: Window
    reason: str
    acknowledged: bool = False
    excluded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a released version was fitted on, what it was judged on, and the digest of the files that took office."""

    train: Window
    holdout: Window
    artifact_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseState:
    """Who serves and who is trusted, folded from the ledger alone.

    ``stable`` lists the versions that passed their bake, the one trusted last at the end, without those rolled back.
    ``in_bake`` ends with the bake; ``bake_failed`` stays until the failed champion is replaced.
    """

    model: str
    champion: str | None = None
    champion_since: datetime | None = None
    fits: dict[str, Fit] = field(default_factory=dict)
    in_bake: bool = False
    bake_failed: bool = False
    stable: tuple[str, ...] = ()
    rolled_back: frozenset[str] = frozenset()
    holds: tuple[Hold, ...] = ()
    pending: LedgerEntry | None = None
    last_request_at: datetime | None = None
    request_times: tuple[datetime, ...] = ()
    last_rollback_at: datetime | None = None
    released_since_rollback: bool = True
