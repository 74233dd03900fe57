"""Lines into one file a day, by as many processes as there are; what is older than it is kept for goes."""

import json
import os
from datetime import UTC, date, timedelta
from pathlib import Path

from perennial.contracts import to_record
from perennial.journal.line import Line


def folder_of(home: Path) -> Path:
    """Where the lines of a state folder lie."""
    return home / "logs" / "steps"


def file_of(folder: Path, on: date) -> Path:
    """The file of a day, in UTC.

    >>> file_of(Path("steps"), day(0).start.date()).as_posix()
    'steps/2013-01-01.jsonl'
    """
    return folder / f"{on.isoformat()}.jsonl"


def keep(line: Line, folder: Path, *, days: int) -> None:
    """Append the line, by one call, so that lines of others do not cut into it. Raises OSError.

    Whoever begins the file of a day takes those away that are older than ``days``.
    """
    on = line.at.astimezone(UTC).date()
    path = file_of(folder, on)
    if begins := not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_record(line), ensure_ascii=False, separators=(",", ":"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)
    if begins:
        clear(folder, before=on - timedelta(days=days))


def clear(folder: Path, *, before: date) -> None:
    """Take away the files of the days before one."""
    oldest = file_of(folder, before).name
    for path in folder.glob("????-??-??.jsonl"):
        if path.name < oldest:
            path.unlink(missing_ok=True)
