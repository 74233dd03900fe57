"""Whether the shadow speaks against a release: candidate and champion on the same rows of real traffic."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from perennial import ledger
from perennial.config import ModelConfig
from perennial.config.release.shadow import shadow_metric
from perennial.contracts import Estimate, ReleaseState, Review, Signoff
from perennial.evidence.answers import answers_in
from perennial.evidence.deliveries.paired import mature_since, read_paired
from perennial.ledger import History
from perennial.store import Store

REVIEWER = "shadow"
"""The name under which a review is rejected for what was seen there; no person may answer under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowGain:
    """How much better the candidate was on ``n_rows`` that both answered, in the unit of the metric."""

    gain: Estimate
    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSays:
    """What the shadow says of a candidate, and on what."""

    verdict: Literal["waits", "passed", "failed", "blind"]
    reason: str


def said_of(config: ModelConfig, seen: ShadowGain, *, overdue: bool) -> ShadowSays:
    """What a comparison says. Pure. Too few rows never pass: they wait, and are blind once the time is over.

    >>> def said(value, error, n_rows=2000, overdue=False): return said_of(flights, ShadowGain(n_rows=n_rows, gain=
    ...     Estimate(value=value, interval=around(value, error, n_rows, 14, 0.95))), overdue=overdue).verdict
    >>> said(0.01, 0.002), said(-0.01, 0.02), said(-0.05, 0.002)
    ('passed', 'passed', 'failed')
    >>> said(0.01, 0.002, n_rows=999), said(-0.05, 0.002, n_rows=999), said(0.01, 0.002, n_rows=999, overdue=True)
    ('waits', 'waits', 'blind')
    >>> said_of(flights, ShadowGain(gain=Estimate(value=0.2, problem="3 blocks"), n_rows=2000), overdue=False).verdict
    'waits'
    """
    asked, name = config.release, shadow_metric(config)
    what = f"in the shadow: {name} better by {seen.gain} on {seen.n_rows} rows that both answered"
    if seen.n_rows < asked.min_rows or seen.gain.interval is None:
        missing = f"release.min_rows asks for {asked.min_rows}, with an interval"
        if overdue:
            return ShadowSays(verdict="blind", reason=f"blind: {what} by signoff.review.deadline; {missing}")
        return ShadowSays(verdict="waits", reason=f"{what}; {missing}")
    if seen.gain.standing(-asked.margin, is_least=True) == "breached":
        return ShadowSays(verdict="failed", reason=f"{what}: surely worse than release.margin {asked.margin:g} allows")
    return ShadowSays(verdict="passed", reason=what)


def compare(config: ModelConfig, signed: Signoff, *, state: ReleaseState, as_of: datetime, store: Store) -> ShadowGain:
    """Both versions on the rows since the signoff, which neither was fitted on, as known at ``as_of``."""
    champion = str(signed.champion_seen)
    stretches = mature_since(config, signed.as_of, as_of=as_of, champion=champion, store=store)
    if not stretches:
        return ShadowGain(gain=Estimate(problem="no window since the signoff has its labels in"), n_rows=0)
    own, other = read_paired(config, stretches, champion=champion, challenger=signed.version, as_of=as_of, store=store)
    if not own.num_rows:
        return ShadowGain(gain=Estimate(problem="no row that both answered has its label"), n_rows=0)
    declared = config.label.decision_threshold
    champions = replace(answers_in(config, own), threshold=state.threshold_of(champion, declared))
    candidates = replace(
        answers_in(config, other), threshold=declared if signed.threshold is None else signed.threshold
    )
    return ShadowGain(gain=candidates.gain_over(champions, config, shadow_metric(config)), n_rows=own.num_rows)


def is_asked(config: ModelConfig, signed: Signoff) -> bool:
    """Whether a release of this candidate needs the word of the shadow. Pure.

    >>> is_asked(flights, signed)
    False
    """
    waived = any(gate.waived for gate in signed.gates)
    return config.release.strategy == "shadow" and signed.champion_seen is not None and signed.passed and not waived


def with_shadow(
    config: ModelConfig, signed: Signoff, answer: Review | None, *, store: Store, now: datetime | None
) -> Review | None:
    """The answer to a signoff once the shadow has been heard; None while that, or a person, is waited for.

    It is looked at once somebody approved, the policy at once, so that it decides once there are enough rows; a
    rejection that a person or the world gave stands, and so does what the ledger has. ``now`` judges the deadline.
    """
    if not is_asked(config, signed) or answer is None:
        return answer
    history = ledger.read(store, config.model)
    by_time = answer.reviewer == "deadline"
    if history.review_of(signed) is not None or (answer.verdict == "rejected" and not by_time):
        return answer
    said = _heard(config, signed, history, store=store, now=now)
    if said.verdict in ("failed", "blind"):
        return replace(answer, verdict="rejected", reviewer=REVIEWER, reason=said.reason)
    if by_time:
        return answer
    return None if said.verdict == "waits" else replace(answer, reason=f"{answer.reason}; {said.reason}")


def _heard(config: ModelConfig, signed: Signoff, history: History, *, store: Store, now: datetime | None) -> ShadowSays:
    entry, as_of = history.entry(signed.signoff_id), ledger.newest_decided(store, config.model) or signed.as_of
    since = entry.recorded_at if entry else None
    overdue = now is not None and since is not None and now > since + config.signoff.review.deadline
    return said_of(config, compare(config, signed, state=history.state, as_of=as_of, store=store), overdue=overdue)
