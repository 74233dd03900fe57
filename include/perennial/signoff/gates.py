"""The gates: every condition a candidate must meet. Pure; what is missing, NaN or infinite never passes.

A gate's ``detail`` is a sentence for the reviewer. The relative gates judge the interval of a paired difference, by
blocks: an estimate alone says nothing of how it might have come out on other days.
"""

from collections.abc import Iterable

from perennial.config import MetricGate, ModelConfig
from perennial.contracts import PARITY, Evaluation, Gate, Interval
from perennial.errors import SignoffError
from perennial.signoff.conditions.data import data_gates
from perennial.signoff.conditions.figures import finite, shown
from perennial.signoff.conditions.groups import group_gates
from perennial.signoff.conditions.windows import window_gates
from perennial.signoff.versus import no_worse_gate, versus_champion_gate


def judge(
    config: ModelConfig,
    evaluation: Evaluation,
    *,
    parity_gap: float | None,
    parity_detail: str,
    attempt: int = 1,
    waived_by: str = "",
    further: Iterable[Gate] = (),
) -> tuple[Gate, ...]:
    """All gates of the model, in the order in which a reviewer reads them.

    ``parity_gap`` is the largest absolute score difference between the run and a fresh process; None when it could not
    be measured, and then ``parity_detail`` says why. ``attempt`` counts the candidates judged against this champion,
    this one included: they share the error that one would be allowed. ``waived_by`` is the person, with a reason, who
    takes it upon himself that there is no comparison where the champion can not be scored. ``further`` gates were
    judged on what only the caller has: those of the fresh process. Raises SignoffError when the evaluation is another
    model's.

    >>> gates = judge(flights, evaluation, parity_gap=None, parity_detail="the fresh process did not answer")
    >>> [gate.name for gate in gates if not gate.passed]
    ['parity']
    """
    if evaluation.model != config.model:
        raise SignoffError(f"evaluation of {evaluation.model} handed to the gates of {config.model}")
    policy = config.signoff
    return (
        *(
            metric_gate(f"metric/{name}", evaluation.candidate.get(name), gate, evaluation.intervals.get(name))
            for name, gate in policy.metrics.items()
        ),
        versus_champion_gate(config, evaluation, attempt=attempt, waived_by=waived_by),
        *(
            no_worse_gate(config, evaluation, name, margin, waived_by=waived_by)
            for name, margin in config.guards.items()
        ),
        *group_gates(config, evaluation, waived_by=waived_by),
        *window_gates(config, evaluation, waived_by=waived_by),
        minimum_gate("min_holdout_rows", evaluation.n_rows, policy.min_holdout_rows, "labelled holdout rows"),
        minimum_gate(
            "min_label_coverage", evaluation.label_coverage, policy.min_label_coverage, "share of holdout rows labelled"
        ),
        *data_gates(config, evaluation.data),
        parity_gate(parity_gap, policy.max_parity_gap, parity_detail),
        *further,
    )


def metric_gate(name: str, value: float | None, bounds: MetricGate, interval: Interval | None = None) -> Gate:
    """An absolute bound, or two, on one metric of the candidate, or on its whole interval.

    >>> metric_gate("metric/roc_auc", 0.71, MetricGate(min=0.65)).passed
    True
    >>> metric_gate("metric/roc_auc", 0.61, MetricGate(min=0.65)).detail
    'roc_auc 0.61 is below the minimum 0.65'
    >>> metric_gate("metric/roc_auc", None, MetricGate(min=0.65)).detail
    'roc_auc could not be computed on the holdout'
    >>> metric_gate("metric/rmse", float("nan"), MetricGate(max=65.0)).passed
    False
    >>> metric_gate("metric/roc_auc", 0.71, MetricGate(min=0.65), around(0.71, 0.05, 900, 14, 0.95)).borderline
    True
    >>> metric_gate("metric/roc_auc", 0.71, MetricGate(min=0.65, of="interval")).detail
    'roc_auc 0.71 has no interval, and the whole interval has to keep its bound'
    """
    metric = name.removeprefix("metric/")
    bound = bounds.min if bounds.min is not None else bounds.max
    known = finite(value)

    def gate(passed: bool, detail: str, bound: float | None = bound, *, borderline: bool = False) -> Gate:
        return Gate(
            name=name, passed=passed, value=known, bound=bound, detail=detail, interval=interval, borderline=borderline
        )

    if known is None:
        return gate(False, f"{metric} could not be computed on the holdout")
    if bounds.of == "interval" and interval is None:
        return gate(False, f"{metric} {shown(known)} has no interval, and the whole interval has to keep its bound")
    whole = interval if bounds.of == "interval" else None
    lowest, highest = (whole.low, whole.high) if whole else (known, known)
    figure = f"{metric} {shown(known)}" + (f" ({interval})" if interval else "")
    if bounds.min is not None and lowest < bounds.min:
        reaches = "reaches" if whole and known >= bounds.min else "is"
        return gate(False, f"{figure} {reaches} below the minimum {shown(bounds.min)}", bounds.min)
    if bounds.max is not None and highest > bounds.max:
        reaches = "reaches" if whole and known <= bounds.max else "is"
        return gate(False, f"{figure} {reaches} above the maximum {shown(bounds.max)}", bounds.max)
    limits = [("minimum", bounds.min), ("maximum", bounds.max)]
    asked = " and ".join(f"the {word} {shown(limit)}" for word, limit in limits if limit is not None)
    if interval and not _surely(bounds, interval):
        return gate(True, f"{figure} keeps {asked}, and its interval does not", borderline=True)
    return gate(True, f"{figure} keeps {asked}")


def _surely(bounds: MetricGate, interval: Interval) -> bool:
    return (bounds.min is None or interval.low >= bounds.min) and (bounds.max is None or interval.high <= bounds.max)


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
        return Gate(name=PARITY, passed=False, value=None, bound=most, detail=reason)
    figure = f"{detail}: largest score difference {shown(known)}, at most {shown(most)} allowed"
    return Gate(name=PARITY, passed=known <= most, value=known, bound=most, detail=figure)
