"""Releases while somebody, or something, works against them: deleted and tampered versions, approvals out of date."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from logs import day
from perennial import ledger
from perennial.bake.settlement import BakeWindow, apart, settle
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Window, to_record
from perennial.errors import ReleaseError
from perennial.registry import Registry, alias_version, delete_alias
from perennial.registry.versions import get_version
from perennial.release.promote import promote
from perennial.release.reconcile import reconcile
from perennial.release.rollback import roll_back
from perennial.store import Store, schema
from releases import in_ledger, made_stable, make_version, released, signed
from servers import logged_in
from stack.environment import ADMIN


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def first(wine: ModelConfig, store: Store, registry: Registry) -> str:
    """Version 1, stable."""
    version = make_version(wine, registry, "one")
    made_stable(wine, version, None, 6, store=store, registry=registry)
    return version


@pytest.fixture
def second(wine: ModelConfig, store: Store, registry: Registry, first: str) -> str:
    """Version 2, champion on probation over version 1."""
    version = make_version(wine, registry, "two")
    released(wine, signed(wine, registry, version, first, 16), store=store, registry=registry)
    return version


def rolled_back(wine: ModelConfig, store: Store, registry: Registry) -> str:
    made = roll_back(wine, store=store, registry=registry, actor="ada", reason="it errs", at=day(18).end)
    return made.version


def tamper(registry: Registry, wine: ModelConfig, version: str, folder: Path) -> None:
    """Put another file into the artifacts of a registered version, as whoever may write to the storage can."""
    forged = folder / "model.skops"
    forged.write_text("forged", encoding="utf-8")
    source = str(get_version(registry, wine.model, version).source)
    registry.client.log_model_artifact(source.removeprefix("models:/"), str(forged))


def test_a_champion_deleted_in_the_registry_can_be_rolled_back(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str
) -> None:
    with logged_in(ADMIN):
        registry.client.delete_model_version(wine.model, second)
    assert alias_version(registry, wine.model, "champion") is None
    assert rolled_back(wine, store, registry) == first
    assert alias_version(registry, wine.model, "champion") == first
    assert reconcile(wine, store=store, registry=registry) == ()


@pytest.mark.usefixtures("second")
def test_a_deleted_alias_is_no_reason_to_serve_nothing(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    delete_alias(registry, wine.model, "champion")
    assert rolled_back(wine, store, registry) == first
    assert alias_version(registry, wine.model, "champion") == first


@pytest.mark.usefixtures("second")
def test_a_rollback_never_goes_to_files_that_were_changed(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str, tmp_path: Path
) -> None:
    tamper(registry, wine, first, tmp_path)
    with pytest.raises(ReleaseError, match=r"its files have the digest .* they were promoted with"):
        rolled_back(wine, store, registry)
    assert alias_version(registry, wine.model, "champion") == second
    assert ledger.release_state(store, wine.model).pending is None


def test_a_rollback_to_a_deleted_version_is_refused_before_it_begins(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str
) -> None:
    with logged_in(ADMIN):
        registry.client.delete_model_version(wine.model, first)
    with pytest.raises(ReleaseError, match=f"version {first} can not be gone back to: its files can not be read"):
        rolled_back(wine, store, registry)
    assert alias_version(registry, wine.model, "champion") == second
    assert ledger.release_state(store, wine.model).pending is None


def test_an_approval_does_not_revive_when_the_champion_it_was_given_against_comes_back(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    third = make_version(wine, registry, "three")
    old = in_ledger(signed(wine, registry, third, first, 15), store)
    second = make_version(wine, registry, "two")
    released(wine, in_ledger(signed(wine, registry, second, first, 16), store), store=store, registry=registry)
    assert rolled_back(wine, store, registry) == first
    with pytest.raises(ReleaseError, match="approval expired: rollback to version 1 happened since"):
        promote(wine, old.signoff_id, store=store, registry=registry)


def test_what_was_made_from_a_held_stretch_is_not_promoted_before_someone_answered_for_it(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    held = Window(start=day(10).start, end=day(12).end)
    hold = LedgerEntry(
        entry_id=f"hold-{wine.model}",
        model=wine.model,
        kind="hold",
        at=day(16).end,
        actor="policy",
        reason="rolled back",
        version="7",
        payload={"stretch": to_record(held), "version": "7"},
    )
    ledger.append(store, hold)
    version = make_version(wine, registry, "two")
    fresh = signed(wine, registry, version, first, 16)
    with pytest.raises(ReleaseError, match="made from data that is held"):
        released(wine, fresh, store=store, registry=registry)


@pytest.mark.usefixtures("second")
def test_overlapping_windows_are_one_piece_of_evidence_in_a_bake(
    wine: ModelConfig, store: Store, registry: Registry, second: str
) -> None:
    whole, half = day(17), Window(start=day(17).start, end=day(17).start + timedelta(hours=12))
    for window in (whole, half):
        for name in ("bake/accuracy", "bake/accuracy_vs_stable"):
            row = {"model": wine.model, "window_start": window.start, "window_end": window.end, "name": name}
            row |= {"as_of": day(18).end, "version": second, "role": "alert", "status": "ok", "value": 0.0}
            with store.begin() as connection:
                connection.execute(insert(schema.signals).values(**row, threshold=0.1))
    assert settle(wine, store=store, at=day(18).end) == "running"


@pytest.mark.parametrize("failed_first", [True, False])
def test_a_failed_window_is_not_hidden_by_one_that_overlaps_it(failed_first: bool) -> None:
    whole, half = day(17), Window(start=day(17).start, end=day(17).start + timedelta(hours=12))
    failed = BakeWindow(window=whole if failed_first else half, outcome="failed", detail="")
    passed = BakeWindow(window=half if failed_first else whole, outcome="passed", detail="")
    assert apart([failed, passed]) == apart([passed, failed]) == (failed,)
