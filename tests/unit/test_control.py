"""Control limits for any series: what this run measured, against earlier windows, and no later ones."""

from dataclasses import replace
from pathlib import Path

from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts import Signal, SignalName, Subject
from perennial.monitoring.series.control import control_signals
from perennial.pipeline.readings import direction_of

TOLD = load_model(Path(__file__).parents[1] / "models" / "wine_cultivar").model_dump()
TOLD["signals"]["control"] = {"names": ["drift/hue"], "role": "alert"}
WINE = ModelConfig.model_validate(TOLD)
USUAL = [0.10, 0.12, 0.11, 0.09, 0.10, 0.12, 0.11]


def drift(number: int, value: float, *, as_of: int | None = None) -> Signal:
    subject = Subject.of_run(WINE.model, day(number), "1")
    found = subject.above(SignalName.drift("hue"), "watch", value, 0.3)
    return found if as_of is None else replace(found, as_of=day(as_of).end)


def judged(*history: Signal, number: int = 7) -> Signal:
    (found,) = control_signals(WINE, Subject.of_run(WINE.model, day(number), "1"), history)
    return found


def test_a_value_as_usual_is_ok_and_a_jump_on_either_side_breaches_the_nearer_limit() -> None:
    series = [drift(number, value) for number, value in enumerate(USUAL)]
    assert judged(*series, drift(7, 0.11)).status == "ok"
    for value in (0.25, -0.1):
        found = judged(*series, drift(7, value))
        assert (found.name, found.status, found.role) == ("control/drift/hue", "breached", "alert")
        assert found.threshold is not None
        assert (found.threshold > 0.11) == (value > 0.11)
    assert direction_of(WINE, "control/drift/hue") == "range"


def test_a_window_measured_again_counts_once_and_as_it_was_measured_last() -> None:
    """An outlier that a later run corrected widens no limit."""
    series = [drift(number, value) for number, value in enumerate(USUAL)]
    wrong = drift(3, 9.0)
    assert judged(*series[:3], wrong, *series[4:], replace(series[3], as_of=day(6).end), drift(7, 0.25)).status == (
        "breached"
    )
    assert judged(*series[:3], wrong, *series[4:], drift(7, 0.25)).status == "ok"


def test_labels_come_late_so_the_newest_window_of_this_run_is_judged_by_those_before_it() -> None:
    series = [drift(number, value, as_of=number + 2) for number, value in enumerate(USUAL)]
    found = judged(*series, drift(7, 0.3, as_of=9), number=9)
    assert (found.status, found.window, found.as_of) == ("breached", day(7), day(9).end)


def test_few_windows_decide_nothing_and_none_is_unknown() -> None:
    series = [drift(number, value) for number, value in enumerate(USUAL)]
    assert (judged(*series[:5], number=4).status, judged(*series[:5], number=4).threshold) == ("undecided", None)
    assert (judged(*series).status, judged(*series).detail) == ("unknown", "this run measured no drift/hue")
