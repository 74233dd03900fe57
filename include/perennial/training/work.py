"""Where a fit keeps its rows while it runs; what a killed one left there is cleared by whoever comes next."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

FIT_FOLDER = "fit-"


def work_folder() -> Path:
    """The folder of this process: of mode 0700, named by its number and start, so that another can tell it is dead."""
    base = Path(tempfile.gettempdir()) / f"perennial-work-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.stat(follow_symlinks=False).st_uid != os.getuid():
        raise PermissionError(f"{base} belongs to someone else: remove it, or set TMPDIR to a folder of your own")
    clear_dead(base)
    me = psutil.Process()
    mine = base / f"{me.pid}-{int(me.create_time())}"
    mine.mkdir(mode=0o700, exist_ok=True)
    return mine


def clear_dead(base: Path) -> tuple[str, ...]:
    """Remove the folders of processes that live no more; their names."""
    dead = tuple(folder.name for folder in base.iterdir() if not _lives(folder.name))
    for name in dead:
        shutil.rmtree(base / name, ignore_errors=True)
    return dead


def _lives(name: str) -> bool:
    number, _, started = name.partition("-")
    try:
        return int(psutil.Process(int(number)).create_time()) == int(started)
    except (ValueError, psutil.Error):
        return False
