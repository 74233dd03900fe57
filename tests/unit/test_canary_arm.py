"""A canary answers its share beside an equal one of the champion's, and whatever it does, the champion answers."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perennial.config import ModelConfig, load_model
from perennial.config.release.canary import Canary
from perennial.config.release.declared import Releases
from perennial.contracts.tags import CANARY
from perennial.errors import ConfigError, RegistryUnavailable
from perennial.registry import Registry
from perennial.serving.app import make_app
from perennial.serving.arms.routing import arm_of
from perennial.serving.following import watching
from perennial.serving.following.cache import Cache
from perennial.serving.following.follower import Follower
from perennial.serving.following.messages import Failed, Loaded, Looked, Message
from perennial.serving.following.watching import Watch
from perennial.serving.lines import PredictionLines
from perennial.serving.predictors.predictor import Built
from perennial.serving.service import Spec
from perennial.settings import ROOT
from serving import TUMOUR, TestClient, logged, rows

CHAMPION, NEXT = "7", "8"


def config_of(**canary: Any) -> ModelConfig:
    rules = TUMOUR.serving.model_copy(update={"rotate_s": 0.1, "durable": "after"})
    release = Releases(strategy="canary", canary=Canary(answer_within_s=0.3, **canary))
    return TUMOUR.model_copy(update={"serving": rules, "release": release})


def loaded(version: str, score: float, raises: type[Exception] | None = None, hangs_s: float = 0) -> Loaded:
    def answers(columns: Any) -> Any:
        time.sleep(hangs_s)
        if raises is not None:
            raise raises("by its own doing")
        return [score] * len(columns[0]), None

    return Loaded(version=version, digest="d", built=Built(answers, "arrays", ""), origin="", took_s=0.1)


class Running:
    """A service in this process whose registry says what it is told to."""

    def __init__(self, home: Path, config: ModelConfig) -> None:
        self.home, self.closed = home, False
        self.followers: dict[str, Follower] = {}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Follower, "start", lambda follower: self.followers.update({follower.order.alias: follower}))
            app = make_app(Spec(config=config, home=home, registry_uri="http://127.0.0.1:9", login=None))
            self.client = TestClient(app, base_url="http://127.0.0.1:8000")
            self.client.__enter__()
        self.says("champion", Looked(at=1.0, champion=CHAMPION), loaded(CHAMPION, 0.25))

    def says(self, alias: str, *messages: Message) -> None:
        follower = self.followers[alias]
        for message in messages:
            follower.following.apply(message, now=time.time())
            follower.heard(message)

    def canary(self, share: float, *messages: Message, version: str | None = NEXT) -> None:
        self.says(CANARY, Looked(at=2.0, champion=version, share=share), *messages)

    def ask(self, key: str, n_rows: int = 1) -> dict[str, Any]:
        body = {"rows": rows(TUMOUR, n_rows)}
        said = self.client.post("/predict", json=body, headers={"x-routing-key": key})
        assert said.status_code == 200, said.text
        found: dict[str, Any] = said.json()
        return found

    def problems(self) -> dict[str, str]:
        return dict(self.client.get("/readyz").json()["problems"])

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.client.__exit__()

    def figure(self, text: str) -> float:
        page = self.client.get("/metrics").text
        return next((float(line.split()[-1]) for line in page.splitlines() if line.startswith(text)), 0.0)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path, config_of())
    yield found
    found.close()


def key_of(arm: str, share: float, version: str = NEXT) -> str:
    return next(key for key in map(str, range(10_000)) if arm_of(key, share, version) == arm)


def test_each_key_is_answered_by_its_arm_and_both_are_told_logged_and_counted(running: Running) -> None:
    running.canary(0.2, loaded(NEXT, 0.75))
    keys = [f"customer-{number}" for number in range(60)]
    said = {key: running.ask(key) for key in keys}
    for key, answer in said.items():
        arm = arm_of(key, 0.2, NEXT)
        assert answer["arm"] == arm
        assert answer["version"] == (NEXT if arm == "canary" else CHAMPION)
        assert answer["predictions"][0]["score"] == (0.75 if arm == "canary" else 0.25)
    n_of = Counter(answer["arm"] for answer in said.values())
    assert min(n_of["canary"], n_of["baseline"], n_of["champion"]) > 3
    for arm, version in (("canary", NEXT), ("baseline", CHAMPION), ("champion", CHAMPION)):
        assert running.figure(f'perennial_arm_predictions_total{{arm="{arm}",version="{version}"}}') == n_of[arm]
    running.close()
    lines = {line["prediction_id"]: line for line in logged(running.home / "landing")}
    for answer in said.values():
        line = lines[answer["predictions"][0]["prediction_id"]]
        assert line["role"] == ("canary" if answer["arm"] == "canary" else "champion")
        assert line["model_version"] == answer["version"]
        assert line.get("arm", "champion") == answer["arm"]


def test_the_id_of_a_row_says_whose_request_it_is_where_nobody_else_does(running: Running) -> None:
    running.canary(0.5, loaded(NEXT, 0.75))
    for number in range(12):
        row = {**rows(TUMOUR, 1)[0], "prediction_id": f"order-{number}"}
        said = running.client.post("/predict", json={"rows": [row]}).json()
        assert said["arm"] == arm_of(f"order-{number}", 0.5, NEXT)


@pytest.mark.parametrize("why", ["failed", "not_loaded", "hung"])
def test_what_a_canary_can_not_answer_the_champion_does_and_it_is_counted(running: Running, why: str) -> None:
    wrong: dict[str, Message] = {
        "failed": loaded(NEXT, 0.75, raises=ZeroDivisionError),
        "hung": loaded(NEXT, 0.75, hangs_s=0.6),
        "not_loaded": Failed(version=NEXT, problem="other files"),
    }
    running.canary(0.5, wrong[why])
    key = key_of("canary", 0.5)
    for _ in range(2):
        said = running.ask(key, n_rows=2)
        assert (said["arm"], said["version"], said["predictions"][0]["score"]) == ("champion", CHAMPION, 0.25)
    assert running.figure(f'perennial_canary_left_requests_total{{version="{NEXT}",why="{why}"}}') == 2
    told = {"not_loaded": "canary_not_loaded", "hung": "canary_hung"}
    assert list(running.problems()) == ([told[why]] if why in told else [])
    assert running.client.get("/readyz").status_code == 200


def test_one_that_hangs_is_waited_for_once(running: Running) -> None:
    running.canary(0.5, loaded(NEXT, 0.75, hangs_s=0.6))
    key = key_of("canary", 0.5)
    running.ask(key)
    began = time.monotonic()
    for _ in range(10):
        running.ask(key)
    assert time.monotonic() - began < 0.6 < 10 * 0.3


def test_taken_away_it_answers_nothing_more_and_put_back_only_once_loaded(running: Running) -> None:
    running.canary(1.0, loaded(NEXT, 0.75))
    assert running.ask("k")["arm"] == "canary"
    running.canary(0.0)
    assert running.ask("k")["arm"] == "champion"
    running.canary(1.0)
    assert running.ask("k")["arm"] == "canary"
    running.canary(0.0, version=None)
    assert running.ask("k")["arm"] == "champion"
    assert running.client.get("/model").json()["canary"] == {
        "named": None, "version": None, "predictor": None, "share": 0.0
    }  # fmt: skip
    running.canary(1.0)
    assert running.ask("k")["arm"] == "champion"
    running.canary(1.0, loaded(NEXT, 0.5))
    assert running.ask("k")["predictions"][0]["score"] == 0.5


def test_another_version_under_the_alias_never_answers_for_the_named_one(running: Running) -> None:
    running.canary(1.0, loaded(NEXT, 0.75))
    running.canary(1.0, version="9")
    assert running.ask("k")["version"] == CHAMPION
    running.canary(1.0, version=CHAMPION)  # promoted, and the alias not yet taken away
    assert (running.ask("k")["arm"], running.ask("k")["version"]) == ("champion", CHAMPION)


def test_with_a_registry_that_is_silent_nobody_could_take_it_back_so_it_answers_no_more(running: Running) -> None:
    running.canary(1.0, loaded(NEXT, 0.75))
    running.says(CANARY, Looked(at=3.0, problem="nobody there"))
    assert running.ask("k")["arm"] == "canary"
    canary = running.followers[CANARY].heard.__self__
    canary._heard_at -= TUMOUR.serving.follow_within_s + 1
    assert running.ask("k")["arm"] == "champion"
    running.canary(1.0)
    assert running.ask("k")["arm"] == "canary"


def test_without_the_strategy_there_is_no_canary_and_no_process_for_one(tmp_path: Path) -> None:
    running = Running(tmp_path, TUMOUR)
    try:
        assert list(running.followers) == ["champion"]
        assert running.client.get("/model").json()["canary"] is None
        assert running.ask("k")["arm"] == "champion"
    finally:
        running.close()


def test_an_ab_has_the_same_arms_each_with_half_of_the_requests(tmp_path: Path) -> None:
    running = Running(tmp_path, TUMOUR.model_copy(update={"release": Releases(strategy="ab")}))
    try:
        running.canary(0.5, loaded(NEXT, 0.75))
        said = Counter(running.ask(f"customer-{number}")["arm"] for number in range(40))
        assert set(said) == {"canary", "baseline"}
        assert min(said.values()) > 10
    finally:
        running.close()
    lines = logged(tmp_path / "landing")
    assert Counter(line["role"] for line in lines) == {"canary": said["canary"], "champion": said["baseline"]}
    assert {line["arm"] for line in lines} == {"canary", "baseline"}


# -------------------------------------------------------------------------------------------------- alias and share


@pytest.mark.parametrize(
    ("tag", "share"), [("0.05", 0.05), ("1.0", 1.0), (None, 0.0), ("much", 0.0), ("7", 0.0), ("nan", 0.0)]
)
def test_the_share_is_that_of_the_tag_and_none_where_it_can_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str | None, share: float
) -> None:
    monkeypatch.setattr(watching, "alias_version", lambda *_: NEXT)
    monkeypatch.setattr(watching, "find_version_tags", lambda *_: {} if tag is None else {"version.canary_share": tag})
    watch = Watch(config_of(), Registry("http://127.0.0.1:9"), Cache(tmp_path), alias=CANARY, current=NEXT)
    (said,) = watch.look()
    assert isinstance(said, Looked)
    assert (said.champion, said.share) == (NEXT, share)


def test_a_canary_never_comes_from_the_cache_and_is_loaded_again_when_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(config_of(), Registry("http://127.0.0.1:9"), Cache(tmp_path), alias=CANARY, current=NEXT)
    monkeypatch.setattr(watching, "alias_version", lambda *_: None)
    assert [type(said) for said in watch.look()] == [Looked]
    assert watch.current is None
    watch.current, watch.failed, watch.again_at = NEXT, "9", time.monotonic() + 60
    monkeypatch.setattr(watching, "alias_version", lambda *_: "9")
    monkeypatch.setattr(watching, "find_version_tags", lambda *_: {})
    assert [type(said) for said in watch.look()] == [Looked]
    assert watch.current is None, "what nobody answers with any more"

    def silent(*_: Any) -> str:
        raise RegistryUnavailable("nobody there")

    monkeypatch.setattr(watching, "alias_version", silent)
    watch.cache.keep(NEXT, "d" * 64, lambda _: None)
    watch.cache.remember(NEXT, "d" * 64)
    assert [type(said) for said in watch.look()] == [Looked]


# -------------------------------------------------------------------------------------------------------- model.yaml


def declared(tmp_path: Path, release: str, columns: str = "columns: {role: role}") -> ModelConfig:
    folder = tmp_path / "tumour_malignant"
    folder.mkdir()
    text = (ROOT / "tests" / "models" / "tumour_malignant" / "model.yaml").read_text(encoding="utf-8")
    text = text.replace("columns: {role: role}", columns)
    (folder / "model.yaml").write_text(f"{text}release: {release}\n", encoding="utf-8")
    (folder / "recipe.py").write_text("", encoding="utf-8")
    return load_model(folder)


def test_shares_in_percent_are_declared_or_have_defaults(tmp_path: Path) -> None:
    found = declared(tmp_path, "{strategy: canary, canary: {shares: [10, 100], every: 5min, min_rows: 60}}")
    assert found.release.canary.shares == [10, 100]
    assert TUMOUR.release.canary.shares == [1, 5, 25, 50, 100]
    assert "canary" not in json.dumps(TUMOUR.model_dump(mode="json"))


@pytest.mark.parametrize("shares", ["[]", "[5, 5, 100]", "[0, 100]", "[1, 50]", "[50, 10, 100]", "[100, 120]"])
def test_shares_grow_from_above_none_to_all(tmp_path: Path, shares: str) -> None:
    with pytest.raises(ConfigError, match="that grow and end with 100"):
        declared(tmp_path, f"{{strategy: canary, canary: {{shares: {shares}}}}}")


def test_a_canary_needs_a_column_that_keeps_its_rows_apart_and_time_enough(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"columns\.role"):
        declared(tmp_path, "{strategy: canary}", columns="columns: {}")
    (tmp_path / "late").mkdir()
    with pytest.raises(ConfigError, match="each take longer"):
        declared(tmp_path / "late", "{strategy: canary, canary: {deadline: 50min}}")


def test_a_delivery_that_may_have_no_more_columns_has_no_more() -> None:
    assert PredictionLines.of(config_of()).tells_arm
    strict = config_of().model_copy(
        update={"validation": TUMOUR.validation.model_copy(update={"extra_columns": "halt"})}
    )
    assert not PredictionLines.of(strict).tells_arm
    assert not PredictionLines.of(TUMOUR).tells_arm


# ----------------------------------------------------------------------------------------------------------- figures


def test_what_each_arm_did_is_counted_for_the_guards_and_a_baseline_is_that_of_one_canary(running: Running) -> None:
    running.canary(0.5, loaded(NEXT, 0.75))
    for number in range(20):
        running.ask(f"customer-{number}")
    running.canary(0.5, loaded("9", 0.5, raises=ZeroDivisionError), version="9")
    running.ask(key_of("canary", 0.5, "9"))
    running.ask(key_of("baseline", 0.5, "9"))
    told = running.client.get("/figures").json()["total"]
    n_of = {(one["version"], one["arm"]): (one["requests"], one["errors"], one["rows"]) for one in told}
    n_canary = sum(arm_of(f"customer-{number}", 0.5, NEXT) == "canary" for number in range(20))
    assert n_of == {
        (NEXT, "canary"): (n_canary, 0, n_canary),
        (CHAMPION, f"baseline/{NEXT}"): (20 - n_canary, 0, 20 - n_canary),
        ("9", "canary"): (1, 1, 0),
        (CHAMPION, "champion"): (1, 0, 1),
        (CHAMPION, "baseline/9"): (1, 0, 1),
    }
