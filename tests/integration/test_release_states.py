"""The laws of releases in whatever state crashes, hands, lost locks and a second process leave: see release_machine.py.

A short run, the same every time; ``python tests/simulations/releases.py`` takes as many steps as one wants.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from perennial.contracts.tags import CHAMPION
from perennial.registry.versions import set_alias
from perennial.release.reconcile import repair
from perennial.store import Store
from release_machine import Site, at, in_memory_folder, open_site


@pytest.fixture
def site(store: Store) -> Iterator[Site]:
    with in_memory_folder() as folder:
        yield open_site(store, folder)


def test_ledger_aliases_and_tags_agree_after_a_repair_whatever_happened(site: Site) -> None:
    rules = settings(
        max_examples=8,
        stateful_step_count=20,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    machine = seed(34)(at(site))
    run_state_machine_as_test(machine, settings=rules)
    troubles = sum(n_times for what, n_times in site.written.items() if what.startswith("trouble"))
    assert troubles > 5, site.written
    tried = ("promoted as it must be", "rolled back as it must be")
    ended = ("canary: passed", "ab: passed", "ab: lost", "ab: blind", "ab: breached")
    seen = ("promotion", "rollback", "integrity", "canary", *tried, *(f"ended, {what}" for what in ended))
    assert min(site.written[kind] for kind in seen) > 0, site.written


def test_a_hand_that_can_not_be_followed_is_told_with_where_it_went(site: Site) -> None:
    machine = at(site)()
    machine.begin(policy=site.policies.index("adopt"), strategy="direct", n_before=2)
    (site.folder / machine.config.model / "1" / "model.skops").write_text("forged", encoding="utf-8")
    set_alias(machine.registry, machine.config.model, CHAMPION, "1")
    (found,) = repair(machine.config, **machine.there)
    assert "was moved by hand to version 1, and is not taken for a rollback: nothing was rolled back" in found.said
    assert not found.mended
