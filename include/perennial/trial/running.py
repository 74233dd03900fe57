"""One policy over one log, window by window."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Signal, Window
from perennial.decision.policy import decide
from perennial.evidence.answers import Answers, answers_in
from perennial.trial.fits import Fits
from perennial.trial.log import Log, Places
from perennial.trial.monitoring import Rule, monitor
from perennial.trial.releasing import People, Retrain, Undone, acknowledge_all, retrain, roll_back
from perennial.trial.state import Trial

Progress = Callable[[str, Window], None]
"""Called with the name of a policy and the window that comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A policy under its name: a configuration, and the rule that decides under it."""

    name: str
    config: ModelConfig
    rule: Rule = decide


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDecision:
    """What was decided about a window, why, and who was champion before it."""

    window: Window
    action: str
    reasons: tuple[str, ...]
    champion: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """All that came of a policy."""

    policy: str
    decided: tuple[TrialDecision, ...]
    retrains: tuple[Retrain, ...]
    undone: tuple[Undone, ...]
    signals: tuple[Signal, ...]
    probes_cpu_s: tuple[float, ...]
    trial: Trial

    @property
    def served(self) -> NDArray[np.bool_]:
        """Which rows a champion of the trial answered for."""
        return self.trial.served > 0

    def answers(self, places: Places) -> Answers:
        """What was served for labelled rows, of each by the threshold of the version that served it."""
        trial = self.trial
        predicted: Any = trial.predicted[places]
        answers = answers_in(trial.config, trial.answered(places, trial.scores[places], predicted))
        own = [None, *(made.fit.threshold for made in trial.versions.values())]  # by the number of the version
        if all(at is None for at in own):
            return answers
        each = np.array([trial.config.label.decision_threshold if at is None else at for at in own])
        return replace(answers, threshold=each[trial.served[places]])

    @property
    def paid(self) -> tuple[Retrain, ...]:
        """The retrains that were asked for once there was a champion."""
        return tuple(item for item in self.retrains if not item.first)


def replay(
    tried: Tried, log: Log, windows: tuple[Window, ...], *, fits: Fits, people: People, progress: Progress
) -> Replayed:
    """Serve, measure, decide and carry out, one window after another.

    A version serves from the window after the one whose run promoted it. The same log, policy and people give the same.
    """
    trial = Trial(config=tried.config, log=log, fits=fits, windows=windows)
    decided, retrains, undone = [], [], []
    for window in windows:
        progress(tried.name, window)
        champion = trial.state.champion
        trial.serve(window, champion)
        if people == "approve":
            acknowledge_all(trial, at=window.start)
        found = monitor(trial, window, tried.rule)
        decided.append(TrialDecision(window=window, action=found.action, reasons=found.reasons, champion=champion))
        if found.action == "retrain":
            retrains.append(retrain(trial, found, people=people))
        elif found.action == "rollback" and (back := roll_back(trial, found)):
            undone.append(back)
    return Replayed(
        policy=tried.name,
        decided=tuple(decided),
        retrains=tuple(retrains),
        undone=tuple(undone),
        signals=tuple(trial.signals.values()),
        probes_cpu_s=tuple(trial.probes),
        trial=trial,
    )
