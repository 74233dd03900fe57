"""Where ledger and registry disagree, and what ``perennial repair`` and the policy about moved aliases do about it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from logs import day
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.config.release.declared import Releases
from perennial.contracts import LedgerEntry
from perennial.errors import ReleaseError, StoreUnavailable
from perennial.registry import Registry, alias_version, set_alias
from perennial.registry.versions import set_version_tags, version_tags
from perennial.release.promote import promote
from perennial.release.reconcile import repair
from perennial.release.rollback import roll_back
from perennial.store import Store
from release_machine import end_locks
from releases import approval, in_ledger, made_stable, released, shared_version, signed
from servers import logged_in
from stack.environment import ADMIN

Mended = Callable[..., list[tuple[str, bool]]]


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def second(wine: ModelConfig, store: Store, registry: Registry) -> str:
    """Version 2, champion on probation over version 1, which is stable."""
    made_stable(wine, shared_version(wine, registry, "one"), None, 6, store=store, registry=registry)
    version = shared_version(wine, registry, "two")
    released(wine, signed(wine, registry, version, "1", 16), store=store, registry=registry)
    return version


@pytest.fixture
def mended(wine: ModelConfig, store: Store, registry: Registry) -> Mended:
    def go(policy: Any = "report") -> list[tuple[str, bool]]:
        config = wine.model_copy(update={"release": Releases(moved_alias=policy)})
        return [(found.said, found.mended) for found in repair(config, store=store, registry=registry)]

    return go


def entries(store: Store, config: ModelConfig, kind: Any) -> tuple[LedgerEntry, ...]:
    return ledger.entries(store, config.model, kinds=[kind])


@pytest.mark.usefixtures("second")
def test_a_moved_alias_is_told_set_back_or_taken_for_a_rollback_as_the_policy_says(
    wine: ModelConfig, store: Store, registry: Registry, mended: Mended
) -> None:
    third = shared_version(wine, registry, "three")
    set_alias(registry, wine.model, "champion", third)
    (told,) = mended("report")
    assert told[1] is False
    assert mended("adopt") == [told], "a version that never passed a bake is not adopted"
    (record,) = entries(store, wine, "integrity")
    assert record.payload["agreed_at"] == entries(store, wine, "promotion")[-1].recorded_at.isoformat()  # type: ignore[union-attr]
    assert mended("revert") == [
        (f"{wine.model}: MLflow's alias champion was on version 3, moved by hand: set back to version 2", True)
    ]
    assert alias_version(registry, wine.model, "champion") == "2"

    set_alias(registry, wine.model, "champion", "1")
    ((said, done),) = mended("adopt")
    assert (said.endswith("to version 1, and is taken for a rollback from version 2"), done) == (True, True)
    assert ledger.release_state(store, wine.model).champion == "1"
    assert version_tags(registry, wine.model, "2")["version.release"] == "rolled back"
    assert mended("adopt") == []


@pytest.mark.usefixtures("second")
def test_what_a_cut_off_step_left_behind_is_mended_whatever_the_policy(
    wine: ModelConfig, registry: Registry, mended: Mended
) -> None:
    set_version_tags(registry, wine.model, "2", {"version.release": "rolled back"})
    set_alias(registry, wine.model, "challenger", "2")
    assert mended() == [
        (f"{wine.model}: version 2 is challenger no longer: it serves", True),
        (f"{wine.model}: the tags of version 2 said otherwise than the ledger", True),
    ]
    assert version_tags(registry, wine.model, "2")["version.release"] == "promoted"
    assert alias_version(registry, wine.model, "challenger") is None
    set_alias(registry, wine.model, "challenger", shared_version(wine, registry, "three"))
    ((said, done),) = mended()
    assert ("of which the ledger has no signoff, so someone set it by hand" in said, done) == (True, False)


@pytest.mark.usefixtures("second")
def test_an_approval_is_not_begun_on_top_of_another_release(
    wine: ModelConfig, store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is held up between its checks and its intent, loses the lock, and another one rolls back."""
    signoff = in_ledger(signed(wine, registry, shared_version(wine, registry, "three"), "2", 26), store)
    plain = ledger.append_after

    def held_up(store: Store, entry: LedgerEntry, before: str | None) -> bool:
        monkeypatch.setattr(ledger, "append_after", plain)
        end_locks(store)
        roll_back(wine, store=store, registry=registry, actor="ada", reason="it errs", at=day(18).end)
        return plain(store, entry, before)

    monkeypatch.setattr(ledger, "append_after", held_up)
    with pytest.raises((ReleaseError, StoreUnavailable)):  # what its lost connection says may come last
        promote(wine, signoff.signoff_id, store=store, registry=registry)
    assert "3" not in {item.version for item in entries(store, wine, "promotion_intent")}
    assert ledger.release_state(store, wine.model).pending is None
    assert repair(wine, store=store, registry=registry) == ()


def test_a_rollback_whose_target_was_deleted_on_the_way_goes_to_the_one_before_when_asked_again(
    wine: ModelConfig, store: Store, registry: Registry, second: str
) -> None:
    state = ledger.release_state(store, wine.model)
    third = shared_version(wine, registry, "three")
    passed = LedgerEntry(
        entry_id=f"bake-{wine.model}", model=wine.model, kind="bake", at=day(18).end, actor="policy", reason="passed",
        version=second, payload={"outcome": "passed", "windows": []},
    )  # fmt: skip
    ledger.append(store, passed)
    set_alias(registry, wine.model, "stable", second)
    released(wine, signed(wine, registry, third, second, 26), store=store, registry=registry)
    assert state.champion == second
    call = {"actor": "ada", "reason": "it errs", "at": day(28).end, "run_id": "one"}

    def die(reached: str) -> None:
        if reached == "after_intent":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        roll_back(wine, store=store, registry=registry, checkpoint=die, **call)  # type: ignore[arg-type]
    with logged_in(ADMIN):
        registry.client.delete_model_version(wine.model, second)
    assert "abandoned the rollback to version 2" in repair(wine, store=store, registry=registry)[0].said
    made = roll_back(wine, store=store, registry=registry, **call)  # type: ignore[arg-type]
    assert (made.version, made.previous) == ("1", third)


@pytest.mark.usefixtures("second")
def test_the_command_says_or_mends_and_ends_with_what_is_left(
    wine: ModelConfig,
    store: Store,
    registry: Registry,
    models_dir: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "HOME": home,
        "MODELS_DIR": models_dir,
        "DATABASE_URL": store.libpq_uri,
        "MLFLOW_URI": registry.uri,
    }.items():
        monkeypatch.setenv(f"PERENNIAL_{name}", str(value))

    def run(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["repair", wine.model, *options])
        return done.exit_code, done.output + done.stderr

    assert run() == (0, f"{wine.model}: ledger and registry agree\n")
    set_alias(registry, wine.model, "champion", "1")
    code, said = run("--json")
    assert (code, [found["mended"] for found in json.loads(said)]) == (1, [False])
    code, said = run("--moved-alias", "revert")
    assert (code, said.startswith("mended: ")) == (0, True), said
    assert run()[0] == 0


def test_a_rejected_version_is_challenger_no_longer_though_its_run_died(
    wine: ModelConfig, store: Store, registry: Registry, mended: Mended
) -> None:
    signoff = signed(wine, registry, shared_version(wine, registry, "one"), None)
    in_ledger(signoff, store, replace(approval(signoff), verdict="rejected", reviewer="ada"))
    set_alias(registry, wine.model, "challenger", signoff.version)
    assert mended() == [(f"{wine.model}: version 1 is challenger no longer: it was refused", True)]
