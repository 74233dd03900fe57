"""The gates: every condition a candidate must meet. Pure; what is missing, NaN or infinite never passes.

A gate's ``detail`` is a sentence for the reviewer. The relative gate compares point estimates on the same rows, as
TFX's Evaluator does with its change thresholds (https://www.tensorflow.org/tfx/guide/evaluator).
"""

import math

from perennial.config import MetricGate, ModelConfig
from perennial.contracts import Evaluation, Gate
from perennial.errors import SignoffError


def judge(
    config: ModelConfig,
    evaluation: Evaluation,
    *,
    parity_gap: float | None,
    parity_detail: str,
    waived_by: str = "",
) -> tuple[Gate, ...]:
    """All gates of the model, in the order in which a reviewer reads them.

    ``parity_gap`` is the largest absolute score difference between the run and a fresh process; None when it could not
    be measured, and then ``parity_detail`` says why. ``waived_by`` is the person, with a reason, who takes it upon
    himself that there is no comparison where the champion can not be scored. Raises SignoffError when the evaluation is
    another model's.

    >>> gates = judge(flights, evaluation, parity_gap=None, parity_detail="the fresh process did not answer")
    >>> [gate.name for gate in gates if not gate.passed]
    ['parity']
    """
    if evaluation.model != config.model:
        raise SignoffError(f"evaluation of {evaluation.model} handed to the gates of {config.model}")
    policy = config.signoff
    return (
        *(metric_gate(f"metric/{name}", evaluation.candidate.get(name), gate) for name, gate in policy.metrics.items()),
        versus_champion_gate(config, evaluation, waived_by=waived_by),
        minimum_gate("min_holdout_rows", evaluation.n_rows, policy.min_holdout_rows, "labelled holdout rows"),
        minimum_gate(
            "min_label_coverage", evaluation.label_coverage, policy.min_label_coverage, "share of holdout rows labelled"
        ),
        parity_gate(parity_gap, policy.max_parity_gap, parity_detail),
    )


def metric_gate(name: str, value: float | None, bounds: MetricGate) -> Gate:
    """An absolute bound, or two, on one metric of the candidate.

    >>> metric_gate("metric/roc_auc", 0.71, MetricGate(min=0.65)).passed
    True
    >>> metric_gate("metric/roc_auc", 0.61, MetricGate(min=0.65)).detail
    'roc_auc 0.61 is below the minimum 0.65'
    >>> metric_gate("metric/roc_auc", None, MetricGate(min=0.65)).detail
    'roc_auc could not be computed on the holdout'
    >>> metric_gate("metric/rmse", float("nan"), MetricGate(max=65.0)).passed
    False
    """
    metric = name.removeprefix("metric/")
    bound = bounds.min if bounds.min is not None else bounds.max
    known = finite(value)
    if known is None:
        return Gate(
            name=name, passed=False, value=None, bound=bound, detail=f"{metric} could not be computed on the holdout"
        )
    if bounds.min is not None and known < bounds.min:
        detail = f"{metric} {shown(known)} is below the minimum {shown(bounds.min)}"
        return Gate(name=name, passed=False, value=known, bound=bounds.min, detail=detail)
    if bounds.max is not None and known > bounds.max:
        detail = f"{metric} {shown(known)} is above the maximum {shown(bounds.max)}"
        return Gate(name=name, passed=False, value=known, bound=bounds.max, detail=detail)
    limits = [("minimum", bounds.min), ("maximum", bounds.max)]
    asked = " and ".join(f"the {word} {shown(limit)}" for word, limit in limits if limit is not None)
    return Gate(name=name, passed=True, value=known, bound=bound, detail=f"{metric} {shown(known)} keeps {asked}")


def versus_champion_gate(config: ModelConfig, evaluation: Evaluation, *, waived_by: str = "") -> Gate:
    """The candidate's gain over the baseline on the rows that both scored, positive when the candidate is better.

    A champion that can not be scored any more fails it, unless a person waived the comparison by name.

    >>> gate = versus_champion_gate(flights, evaluation)
    >>> gate.passed, round(gate.value, 3)
    (True, 0.05)
    """
    gate = config.signoff.versus_champion
    if waived_by and evaluation.champion_lost:
        detail = f"not compared: {evaluation.baseline_problem}; waived by {waived_by}"
        name = f"versus_champion/{gate.metric}"
        return Gate(name=name, passed=True, value=None, bound=gate.min_gain, detail=detail, waived=waived_by)
    name, needed = f"versus_champion/{gate.metric}", config.signoff.min_holdout_rows
    why = f" ({evaluation.baseline_problem})" if evaluation.baseline_problem else ""
    rival = "the constant predictor" if evaluation.baseline == "constant" else f"champion {evaluation.baseline}"
    if evaluation.n_paired_rows < needed:
        detail = f"only {evaluation.n_paired_rows} rows new to both candidate and {rival}; {needed} are needed{why}"
        return Gate(name=name, passed=False, value=None, bound=gate.min_gain, detail=detail)
    mine = finite(evaluation.candidate_paired.get(gate.metric))
    theirs = finite(evaluation.baseline_metrics.get(gate.metric))
    if mine is None or theirs is None:
        missing = "the candidate" if mine is None else rival
        detail = f"{gate.metric} of {missing} could not be computed on {evaluation.n_paired_rows} paired rows{why}"
        return Gate(name=name, passed=False, value=None, bound=gate.min_gain, detail=detail)
    gain = config.metric(gate.metric).loss(theirs, mine)
    passed = gain >= gate.min_gain
    relation = "at least" if passed else "less than"
    detail = (
        f"{gate.metric} {shown(mine)} against {shown(theirs)} of {rival} on the same {evaluation.n_paired_rows} rows: "
        f"a gain of {shown(gain)}, {relation} the {shown(gate.min_gain)} asked for"
    )
    return Gate(name=name, passed=passed, value=gain, bound=gate.min_gain, detail=detail)


def minimum_gate(name: str, value: float, minimum: float, what: str) -> Gate:
    """At least so much evidence.

    >>> minimum_gate("min_holdout_rows", 200, 50, "labelled holdout rows").detail
    'labelled holdout rows: 200, at least 50 needed'
    >>> minimum_gate("min_holdout_rows", 20, 50, "labelled holdout rows").passed
    False
    >>> minimum_gate("min_label_coverage", float("nan"), 0.9, "share of holdout rows labelled").detail
    'share of holdout rows labelled: not known'
    """
    known = finite(value)
    if known is None:
        return Gate(name=name, passed=False, value=None, bound=minimum, detail=f"{what}: not known")
    detail = f"{what}: {shown(known)}, at least {shown(minimum)} needed"
    return Gate(name=name, passed=known >= minimum, value=known, bound=minimum, detail=detail)


def parity_gate(gap: float | None, most: float, detail: str) -> Gate:
    """The registered version, loaded in a fresh process, gives the scores that were judged.

    >>> parity_gate(0.0, 1e-9, "240 rows scored").detail
    '240 rows scored: largest score difference 0, at most 1e-09 allowed'
    >>> parity_gate(0.2, 1e-9, "240 rows scored").passed
    False
    >>> parity_gate(None, 1e-9, "the fresh process ended with code 1: killed").passed
    False
    """
    known = finite(gap)
    if known is None or known < 0:
        reason = detail or "prediction parity was not measured"
        return Gate(name="parity", passed=False, value=None, bound=most, detail=reason)
    told = f"{detail}: largest score difference {shown(known)}, at most {shown(most)} allowed"
    return Gate(name="parity", passed=known <= most, value=known, bound=most, detail=told)


def finite(value: float | None) -> float | None:
    """The value when it is a finite number, else None.

    >>> finite(float("inf")) is finite(None) is None
    True
    """
    return value if value is not None and math.isfinite(value) else None


def shown(value: float) -> str:
    """Four significant digits, whole numbers whole.

    >>> shown(336776), shown(0.70123), shown(1e-9)
    ('336776', '0.7012', '1e-09')
    """
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"  # noqa: PLR2004
