"""The tools of Prometheus and Alertmanager, as Debian packages them: `make observability`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def tool(name: str) -> str:
    """The path of promtool or amtool. Where it is missing the test is skipped and says so; in CI it fails."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed: make observability"
        if "CI" in os.environ:
            raise FileNotFoundError(missing)
        pytest.skip(missing)
    return found


def said(name: str, *words: str | Path, stdin: bytes | None = None) -> str:
    """What the tool says; the test fails with it where the tool is not content."""
    done = subprocess.run([tool(name), *map(str, words)], input=stdin, capture_output=True, timeout=60, check=False)
    text = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, text
    return text
