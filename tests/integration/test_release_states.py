"""The laws of releases in whatever state crashes, hands, lost locks and a second process leave: see release_machine.py.

A short run, the same every time; ``python tests/simulations/releases.py`` takes as many steps as one wants.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from perennial.contracts.tags import CHAMPION
from perennial.registry.versions import set_alias
from perennial.release.reconcile import repair
from perennial.store import Store
from release_machine import COMES_TO, Site, at, in_memory_folder, open_site


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
    machine = seed(46)(at(site))
    run_state_machine_as_test(machine, settings=rules)
    troubles = sum(n_times for what, n_times in site.written.items() if what.startswith("trouble"))
    assert troubles > 5, site.written
    tried = ("promoted as it must be", "rolled back as it must be")
    ended = ("canary: passed", "ab: passed", "ab: blind", "ab: breached")  # each end there is: the test below
    seen = ("promotion", "rollback", "integrity", "canary", *tried, *(f"ended, {what}" for what in ended))
    assert min(site.written[kind] for kind in seen) > 0, site.written


@pytest.mark.parametrize("strategy", list(COMES_TO))
def test_a_version_that_answers_a_share_comes_to_what_was_seen_of_it(site: Site, strategy: str) -> None:
    machine, ends = at(site)(), COMES_TO[strategy]
    machine.begin(policy=0, strategy=strategy, n_before=1, windows=2)
    for number in reversed(range(len(ends))):  # one that passed stays until it is promoted
        machine.a_share_comes_to_what_was_seen(number)
    machine.teardown()
    for outcome, n_times in Counter(ends.values()).items():
        assert site.written[f"ended, {strategy}: {outcome}"] == n_times, site.written


def test_a_hand_that_can_not_be_followed_is_told_with_where_it_went(site: Site) -> None:
    machine = at(site)()
    machine.begin(policy=site.policies.index("adopt"), strategy="direct", n_before=2)
    (site.folder / machine.config.model / "1" / "model.skops").write_text("forged", encoding="utf-8")
    set_alias(machine.registry, machine.config.model, CHAMPION, "1")
    (found,) = repair(machine.config, **machine.there)
    assert "was moved by hand to version 1, and is not taken for a rollback: nothing was rolled back" in found.said
    assert not found.mended
