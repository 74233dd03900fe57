"""The verdict over a candidate, and the answer of its reviewer."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.contracts.measured.estimates import Interval
from perennial.contracts.measured.records import digest_of
from perennial.contracts.windows import Window

PARITY, SERVING, SIGNATURE = "parity", "serving/", "serving/signature"
"""Gates on the registered version itself, loaded in a fresh process; ``SERVING`` begins the names of a family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One pass/fail condition. Missing evidence (``value`` None) never passes, unless a person ``waived`` it.

    ``borderline``: it passed, on rows that could not have seen its margin, or whose interval reaches over its bound.
    """

    name: str
    passed: bool
    value: float | None
    bound: float | None
    detail: str
    waived: str = ""
    interval: Interval | None = None
    borderline: bool = False

    def __post_init__(self) -> None:
        if self.borderline and not self.passed:
            raise ValueError(f"gate {self.name} failed, and is borderline at that")
        if self.passed and self.value is None and not self.waived:
            raise ValueError(f"gate {self.name} passes without evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastGates:
    """Two people's word that a version shall be promoted past the ``gates`` that it failed, and why."""

    gates: tuple[str, ...]
    by: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        """As people read it.

        >>> print(PastGates(gates=("slice/origin",), by=("ada", "bob"), reason="JFK is closed until May"))
        past its failed gates slice/origin, by ada and bob: JFK is closed until May
        """
        return f"past its failed gates {', '.join(self.gates)}, by {' and '.join(self.by)}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A finding in the data of a window that a candidate was fitted or judged on, as it was measured last."""

    name: str
    window: Window
    detail: str

    def __str__(self) -> str:
        """As people read it.

        >>> from perennial.contracts import parse_moment
        >>> june = Window(start=parse_moment("2013-06-04T00:00:00Z"), end=parse_moment("2013-06-18T00:00:00Z"))
        >>> print(Flag(name="flag/label_rate", window=june, detail="label rate 0.73"))
        flag/label_rate of 2013-06-04 to 2013-06-18: label rate 0.73
        """
        return f"{self.name} of {self.window.start:%Y-%m-%d} to {self.window.end:%Y-%m-%d}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signoff:
    """The verdict over all gates for one exact artifact, against the champion that was seen.

    With ``flags`` on the data it was made from it is never answered by the policy. ``requested_by`` is who asked for
    the retrain; empty in signoffs of before that was kept. ``earlier`` are the stretches that taught besides ``train``.
    ``threshold`` is the version's own, None where ``label.decision_threshold`` holds.
    """

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
    config_digest: str = ""
    evaluation_digest: str = ""
    flags: tuple[Flag, ...] = ()
    requested_by: str = ""
    earlier: tuple[Window, ...] = ()
    threshold: float | None = None

    @property
    def signoff_id(self) -> str:
        """Its id in the ledger: of this artifact, against this champion, by these rules, on these figures.

        Signoffs from before the last two were kept have neither in their id.
        """
        judged = (self.config_digest, self.evaluation_digest) if self.config_digest else ()
        return digest_of("signoff", self.model, self.version, self.artifact_digest, self.champion_seen, *judged)

    @property
    def review_id(self) -> str:
        """The id of its answer in the ledger."""
        return digest_of("review", self.signoff_id)

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that it did not pass."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def borderline(self) -> tuple[Gate, ...]:
        """The gates that it passed without their rows being enough to see what they ask for."""
        return tuple(gate for gate in self.gates if gate.borderline)

    @property
    def closed(self) -> tuple[Gate, ...]:
        """The failed gates that nobody's word goes past: those that ask whether the registered version is the one that
        was judged, and can be loaded at all.
        """
        return tuple(
            gate
            for gate in self.failed
            if gate.name in (PARITY, SIGNATURE) or (gate.name.startswith(SERVING) and gate.value is None)
        )

    def flaw_of(self, word: PastGates) -> str:
        """Why a word does not promote it past its gates; empty when it does.

        >>> from dataclasses import replace
        >>> word = PastGates(gates=("slice/origin",), by=("ada", "bob"), reason="JFK is closed until May")
        >>> signed.flaw_of(word)
        'flight_delay version 4 failed no gate, so there is none to go past: its review promotes it'
        >>> lost = Gate(name="slice/origin", passed=False, value=-0.05, bound=-0.02, detail="origin=JFK loses")
        >>> failed = replace(signed, gates=(lost,), passed=False)
        >>> failed.flaw_of(word), failed.flaw_of(replace(word, by=("ada", "Policy")))
        ('', "name = 'Policy' is not a person's name: write your own")
        >>> replace(failed, gates=(replace(lost, name="parity"),)).flaw_of(word)[:54]
        'flight_delay version 4 can not be promoted past parity'
        """
        what, failed = f"{self.model} version {self.version}", tuple(gate.name for gate in self.failed)
        if not failed:
            return f"{what} failed no gate, so there is none to go past: its review promotes it"
        if self.closed:
            why = "; ".join(f"{gate.name}: {gate.detail}" for gate in self.closed)
            return (
                f"{what} can not be promoted past {', '.join(gate.name for gate in self.closed)}, whoever says so: "
                f"what can not be loaded, or answers otherwise than it was judged, is not what was judged ({why})"
            )
        if word.gates != failed:
            return f"{what} failed {', '.join(failed)}, and the word is about {', '.join(word.gates) or 'none'}"
        if len(word.by) != 2:  # noqa: PLR2004 - one is not enough, and a third answers for nothing
            return f"{what} goes past its gates on the word of two people, and {len(word.by)} gave theirs"
        if not _plain(word.reason):
            return f"{what} goes past its gates for a reason, and none is given"
        return flaw_of_names((("name", name) for name in word.by), not_by=self.requested_by)

    def __post_init__(self) -> None:
        if self.passed and (not self.gates or not all(gate.passed for gate in self.gates)):
            raise ValueError(f"signoff of {self.model} version {self.version} passes over a failed or missing gate")
        if self.flags and self.review == "auto":
            raise ValueError(f"signoff of {self.model} version {self.version} leaves flagged data to the policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The answer of a reviewer, of the policy (``auto``), or of the deadline.

    ``past_gates`` is there where two people approve what failed its gates; a ``verified`` reviewer's name is a login's.
    """

    model: str
    version: str
    verdict: Literal["approved", "rejected"]
    reviewer: str
    reason: str
    past_gates: PastGates | None = None
    verified: bool = False


RULES_CHANGED = "the rules in model.yaml changed (clear sign_off, and it is judged by the new ones)"
"""How the policy's answer begins to what was judged by other rules than those in force."""
NOBODY = frozenset({"auto", "policy", "deadline", "shadow"})
"""Names under which the policy answers: no person may."""


def is_nobody(reviewer: str | None) -> bool:
    """Whether a reviewer's name is one that the policy answers under: an answer under it is no person's word.

    >>> is_nobody(" Policy "), is_nobody("ada"), is_nobody(None)
    (True, False, False)
    """
    return _plain(reviewer or "") in NOBODY


def flaw_of_names(names: Iterable[tuple[str, str]], *, not_by: str = "") -> str:
    """Why these are not the names of different people, ``not_by`` none of them; empty when they are.

    Each comes with where it was written. ``not_by`` asked for the retrain.

    >>> flaw_of_names([("tag reviewer", "ada"), ("tag second_reviewer", "bob")], not_by="Carol")
    ''
    >>> flaw_of_names([("tag reviewer", "ada"), ("tag second_reviewer", " ADA")])
    "tag second_reviewer = ' ADA' is the first reviewer again: somebody else has to agree"
    >>> "is the first reviewer again" in flaw_of_names([("tag reviewer", "ada"), ("tag second_reviewer", "a\u200bda")])
    True
    """
    seen: set[str] = set()
    for where, name in names:
        if not _plain(name):
            return f"{where} is empty: write your name, an approval without one is none"
        if is_nobody(name):
            return f"{where} = {name!r} is not a person's name: write your own"
        if _plain(name) == _plain(not_by):
            return f"{where} = {name!r} asked for this retrain: somebody else has to approve it"
        if _plain(name) in seen:
            return f"{where} = {name!r} is the first reviewer again: somebody else has to agree"
        seen.add(_plain(name))
    return ""


def _plain(name: str) -> str:
    """A name as it looks: without what is not seen, in one width, case and spacing (Unicode's NFKC)."""
    seen = "".join(" " if one.isspace() else one for one in name if one.isspace() or not _is_unseen(one))
    return " ".join(unicodedata.normalize("NFKC", seen).split()).casefold()


def _is_unseen(one: str) -> bool:
    return unicodedata.category(one) in ("Cc", "Cf", "Cn", "Co", "Cs")
