"""What the labels say in an A/B: challenger and champion in the primary metric, each on rows of its own."""

from dataclasses import replace
from datetime import datetime

import numpy as np

from perennial import ledger
from perennial.config import ModelConfig
from perennial.config.release.shadow import shadow_metric
from perennial.contracts import Estimate, ReleaseState, Signoff, Window
from perennial.evidence.answers import answers_in, demands_of
from perennial.evidence.deliveries.arms import CHALLENGED, answered_windows, read_arms
from perennial.release.canary.judging import Labels
from perennial.release.canary.sizes import sized
from perennial.statistics.comparing.arms import difference_of_arms
from perennial.statistics.sequential import at_every_look
from perennial.store import Store


def heard(config: ModelConfig, signoff: Signoff, state: ReleaseState, *, share: float, store: Store) -> Labels:
    """The windows whose labels were in at the newest decision, in which the challenger answered, and what they say.

    With ``test: fixed`` no label is looked at before the horizon; that the challenger has the ``share`` (0 to 1) of the
    rows that it was told is, after every window. Raises StoreUnavailable.
    """
    asked, champion = config.release.ab, str(signoff.champion_seen)
    as_of = ledger.newest_decided(store, config.model) or signoff.as_of
    found = answered_windows(
        config, signoff.as_of, as_of=as_of, champion=champion, challenger=signoff.version, store=store
    )
    windows = found[: asked.windows]
    few = Labels(verdict="waiting", reason=f"{len(windows)} of {asked.windows} windows have their labels")
    if not windows:
        return few
    unlike = sized(config, signoff, windows, share=share, state=state, as_of=as_of, store=store)
    if unlike is not None and unlike.verdict == "blind":
        return unlike
    if asked.test == "fixed" and len(windows) < asked.windows:
        return few
    if unlike is not None:
        return unlike
    gain, n_rows = compare(config, signoff, windows, state=state, store=store, as_of=as_of)
    return said_of(config, gain, n_rows, n_windows=len(windows))


def said_of(config: ModelConfig, gain: Estimate, n_rows: tuple[int, int], *, n_windows: int) -> Labels:
    """What a comparison says: won, lost, or that nothing is known yet. Pure.

    >>> def told(value, error, n_windows=4, test="fixed"):
    ...     asked = flights.release.model_copy(update={"ab": AB(test=test)})
    ...     gain = Estimate(value=value, interval=around(value, error, 900, 28, 0.95))
    ...     return said_of(flights.model_copy(update={"release": asked}), gain, (500, 400), n_windows=n_windows).verdict
    >>> from perennial.config.release.ab import AB
    >>> told(0.02, 0.005), told(0.02, 0.015), told(-0.02, 0.005)
    ('won', 'lost', 'lost')
    >>> [told(value, 0.005, n_windows=2, test="sequential") for value in (0.02, 0.015, 0.01, -0.01, -0.02)]
    ['won', 'waiting', 'waiting', 'waiting', 'lost']
    >>> said_of(flights, Estimate(value=0.2, problem="3 blocks"), (60, 50), n_windows=4).verdict
    'blind'
    """
    asked, is_over = config.release.ab, n_windows >= config.release.ab.windows
    if asked.test == "sequential":
        gain = at_every_look(gain, alpha=1 - asked.confidence, effect=asked.effect)
    what = (
        f"{shadow_metric(config)} better by {gain} on {n_rows[0]} rows than the champion on {n_rows[1]}, after "
        f"{n_windows} of {asked.windows} windows"
    )
    if gain.interval is None:
        return Labels(verdict="blind" if is_over else "waiting", reason=what)
    if gain.interval.low > asked.min_gain:
        return Labels(verdict="won", reason=what)
    if gain.interval.high < 0:
        return Labels(verdict="lost", reason=f"{what}: surely worse")
    if is_over:
        return Labels(
            verdict="lost", reason=f"{what}: not surely better by more than {asked.min_gain:g} at the horizon"
        )
    return Labels(verdict="waiting", reason=what)


def compare(
    config: ModelConfig,
    signoff: Signoff,
    windows: tuple[Window, ...],
    *,
    state: ReleaseState,
    as_of: datetime,
    store: Store,
) -> tuple[Estimate, tuple[int, int]]:
    """How much better the challenger was, by blocks of both arms, and the rows of the challenger and the champion."""
    champion = str(signoff.champion_seen)
    rows = read_arms(
        config,
        windows,
        champion=champion,
        challenger=signoff.version,
        excluded=state.excluded,
        as_of=as_of,
        store=store,
    )
    new = rows[CHALLENGED].to_numpy(zero_copy_only=False)
    declared = config.label.decision_threshold
    own = declared if signoff.threshold is None else signoff.threshold
    answers = replace(answers_in(config, rows), threshold=np.where(new, own, state.threshold_of(champion, declared)))
    n_rows = int(new.sum()), int((~new).sum())
    if answers.blocks is None or not all(n_rows):
        return Estimate(problem="no block in which both answered rows with labels"), n_rows
    gain = difference_of_arms(
        config.metric(shadow_metric(config)),
        answers.rows(~new).measured(config),
        answers.rows(new).measured(config),
        (answers.blocks[~new], answers.blocks[new]),
        rng=np.random.default_rng(config.signals.seed),
        demands=replace(demands_of(config), confidence=config.release.ab.confidence),
    )
    return gain, n_rows
