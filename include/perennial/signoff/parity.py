"""Does the registered version, loaded by a process that shares nothing with us, score as it did when it was judged?

A model that loads only where it was trained, a swapped file, a type that is not trusted, or a feature that is prepared
differently shows here before it serves (TFX's InfraValidator asks the first of these).
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.config import ModelConfig
from perennial.contracts import Candidate, ServingBehaviour, Snapshot, from_record
from perennial.errors import ParityTimeout, RegistryRefused, RegistryUnavailable, SignoffError
from perennial.registry import Registry, load_reference
from perennial.registry.client import login_variables
from perennial.storage.work import temporary_folder

_INCLUDE = Path(__file__).resolve().parents[2]
_STDERR_SHOWN = 300

Measured = tuple[float | None, str]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""As a serving process is started: without it, latencies are those of threads that wait for one another."""


class Found(NamedTuple):
    """The gap and its sentence, and what the version costs; None where no fresh process answered."""

    gap: float | None
    detail: str
    serving: ServingBehaviour | None = None


def parity_gap(
    config: ModelConfig,
    candidate: Candidate,
    snapshot: Snapshot,
    *,
    registry_uri: str,
    models_dir: Path,
    timeout_s: float = 120,
    environment: Mapping[str, str] | None = None,
) -> Found:
    """The largest absolute difference between the scores that were judged and those of a fresh process, and a sentence.

    Also what the version costs there.

    Up to ``signoff.parity_rows`` holdout rows of the version's reference are compared, with the scores that the
    evaluation logged for them. ``environment`` adds variables to the nearly empty environment of the fresh process.
    The gap is None, and the sentence the reason, when the process crashes, finds other files than
    ``candidate.artifact_digest``, or answers something else than one finite score (and the same class) per row. Raises
    ParityTimeout when it takes longer than ``timeout_s``, RegistryUnavailable and RegistryRefused, which say nothing of
    the candidate, and SignoffError when candidate and snapshot do not belong together.
    """
    if candidate.snapshot_id != snapshot.snapshot_id:
        raise SignoffError(
            f"{candidate.model} version {candidate.version} was fitted on snapshot {candidate.snapshot_id}, "
            f"not on {snapshot.snapshot_id}"
        )
    reference = load_reference(Registry(registry_uri), candidate.model, candidate.version)
    if reference is None:
        return Found(None, f"version {candidate.version} has no reference rows to compare with")
    judged = reference.filter(pc.equal(reference["part"], "holdout")).slice(0, config.signoff.parity_rows)
    needed = min(config.signoff.parity_rows, config.signoff.min_holdout_rows, config.signals.sample_rows)
    if judged.num_rows < needed:
        return Found(None, f"the reference has {judged.num_rows} holdout rows; {needed} are needed")
    with temporary_folder("parity-") as folder:
        rows = folder / "rows.parquet"
        pq.write_table(judged.select(list(config.features)), rows)
        request = {
            "registry_uri": registry_uri,
            "model": candidate.model,
            "version": candidate.version,
            "artifact_digest": candidate.artifact_digest,
            "models_dir": str(models_dir.resolve()),
            "config_digest": config.digest,
            "rows": str(rows),
        }
        answer, problem = _ask(request, home=str(folder), timeout_s=timeout_s, environment=environment or {})
    if answer is None:
        return Found(None, problem)
    return Found(*compare(judged, answer), serving=from_record(ServingBehaviour, answer["serving"]))


def _ask(
    request: dict[str, Any], *, home: str, timeout_s: float, environment: Mapping[str, str]
) -> tuple[dict[str, Any] | None, str]:
    """What the fresh process answers, or None and why there is no answer."""
    command = [sys.executable, "-m", "perennial.signoff.parity_process"]
    ours = {"PATH": os.defpath, "PYTHONPATH": str(_INCLUDE), "HOME": home, **login_variables()}
    variables = {**ours, **_ONE_THREAD, **environment}
    try:
        done = subprocess.run(  # noqa: S603 - our own module, by the interpreter that runs us
            command,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=timeout_s,
            env=variables,
            cwd=home,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ParityTimeout(
            f"{request['model']} version {request['version']}: the fresh process gave no answer in {timeout_s:g} s: "
            "nothing was judged; try again"
        ) from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[-_STDERR_SHOWN:]
        return None, f"the fresh process ended with code {done.returncode}: {said or 'it said nothing'}"
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return None, f"the fresh process answered no JSON but {done.stdout[:80]!r}"
    if not isinstance(answer, dict):
        return None, f"the fresh process answered a {type(answer).__name__}, not an object"
    if "error" in answer:
        if answer.get("refused"):
            raise RegistryRefused(f"fresh process: {answer['error']}")
        if answer.get("transient"):
            raise RegistryUnavailable(f"fresh process: {answer['error']}")
        return None, f"the fresh process refused: {answer['error']}"
    return answer, ""


def compare(judged: pa.Table, answer: Mapping[str, Any]) -> Measured:
    """The gap between ``score`` and ``predicted`` of the judged rows and an answer of the fresh process. Pure.

    >>> judged = pa.table({"score": [0.25, 0.5], "predicted": pa.array([None, None], pa.string())})
    >>> compare(judged, {"scores": [0.25, 0.75], "predicted": None})
    (0.25, '2 holdout rows scored in a fresh process')
    >>> compare(judged, {"scores": [0.25], "predicted": None})
    (None, 'the fresh process gave scores of shape (1,) for 2 rows')
    >>> compare(judged, {"scores": [0.25, float("nan")], "predicted": None})
    (None, '1 of 2 scores are not finite, in the fresh process or as judged')
    """
    n_rows = judged.num_rows
    try:
        answered = np.asarray(answer.get("scores"), dtype=np.float64)
    except (TypeError, ValueError):
        return None, "the fresh process gave scores that are no numbers"
    if n_rows == 0 or answered.shape != (n_rows,):
        return None, f"the fresh process gave scores of shape {answered.shape} for {n_rows} rows"
    difference = np.abs(answered - judged["score"].to_numpy(zero_copy_only=False).astype(np.float64))
    n_unknown = int((~np.isfinite(difference)).sum())
    if n_unknown:
        return None, f"{n_unknown} of {n_rows} scores are not finite, in the fresh process or as judged"
    if problem := _class_problem(judged["predicted"], answer.get("predicted")):
        return None, problem
    return float(difference.max()), f"{n_rows} holdout rows scored in a fresh process"


def _class_problem(judged: pa.ChunkedArray, answered: object) -> str | None:
    """Why the predicted classes are not those that were judged; None when they are, or when the task has none."""
    n_rows = len(judged)
    if judged.null_count == n_rows:
        return None
    if not isinstance(answered, list) or len(answered) != n_rows:
        return f"the fresh process gave no predicted classes for {n_rows} rows"
    n_other = int((judged.to_numpy(zero_copy_only=False) != np.asarray(answered, dtype=object)).sum())
    return f"{n_other} of {n_rows} predicted classes differ in the fresh process" if n_other else None
