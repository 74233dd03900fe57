"""Small registered versions with their signoffs, and releases in a process of their own that is killed on the way.

``python -m releases`` runs one release, or one look at a canary, for each line of JSON, in a fork that kills itself
with SIGKILL at the checkpoint named ``die_at``, and answers how it ended.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from canaries import counted
from logs import day
from perennial import ledger
from perennial.config import ModelConfig, load_model
from perennial.contracts import (
    Gate,
    LedgerEntry,
    LedgerKind,
    Release,
    Review,
    Signoff,
    Window,
    digest_of,
    from_record,
    to_record,
)
from perennial.registry import Registry, artifact_digest
from perennial.registry.versions import register_version, set_alias
from perennial.release.canary.ramp import look
from perennial.release.promote import promote
from perennial.release.rollback import roll_back
from perennial.store import Store, open_store

ROOT = Path(__file__).parents[1]


def make_version(config: ModelConfig, registry: Registry, content: str) -> str:
    """Register a version whose only file holds ``content``; releases never look into it."""
    model_uri, run_id = _files(registry, config.model, content)
    return register_version(registry, config.model, model_uri=model_uri, run_id=run_id, tags={"test.owner": "test"})


def shared_version(config: ModelConfig, registry: Registry, content: str) -> str:
    """As :func:`make_version`, over files that are made once for the versions of all tests: they stay as they are."""
    number = _n_shared[config.model, content] = _n_shared[config.model, content] + 1
    model_uri, run_id = _files_once(registry.uri, content, number)
    return register_version(registry, config.model, model_uri=model_uri, run_id=run_id, tags={"test.owner": "test"})


_n_shared: Counter[tuple[str, str]] = Counter()  # a run has one version in a model


@cache
def _files_once(uri: str, content: str, number: int) -> tuple[str, str]:
    return _files(Registry(uri), f"shared_{uuid4().hex[:10]}", content)


def _files(registry: Registry, experiment_name: str, content: str) -> tuple[str, str]:
    client = registry.client
    known = client.get_experiment_by_name(experiment_name)
    experiment = known.experiment_id if known else client.create_experiment(experiment_name)
    run_id = client.create_run(experiment).info.run_id
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.skops").write_text(content, encoding="utf-8")
        logged = client.create_logged_model(experiment, name="model", source_run_id=run_id)
        client.log_model_artifacts(logged.model_id, folder)
        client.finalize_logged_model(logged.model_id, "READY")
    return f"models:/{logged.model_id}", run_id


def signed(config: ModelConfig, registry: Registry, version: str, seen: str | None, number: int = 6) -> Signoff:
    """A signoff over one passed gate as of the end of day ``number``."""
    gate = Gate(name="metric/accuracy", passed=True, value=0.9, bound=0.7, detail="0.9, at least 0.7")
    return Signoff(
        model=config.model,
        version=version,
        artifact_digest=artifact_digest(registry, config.model, version),
        champion_seen=seen,
        gates=(gate,),
        passed=True,
        review="auto",
        as_of=day(number).end,
        train=Window(start=day(number - 5).start, end=day(number - 2).end),
        holdout=Window(start=day(number - 1).start, end=day(number).end),
    )


def approval(signoff: Signoff, **other: Any) -> Review:
    """The policy's approval of a signoff."""
    given = {"verdict": "approved", "reviewer": "policy", "reason": "review mode auto"} | other
    return Review(model=signoff.model, version=signoff.version, **given)


def in_ledger(signoff: Signoff, store: Store, review: Review | None = None) -> Signoff:
    """Write a signoff down where the verdict would, and its answer (by default the policy's approval)."""
    answer = review or approval(signoff)
    written: list[tuple[str, str, LedgerKind, dict[str, Any]]] = [
        (signoff.signoff_id, "policy", "signoff", {"signoff": to_record(signoff)}),
        (signoff.review_id, answer.reviewer, "review", {"review": to_record(answer), "signoff": signoff.signoff_id}),
    ]
    for entry_id, actor, kind, payload in written:
        entry = LedgerEntry(
            entry_id=entry_id,
            model=signoff.model,
            kind=kind,
            at=signoff.as_of,
            actor=actor,
            reason="test",
            version=signoff.version,
            payload=payload,
        )
        ledger.append(store, entry)
    return signoff


def released(
    config: ModelConfig, signoff: Signoff, *, store: Store, registry: Registry, review: Review | None = None
) -> Release:
    """Promote what the ledger then shows as signed off and answered."""
    in_ledger(signoff, store, review)
    return promote(config, signoff.signoff_id, store=store, registry=registry)


def made_stable(
    config: ModelConfig, version: str, seen: str | None, number: int, *, store: Store, registry: Registry
) -> None:
    """Promote a version as of the end of a day; its bake has passed two days later."""
    released(config, signed(config, registry, version, seen, number), store=store, registry=registry)
    entry = LedgerEntry(
        entry_id=digest_of("bake", config.model, version),
        model=config.model,
        kind="bake",
        at=day(number + 2).end,
        actor="policy",
        reason="bake passed",
        version=version,
        payload={"outcome": "passed", "windows": []},
    )
    ledger.append(store, entry)
    set_alias(registry, config.model, "stable", version)


@contextmanager
def forking() -> Iterator[subprocess.Popen[str]]:
    """A process that has imported everything, and forks one for each order to :func:`run_and_die`."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'include'}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-m", "releases"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def run_and_die(
    process: "subprocess.Popen[str]",
    folder: Path,
    store: Store,
    home: Path,
    registry: Registry,
    *,
    die_at: str,
    **call: Any,
) -> None:
    """Run a release in a process of its own and see it die by SIGKILL at a checkpoint."""
    order = {
        "folder": str(folder),
        "database_url": store.libpq_uri,
        "storage_uri": (home / "storage").as_uri(),
        "registry_uri": registry.uri,
        "die_at": die_at,
        **call,
    }
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{json.dumps(order)}\n")
    process.stdin.flush()
    assert int(process.stdout.readline()) == -signal.SIGKILL, "it says on standard error why it did not die"


def _serve() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _release(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _release(order: dict[str, Any]) -> None:
    def die_at(reached: str) -> None:
        if reached == order["die_at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    config = load_model(Path(order["folder"]))
    store = open_store(order["database_url"], order["storage_uri"])
    registry = Registry(order["registry_uri"])
    if "signoff" in order:
        signoff = from_record(Signoff, order["signoff"])
        in_ledger(signoff, store)
        promote(config, signoff.signoff_id, store=store, registry=registry, checkpoint=die_at)
    elif "look" in order:
        figures, now = counted(**order["seen"]), datetime.fromisoformat(order["now"])
        look(config, order["look"], figures, now=now, store=store, registry=registry, checkpoint=die_at)
    else:
        call = order["rollback"]
        at = datetime.fromisoformat(call.pop("at"))
        roll_back(config, store=store, registry=registry, at=at, checkpoint=die_at, **call)


def as_order(signoff: Signoff) -> dict[str, Any]:
    """A signoff as part of an order to :func:`run_and_die`."""
    return to_record(signoff)


if __name__ == "__main__":
    _serve()
