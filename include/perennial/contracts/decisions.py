"""What is to be done about a window, and the retrain that it may ask for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.contracts.measured.records import digest_of
from perennial.contracts.windows import Window

Action = Literal["stay", "retrain", "rollback", "halt", "blind"]
BakeState = Literal["none", "running", "passed", "failed", "blind"]
Ending = Literal["promoted", "refused", "rejected", "overtaken", "failed"]
"""How a retrain request ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done about one window, and why. ``decision_id`` depends on model, window, published batches
    and acknowledged holds.

    ``blind`` is no decision to do nothing: the evidence that one would rest on is missing, and someone has to act.
    """

    decision_id: str
    model: str
    window: Window
    action: Action
    reasons: tuple[str, ...]
    champion: str | None
    bake: BakeState
    breached: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    retrain_run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainRequest:
    """Why and as of when a model is to be retrained. ``run_id`` is deterministic, so the same request runs once.

    ``champion`` and ``bake`` say under which champion it was asked for, and how far that one's probation was; ``bake``
    is None in requests from before that was kept. ``without_comparison`` is a person's word that a candidate may be
    promoted though the champion can not be scored any more, ``anyway`` that it shall be made though it can not pay.
    """

    model: str
    run_id: str
    as_of: datetime
    cause: str
    requested_by: str
    review: Literal["auto", "manual"] | None = None
    champion: str | None = None
    bake: BakeState | None = None
    without_comparison: bool = False
    anyway: bool = False

    @property
    def request_id(self) -> str:
        """Its id in the ledger."""
        return digest_of("retrain_request", self.model, self.run_id)
