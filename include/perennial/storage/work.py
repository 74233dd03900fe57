"""Folders for rows and models on their way; what a killed process left in its own is cleared by whoever comes next."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder of mode 0700 that is gone afterwards, or once its process is."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=_work_folder()) as name:
        yield Path(name)


def clear_dead() -> tuple[str, ...]:
    """Remove the folders of processes that live no more; the names of those that still held something.

    A process is told by its number and its start, in the same machine or container as this one.
    """
    base = _base()
    if not base.is_dir():
        return ()
    dead = [folder for folder in base.iterdir() if not _lives(folder.name)]
    left = tuple(folder.name for folder in dead if any(folder.glob("*")))
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    return left


def _base() -> Path:
    return Path(tempfile.gettempdir()) / f"perennial-work-{os.getuid()}"


def _work_folder() -> Path:
    """The folder of this process, named by its number and start, so that another can tell it is dead."""
    base = _base()
    base.mkdir(mode=0o700, exist_ok=True)
    if base.stat(follow_symlinks=False).st_uid != os.getuid():
        raise PermissionError(f"{base} belongs to someone else: remove it, or set TMPDIR to a folder of your own")
    me = psutil.Process()
    mine = base / f"{me.pid}-{int(me.create_time())}"
    mine.mkdir(mode=0o700, exist_ok=True)
    return mine


def _lives(name: str) -> bool:
    number, _, started = name.partition("-")
    try:
        return int(psutil.Process(int(number)).create_time()) == int(started)
    except (ValueError, psutil.Error):
        return False
