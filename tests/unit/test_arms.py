"""Who sees what: arms that keys keep, a queue that drops and counts, and a challenger that hurts nobody."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from math import sqrt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logs import day
from perennial.config import ModelConfig, PredictionColumns, load_model
from perennial.config.release.shadow import ShadowScoring
from perennial.contracts.tags import CHALLENGER
from perennial.errors import ConfigError, RegistryUnavailable
from perennial.registry import Registry
from perennial.serving.arms import scoring as scoring_module
from perennial.serving.arms.messages import Challenger, Reply
from perennial.serving.arms.routing import arm_of, in_shadow, place_of
from perennial.serving.arms.scoring import Scoring
from perennial.serving.arms.shadow import Shadow
from perennial.serving.arms.waiting import Waiting
from perennial.serving.following import watching
from perennial.serving.following.cache import Cache
from perennial.serving.following.messages import Failed, Loaded, Looked, Message, Order
from perennial.serving.following.watching import Watch
from perennial.serving.lines import Asked
from perennial.serving.metrics import Metrics
from perennial.serving.predictors.predictor import Built
from perennial.serving.spool.places import landings
from perennial.settings import ROOT

WINE = load_model(ROOT / "tests" / "models" / "wine_cultivar")
KEYS = st.text(min_size=1, max_size=40)
SHARES = st.floats(0, 1)


def shadowed(share: float = 1.0, most: int = 100, **columns: str) -> ModelConfig:
    """The wines with a shadow."""
    source = WINE.sources.predictions.model_copy(
        update={"uri": WINE.sources.predictions.uri.replace("predictions", "shadow")}
    )
    rules = WINE.serving.model_copy(update={"shadow": ShadowScoring(share=share, max_waiting=most)})
    told = {**WINE.columns.model_dump(exclude_none=True), **columns}
    return WINE.model_copy(
        update={
            "sources": WINE.sources.model_copy(update={"shadow": source}),
            "serving": rules,
            "columns": PredictionColumns(**told),
        }
    )


def asked(n_rows: int = 2, version: str = "1", first: int = 0) -> Asked:
    values = [(13.0, 2.0, 2.4, 100, 2.0, 5.0, 1.0, 750, "north", True)] * n_rows
    ids = [f"p{first + number}" for number in range(n_rows)]
    return Asked(values, ids, [day(0).start + timedelta(hours=1)] * n_rows, version, time.perf_counter())


# ------------------------------------------------------------------------------------------------------------- routing


@given(KEYS, KEYS, st.lists(SHARES, min_size=1, max_size=6))
def test_a_key_keeps_its_arm_while_shares_grow(key: str, salt: str, shares: list[float]) -> None:
    salt = salt[:16]
    arms = [arm_of(key, share, salt) for share in sorted(share / 2 for share in shares)]
    kept = list(dict.fromkeys(arms))
    assert kept in (["champion"], ["canary"], ["baseline"], ["champion", "canary"], ["champion", "baseline"])
    on = [in_shadow(key, share) for share in sorted(shares)]
    assert on == sorted(on)


@given(KEYS, SHARES)
def test_all_traffic_is_sent_back_and_all_of_it_goes_over(key: str, share: float) -> None:
    assert 0 <= place_of(key, "7") < 1
    assert arm_of(key, 0.0, "7") == "champion"
    assert arm_of(key, 1.0, "7") == "canary"
    assert (arm_of(key, share, "7") == "champion") <= (share <= 0.5)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.01, 0.05, 0.25, 0.5]))
def test_shares_are_within_binomial_bounds_and_the_baseline_is_as_large_as_the_canary(seed: int, share: float) -> None:
    n_keys = 2_000
    arms = [arm_of(f"customer-{seed + number}", share, str(seed)) for number in range(n_keys)]
    most = 6 * sqrt(n_keys * share * (1 - share)) + 1
    for arm in ("canary", "baseline"):
        assert abs(arms.count(arm) - n_keys * share) <= most
    chosen = sum(in_shadow(f"{seed}-{number}", share) for number in range(n_keys))
    assert abs(chosen - n_keys * share) <= most


def test_another_canary_is_another_shuffle_and_a_key_stays_where_it_was() -> None:
    first = [arm_of(f"k{number}", 0.5, "7") for number in range(400)]
    assert first == [arm_of(f"k{number}", 0.5, "7") for number in range(400)]
    same = sum(one == other for one, other in zip(first, (arm_of(f"k{n}", 0.5, "8") for n in range(400)), strict=True))
    assert 140 < same < 260
    assert place_of("order-4711", "shadow") == pytest.approx(0.8237928746, abs=1e-9)  # a release must not shuffle


# ----------------------------------------------------------------------------------------------------------- the queue


def test_a_full_queue_takes_nothing_more_and_forgets_nothing() -> None:
    waiting = Waiting(5)
    assert [waiting.offer(asked(2, first=n)) for n in (0, 2, 4)] == [True, True, False]
    assert waiting.offer(asked(1, first=9))
    assert waiting.n_rows == 5
    taken = [waiting.take(0.01) for _ in range(4)]
    assert [one.ids for one in taken if one is not None] == [["p0", "p1"], ["p2", "p3"], ["p9"]]
    assert waiting.n_rows == 0


def test_what_waits_at_the_end_is_counted_and_nothing_comes_after_it() -> None:
    waiting = Waiting(5)
    waiting.offer(asked(3))
    assert waiting.end() == 3
    assert (waiting.offer(asked(1)), waiting.take(10)) == (False, None)


# ---------------------------------------------------------------------------------------------- the answering process


@pytest.fixture
def shadow_of(tmp_path: Path) -> Any:
    def make(config: ModelConfig) -> Shadow:
        order = Order(config=config, registry_uri="http://127.0.0.1:9", login=None, cache=tmp_path / "cache")
        return Shadow(order, tmp_path / "spool", landings(config, tmp_path), Metrics())

    return make


def counted(shadow: Shadow, outcome: str) -> float:
    return shadow.metrics.registry.get_sample_value("perennial_shadow_rows_total", {"outcome": outcome}) or 0.0


def test_rows_that_find_no_room_are_left_out_and_counted_at_once(shadow_of: Any) -> None:
    shadow = shadow_of(shadowed(most=4))
    shadow.challenger = Challenger(named="2", version="2", predictor="trees")
    began = time.perf_counter()
    for number in range(5):
        shadow.offer(asked(2, first=10 * number))
    assert time.perf_counter() - began < 1
    assert counted(shadow, "dropped") == 6
    assert "4 rows wait" in shadow.problems()["shadow_behind"]


def test_only_the_chosen_rows_are_offered_and_only_to_another_version(shadow_of: Any) -> None:
    shadow = shadow_of(shadowed(share=0.5))
    shadow.offer(asked(50))
    assert shadow._waiting.n_rows == 0
    shadow.challenger = Challenger(named="1", version="1")
    shadow.offer(asked(50))
    assert shadow._waiting.n_rows == 0
    shadow.challenger = Challenger(named="2", version="2")
    shadow.offer(asked(50))
    taken = shadow._waiting.take(0)
    assert taken is not None
    assert taken.ids == [name for name in asked(50).ids if in_shadow(name, 0.5)]
    assert len(taken.values) == len(taken.moments) == len(taken.ids)


def test_what_goes_wrong_is_named_until_it_goes_right(shadow_of: Any) -> None:
    shadow, three = shadow_of(shadowed()), Challenger(named="3", problem="other files")
    shadow._heard(Reply(challenger=three), None)
    assert shadow.problems() == {"challenger_not_loaded": "version 3 is challenger and was not loaded: other files"}
    two = Challenger(named="2", version="2", predictor="trees")
    shadow._heard(Reply(challenger=two, problem="ValueError: no"), asked(3))
    assert shadow.problems() == {"challenger_fails": "version 2 could not answer: ValueError: no"}
    assert counted(shadow, "failed") == 3
    labels = {"model": WINE.model, "version": "2", "predictor": "trees"}
    assert shadow.metrics.registry.get_sample_value("perennial_shadow_info", labels) == 1
    shadow._heard(Reply(challenger=Challenger()), None)
    assert shadow.problems() == {}
    assert shadow.metrics.registry.get_sample_value("perennial_shadow_info", labels) == 0


def test_a_spool_that_can_not_be_used_keeps_nobody_from_answering(shadow_of: Any, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")
    shadow = shadow_of(shadowed())
    shadow.start()
    shadow.follow()
    assert "shadow_not_logged" in shadow.problems()
    assert shadow._thread is None
    shadow.close()


# ------------------------------------------------------------------------------------------------ the scoring process


@dataclass
class Looks:
    """A watch that says what it is told to, a look at a time."""

    said: list[list[Message]]
    current: str | None = None

    def look(self) -> Iterator[Message]:
        yield from self.said.pop(0)


def answering(columns: Any) -> Any:
    return [0.75] * len(columns[0]), ["barolo"] * len(columns[0])


def loaded(version: str, predictor: Any = answering) -> Loaded:
    built = Built(predictor, "trees", "")
    return Loaded(version=version, digest="d", built=built, origin="registry", took_s=0.1)


def of_lines(reply: Reply) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for entry in reply.entries for line in entry.data.splitlines()]


def test_the_challengers_line_has_the_id_and_time_of_the_champions_and_its_own_version() -> None:
    config = shadowed(latency_ms="took_ms")
    reply = Scoring(config, Looks([[Looked(at=1, champion="2"), loaded("2")]])).reply(asked(2), now=0)
    lines = of_lines(reply)
    assert [entry.source for entry in reply.entries] == ["shadow"]
    assert [line["prediction_id"] for line in lines] == ["p0", "p1"]
    assert {line["event_time"] for line in lines} == {"2024-01-01T01:00:00.000000+00:00"}
    assert {(line["model_version"], line["score"], line["predicted"]) for line in lines} == {("2", 0.75, "barolo")}
    assert "role" not in lines[0]
    assert lines[0]["took_ms"] >= 0
    assert lines[0]["proline"] == 750


def test_rows_that_lie_in_two_windows_are_lines_of_both() -> None:
    two = replace(asked(2), moments=[day(0).start, day(1).start])
    reply = Scoring(shadowed(), Looks([[Looked(at=1, champion="2"), loaded("2")]])).reply(two, now=0)
    assert [(entry.window, entry.n_rows) for entry in reply.entries] == [(day(0), 1), (day(1), 1)]


@pytest.mark.parametrize(("columns", "n_lines"), [({}, 0), ({"error": "failed"}, 2)])
def test_a_challenger_that_raises_is_told_and_logged_where_the_log_has_errors(
    columns: dict[str, str], n_lines: int
) -> None:
    def raising(_: Any) -> Any:
        raise ZeroDivisionError("by its own doing")

    scoring = Scoring(shadowed(**columns), Looks([[Looked(at=1, champion="2"), loaded("2", raising)]]))
    reply = scoring.reply(asked(2), now=0)
    assert reply.problem == "ZeroDivisionError: by its own doing"
    assert [(line["score"], line["failed"]) for line in of_lines(reply)] == [(None, True)] * n_lines


def test_who_is_named_no_longer_answers_no_longer() -> None:
    silent = [Looked(at=2, problem="the registry does not answer")]
    looks = Looks(
        [
            [Looked(at=1, champion="2"), loaded("2")],
            silent,
            [Looked(at=3, champion="3"), Failed(version="3", problem="no")],
            [Looked(at=4, champion="3")],
            [Looked(at=5)],
        ]
    )
    scoring = Scoring(shadowed(), looks)
    said = [scoring.reply(asked(1), now=10.0 * number) for number in range(5)]
    assert [len(reply.entries) for reply in said] == [1, 1, 0, 0, 0]
    assert [reply.challenger.named for reply in said] == ["2", "2", "3", "3", None]
    assert said[3].challenger.problem == "no"
    assert looks.current is None


def test_the_alias_is_looked_at_as_often_as_the_champions() -> None:
    scoring = Scoring(shadowed(), Looks([[Looked(at=1, champion="2"), loaded("2")], [Looked(at=2)]]))
    n_lines = [len(scoring.reply(asked(1), now=now).entries) for now in (0.0, 1.9, 2.1)]
    assert n_lines == [1, 1, 0]


def test_a_challenger_is_never_taken_from_the_cache_while_the_registry_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: Any) -> str:
        raise RegistryUnavailable("nobody there")

    monkeypatch.setattr(watching, "alias_version", silent)
    cache = Cache(tmp_path)
    cache.keep("2", "d" * 64, lambda _: None)
    cache.remember("2", "d" * 64)
    watch = Watch(shadowed(), Registry("http://127.0.0.1:9"), cache, alias=CHALLENGER)
    assert [type(message) for message in watch.look()] == [Looked]


def test_it_gives_way_to_those_who_answer() -> None:
    assert scoring_module._GIVES_WAY > 0


# -------------------------------------------------------------------------------------------------------- model.yaml


def declared(tmp_path: Path, *, shadow: str = "", serving: str = "") -> ModelConfig:
    text = (ROOT / "tests" / "models" / "wine_cultivar" / "model.yaml").read_text(encoding="utf-8")
    folder = tmp_path / "wine_cultivar"
    folder.mkdir()
    text = text.replace("columns: {", f"{shadow}columns: {{") + serving
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    (folder / "recipe.py").write_text("", encoding="utf-8")
    return load_model(folder)


def test_a_shadow_is_declared_before_anything_is_scored_for_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serving\.shadow\.share: say under sources\.shadow where"):
        declared(tmp_path, serving="serving: {shadow: {share: 0.1}}\n")


def test_a_shadow_never_lies_among_the_champions_files(tmp_path: Path) -> None:
    line = next(
        line
        for line in (ROOT / "tests/models/wine_cultivar/model.yaml").read_text(encoding="utf-8").splitlines()
        if line.startswith("  predictions:")
    )
    beside = line.replace("predictions:", "shadow:", 1).replace("*.jsonl", "shadow-*.jsonl")
    with pytest.raises(ConfigError, match=r"sources\.shadow: lies where sources\.predictions does"):
        declared(tmp_path, shadow=f"{beside}\n")


def test_nothing_that_was_declared_before_has_another_digest(tmp_path: Path) -> None:
    assert "shadow" not in str(WINE.model_dump(mode="json"))
    assert declared(tmp_path).digest == WINE.digest


def test_no_marker_of_a_shadow_is_waited_for(tmp_path: Path) -> None:
    source = "  shadow: {kind: files, format: jsonl, uri: '{home}/s/*.jsonl'}\n"
    with pytest.raises(ConfigError, match="without a challenger nobody writes them"):
        declared(tmp_path, shadow=source.replace("}\n", ", done_marker: _SUCCESS}\n"))
