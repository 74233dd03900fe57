"""The model card of a version: what it is for, what it was made of, how good it is, and what nobody knows. Pure.

After M. Mitchell et al., Model cards for model reporting (FAT* 2019): the sections are theirs, the figures ours.
"""

from collections.abc import Iterator

from perennial.config import ModelConfig
from perennial.contracts import Evaluation, PastGates, Record, Signoff
from perennial.signoff.conditions.figures import shown
from perennial.signoff.report.describing import dates, fitted_on

CARD = "signoff/model_card.md"
"""Where the artifacts of a run hold it."""


def card(
    config: ModelConfig,
    signoff: Signoff,
    evaluation: Evaluation,
    record: Record | None = None,
    *,
    word: PastGates | None = None,
) -> str:
    """Markdown; ``word`` is that of the people who promoted it past its gates.

    >>> card(flights, signed, evaluation).splitlines()[0]
    '# Model card: flight_delay version 4'
    """
    return "\n".join(_lines(config, signoff, evaluation, record, word)) + "\n"


def limits(config: ModelConfig, signoff: Signoff, evaluation: Evaluation) -> list[str]:
    """What is not known of a version, and where it is weak, one sentence each.

    >>> limits(flights, signed, evaluation)[1]
    'judged on 2013-01-08 00:00 to 2013-01-11 00:00 UTC alone: nothing is known of other seasons'
    """
    found = [*config.about.limits]
    found.append(f"judged on {dates(signoff.holdout)} alone: nothing is known of other seasons")
    if evaluation.label_coverage < 1:
        found.append(f"{1 - evaluation.label_coverage:.1%} of the rows of that time have no label")
    if evaluation.baseline_problem:
        found.append(f"compared with nothing: {evaluation.baseline_problem}")
    found += [f"not sure on so few rows: {gate.name}: {gate.detail}" for gate in signoff.borderline]
    found += [f"the data it was made from is flagged: {flag}" for flag in signoff.flags]
    found += [f"failed: {gate.name}: {gate.detail}" for gate in signoff.failed]
    found += [f"waived by {gate.waived}: {gate.name}" for gate in signoff.gates if gate.waived]
    if not config.signoff.fairness.columns:
        found.append("whether groups are treated alike was not asked: signoff.fairness names no column")
    if days := config.label.delay.total_seconds() / 86_400:
        found.append(f"labels come {shown(days)} days after the answer: what changed since is not in it")
    return found


def _lines(
    config: ModelConfig, signoff: Signoff, evaluation: Evaluation, record: Record | None, word: PastGates | None
) -> Iterator[str]:
    yield f"# Model card: {signoff.model} version {signoff.version}"
    yield from ("", config.title, "")
    yield from _section("What it is for", _purpose(config))
    yield from _section("What it was made of", _made_of(config, signoff, evaluation))
    yield from ("## What it is asked with", "", "| feature | type | allowed |", "|---|---|---|")
    yield from (f"| {name} | {spec.type} | {_cell(_allowed(spec))} |" for name, spec in config.features.items())
    yield ""
    rival = f"champion version {signoff.champion_seen}" if signoff.champion_seen else "the constant predictor"
    yield from ("## How good it is", "")
    yield f"On {evaluation.n_rows:,} labelled rows of {dates(signoff.holdout)}; gains over {rival} on the "
    yield f"{evaluation.n_paired_rows:,} of them new to both. Intervals are by blocks of time."
    yield from ("", "| metric | value | gain |", "|---|---|---|")
    for name, value in sorted(evaluation.candidate.items()):
        interval = f" ({evaluation.intervals[name]})" if name in evaluation.intervals else ""
        yield f"| {name} | {shown(value)}{interval} | {evaluation.gains.get(name, '-')} |"
    yield ""
    yield from _groups(evaluation)
    yield from _section("What is not known, and where it is weak", limits(config, signoff, evaluation))
    verdict = "all gates passed" if signoff.passed else f"{len(signoff.failed)} of {len(signoff.gates)} gates failed"
    so_far = [] if record is None else [f"the gates so far: {record}"]
    past = [] if word is None else [f"approved {word}"]
    yield from _section("How it was signed off", [f"{verdict}; review: {signoff.review}", *past, *so_far])


def _section(title: str, sentences: list[str]) -> Iterator[str]:
    yield from (f"## {title}", "", *(f"- {_flat(sentence)}" for sentence in sentences), "")


def _purpose(config: ModelConfig) -> list[str]:
    given = config.about
    return [
        given.purpose or "`about.purpose` of model.yaml says nothing",
        *(f"not for {use}" for use in given.not_for),
        f"task: {config.task}; owner: {config.owner}",
    ]


def _made_of(config: ModelConfig, signoff: Signoff, evaluation: Evaluation) -> list[str]:
    return [
        f"fitted on {fitted_on(signoff)}, judged on {dates(signoff.holdout)}, as known at "
        f"{signoff.as_of:%Y-%m-%d %H:%M} UTC",
        f"asked for by {signoff.requested_by or 'nobody kept'}; {evaluation.fit_cpu_s:.1f} CPU seconds, seed "
        f"{config.training.seed}",
        *([f"chosen: {evaluation.chosen}"] if evaluation.chosen else []),
        f"MLflow run {evaluation.mlflow_run_id}, files {signoff.artifact_digest[:16]}; "
        f"`perennial lineage version {signoff.model} {signoff.version}` names the deliveries",
    ]


def _groups(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.groups is None:
        return
    slices = [item for found in evaluation.groups.slices.values() for item in found.slices]
    if slices:
        yield from ("| slice | rows | gain |", "|---|---|---|")
        yield from (f"| {_cell(item.name)} | {item.n_rows:,} | {item.gain} |" for item in slices)
        yield ""
    if evaluation.groups.fairness:
        yield from ("| groups treated apart | by | worse than the rival by |", "|---|---|---|")
        yield from (
            f"| {_cell(name)} | {apart.candidate} | {apart.worsening} |"
            for name, apart in evaluation.groups.fairness.items()
        )
        yield ""


def _allowed(spec: object) -> str:
    """What a feature may be, in words.

    >>> _allowed(flights.features["distance_mi"]), _allowed(flights.features["origin"])
    ('1 to 6000 mile', 'EWR, JFK, LGA')
    """
    if categories := getattr(spec, "categories", None):
        return ", ".join(categories)
    low, high = getattr(spec, "min", None), getattr(spec, "max", None)
    if low is None and high is None:
        return "any"
    span = (
        f"{low:g} to {high:g}"
        if None not in (low, high)
        else f"{low:g} at least"
        if high is None
        else f"{high:g} at most"
    )
    return f"{span} {getattr(spec, 'unit', None) or ''}".strip()


def _flat(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _flat(text).replace("|", "\\|")
