"""What is tried: the model's own policy, overlays of it, and the baselines that say what a policy is worth."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from perennial.config import ModelConfig
from perennial.contracts import Decision, Window, digest_of
from perennial.decision.facts import Facts
from perennial.decision.policy import decide
from perennial.errors import ConfigError, first_of
from perennial.trial.running import Tried

MAY_VARY = ("policy", "signals", "signoff", "training", "bake")
OWN, NEVER, ALWAYS = "as it is", "never", "every window"
UNGATED = "every window, no gate"


def overlaid(config: ModelConfig, path: Path) -> Tried:
    """The model's configuration with the keys of a file laid over it, named by the file.

    The file holds any part of ``policy``, ``signals``, ``signoff``, ``training`` and ``bake`` as it stands in
    ``model.yaml``; a mapping is merged key by key, anything else replaced. Raises ConfigError.
    """
    try:
        over = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as a policy: {error}") from None
    if not isinstance(over, dict) or (foreign := [str(key) for key in over if key not in MAY_VARY]):
        wrong = first_of(foreign) if isinstance(over, dict) else "no mapping"
        raise ConfigError(f"{path}: {wrong}: a policy holds parts of {', '.join(MAY_VARY)}")
    declared = {name: getattr(config, name).model_dump(by_alias=True, exclude_unset=True) for name in MAY_VARY}
    try:
        made = config.model_validate({**_declared(config), **merged(declared, over)})
    except ValidationError as error:
        found = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, found['loc'])) or '(file)'}: {found['msg']}") from None
    return Tried(name=path.stem, config=made)


def _declared(config: ModelConfig) -> dict[str, Any]:
    return config.model_dump(by_alias=True, exclude_unset=True)


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """One mapping laid over another, key by key. Pure.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    both = {
        key: merged(under[key], value) if isinstance(value, dict) and isinstance(under.get(key), dict) else value
        for key, value in over.items()
    }
    return {**under, **both}


def refuse_unmeasured(tried: Iterable[Tried]) -> None:
    """Raises ConfigError where drift or quality may ask for a retrain or halt a run: a backtest measures neither."""
    for policy in tried:
        drift, quality = policy.config.signals.drift, policy.config.signals.quality
        given = {drift.features_role, drift.score_role, drift.weighted_share_role, drift.others_role, quality.role}
        if acting := sorted(given & {"retrain", "halt"}):
            raise ConfigError(
                f"{policy.name}: drift or quality has the role {acting[0]}, and a backtest measures neither: it would "
                "compare another policy than yours"
            )


def never(config: ModelConfig) -> Tried:
    """The first champion for ever."""

    def rule(config: ModelConfig, facts: Facts) -> Decision:
        decided = decide(config, facts)
        if decided.action != "retrain" or facts.state.champion is None:
            return decided
        return replace(decided, action="stay", reasons=("never retrained",), retrain_run_id=None)

    return Tried(name=NEVER, config=config, rule=rule)


def at_windows(config: ModelConfig, windows: Iterable[Window], *, name: str) -> Tried:
    """A retrain at the end of each of these windows, whatever was measured; first champion and rollbacks as ever."""
    moments = frozenset(window.end for window in windows)

    def rule(config: ModelConfig, facts: Facts) -> Decision:
        decided = decide(config, facts)
        if facts.state.champion is None or decided.action in ("halt", "rollback"):
            return decided
        if facts.window.end not in moments:
            return replace(decided, action="stay", reasons=("not on the calendar",), retrain_run_id=None)
        return _retrain(decided, name)

    return Tried(name=name, config=config, rule=rule)


def ungated(config: ModelConfig) -> ModelConfig:
    """The configuration with gates that every candidate passes and a bake that no version fails."""
    signoff = config.signoff
    width = config.metric(signoff.versus_champion.metric).values.width
    open_gate = signoff.versus_champion.model_copy(
        update={"rule": "non_inferiority", "margin": min(width * 2, 1e12), "no_worse": {}}
    )
    gates = {
        name: gate.model_copy(
            update={"min": None if gate.min is None else -1e12, "max": None if gate.max is None else 1e12}
        )
        for name, gate in signoff.metrics.items()
    }
    return config.model_copy(
        update={
            "signoff": signoff.model_copy(update={"versus_champion": open_gate, "metrics": gates}),
            "bake": config.bake.model_copy(update={"allowed_failures": 10**6}),
        }
    )


def phases(config: ModelConfig, windows: tuple[Window, ...], n_retrains: int, since: datetime) -> tuple[Tried, ...]:
    """Calendars with about as many retrains after a moment: every p-th window, one for each of the p phases."""
    after = [window for window in windows if window.end > since]
    if not n_retrains or not after:
        return ()
    period = max(1, round(len(after) / n_retrains))
    return tuple(
        at_windows(config, after[phase::period], name=f"{calendar_name(period)}, phase {phase + 1}")
        for phase in range(period)
    )


def calendar_name(period: int) -> str:
    """What a calendar is called.

    >>> calendar_name(4), calendar_name(1)
    ('calendar, every 4 windows', 'calendar, every window')
    """
    return f"calendar, every {period} windows" if period > 1 else "calendar, every window"


def _retrain(decided: Decision, name: str) -> Decision:
    run_id = f"retrain__{digest_of('backtest', name, decided.decision_id)}"
    return replace(decided, action="retrain", reasons=(name,), retrain_run_id=run_id)
