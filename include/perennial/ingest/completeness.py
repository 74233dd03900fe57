"""Whether all of a delivery is there: what its sender promised, and whether it is still being written."""

import json
from dataclasses import dataclass
from pathlib import Path

from perennial.config import FileSource, ModelConfig
from perennial.contracts import Window
from perennial.errors import first_of, redacted
from perennial.ingest.files import SourceFile, beside, resolved

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """What the sender promised; ``problem`` says what has to be there before anything is read."""

    problem: str | None = None
    expected_rows: int | None = None


def look(config: ModelConfig, source: FileSource, window: Window, home: Path, files: tuple[SourceFile, ...]) -> Awaited:
    """The marker and the manifest in every folder of ``files``. Raises StorageUnavailable."""
    for name in (source.done_marker, source.manifest):
        if name is None:
            continue
        found = beside(config, source, window, home, name)
        bare = sorted({file.folder for file in files} - {file.folder for file in found})
        if bare or not found:
            where = first_of(bare) if bare else redacted(resolved(config, source, window, home))
            return Awaited(problem=f"incomplete delivery: no {name} beside {where}; it is read once that is there")
    if source.manifest is None:
        return Awaited()
    n_rows = 0
    for file in beside(config, source, window, home, source.manifest):
        promised = _promised(file)
        if promised is None:
            return Awaited(problem=f'{file.path}: no manifest; it says {{"expected_rows": 1234}}, a whole number')
        n_rows += promised
    return Awaited(expected_rows=n_rows)


def _promised(file: SourceFile) -> int | None:
    try:
        with file.opened() as stream:
            said = json.loads(stream.read(_MOST_BYTES))
    except (ValueError, OSError, RecursionError):
        return None
    n_rows = said.get("expected_rows") if isinstance(said, dict) else None
    return n_rows if isinstance(n_rows, int) and not isinstance(n_rows, bool) and n_rows >= 0 else None


def shortfall(awaited: Awaited, files: tuple[SourceFile, ...], n_rows: int) -> str | None:
    """Why what was read to its end is not what was sent, or None. Raises StorageUnavailable."""
    if why := changed(files):
        return why
    if awaited.expected_rows is not None and n_rows != awaited.expected_rows:
        return f"incomplete delivery: {n_rows} rows, where the manifest promises {awaited.expected_rows}"
    return None


def changed(files: tuple[SourceFile, ...]) -> str | None:
    """Which of the files have another size or time than when they were listed, or None. Raises StorageUnavailable."""
    moving = [file.path for file in files if file.now() != file]
    return f"incomplete delivery: {first_of(moving)} changed while being read; still being written?" if moving else None
