"""Which column is the time, the id, the label, the score: as it was said, or as the file itself leaves no doubt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from perennial.errors import ConfigError, first_of
from perennial.onboarding.columns import Column, named, plain
from perennial.statistics.rows import Task

_LABEL = re.compile(r"^(label|target|y|outcome|truth|ground_truth|class|(is_)?(churn(ed)?|default(ed)?|fraud))$")
_OF_CLASSES = re.compile(r"class|churn|default|fraud")
_ID = re.compile(r"^(id|uuid|guid|key|number|no|nr|row_id|[a-z_]*_(id|uuid|key|number|no|nr))$")
_SCORE = re.compile(r"^(score|prediction|pred|proba(bility)?|predicted_(score|probability|value)|y_(pred|prob|hat))$")
_ARRIVED = re.compile(r"^(labell?ed_at|label_(time|date|timestamp)|known_at|resolved_at|closed_at)$")
_POSITIVE = ("1", "true", "yes", "y", "t", "positive", "bad", "fraud", "churn", "churned", "default")
MOST_CLASSES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What whoever started told of the file, by the columns' names in it."""

    time: str | None = None
    label: str | None = None
    id: str | None = None
    score: str | None = None
    labelled_at: str | None = None
    positive: str | None = None
    task: Task | None = None
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which column is what. ``left_out`` says of each column that becomes no feature why."""

    time: Column
    label: Column
    id: Column | None
    score: Column | None
    labelled_at: Column | None
    task: Task
    positive: str | None
    features: tuple[Column, ...]
    left_out: dict[str, str]


class Unclear(ConfigError):
    """The file allows several answers, or none: ``option`` has to be given, one of ``candidates``."""

    def __init__(self, option: str, why: str, candidates: Sequence[str]) -> None:
        self.option, self.why, self.candidates = option, why, tuple(candidates)
        which = f": {first_of(candidates, most=20)}" if candidates else ""
        super().__init__(f"{why}; say it with --{option}{which}")


def roles_of(columns: Sequence[Column], said: Hints) -> Roles:
    """The roles of the columns. Raises Unclear where the file does not decide, ConfigError for what cannot be."""
    for name in said.leave_out:
        named(columns, name)
    time = _time(columns, said)
    label = _label(columns, said, time)
    arrived = _optional(columns, said.labelled_at, _ARRIVED, kinds=("time",), taken=[time, label])
    score = _optional(columns, said.score, _SCORE, kinds=("int", "float"), taken=[time, label, arrived])
    id_ = _id(columns, said, [time, label, arrived, score])
    task = said.task or task_of(label)
    taken = {one.logged for one in (time, label, arrived, score, id_) if one is not None}
    left_out = {
        column.logged: why for column in columns if (why := _why_not(column, said)) and column.logged not in taken
    }
    features = tuple(one for one in columns if one.logged not in taken and one.logged not in left_out)
    if not features:
        raise ConfigError(f"no column is left to be a feature: {first_of(f'{k} ({v})' for k, v in left_out.items())}")
    return Roles(
        time=time,
        label=label,
        id=id_,
        score=score,
        labelled_at=arrived,
        task=task,
        positive=_positive(label, said.positive) if task == "binary" else None,
        features=features,
        left_out=left_out,
    )


def task_of(label: Column) -> Task:
    """Two values are binary, a few that are no fractions classes, the rest numbers. Raises ConfigError for others."""
    if label.n_distinct < 2:  # noqa: PLR2004 - one value teaches nothing
        raise ConfigError(f"the label {label.logged!r} has one value only: there is nothing to learn")
    if label.n_distinct == 2:  # noqa: PLR2004
        return "binary"
    if label.kind in ("category", "text") or (label.kind == "int" and label.n_distinct <= MOST_CLASSES):
        if label.n_distinct > MOST_CLASSES:
            raise ConfigError(
                f"the label {label.logged!r} has {label.n_distinct} different texts: name a label that is a number, or "
                f"has at most {MOST_CLASSES} classes"
            )
        return "multiclass"
    return "regression"


def texts(column: Column) -> dict[str, int]:
    """How often each value of a column occurs, as text, null not counted; the most frequent first."""
    counted = pc.value_counts(column.clean.drop_null())
    found = {str(_plain(one["values"].as_py())): int(one["counts"].as_py()) for one in counted}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _time(columns: Sequence[Column], said: Hints) -> Column:
    if said.time is not None:
        found = named(columns, said.time)
        if found.kind != "time":
            raise ConfigError(
                f"--time {said.time}: holds {found.kind} values, no moments that are understood (ISO such as "
                f"2024-01-31T06:00:00Z, 31.01.2024 06:00, 31/01/2024, 01/31/2024); the first is "
                f"{found.values[0].as_py()!r}"
            )
        return found
    moments = [column for column in columns if column.kind == "time" and not _ARRIVED.match(plain(column.logged))]
    if len(moments) != 1:
        why = (
            "several columns hold moments" if moments else "no column holds moments, and without time nothing can drift"
        )
        raise Unclear("time", f"when did the event of a row happen? {why}", [column.logged for column in moments])
    return moments[0]


def _label(columns: Sequence[Column], said: Hints, time: Column) -> Column:
    if said.label is not None:
        return named(columns, said.label)
    others = [column for column in columns if column is not time and column.kind not in ("time", "empty")]
    likely = [column for column in others if _LABEL.match(plain(column.logged)) and not _only_called_so(column)]
    if len(likely) != 1:
        # what has fewer values is sooner a label, and the first of many are all that a message shows
        some = sorted(likely or others, key=lambda one: one.n_distinct)
        raise Unclear("label", "which column is the truth that is to be predicted?", [c.logged for c in some])
    return likely[0]


def _only_called_so(column: Column) -> bool:
    """A number of many values is no class, whatever it is called."""
    many = column.kind in ("int", "float") and column.n_distinct > MOST_CLASSES
    return many and _OF_CLASSES.search(plain(column.logged)) is not None


def _optional(
    columns: Sequence[Column], said: str | None, pattern: re.Pattern[str], *, kinds: Sequence[str],
    taken: Sequence[Column | None],
) -> Column | None:  # fmt: skip
    if said is not None:
        found = named(columns, said)
        if found.kind not in kinds:
            raise ConfigError(f"{said!r} holds {found.kind} values; {' or '.join(kinds)} is expected")
        return found
    found_ = [c for c in columns if c not in taken and c.kind in kinds and pattern.match(plain(c.logged))]
    return found_[0] if len(found_) == 1 else None


def _id(columns: Sequence[Column], said: Hints, taken: Sequence[Column | None]) -> Column | None:
    if said.id is not None:
        found = named(columns, said.id)
        if not found.is_key:
            raise ConfigError(
                f"--id {said.id}: {found.n_distinct} different values in {len(found.clean)} rows; an id names one row. "
                "Leave it out, and rows are numbered"
            )
        return found
    likely = [
        c for c in columns if c not in taken and _ID.match(plain(c.logged)) and c.kind in ("int", "text", "category")
    ]
    keys = [column for column in likely if column.is_key]
    return next(iter(keys), None) or next((c for c in columns if c not in taken and _counts(c)), None)


def _counts(column: Column) -> bool:
    """Whether every row has a higher whole number than the row before, as orders and tickets are numbered."""
    if column.kind != "int" or not column.is_key:
        return False
    numbers = column.clean.combine_chunks()
    return bool(pc.all(pc.greater(numbers[1:], numbers[:-1])).as_py())


def _why_not(column: Column, said: Hints) -> str | None:
    numbers_rows = (
        _ID.match(plain(column.logged)) and column.kind == "int" and column.n_distinct > len(column.clean) // 2
    )
    reasons = {
        "as asked": column.logged in said.leave_out,
        "it is empty": column.kind == "empty",
        "a moment is no feature; log what matters of it (hour, weekday, age)": column.kind == "time",
        "it has one value only": column.n_distinct < 2,  # noqa: PLR2004 - one value
        f"{column.n_distinct} different texts are no categories": column.kind == "text",
        "it numbers rows or people": numbers_rows,
        "it rises with every row: it tells the time, and nothing else": _counts(column),
    }
    return next((why for why, holds in reasons.items() if holds), None)


def _positive(label: Column, said: str | None) -> str:
    """The label value that counts as 1."""
    values = texts(label)
    if said is not None:
        if said not in values:
            raise ConfigError(f"--positive {said}: the label {label.logged!r} has {first_of(values)}")
        return said
    likely = [value for value in values if value.lower() in _POSITIVE]
    if len(likely) != 1:
        raise Unclear("positive", f"which value of {label.logged!r} is the one to be predicted (1)?", list(values))
    return likely[0]
