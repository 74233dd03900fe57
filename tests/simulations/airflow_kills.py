"""Promotions and rollbacks as tasks of a real Airflow, each killed or cut off at one statement: decision 0062.

python tests/simulations/airflow_kills.py --boundaries 10 --seed 1

A stack of its own with a few small models, each with a scoring service. In turn a model's approved candidate is
promoted by the tasks of ``<model>__retrain`` from ``promote`` on (those before it are said to have succeeded, with what
they return), and taken back by ``<model>__rollback``. Each of these runs meets one fault at one statement to the store
or request to MLflow (``traps/sitecustomize.py``): its process is killed, or its worker too; the server ends its
connections to the store; or a request to MLflow is not sent, or not answered. Airflow does what it does then, and once
the run is over ledger, alias and service have to agree on one champion, the release stands once in the ledger, and
nothing is left to repair.
"""

import argparse
import json
import os
import random
import runpy
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "tests")]

from mlflow.artifacts import download_artifacts

from dag_files import declare
from perennial import ledger
from perennial.contracts import RetrainRequest, Signoff
from perennial.contracts.tags import DIGEST_TAG
from perennial.ledger import chain
from perennial.registry import artifact_digest
from perennial.registry.versions import register_version
from perennial.release.promote import challenge
from perennial.release.reconcile import repair
from perennial.release.traffic import ask
from release_machine import lawful
from releases import in_ledger, made_stable, signed
from running_loop import MODEL, Loop, running_loop
from servers import temporary_stack
from serving import fitted, registered
from stack import processes
from stack.credentials import load

TRAPS = Path(__file__).parent / "traps"
MODELS = (MODEL, "wine_north", "wine_south")
Kind = Literal["task", "worker", "database", "mlflow"]
SAID = {
    "task": "process killed",
    "worker": "worker killed",
    "database": "connections to PostgreSQL ended",
    "mlflow": "request to MLflow dropped",
}
DAGS = {"promotion": ("retrain", "promote"), "rollback": ("rollback", "roll_back")}


class Fault(NamedTuple):
    """What happens in a release, at which of its statements and requests, and whether after its effect."""

    release: str
    kind: Kind
    at: int
    after: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A fault and what came of it: how often the task was tried, after how many seconds again, which law was broken."""

    fault: Fault
    model: str
    what: str
    n_tries: int
    again_s: float | None
    broken: str = ""

    def __str__(self) -> str:
        where = f"{'after' if self.fault.after else 'before'} {self.fault.at}: {self.what}"
        again = "-" if self.again_s is None else f"{self.again_s:.0f}"
        cells = (self.fault.release, SAID[self.fault.kind], where, str(self.n_tries), again, self.broken or "kept")
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


@dataclass(slots=True)
class Site:
    """One model on the stack: the version that its rollbacks go back to, and where its orders lie."""

    loop: Loop
    orders: Path
    files: Path
    stable: str
    n_signed: int = 0
    champion: str = ""

    @property
    def model(self) -> str:
        return self.loop.model

    @property
    def there(self) -> dict[str, Any]:
        return {"store": self.loop.runtime.store, "registry": self.loop.runtime.registry}

    def meet(self, fault: Fault) -> Met:
        """The next release of the model, with a fault in it."""
        kind, task = DAGS[fault.release]
        dag_id, run_id = f"{self.model}__{kind}", f"{fault.release}_{self.n_signed}"
        order = self.orders / f"{dag_id}.{task}.json"
        for suffix in (".sprung", ".passed"):
            order.with_suffix(suffix).unlink(missing_ok=True)
        order.write_text(json.dumps(fault._asdict()), encoding="utf-8")
        before = len(ledger.entries(self.loop.runtime.store, self.model, kinds=[fault.release]))
        signoff = self._promotes(dag_id, run_id) if fault.release == "promotion" else None
        if signoff is None:
            self.loop.airflow.trigger(dag_id, run_id, {"reason": "the simulation asks for it"})
            self.loop.airflow.unpause(dag_id)
        broken = ""
        try:
            self.loop.await_run(dag_id, run_id)
            self.champion = signoff.version if signoff else self.stable
            self._agree(fault.release, before, signoff)
        except AssertionError as error:
            broken = " ".join(str(error).split())[:300] or "a law"
        sprung = order.with_suffix(".sprung")
        if fault.at and not sprung.exists():
            broken += "; the fault was not met"
        order.unlink(missing_ok=True)
        return self._met(fault, dag_id, run_id, task, sprung, broken)

    def _met(self, fault: Fault, dag_id: str, run_id: str, task: str, sprung: Path, broken: str) -> Met:
        tries = self.loop.tries(dag_id, run_id, task)
        met = datetime.fromtimestamp(sprung.stat().st_mtime, UTC) if sprung.exists() else None
        later = [datetime.fromisoformat(one["start_date"]) for one in tries if one["start_date"]]
        again = next(((at - met).total_seconds() for at in later if met and at > met), None)
        what = sprung.read_text(encoding="utf-8") if met else "nothing"
        return Met(fault=fault, model=self.model, what=what, n_tries=len(tries), again_s=again, broken=broken)

    def _promotes(self, dag_id: str, run_id: str) -> Signoff:
        """A candidate, approved in the ledger, and a run whose steps before the promotion are said to be over."""
        loop, config = self.loop, self.loop.config
        self.n_signed += 1
        version = self._copied()
        made = signed(config, loop.runtime.registry, version, self.stable, 6 + 10 * self.n_signed)
        in_ledger(made, loop.runtime.store)
        challenge(config, made, **self.there)
        asked = RetrainRequest(
            model=self.model, run_id=run_id, as_of=made.as_of, cause="the simulation", requested_by="the simulation"
        )
        returned = {"open_request": loop.case.ask(asked), "sign_off": made.signoff_id}
        loop.airflow.http.patch(f"/dags/{dag_id}", json={"is_paused": True}).raise_for_status()
        loop.airflow.trigger(dag_id, run_id, {})
        instances = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        over = {"new_state": "success", "include_upstream": True}
        loop.airflow.http.patch(f"{instances}/review", json=over).raise_for_status()
        for task_id, value in returned.items():
            entry = {"key": "return_value", "value": value}
            loop.airflow.http.post(f"{instances}/{task_id}/xcomEntries", json=entry).raise_for_status()
        loop.airflow.unpause(dag_id)
        return made

    def _copied(self) -> str:
        """A version of its own with the files of the first."""
        registry, model = self.loop.runtime.registry, self.model
        client = registry.client
        known = client.get_experiment_by_name(f"{model}_copies")
        experiment = known.experiment_id if known else client.create_experiment(f"{model}_copies")
        run_id = client.create_run(experiment).info.run_id
        made = client.create_logged_model(experiment, name="model", source_run_id=run_id)
        client.log_model_artifacts(made.model_id, str(self.files))
        client.finalize_logged_model(made.model_id, "READY")
        version = register_version(registry, model, model_uri=f"models:/{made.model_id}", run_id=run_id, tags={})
        digest = artifact_digest(registry, model, version)
        client.set_model_version_tag(model, version, DIGEST_TAG, digest)
        return version

    def _agree(self, kind: str, before: int, signoff: Signoff | None) -> None:
        """One champion for ledger, alias and service; the release once and whole; nothing to repair. AssertionError."""
        store, config = self.loop.runtime.store, self.loop.config
        history = ledger.read(store, self.model)
        chain.verify(store, self.model)
        lawful(history, set())
        assert history.state.champion == self.champion, f"champion of the ledger: {history.state.champion}"
        assert self.loop.alias("champion") == self.champion, f"alias: {self.loop.alias('champion')}"
        assert self.loop.alias("stable") == self.stable, f"stable: {self.loop.alias('stable')}"
        site, keys = self.loop.layout.site(), load(self.loop.layout.credentials_file)
        url = next(service.url for service in site.services if service.model == self.model)
        said = ask(url, self.model, key=keys.serving_key)
        assert said.version == self.champion, f"the service {said}"
        made = history.of(kind)  # type: ignore[arg-type]
        assert len(made) == before + 1, f"{len(made) - before} times a {kind}"
        assert signoff is None or made[-1].payload["signoff"] == signoff.signoff_id, "another approval was promoted"
        left = repair(config, **self.there)
        assert left == (), f"left to repair: {[found.said for found in left]}"


@contextmanager
def sites() -> Iterator[tuple[Site, ...]]:
    """The models on a running stack whose scheduler has the traps on its path, each with a champion that is served."""
    with temporary_stack() as bare, tempfile.TemporaryDirectory() as folder:
        layout = replace(bare, served=MODELS)
        layout.prepare()
        orders = Path(folder) / "orders"
        orders.mkdir()
        for name in MODELS[1:]:
            declare(layout.home.with_name("models"), name)
        with (
            patch.dict(os.environ, RELEASE_TRAPS=str(orders)),
            patch.object(processes, "START_WITHIN_S", 900.0),  # beside whatever else the machine does
            patch.object(processes, "airflow_environment", trapped(processes.airflow_environment)),
            running_loop(layout) as loop,
        ):
            yield tuple(prepared(loop.of(name), orders, Path(folder) / name) for name in MODELS)


def trapped(environment_of: Any) -> Any:
    """Airflow's environment, the traps first on its path; nothing runs but what is unpaused."""

    def environment(*given: Any) -> dict[str, str]:
        made = environment_of(*given)
        paused = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}
        return {**made, **paused, "PYTHONPATH": f"{TRAPS}{os.pathsep}{made['PYTHONPATH']}"}

    return environment


def prepared(loop: Loop, orders: Path, files: Path) -> Site:
    """A first version, stable and served."""
    config, registry = loop.config, loop.runtime.registry
    loop.case.prepare()
    recipe = runpy.run_path(str(loop.runtime.settings.models_dir / loop.model / "recipe.py"))
    version = registered(config, registry, fitted(config, recipe["build"](seed=7)))
    made_stable(config, version, None, 0, store=loop.runtime.store, registry=registry)
    source = registry.client.get_model_version(loop.model, version).source.removeprefix("models:/")
    place = registry.client.get_logged_model(source).artifact_location
    download_artifacts(place, dst_path=str(files), tracking_uri=registry.uri)
    (copied,) = files.iterdir() if not (files / "MLmodel").is_file() else (files,)
    return Site(loop, orders, copied, version)


def boundaries(site: Site, release: str) -> list[str]:
    """The statements and requests of a release that meets nothing."""
    met = site.meet(Fault(release, "task", 0))
    assert not met.broken, met.broken
    dag, task = DAGS[release]
    passed = site.orders / f"{site.model}__{dag}.{task}.passed"
    return passed.read_text(encoding="utf-8").splitlines()


def writes(passed: list[str]) -> list[int]:
    """Where a release changes something: only before these, and after the last, a killed one leaves another world."""
    found, written = [], False
    for at, what in enumerate(passed, start=1):
        written = written or what.startswith("INSERT")
        if what.startswith(("INSERT", "MLflow POST", "MLflow DELETE", "MLflow PUT")) or (written and what == "COMMIT"):
            found.append(at)
        written = written and what != "COMMIT"
    return found


def drawn(release: str, passed: list[str], k: int, chance: random.Random) -> Iterator[Fault]:
    """``k`` faults of each sort, as far as there are places: at what writes first, then anywhere.

    Kills are of the process and of its worker in turn. ``ROLLBACK`` is none: the pool asks for it after each COMMIT.
    """
    asked = [at for at, what in enumerate(passed, start=1) if what != "ROLLBACK"]
    of_mlflow = [at for at in asked if passed[at - 1].startswith("MLflow")]
    first, n = writes(passed), len(passed)

    def places(wanted: list[tuple[int, bool]], others: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
        rest = [place for place in others if place not in wanted]
        found = [*wanted, *chance.sample(rest, len(rest))][:k]
        return chance.sample(found, len(found))

    alive = [(at, False) for at in asked]
    for number, place in enumerate(places([*((at, False) for at in first), (n, True)], alive)):
        yield Fault(release, "worker" if number % 2 else "task", *place)
    answered = [(at, True) for at in first if passed[at - 1] == "COMMIT"]
    for place in places([*answered, *((at, False) for at in first)], alive):
        yield Fault(release, "database", *place)
    sent = [(at, after) for at in first if at in of_mlflow for after in (False, True)]
    for place in places(sent, [(at, False) for at in of_mlflow]):
        yield Fault(release, "mlflow", *place)


def played(site: Site, pairs: "SimpleQueue[tuple[Fault, Fault]]") -> list[Met]:
    """A promotion and its rollback, again and again; ends where a law is broken, since what follows builds on it."""
    found: list[Met] = []
    with suppress(Empty):
        while not any(met.broken for met in found):
            for fault in pairs.get_nowait():
                found.append(site.meet(fault))
                print(found[-1], flush=True)
                if found[-1].broken:
                    break
    return found


def simulated(models: tuple[Site, ...], k: int, seed: int, *, only_list: bool = False) -> int:
    """Prints what each fault came to; 1 when a law was broken, or a fault was not met."""
    chance, began = random.Random(seed), time.monotonic()  # noqa: S311 - drawn anew by its seed
    faults, pairs = [], SimpleQueue[tuple[Fault, Fault]]()
    for release in DAGS:
        passed = boundaries(models[0], release)
        n_asked, n_writes = sum(one.startswith("MLflow") for one in passed), len(writes(passed))
        n_statements = len(passed) - n_asked - passed.count("ROLLBACK")
        print(
            f"{release}: {n_statements} statements to the store, {n_asked} requests to MLflow, {n_writes} of them write"
        )
        if only_list:
            print("\n".join(f"{at:3} {one}" for at, one in enumerate(passed, start=1)))
        faults.append(chance.sample(found := list(drawn(release, passed, k, chance)), len(found)))
    if only_list:
        return 0
    for _, *pair in zip(range(max(map(len, faults))), *map(cycle, faults), strict=False):  # the shorter list again
        pairs.put(tuple(pair))  # type: ignore[arg-type]
    n_faults = 2 * pairs.qsize()
    print(
        "| release | fault | at | tries | tried again after, s | one champion, once |\n|---|---|---|---|---|---|",
        flush=True,
    )
    with ThreadPoolExecutor(len(models)) as threads:
        met = [one for part in threads.map(lambda site: played(site, pairs), models) for one in part]
    for kind, n_met in sorted(Counter(one.fault.kind for one in met).items()):
        again = [one.again_s for one in met if one.fault.kind == kind and one.again_s is not None]
        print(f"{SAID[kind]}: {n_met} times, tried again after at most {max(again, default=0):.0f} s")
    n_broken = sum(bool(one.broken) for one in met)
    print(f"{len(met)} faults in {time.monotonic() - began:.0f} s, {n_broken} laws broken")
    return 1 if n_broken or len(met) < n_faults else 0


def main() -> int:
    """On a stack of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boundaries", type=int, default=10, help="so many faults of each sort and release")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="print what a release asks for, and end")
    given = parser.parse_args()
    with sites() as models:
        return simulated(models, given.boundaries, given.seed, only_list=given.list)


if __name__ == "__main__":
    sys.exit(main())
