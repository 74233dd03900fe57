"""The ledger's lines, and who serves and who is trusted after them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from perennial.contracts.decisions import BakeState, RetrainRequest
from perennial.contracts.signoffs import PastGates, Signoff
from perennial.contracts.windows import Window

LedgerKind = Literal[
    "decision",
    "retrain_request",
    "retrain_outcome",
    "signoff",
    "approval",
    "review",
    "canary_intent",
    "canary",
    "promotion_intent",
    "promotion",
    "bake",
    "rollback_intent",
    "rollback",
    "hold",
    "acknowledgement",
    "integrity",
    "hindsight",
    "traffic",
    "alert",
    "guard",
]


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
class Lineage:
    """What a released version was fitted on, what it was judged on, the digest of the files that took office, and from
    which score on it predicts the positive class (None: it was told no threshold).
    """

    train: Window
    holdout: Window
    artifact_digest: str | None = None
    threshold: float | None = None

    @property
    def stretch(self) -> Window:
        """Everything that it was made from and judged on.

        >>> Lineage(train=day(0), holdout=day(1)).stretch == Window(start=day(0).start, end=day(1).end)
        True
        """
        return Window(start=self.train.start, end=self.holdout.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseState:
    """Who serves and who is trusted, folded from the ledger alone.

    ``stable`` lists the versions that passed their bake, the one trusted last at the end, without those rolled back.
    ``in_bake`` ends with the bake; ``bake_failed`` and ``bake_reason``, in what, stay until the failed champion is
    replaced. ``request_times`` are those of the requests that count for the budget: one that failed or was overtaken
    gives its share back. ``gone`` are versions that were found deleted in the registry, for good. ``fits`` are the CPU
    seconds of every fit that made a candidate, and when, by the id of its run. ``past_gates`` is the word on which the
    champion was promoted past its gates, until its bake has passed.
    """

    model: str
    champion: str | None = None
    champion_since: datetime | None = None
    lineages: dict[str, Lineage] = field(default_factory=dict)
    in_bake: bool = False
    bake_failed: bool = False
    bake_reason: str = ""
    stable: tuple[str, ...] = ()
    rolled_back: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    holds: tuple[Hold, ...] = ()
    pending: LedgerEntry | None = None
    last_request_at: datetime | None = None
    request_times: tuple[datetime, ...] = ()
    fits: dict[str, tuple[datetime, float]] = field(default_factory=dict)
    open_requests: tuple[RetrainRequest, ...] = ()
    last_rollback_at: datetime | None = None
    released_since_rollback: bool = True
    past_gates: PastGates | None = None

    @property
    def bake(self) -> BakeState:
        """How far the champion's probation is; ``none`` without a champion.

        >>> ReleaseState(model="m", champion="3", in_bake=True).bake, ReleaseState(model="m").bake
        ('running', 'none')
        """
        if self.champion is None:
            return "none"
        if self.bake_failed:
            return "failed"
        return "running" if self.in_bake else "passed"

    @property
    def last_answered_at(self) -> datetime | None:
        """When the last retrain was requested that did not fail or was overtaken; None before the first.

        >>> ReleaseState(model="m", request_times=(day(0).end, day(1).end)).last_answered_at == day(1).end
        True
        """
        return max(self.request_times, default=None)

    @property
    def trusted(self) -> tuple[str, ...]:
        """The versions that a rollback may go to, the one trusted last at the end.

        >>> ReleaseState(model="m", champion="4", stable=("1", "3", "4"), rolled_back=frozenset({"1"})).trusted
        ('3',)
        """
        lost = {self.champion} | self.rolled_back | self.gone
        return tuple(known for known in self.stable if known not in lost)

    @property
    def fallback(self) -> str | None:
        """Where a rollback would go: the version trusted last, other than the champion; None when there is none.

        >>> ReleaseState(model="m", champion="4", stable=("1", "3")).fallback
        '3'
        >>> ReleaseState(model="m", champion="3", stable=("1", "3")).fallback
        '1'
        """
        return self.trusted[-1] if self.trusted else None

    @property
    def lineage(self) -> Lineage | None:
        """What the champion was made from; None when the ledger does not know.

        >>> made = Lineage(train=day(0), holdout=day(1))
        >>> ReleaseState(model="m", champion="3", lineages={"3": made}).lineage == made
        True
        """
        return self.lineages.get(self.champion) if self.champion else None

    @property
    def excluded(self) -> tuple[Window, ...]:
        """The stretches whose rows make no model, in the order of their holds.

        >>> faulty = Hold(entry_id="h", stretch=day(0), reason="wrong labels", acknowledged=True, excluded=True)
        >>> ReleaseState(model="m", holds=(faulty,)).excluded == (day(0),)
        True
        """
        return tuple(hold.stretch for hold in self.holds if hold.excluded)

    def digest_of(self, version: str) -> str | None:
        """The digest of the files with which a version took office; None when the ledger does not know.

        >>> made = Lineage(train=day(0), holdout=day(1), artifact_digest="d")
        >>> ReleaseState(model="m", lineages={"3": made}).digest_of("3")
        'd'
        """
        lineage = self.lineages.get(version)
        return lineage.artifact_digest if lineage else None

    def threshold_of(self, version: str | None, declared: float) -> float:
        """From which score on a version predicts the positive class: its own, else the one ``declared``."""
        lineage = self.lineages.get(version) if version else None
        return declared if lineage is None or lineage.threshold is None else lineage.threshold

    def holds_over(self, *stretches: Window) -> tuple[Hold, ...]:
        """The holds that wait for someone's word and reach into one of ``stretches``.

        >>> held = ReleaseState(model="m", holds=(Hold(entry_id="h", stretch=day(0), reason="wrong labels"),))
        >>> [hold.entry_id for hold in held.holds_over(day(1), day(0))], held.holds_over(day(1))
        (['h'], ())
        """
        return tuple(
            hold
            for hold in self.holds
            if not hold.acknowledged and any(hold.stretch.overlaps(stretch) for stretch in stretches)
        )

    def overtakes(self, request: RetrainRequest) -> str | None:
        """Why a request acts on a world that is gone, in words; None when it is the one it was made in.

        >>> from datetime import UTC
        >>> asked = RetrainRequest(model="m", run_id="r", as_of=datetime(2013, 1, 1, tzinfo=UTC), cause="decay",
        ...     requested_by="policy", champion="2", bake="passed")
        >>> ReleaseState(model="m", champion="2").overtakes(asked)
        >>> ReleaseState(model="m", champion="5", in_bake=True).overtakes(asked)
        'requested while version 2 was champion, and version 5 is champion now'
        """
        if request.bake is None:
            return None
        if request.champion != self.champion:
            before = f"version {request.champion} was champion" if request.champion else "there was no champion"
            now = f"version {self.champion} is champion" if self.champion else "there is none"
            return f"requested while {before}, and {now} now"
        if request.bake != self.bake:
            return f"requested when the bake of version {self.champion} was {request.bake}, and it is {self.bake} now"
        return None

    def refusal_of(self, signoff: Signoff) -> str | None:
        """Why a signoff can not be released in this state, in words; None when nothing speaks against it.

        A version that was rolled back is not released again; one made from data that made another one disappoint waits
        for someone's word on that data; and one that was compared with another champion was not judged for this one.

        >>> ReleaseState(model="flight_delay", champion="3").refusal_of(signed)
        >>> ReleaseState(model="flight_delay", champion="3", rolled_back=frozenset({"4"})).refusal_of(signed)
        'flight_delay version 4 was rolled back and is not released again; request a retrain'
        """
        what = f"{signoff.model} version {signoff.version}"
        if signoff.version in self.rolled_back:
            return f"{what} was rolled back and is not released again; request a retrain"
        if held := self.holds_over(*signoff.earlier, signoff.train, signoff.holdout):
            return (
                f"{what} was made from data that is held ({held[0].reason}): acknowledge hold {held[0].entry_id}, and "
                "request a retrain"
            )
        if self.champion != signoff.champion_seen:
            return (
                f"{what}: approval expired: it was given against champion {signoff.champion_seen or 'none'}, and the "
                f"champion is {self.champion or 'none'} now; request a retrain"
            )
        return None

    def divergence(self, alias: str | None) -> str | None:
        """Why MLflow's alias ``champion`` and the ledger disagree, and what to do; None when they agree.

        While a release is under way the alias may name the version before it or the one after it.

        >>> ReleaseState(model="m", champion="3").divergence("3")
        >>> print(ReleaseState(model="m", champion="3").divergence("7")[:78])
        m: MLflow's alias champion is on version 7, the ledger's champion is version 3
        """
        if alias == self.champion or (self.pending is not None and alias == self.pending.version):
            return None
        if self.champion in self.gone:
            first = f"delete the alias, which someone set to version {alias} by hand, and then " if alias else ""
            back = f"roll back to version {self.fallback} with a reason, or l" if self.fallback else "l"
            return (
                f"{self.model}: version {self.champion}, the champion, was deleted in MLflow and can not be set back: "
                f"{first}{back}et a person promote a new one without a comparison (perennial run retrain {self.model} "
                "--without-comparison --reason ...)"
            )
        found = f"on version {alias}" if alias else "gone"
        if self.champion is None:
            known, mend = "none", "delete the alias in MLflow"
        else:
            known = f"version {self.champion}"
            mend = f"set it back to {known} in MLflow" + ("" if alias else ", or roll back with a reason")
        return (
            f"{self.model}: MLflow's alias champion is {found}, the ledger's champion is {known}, so someone moved the "
            f"alias by hand: {mend}. A version takes office through a retrain and its signoff"
        )
