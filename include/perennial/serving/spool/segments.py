"""One file of the spool: appended by one process, which holds its lock, and moved as a whole to where ingest reads.

Its name says what it is of: ``predictions__20240101T000000Z-20240102T000000Z__<id>.open``. A process that dies leaves
its files without a lock: whoever starts next cuts off a line that was not written to its end, and moves the file.
"""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from perennial.contracts import SourceKind, Window

OPEN = ".open"
_STAMP = "%Y%m%dT%H%M%SZ"
_BLOCK_BYTES = 1 << 20


@dataclass(slots=True)
class Segment:
    """An open file of one source and window; ``size`` is what was written whole, ``began`` when (monotonic seconds)."""

    source: SourceKind
    window: Window
    ident: str
    path: Path
    descriptor: int
    began: float
    size: int = 0

    def write(self, data: bytes) -> None:
        """Append ``data``. Raises OSError, and then some of it may be there: see :meth:`cut_to`."""
        left = memoryview(data)
        while left:
            left = left[os.write(self.descriptor, left) :]
        self.size += len(data)

    def sync(self) -> None:
        """Have it on the disk. Raises OSError."""
        os.fdatasync(self.descriptor)

    def cut_to(self, size: int) -> None:
        """Forget what was written after ``size`` bytes, of which nobody knows whether the disk has it."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, size)
        self.size = size

    def move_to(self, target: Path) -> None:
        """The file appears at ``target``, whole; an empty one is gone. Raises OSError, and can be called again."""
        if self.size:
            os.fsync(self.descriptor)
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(self.path, target)
        else:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def create(folder: Path, source: SourceKind, window: Window, ident: str, *, now: float) -> Segment:
    """A new, empty, locked segment, whose name the disk knows. Raises OSError.

    It gets its name once it is locked: no other process sees it without its lock.
    """
    path = folder / f"{source}__{window.key}__{ident}{OPEN}"
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(path)
        sync_folder(folder)
    except OSError:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
        raise
    return Segment(source, window, ident, path, descriptor, now)


def abandoned(folder: Path, *, now: float) -> Iterator[Segment]:
    """The segments that no process holds any more, without a line that was cut off. Raises OSError."""
    for path in sorted(folder.glob(f"*{OPEN}")):
        source, key, ident = path.name.removesuffix(OPEN).split("__")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:  # another process of this service was faster
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        if not path.exists():
            os.close(descriptor)
            continue
        size = _whole_lines(descriptor)
        os.ftruncate(descriptor, size)
        yield Segment(cast("SourceKind", source), window_of_key(key), ident, path, descriptor, now, size)


def window_of_key(key: str) -> Window:
    """The window that :attr:`Window.key` names.

    >>> window_of_key(day(0).key) == day(0)
    True
    """
    start, end = (datetime.strptime(text, _STAMP).replace(tzinfo=UTC) for text in key.split("-"))
    return Window(start=start, end=end)


def sync_folder(folder: Path) -> None:
    """Have the disk know the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _whole_lines(descriptor: int) -> int:
    """How many bytes the lines have that end in a line break."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _move(path: Path, target: Path) -> None:
    """Names are never used twice: a target that is there already is this file, moved before a crash."""
    if not target.exists():
        try:
            path.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # beside the folder that ingest reads, on the same disk: a rename makes it appear whole
            draft = target.parent.parent / f".{target.name}.part"
            with path.open("rb") as source, draft.open("wb") as copy:
                shutil.copyfileobj(source, copy)
                copy.flush()
                os.fsync(copy.fileno())
            draft.rename(target)
    path.unlink(missing_ok=True)
    sync_folder(target.parent)
