"""The page of a signoff: the verdict first, then what it rests on. It needs nothing else, and shows no logged row."""

from collections.abc import Iterator
from html import escape
from typing import Any

from perennial.config import ModelConfig
from perennial.contracts import Estimate, Evaluation, Gate, PastGates, Record, Signoff
from perennial.pages.html import document, svg, table
from perennial.signoff.conditions.figures import shown
from perennial.signoff.report.card import limits
from perennial.signoff.report.describing import DELIVERIES, dates, fitted_on

_MOST = 15
"""So many features are shown, those that stand out most."""


def page(
    config: ModelConfig,
    signoff: Signoff,
    evaluation: Evaluation,
    *,
    record: Record | None = None,
    word: PastGates | None = None,
) -> str:
    """The whole page; ``word`` is that of the people who promoted it past its gates. Pure.

    >>> text = page(flights, signed, evaluation)
    >>> "all gates passed" in text, "<script" in text
    (True, False)
    """
    body = parts(config, signoff, evaluation, record=record, word=word)
    return document(f"Signoff of {signoff.model} version {signoff.version}", body)


def parts(
    config: ModelConfig,
    signoff: Signoff,
    evaluation: Evaluation,
    *,
    record: Record | None = None,
    word: PastGates | None = None,
) -> Iterator[str]:
    """What the page says, part by part, as HTML. Pure."""
    n_failed, n_unsure = len(signoff.failed), len(signoff.borderline)
    verdict, mark = (
        (f"{n_failed} of {len(signoff.gates)} gates failed", "bad") if n_failed else ("all gates passed", "good")
    )
    unsure = f", {n_unsure} of them borderline" if n_unsure else ""
    yield f"<h1>Signoff of {escape(signoff.model)} version {escape(signoff.version)}</h1>"
    yield f'<p><span class="{mark}">{verdict}{unsure}</span>. {escape(_next(signoff, word))}</p>'
    yield f"<p>{escape(config.title)}</p>"
    if config.about.purpose:
        yield f"<p>{escape(config.about.purpose)}</p>"
    if signoff.flags:
        yield "<h2>The data it was made from is flagged</h2>"
        yield table(("flag", "window", "finding"), [(one.name, dates(one.window), one.detail) for one in signoff.flags])
    yield "<h2>Gates</h2>"
    yield table(
        ("gate", "verdict", "value", "bound", "rows", "blocks", "why"),
        [_gate(gate) for gate in signoff.gates],
        marks=["odd" if gate.borderline else "good" if gate.passed else "bad" for gate in signoff.gates],
    )
    yield from _compared(signoff, evaluation)
    yield from _windows(evaluation)
    yield from _groups(evaluation)
    yield from _data(signoff, evaluation)
    yield "<h2>What is not known, and where it is weak</h2>"
    yield f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in limits(config, signoff, evaluation))}</ul>"
    if record is not None:
        yield f"<h2>The gates so far</h2><p>{escape(str(record))}</p>"


def _next(signoff: Signoff, word: PastGates | None) -> str:
    if word is not None:
        return f"Approved {word}."
    if not signoff.passed:
        return "The policy does not promote it; the next retrain makes another candidate."
    if signoff.review == "auto":
        return "No review is asked for: the policy promotes it."
    return "It waits for a reviewer, who answers on the page Models in Airflow or in the tags of its version in MLflow."


def _gate(gate: Gate) -> tuple[str, ...]:
    verdict = ("passed, borderline" if gate.borderline else "passed") if gate.passed else "FAILED"
    interval = gate.interval
    value = "missing" if gate.value is None else shown(gate.value)
    return (
        gate.name,
        f"{verdict}, waived by {gate.waived}" if gate.waived else verdict,
        f"{value} ({interval})" if interval else value,
        "-" if gate.bound is None else shown(gate.bound),
        f"{interval.n_rows:,}" if interval else "-",
        f"{interval.n_blocks:,}" if interval else "-",
        gate.detail,
    )


def _compared(signoff: Signoff, evaluation: Evaluation) -> Iterator[str]:
    rival = f"champion version {signoff.champion_seen}" if signoff.champion_seen else "the constant predictor"
    yield f"<h2>Beside {escape(rival)}</h2>"
    if evaluation.baseline_problem:
        yield f'<p class="bad">There is no comparison: {escape(evaluation.baseline_problem)}</p>'
    yield (
        f"<p>The candidate on all {evaluation.n_rows:,} labelled rows of the holdout, and both on the "
        f"{evaluation.n_paired_rows:,} of them new to both. A gain is positive where the candidate is better.</p>"
    )
    yield table(
        ("metric", "candidate", "candidate, same rows", rival, "gain"),
        [
            (
                name,
                shown(value) + (f" ({evaluation.intervals[name]})" if name in evaluation.intervals else ""),
                _figure(evaluation.candidate_paired.get(name)),
                _figure(evaluation.baseline_metrics.get(name)),
                str(evaluation.gains[name]) if name in evaluation.gains else "-",
            )
            for name, value in sorted(evaluation.candidate.items())
        ],
    )
    if drawn := _drawable(evaluation):
        yield svg(_forest(drawn))


def _windows(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.windows is None:
        return
    yield "<h2>Window by window</h2>"
    if evaluation.windows.problem:
        yield f"<p>{escape(evaluation.windows.problem)}</p>"
    yield table(
        ("window", "rows new to both", "gain"),
        [(one.name, f"{one.n_rows:,}", str(one.gain)) for one in evaluation.windows.slices],
    )


def _groups(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.groups is None:
        return
    slices = [(column, item) for column, found in evaluation.groups.slices.items() for item in found.slices]
    problems = [(column, found.problem) for column, found in evaluation.groups.slices.items() if found.problem]
    if slices or problems:
        yield "<h2>Slices</h2>"
        yield table(
            ("slice", "rows", "gain"),
            [
                *((item.name, f"{item.n_rows:,}", str(item.gain)) for _, item in slices),
                *((column, "-", problem) for column, problem in problems),
            ],
        )
    if evaluation.groups.fairness:
        yield "<h2>Groups treated apart</h2>"
        yield table(
            ("measure", "candidate", "worse than the rival by", "left out"),
            [
                (name, str(apart.candidate), str(apart.worsening), apart.left_out or "-")
                for name, apart in evaluation.groups.fairness.items()
            ],
        )


def _data(signoff: Signoff, evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>Made from</h2>"
    yield table(
        ("what", "is"),
        [
            ("fitted on", fitted_on(signoff)),
            ("judged on", dates(signoff.holdout)),
            ("share of the holdout's rows with a label", f"{evaluation.label_coverage:.1%}"),
            ("known as of", f"{signoff.as_of:%Y-%m-%d %H:%M} UTC"),
            ("asked for by", signoff.requested_by or "not kept"),
            ("CPU seconds of the fit", f"{evaluation.fit_cpu_s:.1f}"),
            ("MLflow run", evaluation.mlflow_run_id),
            ("deliveries and their files", f"{DELIVERIES} in the artifacts of the run"),
            ("digest of the files", signoff.artifact_digest),
            ("digest of model.yaml", signoff.config_digest or "not kept"),
        ],
    )
    if (data := evaluation.data) is None:
        return
    rarest = ", ".join(f"{n:,} in {part}" for part, n in data.least_class.items())
    yield table(
        ("rows", "are"),
        [
            ("ids both in training and holdout", f"{data.n_same_ids:,}"),
            *([("share of the holdout with an entity of the training", f"{data.shared_entities:.1%}")]
              if data.shared_entities is not None else []),
            ("between the last row fitted on and the first judged on", f"{data.gap_s / 3600:.1f} h"),
            *([("rows of the rarest class", rarest)] if rarest else []),
        ],
    )  # fmt: skip
    names = sorted({*data.powers, *data.drifts}, key=lambda name: -data.powers.get(name, 0.0))[:_MOST]
    if names:
        yield table(
            ("feature", "foretells the labels alone", "PSI, training to the newest rows"),
            [(name, _figure(data.powers.get(name)), _figure(data.drifts.get(name))) for name in names],
        )


def _drawable(evaluation: Evaluation) -> dict[str, Estimate]:
    """The gains with an interval: of the metrics within one unit, and of the slices."""
    gains = {name: gain for name, gain in evaluation.gains.items() if gain.interval}
    if evaluation.groups is not None:
        for found in evaluation.groups.slices.values():
            gains |= {f"slice {item.name}": item.gain for item in found.slices[:_MOST] if item.gain.interval}
    return gains


def _forest(gains: dict[str, Estimate]) -> Any:
    """Each gain in units of its own standard error, so that all stand on one axis; the bar is its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.8 + 0.35 * len(gains)), layout="constrained")
    axes: Any = figure.subplots()
    for place, gain in enumerate(reversed(gains.values())):
        interval = gain.interval
        assert interval is not None  # noqa: S101 - only such are drawn
        unit = interval.standard_error or 1.0
        sure = "#18794e" if interval.low > 0 else "#c62a2f" if interval.high < 0 else "#777777"
        axes.plot([interval.low / unit, interval.high / unit], [place, place], color=sure, linewidth=2)
        axes.plot([(gain.value or 0.0) / unit], [place], "o", color=sure)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(gains)), list(reversed(gains)))
    axes.set_xlabel("gain over the rival, in standard errors")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _figure(value: float | None) -> str:
    return "-" if value is None else shown(value)
