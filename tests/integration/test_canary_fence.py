"""Whoever lost the lock on his way takes no requests from the canary that began meanwhile, at whatever call it was."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import pytest

from perennial.contracts import Signoff
from perennial.contracts.tags import CANARY
from perennial.errors import ReleaseError, StoreUnavailable
from perennial.ledger.canaries import live_canary
from perennial.registry.versions import alias_version
from perennial.release.promote import promote
from perennial.release.reconcile import repair
from perennial.store import Store
from release_machine import TRAPS, ReleaseMachine, Trap, at, end_locks, in_memory_folder, open_site


@pytest.fixture
def machine(store: Store) -> Iterator[ReleaseMachine]:
    with in_memory_folder() as folder:
        made = at(open_site(store, folder))()
        made.begin(policy=0, strategy="canary", n_before=1)
        yield made


def approved(machine: ReleaseMachine) -> Signoff:
    machine._signed("approved")()
    return machine.signoffs[-1]


CALLS = {"taken back": range(2, 4), "promoted": range(5, 8)}
"""Those of MLflow around the ones that move the alias; ``tests/simulations/releases.py`` draws from all."""


class AtMlflow(Trap):
    """Counts the calls of MLflow alone."""

    @contextmanager
    def around(self, what: str) -> Iterator[None]:
        with super().around(what) if what == "mlflow" else nullcontext():
            yield


@pytest.mark.parametrize("way", ["taken back", "promoted"])
def test_who_lost_the_lock_leaves_the_next_canary_its_requests(machine: ReleaseMachine, way: str) -> None:
    """Held up at one call after the other; another process finishes what he began, and begins with the next one."""
    followed = 0
    for call in CALLS[way]:
        ours, begun = approved(machine), list[str | None]()
        for _ in range(4 if way == "promoted" else 1):
            machine._look(ours, "good")

        def meanwhile(_: str, begun: list[str | None] = begun) -> None:
            end_locks(machine.store)
            repair(machine.config, **machine.there)
            machine._look(approved(machine), "good")
            begun.append(live(machine))

        trap = AtMlflow(call, spring=meanwhile, armed=True)
        with TRAPS.set(trap), suppress(ReleaseError, StoreUnavailable):
            if way == "promoted":
                promote(machine.config, ours.signoff_id, **machine.there)
            else:
                machine._look(ours, "bad")
        if begun == [machine.signoffs[-1].version]:
            followed += 1
            assert alias_version(machine.registry, machine.config.model, CANARY) == live(machine), f"at call {call}"
        mended = repair(machine.config, **machine.there)
        assert not [found.said for found in mended if "hand" in found.said], f"held up at call {call}"
        for signoff in (ours, machine.signoffs[-1], machine.signoffs[-1]):
            machine._look(signoff, "bad")
        assert live(machine) is None
    assert followed == len(CALLS[way])


def live(machine: ReleaseMachine) -> str | None:
    found = live_canary(machine.history)
    return found.version if found else None
