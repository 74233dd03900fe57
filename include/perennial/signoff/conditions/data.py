"""The gates on the rows that a candidate was made of, and the flag on a feature that knows too much. Pure."""

from collections.abc import Iterator

from perennial.config import ModelConfig
from perennial.contracts import DataFacts, Evaluation, Flag, Gate, Snapshot
from perennial.signoff.conditions.figures import shown

NOT_MEASURED = "not measured when the candidate was evaluated: clear the task evaluate"
LEAKAGE = "flag/leakage"


def data_gates(config: ModelConfig, facts: DataFacts | None) -> Iterator[Gate]:
    """``data/...``: no row on both sides, an embargo between them, enough of each class, entities, drift.

    >>> list(data_gates(flights, None))[0].passed
    False
    """
    asked = config.signoff.data
    embargo = config.training.embargo.total_seconds()
    if facts is None:
        names = ["same_ids", "gap", *(["classes"] if _classes(config) else []), *(["entities"] if asked.entity else [])]
        drift = ["drift"] if asked.max_drifted is not None else []
        for name in (*names, *drift):
            yield Gate(name=f"data/{name}", passed=False, value=None, bound=None, detail=NOT_MEASURED)
        return
    detail = f"{facts.n_same_ids} rows of the holdout were trained on by their ids; none may be"
    yield _gate("same_ids", float(facts.n_same_ids), 0.0, detail, passed=facts.n_same_ids == 0)
    detail = (
        f"{shown(facts.gap_s)} s lie between the last row trained on and the first judged on, {shown(embargo)} asked"
    )
    yield _gate("gap", facts.gap_s, embargo, detail, passed=facts.gap_s >= embargo)
    if _classes(config):
        yield _class_gate(facts, asked.min_class_rows or 0)
    if asked.entity:
        yield _entity_gate(asked.entity, facts.shared_entities, asked.max_shared_entities)
    if facts.drifts or asked.max_drifted is not None:
        yield drift_gate(facts.drifts, asked.max_drifted, asked.drift_psi)


def _classes(config: ModelConfig) -> bool:
    return config.task != "regression" and config.signoff.data.min_class_rows is not None


def _gate(name: str, value: float, bound: float | None, detail: str, *, passed: bool) -> Gate:
    return Gate(name=f"data/{name}", passed=passed, value=value, bound=bound, detail=detail)


def _class_gate(facts: DataFacts, least: int) -> Gate:
    fewest = min(facts.least_class.values(), default=0)
    parts = ", ".join(f"{n} rows in {part}" for part, n in facts.least_class.items())
    detail = f"the rarest class has {parts or 'no rows'}; {least} are needed in both"
    return _gate("classes", float(fewest), float(least), detail, passed=fewest >= least)


def _entity_gate(entity: str, share: float | None, most: float) -> Gate:
    if share is None:
        return Gate(name="data/entities", passed=False, value=None, bound=most, detail=NOT_MEASURED)
    detail = f"{share:.1%} of the holdout's rows have an {entity} that was trained on; at most {most:.1%} may"
    return _gate("entities", share, most, detail, passed=share <= most)


def drift_gate(drifts: dict[str, float], most: float | None, psi: float) -> Gate:
    """The share of features that lie elsewhere now than when the candidate was trained.

    >>> drift_gate({"temp_f": 0.4, "dest": 0.1}, 0.4, 0.25).detail
    '50% of the features have a PSI of 0.25 or more between training and now (temp_f 0.4); at most 40% may'
    >>> drift_gate({}, 0.4, 0.25).passed
    False
    """
    if not drifts:
        return Gate(name="data/drift", passed=False, value=None, bound=most, detail="no row was served lately")
    large = {name: value for name, value in sorted(drifts.items(), key=lambda item: -item[1]) if value >= psi}
    share = len(large) / len(drifts)
    named = ", ".join(f"{name} {shown(value)}" for name, value in list(large.items())[:3])
    detail = f"{share:.0%} of the features have a PSI of {shown(psi)} or more between training and now"
    detail += (f" ({named})" if named else "") + (
        f"; at most {most:.0%} may" if most is not None else "; no bound is set"
    )
    return _gate("drift", share, most, detail, passed=most is None or share <= most)


def leak_flags(config: ModelConfig, evaluation: Evaluation, snapshot: Snapshot) -> tuple[Flag, ...]:
    """A feature that alone foretells the labels implausibly well may hold what is known only afterwards. Pure."""
    most, facts = config.signoff.data.max_power, evaluation.data
    if most is None or facts is None:
        return ()
    return tuple(
        Flag(
            name=LEAKAGE,
            window=snapshot.holdout,
            detail=f"{name} alone foretells the labels with {shown(power)} (bound {shown(most)}): is it known in time?",
        )
        for name, power in facts.powers.items()
        if power > most
    )
