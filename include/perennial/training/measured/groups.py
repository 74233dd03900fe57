"""The slices of a candidate against its baseline, and how far it treats protected groups apart."""

import numpy as np
import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import Apart, Estimate, GroupFacts, SliceGain, SliceGains
from perennial.evidence.answers import NO_BLOCKS, Answers, demands_of
from perennial.evidence.groups.protected import grouped
from perennial.evidence.groups.worst import losses, values_of, worst_slice
from perennial.statistics.comparing.fairness import MEASURES, Grouped, worsening
from perennial.training.baseline import Rival
from perennial.training.rows import pick


def columns_of(config: ModelConfig) -> tuple[str, ...]:
    """The features that groups are told apart by: all of them where slices are looked for; empty where none is asked.

    >>> columns_of(flights) == tuple(flights.features)
    True
    """
    asked = config.signoff
    if asked.slices.find:
        return tuple(config.features)
    return tuple(dict.fromkeys((*asked.slices.columns, *asked.fairness.columns)))


def group_facts(config: ModelConfig, rows: pa.Table, candidate: Answers, compared: Rival) -> GroupFacts:
    """All slices and measures that the gates ask for. Pure.

    ``rows`` are the ``columns_of`` the holdout, in the order of the candidate's answers.
    """
    paired = rows if compared.later is None else rows.filter(pa.array(compared.later))
    both = (compared.mine, compared.theirs) if compared.mine and compared.theirs else None
    why = compared.problem or f"candidate and {compared.baseline} could not be compared"
    slices = {}
    for column in config.signoff.slices.columns:
        slices[column] = _declared(config, column, paired, *both) if both else SliceGains(problem=why)
    if config.signoff.slices.find:
        slices["found"] = _found(config, paired, *both) if both else SliceGains(problem=why)
    fairness: dict[str, Apart] = {}
    for column in config.signoff.fairness.columns:
        own = _grouped(config, candidate, rows, column)
        pair: list[tuple[Grouped | None, str]] = [(None, why), (None, why)]
        if both:
            pair = [_grouped(config, side, paired, column) for side in both]
        fairness |= {f"{measure}/{column}": _apart(config, measure, own, pair) for measure in MEASURES}
    return GroupFacts(slices=slices, fairness=fairness)


def _declared(config: ModelConfig, column: str, rows: pa.Table, mine: Answers, theirs: Answers) -> SliceGains:
    least, metric = config.signoff.slices.min_rows, config.slice_metric
    found = tuple(
        SliceGain(
            name=f"{column}={value}", n_rows=int(inside.sum()), gain=gain_on(config, mine, theirs, inside, metric)
        )
        for value, inside in values_of(rows[column], least)
    )
    return SliceGains(slices=found, problem="" if found else f"no value of {column} has {least} rows new to both")


def _found(config: ModelConfig, rows: pa.Table, mine: Answers, theirs: Answers) -> SliceGains:
    """The slice on which the candidate's losses exceed the baseline's most, on ``signals.sample_rows`` rows."""
    drawn = pick(rows.num_rows, config.signals.sample_rows, config.signals.seed)
    chosen = np.isin(np.arange(rows.num_rows), drawn)
    rows, mine, theirs = rows.take(pa.array(drawn)), mine.rows(chosen), theirs.rows(chosen)
    own, other = mine.measured(config), theirs.measured(config)
    if own is None or other is None or mine.blocks is None:
        return SliceGains(problem=NO_BLOCKS if mine.blocks is None else "a label or a score is missing or no number")
    excess = losses(config, own) - losses(config, other)
    inside, rule = worst_slice(config, rows, excess, mine.blocks, min_rows=config.signoff.slices.min_rows)
    if not inside.any():
        return SliceGains(problem=f"{rows.num_rows} rows new to both: {rule}")
    gain = gain_on(config, mine, theirs, inside, config.slice_metric)
    return SliceGains(slices=(SliceGain(name=rule, n_rows=int(inside.sum()), gain=gain),))


def gain_on(config: ModelConfig, mine: Answers, theirs: Answers, inside: np.ndarray, metric: str) -> Estimate:
    """How much better ``mine`` are than ``theirs`` on the rows ``inside``, shape (n,), of the rows of both. Pure."""
    found = mine.rows(inside).gain_over(theirs.rows(inside), config, metric)
    return found if found.value is not None else Estimate(problem=f"{metric}: {found.problem}")


def _grouped(config: ModelConfig, answers: Answers, rows: pa.Table, column: str) -> tuple[Grouped | None, str]:
    return grouped(config, answers, rows[column], column, min_rows=config.signoff.fairness.min_rows)


def _apart(
    config: ModelConfig, measure: str, own: tuple[Grouped | None, str], pair: list[tuple[Grouped | None, str]]
) -> Apart:
    demands, (side, left_out), ((new, problem), (old, _)) = demands_of(config), own, pair
    worse = Estimate(problem=problem or "the champion could not be scored")
    if new is not None and old is not None:
        worse = worsening(measure, old, new, rng=np.random.default_rng(config.signals.seed), demands=demands)
    if side is None:
        return Apart(candidate=Estimate(problem=left_out), worsening=worse)
    return Apart(candidate=MEASURES[measure](side, demands=demands), worsening=worse, left_out=left_out)
