"""The gates that compare a candidate with the champion, on the same rows, by the interval of their difference. Pure.

With G blocks the one-sided lower bound of a gain g of standard error s is g - t(1 - alpha, G - 1) s. Candidates against
one champion share the error: the k-th is allowed alpha / k^2, which adds up to less than 1.65 alpha however many there
are.
"""

from perennial.config import ModelConfig
from perennial.contracts import Estimate, Evaluation, Gate, Interval
from perennial.signoff.conditions.figures import power
from perennial.statistics.intervals import lower_bound


def versus_champion_gate(config: ModelConfig, evaluation: Evaluation, *, attempt: int = 1, waived_by: str = "") -> Gate:
    """The candidate's gain over the baseline on the rows that both scored, positive when the candidate is better.

    A champion that can not be scored any more fails it, unless a person waived the comparison by name. A gain on rows
    that show differences from more than ``min_gain`` on only, and that is not surely as large, is borderline: such rows
    exaggerate what passes.

    >>> gate = versus_champion_gate(flights, evaluation)
    >>> gate.passed, round(gate.value, 3)
    (True, 0.05)
    >>> versus_champion_gate(flights, evaluation, attempt=40).passed
    False
    """
    wanted = config.signoff.versus_champion
    name = f"versus_champion/{wanted.metric}"
    if waived_by and evaluation.champion_lost:
        return _waived(name, evaluation, wanted.min_gain, waived_by)
    found = _gain(config, evaluation, wanted.metric)
    if found.value is None or found.interval is None:
        return Gate(name=name, passed=False, value=found.value, bound=wanted.min_gain, detail=found.problem)
    confidence = spent_confidence(wanted.confidence, attempt)
    low = lower_bound(found.value, found.interval, confidence)
    least = {"gain": 0.0, "superiority": wanted.min_gain, "non_inferiority": -(wanted.margin or 0.0)}[wanted.rule]
    enough = wanted.rule != "gain" or found.value >= wanted.min_gain
    passed = enough and low > least
    asked = (
        f"at least {wanted.min_gain:.4g}, and surely above 0" if wanted.rule == "gain" else f"surely above {least:.4g}"
    )
    detail = (
        f"{_both(evaluation, wanted.metric)}: a gain of {found.value:.4g}, {_least(found.interval, low, confidence)}; "
        f"{'as' if passed else 'not'} asked: {asked}{_attempts(attempt)}"
    )
    if not passed and found.value >= wanted.min_gain:
        detail += "; these rows could not tell: a longer training.holdout would"
    unseen = power(found.value - low, wanted.margin or wanted.min_gain)
    return Gate(
        name=name,
        passed=passed,
        value=found.value,
        bound=wanted.min_gain,
        detail=detail + unseen,
        interval=found.interval,
        borderline=passed and bool(unseen) and wanted.rule == "gain" and low <= wanted.min_gain,
    )


def no_worse_gate(
    config: ModelConfig, evaluation: Evaluation, metric: str, margin: float, *, waived_by: str = ""
) -> Gate:
    """A second metric that may not be lost for the first: its gain surely lies above minus ``margin``.

    >>> no_worse_gate(flights, evaluation, "accuracy", 0.1).detail
    'accuracy of candidate and champion 3 could not be compared'
    """
    name = f"no_worse/{metric}"
    if waived_by and evaluation.champion_lost:
        return _waived(name, evaluation, -margin, waived_by)
    found = _gain(config, evaluation, metric)
    if found.value is None or found.interval is None:
        return Gate(name=name, passed=False, value=found.value, bound=-margin, detail=found.problem)
    confidence = config.signoff.versus_champion.confidence
    low = lower_bound(found.value, found.interval, confidence)
    passed = low > -margin
    detail = (
        f"{_both(evaluation, metric)}: a gain of {found.value:.4g}, {_least(found.interval, low, confidence)}; "
        f"{'as' if passed else 'not'} asked: no worse than {margin:.4g}"
    )
    detail += power(found.value - low, margin)
    return Gate(name=name, passed=passed, value=found.value, bound=-margin, detail=detail, interval=found.interval)


def spent_confidence(confidence: float, attempt: int) -> float:
    """The one-sided confidence of the ``attempt``-th candidate against one champion, counted from 1.

    >>> [round(spent_confidence(0.95, attempt), 4) for attempt in (1, 2, 3)]
    [0.95, 0.9875, 0.9944]
    """
    return 1 - (1 - confidence) / attempt**2


def _gain(config: ModelConfig, evaluation: Evaluation, metric: str) -> Estimate:
    """The gain as it was estimated, or the reason why nothing can be said."""
    rival, needed = _rival(evaluation), config.signoff.min_holdout_rows
    why = f" ({evaluation.baseline_problem})" if evaluation.baseline_problem else ""
    if evaluation.n_paired_rows < needed:
        few = f"only {evaluation.n_paired_rows} rows new to both candidate and {rival}; {needed} are needed{why}"
        return Estimate(problem=few)
    found = evaluation.gains.get(metric)
    if found is None or found.value is None:
        return Estimate(problem=f"{metric} of candidate and {rival} could not be compared{why}")
    if found.interval is None:
        return Estimate(
            value=found.value,
            problem=f"a gain of {found.value:.4g} {metric} over {rival}, of unknown worth: {found.problem}",
        )
    return found


def _both(evaluation: Evaluation, metric: str) -> str:
    figures = [found.get(metric) for found in (evaluation.candidate_paired, evaluation.baseline_metrics)]
    mine, theirs = ("?" if figure is None else f"{figure:.4g}" for figure in figures)
    return f"{metric} {mine} against {theirs} of {_rival(evaluation)} on the same {evaluation.n_paired_rows} rows"


def _least(interval: Interval, low: float, confidence: float) -> str:
    return f"at least {low:.4g} at {confidence:.3%} by {interval.n_blocks} blocks"


def _attempts(attempt: int) -> str:
    return f" (candidate {attempt} against this champion)" if attempt > 1 else ""


def _rival(evaluation: Evaluation) -> str:
    return "the constant predictor" if evaluation.baseline == "constant" else f"champion {evaluation.baseline}"


def _waived(name: str, evaluation: Evaluation, bound: float, waived_by: str) -> Gate:
    detail = f"not compared: {evaluation.baseline_problem}; waived by {waived_by}"
    return Gate(name=name, passed=True, value=None, bound=bound, detail=detail, waived=waived_by)
