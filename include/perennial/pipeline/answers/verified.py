"""A signoff as whoever may answer it sees it, and the answer under a login."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Evaluation, Review, Signoff, from_record
from perennial.errors import ConfigError
from perennial.store import Store

if TYPE_CHECKING:
    from perennial.pipeline import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedReview:
    """A signoff with its page in parts of HTML, who approved it so far, and its answer, if it has one."""

    signoff: Signoff
    parts: tuple[str, ...]
    approved_by: tuple[str, ...]
    answer: Review | None


def read_asked(config: ModelConfig, signoff_id: str, *, store: Store) -> AskedReview:
    """Raises ConfigError for a signoff that the ledger does not hold, StoreUnavailable."""
    from perennial.signoff.answering.verified import approvals
    from perennial.signoff.report.page import parts

    history = ledger.read(store, config.model)
    signed, entry = history.signoff(signoff_id), history.entry(signoff_id)
    if signed is None or entry is None:
        raise ConfigError(f"{config.model}: the ledger holds no signoff {signoff_id[:60]}")
    judged = entry.payload.get("evaluation")
    answer = history.review_of(signed)
    shown = (
        parts(config, signed, from_record(Evaluation, judged), word=answer.past_gates if answer else None)
        if judged
        else ()
    )
    return AskedReview(signoff=signed, parts=tuple(shown), approved_by=approvals(history, signed), answer=answer)


def answer(
    case: Case, signoff_id: str, verdict: Literal["approved", "rejected"], *, by: str, reason: str, now: datetime
) -> Review | None:
    """The answer that stands afterwards; None while a second person has to agree. A rejected version is challenger no
    longer. Raises SignoffError where it is no answer, and why.
    """
    from perennial.release.promote import withdraw
    from perennial.signoff.answering.verified import answer_signoff

    signed = case.signoff(signoff_id)
    standing = answer_signoff(
        case.config, signed, verdict, by=by, reason=reason, now=now, store=case.store, registry=case.registry
    )
    if standing is not None and standing.verdict == "rejected":
        withdraw(case.config, signed.version, store=case.store, registry=case.registry)
    return standing
