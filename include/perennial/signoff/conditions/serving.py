"""The gates on what the registered version costs where it would serve. Pure."""

from collections.abc import Iterator

from perennial.config import ModelConfig
from perennial.contracts import SERVING, SIGNATURE, Gate, ServingBehaviour
from perennial.signoff.conditions.figures import finite, shown


def serving_gates(config: ModelConfig, serving: ServingBehaviour | None) -> Iterator[Gate]:
    """``serving/...``: signature, latencies, size, memory. What was not measured fails where it has a bound.

    >>> list(serving_gates(flights, None))[0].detail
    'the fresh process did not answer'
    """
    asked = config.signoff.serving
    if asked.signature:
        problem = "the fresh process did not answer" if serving is None else serving.signature
        sentence = "the version's signature takes the features as declared, and refuses others"
        refuses = None if serving is None else float(not problem)
        yield Gate(name=SIGNATURE, passed=not problem, value=refuses, bound=1.0, detail=problem or sentence)
    one = f"of one row, {serving.n_single} requests" if serving else ""
    many = f"of {serving.batch_rows} rows, {serving.n_batches} requests" if serving else ""
    figures = (
        ("single_p50_ms", asked.max_p50_ms, f"half of the answers {one} took at most", "ms"),
        ("single_p99_ms", asked.max_p99_ms, f"99 % of the answers {one} took at most", "ms"),
        ("batch_p99_ms", asked.max_batch_p99_ms, f"99 % of the answers {many} took at most", "ms"),
        ("model_mb", asked.max_model_mb, "the files of the version have", "MB"),
        ("memory_mb", asked.max_memory_mb, "the fresh process held at most", "MB"),
    )
    for key, most, sentence, unit in figures:
        value = finite(getattr(serving, key, None))
        if value is not None or most is not None:
            yield most_gate(f"{SERVING}{key}", value, most, sentence, unit)


def most_gate(name: str, value: float | None, most: float | None, sentence: str, unit: str) -> Gate:
    """A figure that may not exceed its bound; without one it passes, and is shown.

    >>> most_gate("serving/single_p99_ms", 12.5, 10.0, "99 % of the answers took at most", "ms").detail
    '99 % of the answers took at most 12.5 ms; 10 ms allowed'
    >>> most_gate("serving/model_mb", 12.5, None, "the files have", "MB").passed
    True
    >>> most_gate("serving/model_mb", None, 10.0, "the files have", "MB").passed
    False
    """
    if value is None:
        return Gate(name=name, passed=False, value=None, bound=most, detail="not measured: no fresh process answered")
    allowed = f"{shown(most)} {unit} allowed" if most is not None else "no bound is set"
    passed = most is None or value <= most
    return Gate(
        name=name, passed=passed, value=value, bound=most, detail=f"{sentence} {shown(value)} {unit}; {allowed}"
    )
