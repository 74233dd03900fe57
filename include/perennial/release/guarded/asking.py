"""The figures that a look rests on: of the versions, from the scoring service; of a holdout, from the registry."""

from dataclasses import dataclass, replace

import httpx
import numpy as np
from pydantic import ValidationError

from perennial.config import ModelConfig
from perennial.contracts import from_record
from perennial.errors import PermanentError, ServiceSilent, redacted
from perennial.guards.figures import HOLDOUT, ArmFigures, score_edges
from perennial.registry import Registry
from perennial.registry.reference import load_reference

_ASKED_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a service counted: the version that answers, and the figures of each version and arm, lately and in all."""

    version: str | None
    recent: tuple[ArmFigures, ...]
    total: tuple[ArmFigures, ...] = ()

    def of(self, version: str | None, arm: str) -> ArmFigures | None:
        """Those of a version in an arm, where it answered something."""
        return next((one for one in self.recent if (one.version, one.arm) == (version, arm)), None)


def ask(url: str, config: ModelConfig, *, key: str | None = None) -> Counted:
    """What the service at ``url`` counted. Raises ServiceSilent where that can not be had, and why."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    what = f"{config.model}: the service at {redacted(url)}"
    try:
        answer = httpx.get(f"{url}/figures", headers=headers, timeout=_ASKED_S, trust_env=False)
        if answer.status_code != httpx.codes.OK:
            raise ServiceSilent(f"{what} answers /figures with {answer.status_code}: {answer.text[:200]}")
        body = answer.json()
        if body["model"] != config.model:
            raise ServiceSilent(f"{what} answers for {str(body['model'])[:60]}")
        found, whole = (
            tuple(from_record(ArmFigures, one) for one in part) for part in (body["recent"], body.get("total", ()))
        )
        version = body["version"]
    except httpx.HTTPError as error:
        raise ServiceSilent(f"{what} can not be asked for its figures ({type(error).__name__})") from error
    except (ValidationError, ValueError, TypeError, LookupError) as error:
        raise ServiceSilent(f"{what} answers /figures with something else than a scoring service does") from error
    n_bins = len(score_edges(config.task)) + 1
    if any(one.scores and len(one.scores) != n_bins for one in (*found, *whole)):
        raise ServiceSilent(f"{what} counts scores on another grid: it runs other code than this; start it anew")
    return Counted(version=None if version is None else str(version), recent=found, total=whole)


def holdout_of(config: ModelConfig, version: str, near: ArmFigures, *, registry: Registry) -> ArmFigures | None:
    """Scores and missing features of the holdout of a version, over the stretch of ``near``; None without a reference.

    Raises RegistryUnavailable, RegistryRefused.
    """
    try:
        kept = load_reference(registry, config.model, version)
    except PermanentError:
        return None
    if kept is None:
        return None
    rows = kept.filter(np.asarray(kept["part"].to_numpy(zero_copy_only=False) == HOLDOUT))
    scores = rows["score"].drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    edges = score_edges(config.task)
    if not len(scores):
        return None
    counts = np.bincount(np.searchsorted(edges, scores, side="right"), minlength=len(edges) + 1)
    names = [name for name in config.features if name in rows.column_names]
    return replace(
        ArmFigures(version=version, arm=HOLDOUT, since=near.since, until=near.until),
        rows=rows.num_rows,
        rows_squared=rows.num_rows,
        scores=tuple(counts.tolist()),
        missing={name: rows[name].null_count for name in names},
    )
