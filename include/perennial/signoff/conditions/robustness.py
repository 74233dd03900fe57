"""The gates on what should matter little to a candidate's answers. Pure."""

from collections.abc import Iterator

from perennial.config import ModelConfig
from perennial.contracts import Gate, Robustness
from perennial.signoff.conditions.figures import finite, shown

NOT_MEASURED = "not measured when the candidate was evaluated: clear the task evaluate"


def robustness_gates(config: ModelConfig, found: Robustness | None) -> Iterator[Gate]:
    """``robustness/...``: measurement error, missing optional features, directions, invariances, as declared.

    >>> [gate.detail for gate in robustness_gates(flights, Robustness(n_rows=500))]
    ['every optional feature may be missing: 500 rows were answered without each, and without all']
    """
    asked = config.signoff.robustness
    if asked.measurement_error:
        named = ", ".join(asked.measurement_error)
        sentence = f"99 % of the answers move by at most {{}} within the measurement error of {named}"
        yield _gate("measurement_error", found.changed if found else None, asked.max_change, sentence)
    if asked.missing and any(feature.nullable for feature in config.features.values()):
        problem = NOT_MEASURED if found is None else found.missing
        n_rows = found.n_rows if found else 0
        sentence = f"every optional feature may be missing: {n_rows} rows were answered without each, and without all"
        answered = None if found is None else float(not problem)
        yield Gate(name="robustness/missing", passed=not problem, value=answered, bound=1.0, detail=problem or sentence)
    for name, direction in asked.monotone.items():
        sentence = f"{{}} of the rows do not answer {direction} with {name}"
        share = found.violations.get(name) if found else None
        yield _gate(f"monotone/{name}", share, asked.max_violations, sentence)
    for name, most in asked.invariant.items():
        sentence = f"an answer moves by at most {{}} when {name} takes the values of other rows"
        yield _gate(f"invariant/{name}", found.moved.get(name) if found else None, most, sentence)


def _gate(name: str, value: float | None, most: float, sentence: str) -> Gate:
    known = finite(value)
    if known is None:
        return Gate(name=f"robustness/{name}", passed=False, value=None, bound=most, detail=NOT_MEASURED)
    detail = f"{sentence.format(shown(known))}; {shown(most)} allowed"
    return Gate(name=f"robustness/{name}", passed=known <= most, value=known, bound=most, detail=detail)
