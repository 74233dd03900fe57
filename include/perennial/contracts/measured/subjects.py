"""What a signal speaks about, and the ways to say it."""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from perennial.contracts.measured.estimates import Chance, Estimate
from perennial.contracts.signals import Signal, SignalName, SignalRole
from perennial.contracts.windows import Window

MOST_DETAIL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a signal speaks about: a model's window, as known at ``as_of``, under the champion ``version``."""

    model: str
    window: Window
    as_of: datetime
    version: str | None

    @classmethod
    def of_run(cls, model: str, window: Window, version: str | None) -> "Subject":
        """What the run of ``window`` itself speaks about: its own rows, as known at its end.

        >>> Subject.of_run("flight_delay", day(1), "3").as_of == day(1).end
        True
        """
        return cls(model=model, window=window, as_of=window.end, version=version)

    def known(
        self, name: SignalName, role: SignalRole, value: float, *, threshold: float, breached: bool, detail: str = ""
    ) -> Signal:
        """A measured signal; a NaN or an infinite value makes it unknown, whatever ``breached`` says.

        >>> subject.known(SignalName.drift("temp_f"), "watch", 0.2, threshold=0.1, breached=True).status
        'breached'
        >>> subject.known(SignalName.drift("temp_f"), "watch", math.nan, threshold=0.1, breached=False).status
        'unknown'
        """
        if not math.isfinite(value):
            return self.unknown(name, role, f"the result is {value}", threshold=threshold)
        return Signal(
            model=self.model,
            window=self.window,
            as_of=self.as_of,
            name=str(name),
            role=role,
            status="breached" if breached else "ok",
            value=float(value),
            threshold=threshold,
            version=self.version,
            detail=detail[:MOST_DETAIL],
        )

    def above(self, name: SignalName, role: SignalRole, value: float, most: float, *, detail: str = "") -> Signal:
        """A measured signal that is breached above ``most``.

        >>> subject.above(SignalName.drift("temp_f"), "watch", 0.1, 0.1).status
        'ok'
        """
        return self.known(name, role, value, threshold=most, breached=value > most, detail=detail)

    def estimated(
        self,
        name: SignalName,
        role: SignalRole,
        found: Estimate,
        *,
        threshold: float,
        is_least: bool,
        detail: str = "",
    ) -> Signal:
        """An estimate against a bound, as it stands to it; without a value it is unknown, with its problem.

        Breached only when its whole interval lies beyond the bound, ok when it keeps it, ``undecided`` between the two.

        >>> interval = Interval(low=0.61, high=0.69, standard_error=0.02, n_rows=900, n_blocks=14, confidence=0.95)
        >>> found = Estimate(value=0.65, interval=interval)
        >>> auc = SignalName.performance("roc_auc")
        >>> [subject.estimated(auc, "watch", found, threshold=x, is_least=True).status for x in (0.6, 0.65, 0.7)]
        ['ok', 'undecided', 'breached']
        >>> subject.estimated(auc, "watch", Estimate(problem="no rows"), threshold=0.6, is_least=True).status
        'unknown'
        """
        if found.value is None:
            return self.unknown(name, role, found.problem, threshold=threshold)
        return Signal(
            model=self.model,
            window=self.window,
            as_of=self.as_of,
            name=str(name),
            role=role,
            status=found.standing(threshold, is_least=is_least),
            value=found.value,
            threshold=threshold,
            version=self.version,
            detail=(detail or found.basis)[:MOST_DETAIL],
            interval=found.interval,
        )

    def compared(
        self,
        name: SignalName,
        role: SignalRole,
        value: float,
        *,
        threshold: float,
        status: Literal["ok", "breached", "undecided"],
        chance: Chance,
        detail: str,
    ) -> Signal:
        """A distance beside those that chance makes; ``status`` says how it stands to both.

        >>> chance = Chance(quantile=0.1, confidence=0.99, p=0.3, n_rows=900, n_blocks=70)
        >>> asked = {"threshold": 0.1, "chance": chance, "detail": ""}
        >>> subject.compared(SignalName.drift("temp_f"), "watch", 0.2, status="undecided", **asked).chance.p
        0.3
        """
        return replace(
            self.known(name, role, value, threshold=threshold, breached=False, detail=detail),
            status=status,
            chance=chance,
        )

    def unknown(self, name: SignalName, role: SignalRole, why: str, *, threshold: float | None = None) -> Signal:
        """A signal that could not be measured, and why.

        >>> subject.unknown(SignalName.drift("temp_f"), "watch", "every value is null").value is None
        True
        """
        return Signal(
            model=self.model,
            window=self.window,
            as_of=self.as_of,
            name=str(name),
            role=role,
            status="unknown",
            value=None,
            threshold=threshold,
            version=self.version,
            detail=why[:MOST_DETAIL],
        )
