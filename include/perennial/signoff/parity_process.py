"""``python -m perennial.signoff.parity_process``: scores rows with a registered version, as a serving process would.

Reads one JSON object on standard input: ``registry_uri``, ``model``, ``version``, ``artifact_digest``, ``models_dir``,
``config_digest`` and ``rows`` (a Parquet file of features). Writes one on standard output: ``scores``, ``predicted``
(null but for multiclass) and ``serving`` (the record Serving), or ``error`` with ``transient``. Any other end is a
crash.
"""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from perennial.errors import IntegrityError, PerennialError, TransientError


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The scores, or the named reason why there are none."""
    try:
        return _scores(request)
    except PerennialError as error:
        return {"error": str(error), "transient": isinstance(error, TransientError)}


def _scores(request: dict[str, Any]) -> dict[str, Any]:
    from perennial.config import load_model as load_config

    config = load_config(Path(request["models_dir"]) / request["model"])
    if config.digest != request["config_digest"]:
        raise IntegrityError(
            f"{config.model}: model.yaml changed while the candidate was being signed off; sign off again"
        )
    import pyarrow.parquet as pq

    from perennial.registry import Registry, score
    from perennial.registry.models import inspect_model
    from perennial.signoff.timing import costs, signature_problem

    found = inspect_model(
        Registry(request["registry_uri"]),
        config.model,
        request["version"],
        trusted_types=config.training.trusted_types,
        expected_digest=request["artifact_digest"],
    )
    rows = pq.read_table(request["rows"], memory_map=False)
    scores, predicted = score(config, found.model, rows)
    serving = {
        **costs(config, found.model, rows),
        "model_mb": found.n_bytes / 2**20,
        "signature": signature_problem(config, found.signature, rows),
    }
    classes = None if predicted is None else predicted.tolist()
    return {"scores": scores.tolist(), "predicted": classes, "serving": serving}


def main() -> None:
    """Answer one request. What libraries print goes to standard error."""
    request = json.load(sys.stdin)
    with redirect_stdout(sys.stderr):
        result = answer(request)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
