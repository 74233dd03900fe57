"""What a first model reaches on the newest part of a history, and how far that figure is to be trusted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perennial.config import ModelConfig
from perennial.contracts import Estimate
from perennial.onboarding.proposal import Times
from perennial.statistics.blocks import blocks_of_times, count_blocks
from perennial.statistics.intervals import Demands, estimate, paired_difference
from perennial.statistics.rows import Rows, rows_of
from perennial.training.fitting.recipe import freeze_recipes
from perennial.trial.fits import Fits
from perennial.trial.log import Log, Places

TAUGHT_SHARE, MOST_TAUGHT = 0.7, 50_000
_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricNoise:
    """``value`` of the metric on the newest rows; ``error``, its standard error on a holdout as long as proposed, and
    ``paired_error``, that of the difference of two models there. None where too few blocks or labels say so."""

    value: float | None = None
    error: float | None = None
    paired_error: float | None = None


def noise_of(config: ModelConfig, log: Log, times: Times, *, folder: Path, scratch: Path) -> MetricNoise:
    """The recipe in ``folder``, fitted on the two halves of the older rows, judged on the newer ones.

    Raises TrainingError.
    """
    labelled = np.flatnonzero(~np.isnat(log.arrived))
    cut = int(TAUGHT_SHARE * len(labelled))
    asked = labelled[cut:]
    truth = log.table(asked, ["label"])["label"].to_numpy(zero_copy_only=False)
    fits = Fits(log=log, recipes=freeze_recipes(folder, scratch, config.training.recipes), folder=scratch / "fits")

    def answered(taught: Places) -> Rows | None:
        fit = fits.fit(config, log.drawn(taught, MOST_TAUGHT), slice(int(asked[0]), int(asked[-1]) + 1))
        scores, predicted = fit.at(asked)
        return rows_of(config.task, labels=truth, scores=scores, predicted=predicted, classes=config.label.classes)

    older, newer = answered(labelled[: cut // 2]), answered(labelled[cut // 2 : cut])
    blocks = blocks_of_times(log.times[asked], times.block)
    metric, demands, rng = config.gain_metric, Demands(min_per_class=2), np.random.default_rng(0)
    found = estimate(metric, newer, blocks, rng=rng, demands=demands)
    apart = paired_difference(metric, older, newer, blocks, rng=rng, demands=demands)
    shorter = (count_blocks(blocks) / (times.holdout / times.block)) ** 0.5
    return MetricNoise(value=found.value, error=_error(found, shorter), paired_error=_error(apart, shorter))


def _error(found: Estimate, shorter: float) -> float | None:
    if found.interval is None:
        return None
    return shorter * (found.interval.high - found.interval.low) / 2 / _Z
