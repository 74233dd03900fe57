"""What a first model reaches on the newest part of a history, and how far that figure is to be trusted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perennial.config import ModelConfig
from perennial.onboarding.proposal import Times
from perennial.statistics.blocks import blocks_of_times, count_blocks
from perennial.statistics.intervals import Demands, estimate
from perennial.statistics.rows import rows_of
from perennial.training.fitting.recipe import freeze_recipe
from perennial.trial.fits import Fits
from perennial.trial.log import Log

TAUGHT_SHARE, MOST_TAUGHT = 0.7, 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """``value`` of the metric on the newest rows, and ``error``, its standard error on a holdout as long as proposed;
    None where too few blocks or labels allow no interval."""

    value: float | None
    error: float | None
    n_rows: int


def noise_of(config: ModelConfig, log: Log, times: Times, *, folder: Path, scratch: Path) -> Noise:
    """The recipe in ``folder`` fitted on the older rows, judged on the newer ones. Raises TrainingError."""
    labelled = np.flatnonzero(~np.isnat(log.arrived))
    cut = int(TAUGHT_SHARE * len(labelled))
    taught, asked = labelled[:cut], labelled[cut:]
    fits = Fits(log=log, recipe=freeze_recipe(folder, scratch), folder=scratch / "fits")
    fit = fits.fit(config, log.drawn(taught, MOST_TAUGHT), slice(int(asked[0]), int(asked[-1]) + 1))
    scores, predicted = fit.at(asked)
    truth = log.table(asked, ["label"])["label"].to_numpy(zero_copy_only=False)
    rows = rows_of(
        config.task, labels=truth, scores=scores, predicted=predicted, classes=config.label.classes,
        threshold=config.label.decision_threshold or 0.5,
    )  # fmt: skip
    blocks = blocks_of_times(log.times[asked], times.block)
    found = estimate(config.gain_metric, rows, blocks, rng=np.random.default_rng(0), demands=Demands(min_per_class=2))
    if found.interval is None:
        return Noise(value=found.value, error=None, n_rows=len(asked))
    half = (found.interval.high - found.interval.low) / 2 / 1.96
    shorter = count_blocks(blocks) / max(1.0, times.holdout / times.block)
    return Noise(value=found.value, error=half * shorter**0.5, n_rows=len(asked))
