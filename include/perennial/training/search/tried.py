"""One set of parameters that was tried, as the process of the recipe tells it to the one that waits for it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from perennial.contracts import from_record, to_record
from perennial.contracts.measured.chosen import Value

TRIED_FILE, JOURNAL_FILE, EARLIER_FILE = "tried.jsonl", "search.journal", "earlier.journal"
State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedSet:
    """A set of parameters, counted from 0: the metric of each of its folds, their mean, and how it ended.

    ``value`` is None unless it is complete; ``problem`` says why it failed. ``seconds`` are those of the clock.
    """

    number: int
    state: State
    params: dict[str, Value]
    folds: tuple[float, ...]
    value: float | None
    seconds: float
    problem: str = ""


def tell(folder: Path, tried: TriedSet) -> None:
    """Add a line to ``folder/tried.jsonl``."""
    with (folder / TRIED_FILE).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(to_record(tried)) + "\n")


def read_tried(folder: Path) -> list[TriedSet]:
    """What was told so far; a line that is still being written is not."""
    path = folder / TRIED_FILE
    if not path.is_file():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [from_record(TriedSet, json.loads(line)) for line in whole.split("\n") if line]
