"""The gain of a candidate over its baseline, window by window."""

from collections.abc import Sequence

from perennial.config import ModelConfig
from perennial.contracts import Estimate, SliceGain, SliceGains
from perennial.evidence.answers import Answers
from perennial.evidence.stretches import Labelled
from perennial.training.baseline import Rival
from perennial.training.measured.groups import gain_on


def window_gains(config: ModelConfig, windows: Sequence[Labelled], compared: Rival) -> SliceGains:
    """The gain on the compared rows of each of the windows, in their order. Pure. Raises ValueError without times."""
    if compared.mine is None or compared.theirs is None:
        why = compared.problem or f"candidate and {compared.baseline} could not be compared"
        return SliceGains(problem=why)
    return SliceGains(
        slices=tuple(_gain_in(config, one, compared.mine, compared.theirs) for one in windows),
        problem="" if windows else "no window that the candidate was not fitted on has its labels in",
    )


def _gain_in(config: ModelConfig, found: Labelled, mine: Answers, theirs: Answers) -> SliceGain:
    window, least = found.stretch, config.signoff.windows.min_rows
    inside = mine.since(window.start) & ~mine.since(window.end)
    n_rows = int(inside.sum())
    few = Estimate(problem=f"{n_rows} of its {found.n_labelled} labelled rows are new to both, {least} are needed")
    return SliceGain(
        name=f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}",
        n_rows=n_rows,
        gain=few if n_rows < least else gain_on(config, mine, theirs, inside, config.window_metric),
    )
