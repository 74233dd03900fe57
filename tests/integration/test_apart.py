"""Code of a model runs apart: the same whether its process is started anew or forked from one that has the imports."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from perennial.apart import forking, process
from perennial.apart.process import PRINTED, how_it_ended, run_apart
from stack.layout import PROJECT

JOB = """
import json, os, signal, subprocess, sys, tempfile, time

known = set(sys.modules)
tempfile.gettempdir()  # as a library may that asks while it is imported

def main(folder):
    assert folder.is_dir()
    eval((folder / "job").read_text())

def say(folder):
    found = {
        "environment": dict(os.environ),
        "of the system": open("/proc/self/environ").read(),
        "descriptors": sorted(os.listdir("/proc/self/fd"))[:-1],
        "folders": [os.getcwd(), tempfile.gettempdir()],
        "own group": os.getpgid(0) == os.getpid(),
        "has imports": "xmlrpc.client" in known,
    }
    (folder / "said").write_text(json.dumps(found))
    print("heard")

def child(folder):
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(f"{os.getpid()} {sleeper.pid}")
    time.sleep(600)

def tied(folder):
    from perennial.apart.process import end_with_the_parent
    end_with_the_parent(600)
    child(folder)
"""
MODULES = ("xmlrpc.client", "job")
PATIENCE_S = 30


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the module ``job`` lies, which processes apart can import."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "job.py").write_text(JOB)
    with pytest.MonkeyPatch.context() as patched:
        for module in (process, forking):
            patched.setattr(module, "_START", f"import sys\nsys.path.insert(0, {str(folder)!r})\n{module._START}")
        yield folder


@pytest.fixture(scope="module", params=["started", "forked"])
def way(request: pytest.FixtureRequest, jobs: Path) -> Iterator[str]:
    """How the process of a job begins; one that forks is started among secrets, as Airflow's scheduler is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PERENNIAL_DATABASE_URL", "hunter2")
        patched.setenv("OMP_NUM_THREADS", "1")
        if request.param == "forked":
            forking.start(MODULES)
        yield request.param
        forking.stop()


@pytest.fixture
def own_one(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None is started yet, whatever other tests have, and none is left."""
    monkeypatch.setattr(forking, "_started", [])
    yield
    forking.stop()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., tuple[int | None, Path]]:
    """Runs code of ``job.main`` in a folder of its own."""

    def run(code: str, *, name: str = "a", timeout_s: float = PATIENCE_S) -> tuple[int | None, Path]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "job").write_text(code)
        return run_apart("job", folder, timeout_s), folder

    return run


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


def test_it_knows_no_secret_and_holds_nothing_of_others(way: str, job: Callable[..., tuple[int, Path]]) -> None:
    code, folder = job("say(folder)")
    said = json.loads((folder / "said").read_text())
    assert code == 0
    assert (folder / PRINTED).read_text() == "heard\n"
    assert "hunter2" not in said["of the system"] + str(said["environment"])
    allowed = {"PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    kept = {name for name in os.environ if name in allowed or name.startswith("OMP_")}
    assert set(said["environment"]) - {"LC_CTYPE"} == {*kept, "HOME", "TMPDIR"}
    assert said["environment"]["HOME"] == said["environment"]["TMPDIR"] == str(folder)
    assert said["folders"] == [str(folder)] * 2
    assert said["descriptors"] == ["0", "1", "2"]
    assert said["own group"]
    assert said["has imports"] == (way == "forked")


@pytest.mark.parametrize(
    ("code", "ended", "printed"),
    [
        ("1 / 0", 1, "ZeroDivisionError"),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no more')", 1, "no more"),
        ("sys.exit()", 0, ""),
        ("os._exit(7)", 7, ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    ],
)
@pytest.mark.usefixtures("way")
def test_how_it_ends_is_told(job: Callable[..., tuple[int, Path]], code: str, ended: int, printed: str) -> None:
    found, folder = job(code)
    assert found == ended
    assert printed in how_it_ended(found, folder)


@pytest.mark.usefixtures("way")
def test_what_takes_too_long_is_ended_with_all_that_it_started(job: Callable[..., tuple[int | None, Path]]) -> None:
    code, folder = job("child(folder)", timeout_s=3)
    pids = [int(pid) for pid in (folder / "child").read_text().split()]
    assert code is None
    assert len(pids) == 2
    assert wait_until(lambda: not any(map(is_alive, pids)))


def test_what_it_cost_is_counted(way: str, job: Callable[..., tuple[int, Path]]) -> None:
    system, ours = resource.getrusage(resource.RUSAGE_CHILDREN), replace(forking.used())
    assert job("sum(range(2_000_000)) and bytearray(300_000_000)")[0] == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = {"started": after.ru_utime - system.ru_utime, "forked": forking.used().cpu_s - ours.cpu_s}
    peaks = {"started": after.ru_maxrss, "forked": forking.used().peak_kb}
    assert spent[way] > 0.01
    assert peaks[way] > 300_000_000 / 1024


@pytest.mark.usefixtures("way")
def test_many_at_once_are_not_mixed_up(job: Callable[..., tuple[int, Path]]) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda n: job(f"print({n}) or sys.exit({n})", name=str(n)), range(1, 9))
    assert [(code, (folder / PRINTED).read_text()) for code, folder in found] == [(n, f"{n}\n") for n in range(1, 9)]


@pytest.mark.usefixtures("way")
def test_a_caller_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "job").write_text("tied(folder)")
    if (caller := os.fork()) == 0:
        run_apart("job", folder, 600)
        os._exit(0)
    assert wait_until(lambda: (folder / "child").is_file() and bool((folder / "child").read_text()))
    pids = [int(pid) for pid in (folder / "child").read_text().split()]
    os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    assert wait_until(lambda: not any(map(is_alive, pids)))


@pytest.mark.usefixtures("own_one")
def test_one_that_can_not_import_or_is_gone_is_done_without(
    job: Callable[..., tuple[int, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    for number, modules in enumerate((("job", "no_such_module"), MODULES)):
        forking.start(modules)
        if modules is MODULES:
            assert job("say(folder)", name="before")[0] == 0
            (server,) = forking._started
            server.process.kill()
            server.process.wait()
        code, folder = job("say(folder)", name=str(number))
        assert code == 0
        assert not json.loads((folder / "said").read_text())["has imports"]
        assert "started anew" in caplog.text
        caplog.clear()
        forking.stop()


@pytest.mark.usefixtures("own_one")
def test_one_that_is_killed_while_it_waits_is_told_as_a_kill(
    tmp_path: Path, job: Callable[..., tuple[int, Path]]
) -> None:
    forking.start(MODULES)
    (server,) = forking._started
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(job, "child(folder)", name="b")
        assert wait_until((tmp_path / "b" / "child").is_file)
        server.process.kill()
        code, folder = running.result()
    assert code == -signal.SIGKILL
    assert wait_until(lambda: not any(is_alive(int(pid)) for pid in (folder / "child").read_text().split()))


def test_it_ends_with_the_process_that_started_it() -> None:
    code = (
        "import os, time\nfrom perennial.apart import forking\nforking.start(['json'])\nforking.start(['json'])\n"
        "(server,) = forking._started\n"
        "os.fork() or time.sleep(600)\n"  # a worker that outlives the scheduler holds the line, too
        "print(server.process.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "include")},
    ) as scheduler:
        try:
            assert scheduler.stdout is not None
            server = int(scheduler.stdout.readline())
            assert is_alive(server)
            scheduler.kill()
            assert wait_until(lambda: not is_alive(server))
        finally:
            os.killpg(scheduler.pid, signal.SIGKILL)
