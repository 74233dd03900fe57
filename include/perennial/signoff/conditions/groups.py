"""The gates on groups of rows: no slice lost for the whole, no group treated further apart. Pure.

A guard fails on what is worse than its margin and surely worse at all; what it could not have seen is borderline.
"""

from collections.abc import Iterator

from perennial.config import ModelConfig
from perennial.contracts import Apart, Estimate, Evaluation, Gate, SliceGain, SliceGains
from perennial.signoff.conditions.figures import power, shown
from perennial.statistics.intervals import lower_bound

FOUND = "slice/found"
CONSTANT = "constant"
"""The baseline of a first version, which treats everyone alike."""
NOT_MEASURED = "not measured when the candidate was evaluated: clear the task evaluate"


def group_gates(config: ModelConfig, evaluation: Evaluation, *, waived_by: str = "") -> Iterator[Gate]:
    """``slice/<column>``, ``slice/found`` and ``fairness/<measure>/<column>``, as far as they are asked for.

    >>> [gate.name for gate in group_gates(flights, evaluation)]
    ['slice/origin', 'slice/carrier', 'slice/found']
    """
    slices, fairness = config.signoff.slices, config.signoff.fairness
    waived = waived_by if evaluation.champion_lost else ""
    measured = evaluation.groups
    found = measured.slices if measured else {}
    n_slices = sum(len(one.slices) for one in found.values())
    for column in (*slices.columns, *(["found"] if slices.find else [])):
        gains = found.get(column, SliceGains(problem=NOT_MEASURED))
        yield slice_gate(config, f"slice/{column}", gains, n_slices=n_slices, waived_by=waived)
    known = {} if measured is None else measured.fairness
    absent = Apart(candidate=Estimate(problem=NOT_MEASURED), worsening=Estimate(problem=NOT_MEASURED))
    for column in fairness.columns:
        for measure in ("statistical_parity", "equal_opportunity", "average_odds"):
            apart = known.get(f"{measure}/{column}", absent)
            yield apart_gate(config, f"fairness/{measure}/{column}", apart)
            if evaluation.baseline != CONSTANT:
                name = f"fairness/{measure}/{column}/vs_champion"
                yield worsening_gate(config, name, apart.worsening, waived_by=waived)


def slice_gate(config: ModelConfig, name: str, gains: SliceGains, *, n_slices: int, waived_by: str = "") -> Gate:
    """No slice loses more than ``max_loss`` and surely loses at all, at a confidence for all ``n_slices`` together.

    >>> from perennial.contracts import SliceGain
    >>> def of(value): return SliceGains(slices=(SliceGain(name="origin=JFK", n_rows=900, gain=Estimate(value=value,
    ...     interval=around(value, 0.01, 900, 14, 0.95))),))
    >>> slice_gate(flights, "slice/origin", of(-0.05), n_slices=3).passed
    False
    >>> slice_gate(flights, "slice/origin", of(-0.01), n_slices=3).passed
    True
    >>> rain = SliceGains(slices=(SliceGain(name="rain", n_rows=900, gain=Estimate(value=-0.05, problem="5 days")),))
    >>> [slice_gate(flights, name, rain, n_slices=1).passed for name in ("slice/origin", "slice/found")]
    [False, True]
    >>> slice_gate(flights, "slice/origin", SliceGains(problem="no value of origin has 300 rows"), n_slices=0).detail
    'no value of origin has 300 rows'
    """
    margin, metric = config.max_slice_loss, config.slice_metric
    if waived_by:
        return waived_gate(name, -margin, waived_by)
    if not gains.slices:
        return Gate(name=name, passed=False, value=None, bound=-margin, detail=gains.problem or NOT_MEASURED)
    confidence = 1 - (1 - config.signoff.versus_champion.confidence) / max(n_slices, len(gains.slices))
    demand = f"none of {len(gains.slices)} slices may lose more than {shown(margin)}"
    return worst_gate(name, gains, demand, metric=metric, margin=margin, confidence=confidence)


def worst_gate(
    name: str, gains: SliceGains, demand: str, *, metric: str, margin: float, confidence: float, failed: bool = False
) -> Gate:
    """The gate over parts of the holdout, one at least, as its worst part decides. Pure.

    ``confidence`` is that of each part; ``demand`` says what is asked of them, and ``failed`` that it fails for that,
    whatever the worst of them is.
    """
    judged = [_judged(one, margin, confidence, is_found=name == FOUND) for one in gains.slices]
    rank = {"lost": 0, "blind": 1, "unseen": 2, "kept": 3}
    worst, status = min(zip(gains.slices, judged, strict=True), key=lambda pair: (rank[pair[1]], _value(pair[0])))
    detail = f"{worst.name} ({worst.n_rows} rows): a gain of {metric} of {worst.gain}; {demand}"
    if status == "unseen" and worst.gain.value is not None and worst.gain.interval is not None:
        detail += power(worst.gain.value - lower_bound(worst.gain.value, worst.gain.interval, confidence), margin)
    passed = not failed and status in ("kept", "unseen") and worst.gain.value is not None
    return Gate(
        name=name,
        passed=passed,
        value=worst.gain.value,
        bound=-margin,
        detail=detail,
        interval=worst.gain.interval,
        borderline=passed and status == "unseen",
    )


def _value(one: SliceGain) -> float:
    return one.gain.value if one.gain.value is not None else 0.0


def _judged(one: SliceGain, margin: float, confidence: float, *, is_found: bool) -> str:
    """``lost``, ``blind`` without an interval, ``unseen`` where it may be lost unseen, else ``kept``.

    One that the search chose may lie in too few blocks for an interval (rain on five days): nobody asked for that one,
    and what so few blocks show is no proof that it is lost.
    """
    value, interval = one.gain.value, one.gain.interval
    if value is not None and interval is None and is_found:
        return "unseen"
    if value is None or interval is None:
        return "blind"
    reach = value - lower_bound(value, interval, confidence)
    if value <= -margin and value + reach < 0:
        return "lost"
    return "unseen" if reach > margin and value - reach <= -margin else "kept"


def apart_gate(config: ModelConfig, name: str, apart: Apart) -> Gate:
    """The groups are treated no further apart than the bound.

    >>> def of(value): return Apart(candidate=Estimate(value=value, interval=around(value, 0.02, 900, 14, 0.95)),
    ...     worsening=Estimate(problem="no champion"))
    >>> [apart_gate(flights, "fairness/statistical_parity/origin", of(value)).passed for value in (0.05, 0.2)]
    [True, False]
    """
    asked, found = config.signoff.fairness, apart.candidate
    if found.value is None or (found.interval is None and asked.of == "interval"):
        return Gate(name=name, passed=False, value=found.value, bound=asked.bound, detail=found.problem)
    highest = found.interval.high if found.interval and asked.of == "interval" else found.value
    passed = highest <= asked.bound
    spans = found.interval is None or found.interval.high > asked.bound
    detail = f"groups are {found} apart; at most {shown(asked.bound)} allowed{apart.left_out}"
    return Gate(
        name=name,
        passed=passed,
        value=found.value,
        bound=asked.bound,
        detail=detail,
        interval=found.interval,
        borderline=passed and spans,
    )


def worsening_gate(config: ModelConfig, name: str, found: Estimate, *, waived_by: str = "") -> Gate:
    """The groups are not treated further apart than by the baseline: by more than the margin, and surely at all.

    >>> def of(value): return Estimate(value=value, interval=around(value, 0.02, 900, 14, 0.95))
    >>> [worsening_gate(flights, "fairness/x", of(value)).passed for value in (-0.1, 0.04, 0.06)]
    [True, True, False]
    """
    margin = config.signoff.fairness.max_worsening
    if waived_by:
        return waived_gate(name, margin, waived_by)
    if found.value is None or found.interval is None:
        return Gate(name=name, passed=False, value=found.value, bound=margin, detail=found.problem)
    reach = found.value - lower_bound(found.value, found.interval, config.signoff.versus_champion.confidence)
    passed = found.value < margin or found.value - reach <= 0
    unseen = power(reach, margin) if found.value + reach >= margin else ""
    return Gate(
        name=name,
        passed=passed,
        value=found.value,
        bound=margin,
        detail=f"groups are {found} further apart than by what serves; at most {shown(margin)} allowed{unseen}",
        interval=found.interval,
        borderline=passed and bool(unseen),
    )


def waived_gate(name: str, bound: float, waived_by: str) -> Gate:
    """A gate that a person takes upon himself, since the champion can not be scored any more. Pure."""
    detail = f"not compared: the champion can not be scored; waived by {waived_by}"
    return Gate(name=name, passed=True, value=None, bound=bound, detail=detail, waived=waived_by)
