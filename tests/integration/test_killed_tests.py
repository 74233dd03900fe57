"""``kill -9`` of what started servers for a test or a benchmark leaves none of them running."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stack import StackLayout
from stack.layout import PROJECT
from stack.leftovers import find_leftovers

pytestmark = pytest.mark.xdist_group("stack")  # starts servers of its own

# What a session of pytest does: the servers that workers share, and a test in the middle of a stack of its own.
SESSION = """
import sys
import stack
from sqlalchemy.engine import make_url
from servers import reachable_folder, temporary_mlflow, temporary_postgres, temporary_stack, wait_for_mlflow

with reachable_folder() as folder, temporary_postgres(folder) as url, temporary_mlflow(make_url(url), "p" * 12) as uri:
    with temporary_stack() as layout:
        stack.up(layout, components=("postgres",))
        wait_for_mlflow(uri, "p" * 12)
        print(folder, layout.home, flush=True)
        sys.stdin.read()
"""

# What `make bench` does: make, the runner, and a benchmark.
BENCHMARKS = """
import subprocess, sys
from keeper import die_with_parent
die_with_parent()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, preexec_fn=die_with_parent)
print(child.pid, flush=True)
child.wait()
"""


def _start(code: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A process that runs the code, and the words that it prints when it is ready."""
    session = subprocess.Popen(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{PROJECT / 'include'}:{PROJECT / 'tests'}", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert session.stdout is not None
    words = session.stdout.readline().split()
    assert words, "it ended before it was ready"
    return session, words


def _kill(session: subprocess.Popen[str]) -> None:
    session.kill()
    session.wait()
    for pipe in (session.stdin, session.stdout):
        assert pipe is not None
        pipe.close()


def test_killed_session_leaves_no_server_and_no_folder() -> None:
    session, (folder, home) = _start(SESSION)
    layout = StackLayout(home=Path(home))
    below = psutil.Process(session.pid).children(recursive=True)
    processes = [*below, *find_leftovers(layout)]
    names = " ".join(word for process in processes for word in process.cmdline())
    assert names.count("postgres") >= 2
    assert "mlflow" in names
    assert "supervisord" in names
    _kill(session)
    _, alive = psutil.wait_procs(processes, timeout=90)
    assert alive == []
    assert find_leftovers(layout) == []
    end = time.monotonic() + 30
    while Path(folder).exists() or layout.home.exists():
        assert time.monotonic() < end, "the folders are still there"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_killed_runner_of_benchmarks_takes_the_benchmark_with_it() -> None:
    session, (pid,) = _start(BENCHMARKS)
    benchmark = psutil.Process(int(pid))
    _kill(session)
    psutil.wait_procs([benchmark], timeout=30)
    assert not benchmark.is_running()
