"""What a loaded version costs, measured by the fresh process in itself."""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from perennial.config import ModelConfig
from perennial.registry import features_frame, score

N_WARM = 3
LONGEST_S = 1.0
"""So long requests of one kind go on at the most, however many are asked for: a slow version is slow after a few."""
_MB = 2**20


def costs(config: ModelConfig, model: Any, rows: pa.Table) -> dict[str, float | int]:
    """The figures of :class:`perennial.contracts.Serving` but for files and signature; there is one row at least.

    As many requests as ``signoff.serving`` says.
    """
    batch_rows, n_requests = config.signoff.serving.batch_rows, config.signoff.serving.requests
    batch = rows.take(pa.array(np.arange(batch_rows) % rows.num_rows))
    singles = _timed(lambda place: score(config, model, rows.slice(place % rows.num_rows, 1)), n_requests)
    batches = _timed(lambda _: score(config, model, batch), n_requests // 10)
    return {
        "single_p50_ms": float(np.quantile(singles, 0.5)),
        "single_p99_ms": float(np.quantile(singles, 0.99)),
        "n_single": len(singles),
        "batch_p50_ms": float(np.quantile(batches, 0.5)),
        "batch_p99_ms": float(np.quantile(batches, 0.99)),
        "batch_rows": batch_rows,
        "n_batches": len(batches),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MB,
    }


def _timed(request: Callable[[int], object], most: int) -> np.ndarray:
    """Milliseconds of each of up to ``most`` requests, after a few to warm up."""
    for place in range(N_WARM):
        request(place)
    found: list[float] = []
    began = time.perf_counter()
    while len(found) < most and time.perf_counter() - began < LONGEST_S:
        start = time.perf_counter()
        request(len(found))
        found.append(1000 * (time.perf_counter() - start))
    return np.array(found)


def signature_problem(config: ModelConfig, signature: Any, rows: pa.Table) -> str:
    """Why a version's signature does not keep wrong requests out; empty when it does.

    ``signature`` is MLflow's, or None. Enforced as MLflow's generic flavour does: what it refuses never reaches the
    model.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models.utils import _enforce_schema

    if signature is None or signature.inputs is None:
        return "the version carries no signature: anything would be taken for a request"
    frame, names = features_frame(config, rows.slice(0, 1)), signature.inputs.input_names()
    if unknown := [name for name in names if name not in frame.columns]:
        return f"its signature asks for {unknown[0]}, no feature in model.yaml"

    def refused(request: Any) -> bool:
        try:
            _enforce_schema(request, signature.inputs)
        except (MlflowException, ValueError, TypeError):
            return True
        return False

    if refused(frame):
        return "its signature refuses a row as it is logged"
    if not refused(frame.drop(columns=[names[0]])):
        return f"its signature takes a request without {names[0]}"
    number = next((name for name in names if name in config.numbers), None)
    if number is not None and not refused(frame.astype({number: "str"})):
        return f"its signature takes text for the number {number}"
    return ""
