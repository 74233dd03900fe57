"""What came in for one window from one source: staged, audited, published."""

from dataclasses import dataclass, field
from typing import Literal

from perennial.contracts.windows import Window

SourceKind = Literal["predictions", "labels", "shadow"]


def number_of(delivered: str) -> str:
    """What a staged file calls the column of the numbers that ``delivered``, a column of text, came as.

    >>> number_of("hue")
    '_number:hue'
    """
    return f"_number:{delivered}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The staged raw rows of one window from one source.

    ``problem`` says why the batch can not even be audited (missing, empty, unreadable, incomplete, broken schema); None
    otherwise. ``expected_rows`` is what the sender promised, where a manifest says it.
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
    expected_rows: int | None = None


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
    """The verdict over one staged batch. ``accepted_uri`` and ``quarantine_uri`` are paths in the storage."""

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
    """The account of one batch: ``n_staged == n_published + n_quarantined + n_duplicate`` unless it was halted.

    ``n_corrected`` of the published rows had been published before, with other values or without a new column.
    """

    batch_id: str
    status: Literal["published", "halted"]
    reason: str
    n_staged: int
    n_published: int
    n_quarantined: int
    n_duplicate: int
    n_corrected: int = 0
