"""What a candidate has to beat: the champion, or, where there is none, the predictor that always says the same."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Estimate, ReleaseState, Snapshot
from perennial.errors import PermanentError
from perennial.evidence.answers import Answers
from perennial.registry.client import Registry
from perennial.registry.models import load_model
from perennial.store import Store
from perennial.training.rows import answer, labels_of

CONSTANT = "constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Candidate and baseline on the same rows; no rows, and ``problem``, when they can not be compared.

    ``mine`` and ``theirs`` answer for these rows, which ``later`` chooses among those of the holdout (all for None).
    """

    baseline: str
    n_rows: int
    candidate: dict[str, float]
    metrics: dict[str, float]
    problem: str = ""
    champion_lost: bool = False
    gains: dict[str, Estimate] = field(default_factory=dict)
    mine: Answers | None = None
    theirs: Answers | None = None
    later: NDArray[np.bool_] | None = None


def gains_over(config: ModelConfig, mine: Answers, theirs: Answers) -> dict[str, Estimate]:
    """How much better ``mine`` are than ``theirs`` for the same rows, in every metric that the gates ask for. Pure."""
    asked = (config.signoff.versus_champion.metric, *config.guards)
    return {name: mine.gain_over(theirs, config, name) for name in asked}


def versus_constant(config: ModelConfig, candidate: Answers, snapshot: Snapshot, *, store: Store) -> Rival:
    """Against the prior of the training rows: their share of positives, their most frequent class, or their mean."""
    trained_on = store.storage.read_table(snapshot.train_uri, columns=["label"])
    return against_constant(config, candidate, labels_of(config, trained_on))


def against_constant(config: ModelConfig, candidate: Answers, labels: NDArray[Any]) -> Rival:
    """The same, of the ``labels`` of the training rows, shape (m,), as :func:`labels_of` gives them. Pure.

    >>> answers = Answers(labels=np.array([0, 1]), scores=np.array([0.2, 0.7]))
    >>> against_constant(flights, answers, np.array([0, 0, 1, 0])).metrics["roc_auc"]
    0.5
    """
    n_rows = len(candidate.labels)
    predicted = None
    if config.task == "multiclass":
        classes, counts = np.unique(labels, return_counts=True)
        predicted = np.full(n_rows, classes[counts.argmax()])
        value = counts.max() / counts.sum()
    else:
        value = labels.mean()
    always = replace(candidate, scores=np.full(n_rows, float(value)), predicted=predicted, threshold=None)
    mine = candidate.metrics(config)
    return Rival(
        baseline=CONSTANT,
        n_rows=n_rows,
        candidate=mine,
        metrics=always.metrics(config),
        gains=gains_over(config, candidate, always),
        mine=candidate,
        theirs=always,
    )


def versus_champion(
    config: ModelConfig,
    candidate: Answers,
    snapshot: Snapshot,
    champion: str,
    *,
    store: Store,
    registry: Registry,
    state: ReleaseState,
) -> Rival:
    """Against the champion, on the holdout rows after its own holdout: those that neither was fitted or chosen on.

    A champion that can not be loaded or scored leaves a comparison without rows, whose gate fails. Raises
    RegistryUnavailable.
    """
    if champion in state.gone:
        return _none(champion, f"champion {champion} was deleted in MLflow", champion_lost=True)
    lineage = state.lineages.get(champion)
    if lineage is None:
        return _none(champion, f"the ledger does not know what champion {champion} was fitted on")
    later = candidate.since(lineage.holdout.end)
    if not later.any():
        return _none(champion, f"no holdout row lies after the champion's own holdout, {lineage.holdout.key}")
    try:
        model = load_model(
            registry,
            config.model,
            champion,
            trusted_types=config.training.trusted_types,
            expected_digest=state.digest_of(champion),
        )
        theirs = answer(config, model, snapshot.holdout_uri, storage=store.storage).rows(later)
    except PermanentError as error:
        return _none(champion, f"champion {champion} could not be scored: {error}", champion_lost=True)
    return replace(against_champion(config, champion, candidate.rows(later), theirs), later=later)


def against_champion(config: ModelConfig, champion: str, mine: Answers, theirs: Answers) -> Rival:
    """A candidate's answers beside those of the champion for the same rows, which neither was fitted on. Pure.

    >>> answers = Answers(labels=np.array([0, 1]), scores=np.array([0.2, 0.7]))
    >>> against_champion(flights, "3", answers, answers).candidate["roc_auc"]
    1.0
    """
    return Rival(
        baseline=champion,
        n_rows=len(mine.labels),
        candidate=mine.metrics(config),
        metrics=theirs.metrics(config),
        gains=gains_over(config, mine, theirs),
        mine=mine,
        theirs=theirs,
    )


def _none(champion: str, problem: str, *, champion_lost: bool = False) -> Rival:
    return Rival(baseline=champion, n_rows=0, candidate={}, metrics={}, problem=problem, champion_lost=champion_lost)
