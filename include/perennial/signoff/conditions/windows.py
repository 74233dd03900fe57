"""The gate on the last windows: what is better over the whole holdout may still lose one of them. Pure."""

from collections.abc import Iterator

from perennial.config import ModelConfig
from perennial.contracts import Evaluation, Gate, SliceGains
from perennial.signoff.conditions.figures import shown
from perennial.signoff.conditions.groups import NOT_MEASURED, waived_gate, worst_gate


def window_gates(config: ModelConfig, evaluation: Evaluation, *, waived_by: str = "") -> Iterator[Gate]:
    """``windows/<metric>``, where it is asked for.

    >>> list(window_gates(flights, evaluation))
    []
    """
    if config.signoff.windows.last is None:
        return
    found = evaluation.windows or SliceGains(problem=NOT_MEASURED)
    yield window_gate(config, found, waived_by=waived_by if evaluation.champion_lost else "")


def window_gate(config: ModelConfig, found: SliceGains, *, waived_by: str = "") -> Gate:
    """No window loses more than ``max_loss`` and surely loses at all, and few of them lose by the estimate.

    >>> from perennial.contracts import SliceGain
    >>> from perennial.config.signoff.gates import WindowGates
    >>> asked = flights.signoff.model_copy(update={"windows": WindowGates(last=2)})
    >>> config = flights.model_copy(update={"signoff": asked})
    >>> def of(*values): return SliceGains(slices=tuple(SliceGain(name="1 March", n_rows=900, gain=Estimate(value=value,
    ...     interval=around(value, 0.01, 900, 14, 0.95))) for value in values))
    >>> [window_gate(config, of(*values)).passed for values in ((0.02, -0.01), (0.02, -0.06), (-0.01, -0.01))]
    [True, False, False]
    >>> window_gate(config, of(0.02)).detail
    '1 of the 2 windows asked for can be judged: on the others the candidate was fitted, or their labels are not in'
    """
    asked, margin = config.signoff.windows, config.max_window_loss
    name, wanted = f"windows/{config.window_metric}", asked.last or 0
    if waived_by:
        return waived_gate(name, -margin, waived_by)
    n_found = len(found.slices)
    if n_found < max(wanted, 1):
        few = (
            f"{n_found} of the {wanted} windows asked for can be judged: on the others the candidate was fitted, or "
            "their labels are not in"
        )
        return Gate(name=name, passed=False, value=None, bound=-margin, detail=found.problem or few)
    n_worse = sum(one.gain.value is not None and one.gain.value < 0 for one in found.slices)
    unknown = [one.name for one in found.slices if one.gain.interval is None]
    demand = (
        f"none of the last {n_found} windows may lose more than {shown(margin)}, and {n_worse} of them lose: at most "
        f"{asked.max_share_worse:.0%} may"
    )
    if unknown:
        demand += f"; {len(unknown)} can not be judged ({', '.join(unknown[:3])})"
    confidence = 1 - (1 - config.signoff.versus_champion.confidence) / n_found
    too_many = n_worse > asked.max_share_worse * n_found
    return worst_gate(
        name, found, demand, metric=config.window_metric, margin=margin, confidence=confidence, failed=too_many
    )
