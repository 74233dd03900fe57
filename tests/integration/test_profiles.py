"""Profiles say of any block what its published rows say, whatever way the rows came."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, func, select

from ingesting import DAY, landing, rows_of, take, write_lines
from logs import day
from monitored import log_of, publish_predictions
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Window
from perennial.evidence.profiles.keeping import block_us, columns_of, layout_of, newest_grid
from perennial.evidence.profiles.reading import count_on, read_profile
from perennial.evidence.rows import served
from perennial.profiles.counting import SCORE, count_rows
from perennial.profiles.grid import grid_id
from perennial.profiles.profile import Profile
from perennial.publishing.moving import Moved, move
from perennial.store import Store, bulk
from perennial.store.schema import batches, predictions_table, profiles

WINE = "wine_cultivar"


@pytest.fixture
def folder(home: Path) -> Path:
    return landing(home, WINE)


def grid_in(config: ModelConfig, store: Store) -> dict[str, Any]:
    with bulk.bulk_transaction(store) as cursor:
        return newest_grid(cursor, config.model) or {}


def kept(config: ModelConfig, store: Store, stretch: Window = DAY, as_of: Any = None) -> Profile:
    grid = grid_in(config, store)
    return read_profile(config, stretch, as_of=as_of or stretch.end, grid=grid, store=store)


def counted(config: ModelConfig, store: Store, stretch: Window = DAY, as_of: Any = None) -> Profile:
    """The same of the published rows themselves."""
    table = predictions_table(config)
    query = select(*(table.c[name] for name in columns_of(config)))
    rows = bulk.read(store, query.where(served(table, stretch, as_of=as_of or stretch.end)))
    return count_rows([rows], layout_of(config, grid_in(config, store)))


def assert_same(one: Profile, other: Profile) -> None:
    assert one.blocks.tolist() == other.blocks.tolist()
    assert one.n_rows.tolist() == other.n_rows.tolist()
    assert one.numbers.keys() == other.numbers.keys()
    for name, column in one.numbers.items():
        like = other.numbers[name]
        assert column.counts.tolist() == like.counts.tolist(), name
        for part in ("sums", "squares", "n_nulls", "n_infinite", "low", "high"):
            np.testing.assert_allclose(getattr(column, part), getattr(like, part), rtol=1e-9, err_msg=name)
    for name, category in one.categories.items():
        like = other.categories[name]
        assert category.values == like.values
        assert category.counts.tolist() == like.counts.tolist()
        assert (category.n_nulls.tolist(), category.n_other.tolist()) == (like.n_nulls.tolist(), like.n_other.tolist())


def parts(store: Store) -> int:
    with store.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(profiles)).scalar_one())


def in_no_profile(store: Store) -> int:
    of_predictions = batches.c.source == "predictions", batches.c.status == "published"
    query = select(func.count()).where(*of_predictions, batches.c.profile_block_us.is_(None))
    with store.begin() as connection:
        return int(connection.execute(query).scalar_one())


def decided(store: Store, config: ModelConfig) -> None:
    entry = LedgerEntry(
        entry_id=config.model, model=config.model, kind="decision", at=DAY.end, actor="policy", reason="stay: quiet"
    )
    ledger.append(store, entry)


def test_a_published_batch_is_in_the_profiles_of_its_blocks_once(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE, 200)
    rows[3]["ash"] = None
    rows[4]["role"] = "challenger"
    rows[5]["model_version"] = "2"
    write_lines(folder / "a.jsonl", rows)
    take(wine, home, store)
    assert in_no_profile(store) == 0
    before = kept(wine, store)
    assert_same(before, counted(wine, store))
    assert (before.n_rows.sum(), before.numbers["ash"].n_nulls.sum()) == (199, 1)
    assert (before.numbers["score:1"].n_values.sum(), before.numbers["score:2"].n_values.sum()) == (198, 1)
    assert before.categories["organic"].values == ("false", "true")
    n_parts = parts(store)
    take(wine, home, store)
    assert (parts(store), in_no_profile(store)) == (n_parts, 0)
    assert_same(kept(wine, store), before)


def test_a_profile_is_kept_by_block_and_nothing_is_read_of_the_rows(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE, 200))
    take(wine, home, store)
    before = kept(wine, store)
    assert len(before.blocks) > 20
    assert np.all(before.blocks % block_us(wine) == 0)
    with store.begin() as connection:
        connection.execute(delete(predictions_table(wine)))
    assert_same(kept(wine, store), before)


def test_late_rows_alone_and_among_those_that_were_there_are_added(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE, 120)
    (folder / "a.jsonl").unlink(missing_ok=True)
    write_lines(folder / "a.jsonl", rows[:50])
    take(wine, home, store)
    write_lines(folder / "a.jsonl", rows[50:90])
    take(wine, home, store)
    assert kept(wine, store).n_rows.sum() == 90
    write_lines(folder / "a.jsonl", rows)
    take(wine, home, store)
    assert in_no_profile(store) == 0
    assert kept(wine, store).n_rows.sum() == 120
    assert_same(kept(wine, store), counted(wine, store))


def test_a_correction_counts_for_what_is_asked_later_and_not_for_what_was_decided(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE, 60)
    write_lines(folder / "a.jsonl", rows)
    take(wine, home, store)
    decided(store, wine)
    before = kept(wine, store)
    moved = rows[0] | {
        "event_time": rows[1]["event_time"],
        "cellar": "south" if rows[0]["cellar"] == "north" else "north",
    }
    write_lines(folder / "a.jsonl", [moved, *({**row, "ash": 4.5} for row in rows[1:4]), *rows[4:]])
    take(wine, home, store)
    assert_same(kept(wine, store), before)
    after = kept(wine, store, as_of=day(1).end)
    assert_same(after, counted(wine, store, as_of=day(1).end))
    assert after.numbers["ash"].sums.sum() != pytest.approx(before.numbers["ash"].sums.sum())
    late = rows_of(WINE, 30, seed=7)
    write_lines(folder / "a.jsonl", late)
    take(wine, home, store)
    for as_of in (DAY.end, day(1).end):
        assert_same(kept(wine, store, as_of=as_of), counted(wine, store, as_of=as_of))


@pytest.mark.parametrize("earlier", [0, 1], ids=["nothing", "a profile"])
def test_a_publication_that_dies_leaves_rows_and_profile_or_neither(
    wine: ModelConfig, store: Store, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, earlier: int
) -> None:
    rows = rows_of(WINE, 60)
    if earlier:
        write_lines(folder / "a.jsonl", rows[:30])
        take(wine, home, store)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    write_lines(folder / "a.jsonl", rows)
    with monkeypatch.context() as dying:
        place = "perennial.publishing.publish.ensure" if earlier else "perennial.publishing.publish.keep_published"
        dying.setattr(place, die)
        with pytest.raises(KeyboardInterrupt):
            take(wine, home, store)
    if earlier:
        assert in_no_profile(store) == 2, "the rows are in, and their profile is known not to be"
        assert_same(kept(wine, store), counted(wine, store))
    else:
        assert parts(store) == 0
    take(wine, home, store)
    assert in_no_profile(store) == 0
    assert kept(wine, store).n_rows.sum() == 60
    assert_same(kept(wine, store), counted(wine, store))


def test_rows_are_counted_on_the_grid_that_the_model_was_given_while_they_were_copied(
    wine: ModelConfig, store: Store, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: np.array([1.0, 2.0]) for name in [*wine.numbers, SCORE]}

    def move_and_choose(*args: Any, **kwargs: Any) -> Moved:
        count_on(wine, given, made_of="a reference", store=store)
        return move(*args, **kwargs)

    monkeypatch.setattr("perennial.publishing.publish.move", move_and_choose)
    write_lines(folder / "a.jsonl", rows_of(WINE, 60))
    take(wine, home, store)
    assert grid_id(grid_in(wine, store)) == grid_id(given)
    with store.begin() as connection:
        assert set(connection.scalars(select(profiles.c.grid_id))) == {grid_id(given)}
    assert_same(kept(wine, store), counted(wine, store))


def test_rows_of_before_there_were_profiles_get_theirs_when_they_are_asked_for(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    publish_predictions(store, wine, DAY, log_of(wine, 0, n_rows=90))
    assert (parts(store), in_no_profile(store)) == (0, 1)
    late = rows_of(WINE, 30, seed=7)
    write_lines(folder / "a.jsonl", late)
    take(wine, home, store)
    assert kept(wine, store).n_rows.sum() == 120
    assert in_no_profile(store) == 0
    assert_same(kept(wine, store), counted(wine, store))


def test_a_stretch_that_cuts_blocks_counts_what_lies_inside(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE, 200))
    take(wine, home, store)
    for start, end in ((90, 200), (90, 100), (60, 100), (0, 1440)):
        stretch = Window(start=DAY.start + timedelta(minutes=start), end=DAY.start + timedelta(minutes=end))
        assert_same(kept(wine, store, stretch), counted(wine, store, stretch))


def test_blocks_of_another_length_are_counted_anew(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE, 200))
    take(wine, home, store)
    uncertainty = wine.signals.uncertainty.model_copy(update={"block": timedelta(hours=6)})
    other = wine.model_copy(update={"signals": wine.signals.model_copy(update={"uncertainty": uncertainty})})
    assert len(kept(other, store).blocks) == 4
    assert_same(kept(other, store), counted(other, store))
