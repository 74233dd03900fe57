"""What a challenger answered in the shadow is published, and is no evidence about the champion."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingesting import DAY, landing, published, rows_of, take, write_lines
from perennial.config import ModelConfig
from perennial.evidence.deliveries.delivered import newest_event, read_delivered
from perennial.evidence.deliveries.logged import read_logged
from perennial.evidence.deliveries.operations import read_requests
from perennial.evidence.labelled import read_judged
from perennial.evidence.maturity import count_unmatched, main_version, read_coverage
from perennial.evidence.samples import read_sample
from perennial.evidence.stretches import count_labelled
from perennial.ingest.relisting import list_again
from perennial.store import Store
from perennial.store.batches import accounts, audits, completeness, n_published, newest, published_windows

WINE = "wine_cultivar"


@pytest.fixture
def shadowed(wine: ModelConfig) -> ModelConfig:
    """The wines with a shadow beside their predictions."""
    own = wine.sources.predictions
    shadow = own.model_copy(update={"uri": own.uri.replace("/predictions/", "/shadow/")})
    return wine.model_copy(update={"sources": wine.sources.model_copy(update={"shadow": shadow})})


def labels_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = (DAY.end - timedelta(minutes=1)).isoformat()
    return [{"prediction_id": row["prediction_id"], "label": "barolo", "labelled_at": at} for row in rows]


def seen(config: ModelConfig, store: Store) -> dict[str, Any]:
    """Everything that is asked about a day of the champion's."""
    coverage = read_coverage(config, DAY, as_of=DAY.end, champion="1", store=store)
    later = DAY.end + timedelta(days=9)
    return {
        "volume": read_delivered(config, DAY, most=5, store=store),
        "freshness": newest_event(config, DAY, store=store),
        "coverage": coverage,
        "version": main_version(config, DAY, store=store),
        "unmatched": count_unmatched(config, DAY, store=store),
        "performance": read_judged(config, coverage, version="1", as_of=DAY.end, store=store)[1],
        "drift": read_sample(config, DAY, store=store),
        "requests": read_requests(config, DAY, store=store),
        "teaching": count_labelled(config, DAY, as_of=later, store=store),
        "logged": read_logged(config, until=None, store=store).sort_by("prediction_id"),
        "quality": audits(store, config.model, DAY),
        "decided on": newest(store, config.model, DAY),
        "windows": published_windows(store, config.model, ended_by=DAY.end),
        "n_published": n_published(store, config.model, DAY),
        "accounts": accounts(store, config.model),
    }


def test_shadow_rows_are_published_with_their_ids_and_change_nothing_that_is_known_of_the_champion(
    shadowed: ModelConfig, store: Store, home: Path
) -> None:
    rows = rows_of(WINE, 80)
    orphan = {**rows[0], "prediction_id": "answered by nobody"}
    write_lines(landing(home, WINE) / "a.jsonl", [row | {"model_version": "1"} for row in rows])
    write_lines(landing(home, WINE, "labels") / "a.jsonl", labels_of([*rows[:70], orphan]))
    take(shadowed, home, store)
    take(shadowed, home, store, "labels")
    before = seen(shadowed, store)
    assert before["unmatched"] == (71, 1)

    # another answer, another class, another version, twice the rows of the hour, and a role that is a lie
    shadow = [
        row | {"model_version": "2", "score": 0.999, "predicted": "barbera", "role": "champion", "hue": 2.9}
        for row in [*rows[:60], orphan]
    ]
    write_lines(landing(home, WINE, "shadow") / "a.jsonl", shadow)
    batch, audit, done = take(shadowed, home, store, "shadow")
    assert (done.status, done.n_published, done.n_quarantined) == ("published", 61, 0), audit
    assert seen(shadowed, store) == before
    found = published(shadowed, store)
    assert found["role"].value_counts().to_dict() == {"champion": 80, "shadow": 61}
    both = found[found["prediction_id"] == rows[0]["prediction_id"]].set_index("role")
    assert both["model_version"].to_dict() == {"champion": "1", "shadow": "2"}
    assert [one.source for one in completeness(store, shadowed.model)[DAY.key]] == ["predictions", "labels", "shadow"]

    assert take(shadowed, home, store, "shadow")[2] == done
    write_lines(landing(home, WINE, "shadow") / "b.jsonl", shadow[:5])
    now = DAY.end + timedelta(days=1)
    changed = list_again(shadowed, store=store, home=home, since=now - timedelta(days=36_500), now=now)
    assert [one.source for one in changed] == ["shadow"]
    again = take(shadowed, home, store, "shadow")[2]
    assert (again.n_published, again.n_duplicate, again.n_corrected) == (0, 66, 0)
    assert batch.batch_id != again.batch_id


def test_a_broken_shadow_halts_alone_and_none_at_all_is_none(shadowed: ModelConfig, store: Store, home: Path) -> None:
    rows = rows_of(WINE, 40)
    write_lines(landing(home, WINE) / "a.jsonl", [row | {"model_version": "1"} for row in rows])
    take(shadowed, home, store)
    assert take(shadowed, home, store, "shadow")[2].status == "published"
    before = newest(store, shadowed.model, DAY)
    write_lines(landing(home, WINE, "shadow") / "a.jsonl", [row | {"score": 7.0} for row in rows])
    done = take(shadowed, home, store, "shadow")[2]
    assert (done.status, done.n_published) == ("halted", 0)
    assert newest(store, shadowed.model, DAY) == before
    assert len(published(shadowed, store)) == 40
