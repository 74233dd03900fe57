"""A service as it runs: it follows the alias, what it logs is ingested, and a kill under load loses no answer.

All tests of this file share one service, in order; the last one kills it.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import schemathesis
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.generation import GenerationMode
from sklearn.dummy import DummyClassifier

from conftest import free_port, unique_model
from ingesting import published
from perennial import ledger
from perennial.config import ModelConfig, load_model
from perennial.config.release.canary import Canary as CanaryRules
from perennial.config.release.declared import Releases
from perennial.config.release.guards import Guards
from perennial.contracts import Signoff, SourceKind
from perennial.contracts.tags import CANARY, CHALLENGER, CHAMPION, DIGEST_TAG, SHARE_TAG
from perennial.ingest.stage import stage
from perennial.pipeline import Case
from perennial.pipeline.guarded import notice
from perennial.pipeline.mending import repair as repair_all
from perennial.publishing.publish import publish
from perennial.recipes import boosting
from perennial.registry import Registry, set_alias
from perennial.registry.versions import delete_alias, set_version_tags
from perennial.release import traffic
from perennial.release.canary.ramp import Look, look
from perennial.release.guarded.asking import ask
from perennial.release.promote import promote
from perennial.release.reconcile import repair
from perennial.serving.arms.routing import ROUTING_KEY, arm_of, in_shadow
from perennial.settings import Settings
from perennial.store import Store
from perennial.store.tables import ensure_data_tables
from perennial.validation.audit import audit
from releases import in_ledger, made_stable, signed
from serving import Served, fitted, logged, registered, rows, serving

pytestmark = pytest.mark.xdist_group("serving")
GIVES_WAY_S = 180.0
"""The process that scores gives way to all others: on a busy machine it takes a while."""
SHADOW = """\
  shadow: {kind: files, format: jsonl, uri: "{home}/landing/wine_cultivar/shadow/{start:%Y-%m-%d}/*.jsonl"}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A model whose champion is version 1; version 2 is a better one, version 3 has files that nobody registered."""

    config: ModelConfig
    registry: Registry
    models_dir: Path
    home: Path

    def landing(self, source: SourceKind) -> Path:
        return self.home / "landing" / "wine_cultivar" / source


@pytest.fixture(scope="module")
def site(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("serving")
    (folder / "models").mkdir()
    name = unique_model(folder / "models", "wine_cultivar").model
    path = folder / "models" / name / "model.yaml"
    text = path.read_text(encoding="utf-8").replace("columns: {", f"{SHADOW}columns: {{", 1)
    rules = "serving: {poll_s: 0.1, rotate_s: 0.5, shadow: {share: 0.5}}\nrelease: {strategy: canary}\n"
    path.write_text(f"{text}{rules}", encoding="utf-8")

    config, registry = load_model(path.parent), Registry(mlflow_uri)
    made = [registered(config, registry, fitted(config, boosting("multiclass", seed=0, max_iter=n))) for n in (3, 4, 5)]
    assert made == ["1", "2", "3"]
    set_version_tags(registry, name, "3", {DIGEST_TAG: "0" * 64})
    set_alias(registry, name, CHAMPION, "1")
    return Site(config, registry, folder / "models", folder / "home")


@pytest.fixture(scope="module")
def served(site: Site, mlflow_uri: str) -> Iterator[Served]:
    with serving(site.config, site.models_dir, site.home, mlflow_uri) as running:
        yield running


def test_what_was_answered_is_ingested_as_it_was_answered(site: Site, served: Served, store: Store) -> None:
    sent = rows(site.config, 60)
    said = served.client.post("/predict", json={"rows": sent}).json()
    assert (said["model"], said["version"], said["logged"]) == (site.config.model, "1", True)
    answers = {one["prediction_id"]: one for one in said["predictions"]}
    truths = [{"prediction_id": name, "label": "barolo"} for name in answers]
    assert served.client.post("/labels", json={"labels": truths}).json()["n_labels"] == len(sent)
    served.wait_for(lambda: len(logged(site.landing("labels"))) == len(sent), within_s=10)
    served.wait_for(lambda: len(logged(site.landing("predictions"))) == len(sent), within_s=10)

    ensure_data_tables(store, site.config)
    for source in ("predictions", "labels"):
        (folder,) = site.landing(source).iterdir()
        window = site.config.schedule.window_of(_moment(logged(folder)[0]))
        batch = stage(site.config, window, source, store=store, home=site.home)
        verdict = audit(site.config, batch, store=store)
        done = publish(site.config, batch, verdict, store=store)
        assert (verdict.verdict, done.n_published, done.n_quarantined) == ("publish", len(sent), 0), verdict
    found = published(site.config, store).set_index("prediction_id")
    assert {name: (row["score"], row["predicted"]) for name, row in found.iterrows()} == {
        name: (one["score"], one["predicted"]) for name, one in answers.items()
    }
    assert set(found["model_version"]) == {"1"}
    assert set(found["role"]) == {"champion"}
    for name, row in zip(answers, sent, strict=True):
        assert {
            key: None if found.loc[name, key] != found.loc[name, key] else found.loc[name, key] for key in row
        } == row
    assert set(published(site.config, store, "labels")["label"]) == {"barolo"}


def _moment(line: dict[str, str]) -> datetime:
    return datetime.fromisoformat(line.get("event_time") or line["labelled_at"])


def test_it_follows_the_alias_without_an_error(site: Site, served: Served) -> None:
    body, seen, codes = {"rows": rows(site.config, 1)}, [], []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.client.base_url, timeout=30) as client:
            while not ended.is_set():
                answer = client.post("/predict", json=body)
                codes.append(answer.status_code)
                seen.append(answer.json().get("version"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        set_alias(site.registry, site.config.model, CHAMPION, "2")
        served.wait_for(lambda: served.model()["version"] == "2", within_s=15)
    finally:
        ended.set()
        asking.join()
    assert set(codes) == {200}
    assert [*dict.fromkeys(seen)] in (["1"], ["1", "2"])
    assert served.client.post("/predict", json=body).json()["version"] == "2"
    assert served.model()["predictor"] == "trees"
    assert 'perennial_swaps_total{outcome="loaded"} 2.0' in served.client.get("/metrics").text
    found = traffic.ask(str(served.client.base_url).rstrip("/"), site.config.model)
    assert (found.version, found.problem) == ("2", None)
    assert 0 <= found.for_s < 60


def test_files_that_nobody_registered_are_not_served(site: Site, served: Served) -> None:
    set_alias(site.registry, site.config.model, CHAMPION, "3")
    served.wait_for(lambda: served.ready()["status"] == "degraded", within_s=15)
    told = served.ready()["problems"]["champion_not_loaded"]
    assert told.startswith("version 3 is champion and was not loaded; version 2 answers:")
    assert "they were changed after the version was registered" in told
    assert served.client.get("/readyz").status_code == 200
    assert 'perennial_swaps_total{outcome="failed"}' in served.client.get("/metrics").text
    assert served.client.post("/predict", json={"rows": rows(site.config, 1)}).json()["version"] == "2"
    set_alias(site.registry, site.config.model, CHAMPION, "2")
    served.wait_for(lambda: served.ready()["status"] == "ready", within_s=15)


def test_a_moved_alias_is_noticed_and_a_repair_holds_the_service_against_the_ledger(
    site: Site, served: Served, store: Store
) -> None:
    name, there = site.config.model, {"store": store, "registry": site.registry}
    delete_alias(site.registry, name, CHAMPION)
    made_stable(site.config.model_copy(update={"release": Releases()}), "2", None, 0, **there)
    settings = Settings(home=site.home, serving_urls=f"{name}={served.client.base_url}")
    case = Case(config=site.config, settings=settings, **there)
    served.wait_for(lambda: served.model()["champion"] == "2", within_s=15)
    assert (notice(case), repair_all(case)) == ((), ())

    set_alias(site.registry, name, CHAMPION, "1")
    served.wait_for(lambda: served.model()["version"] == "1", within_s=15)
    (moved,) = notice(case)
    assert "alias champion is on version 1, the ledger's champion is version 2" in moved
    (entry,) = ledger.entries(store, name, kinds=["integrity"])
    assert (entry.payload["alias"], entry.payload["found"]) == ("champion", "1")
    at_once = site.config.model_copy(
        update={"serving": site.config.serving.model_copy(update={"follow_within_s": 0.1})}
    )
    told = repair_all(replace(case, config=at_once))
    assert [one.mended for one in told] == [False, False]
    assert "version 2 is champion in the ledger" in told[1].said
    assert "answers with version 1" in told[1].said
    (reverted,) = repair_all(case, moved_alias="revert")
    assert (reverted.mended, served.model()["version"]) == (True, "2"), "and the service was waited for"
    delete_alias(site.registry, name, CHAMPION)
    served.wait_for(lambda: "no_champion_named" in served.ready()["problems"], within_s=15)
    assert "alias champion is gone" in notice(case)[0]
    set_alias(site.registry, name, CHAMPION, "2")
    served.wait_for(lambda: served.ready()["status"] == "ready", within_s=15)


def test_the_challenger_answers_in_the_shadow_and_what_it_does_hurts_nobody(
    site: Site, served: Served, store: Store
) -> None:
    assert served.model()["challenger"] == {"named": None, "version": None, "predictor": None, "share": 0.5}
    set_alias(site.registry, site.config.model, CHALLENGER, "1")
    served.wait_for(lambda: served.model()["challenger"]["version"] == "1", within_s=GIVES_WAY_S)
    said = served.client.post("/predict", json={"rows": rows(site.config, 60, seed=3)}).json()
    assert said["version"] == "2"
    answers = {one["prediction_id"]: one for one in said["predictions"]}
    chosen = {name for name in answers if in_shadow(name, 0.5)}
    assert 10 < len(chosen) < 50
    served.wait_for(lambda: len(logged(site.landing("shadow"))) == len(chosen), within_s=GIVES_WAY_S)
    served.wait_for(lambda: f'perennial_shadow_rows_total{{outcome="logged"}} {len(chosen)}.0' in figures(served))

    (folder,) = site.landing("shadow").iterdir()
    served.wait_for(lambda: chosen <= {line["prediction_id"] for line in logged(site.landing("predictions"))})
    own = {line["prediction_id"]: line for line in logged(site.landing("predictions"))}
    for line in logged(folder):
        mine = own[line["prediction_id"]]
        assert (line["model_version"], mine["model_version"]) == ("1", "2")
        assert {key: line[key] for key in ("event_time", *site.config.features)} == {
            key: mine[key] for key in ("event_time", *site.config.features)
        }
    assert any(line["score"] != own[line["prediction_id"]]["score"] for line in logged(folder))

    ensure_data_tables(store, site.config)
    window = site.config.schedule.window_of(_moment(logged(folder)[0]))
    batch = stage(site.config, window, "shadow", store=store, home=site.home)
    done = publish(site.config, batch, audit(site.config, batch, store=store), store=store)
    assert (done.n_published, done.n_quarantined) == (len(chosen), 0)
    found = published(site.config, store).set_index("prediction_id").loc[sorted(chosen)]
    assert set(found["role"]) == {"shadow"}

    set_alias(site.registry, site.config.model, CHALLENGER, "3")  # whose files nobody registered
    served.wait_for(lambda: "challenger_not_loaded" in served.ready()["problems"], within_s=GIVES_WAY_S)
    assert served.client.get("/readyz").status_code == 200
    (scoring,) = [one for one in psutil.Process(served.process.pid).children() if "scoring" in " ".join(one.cmdline())]
    scoring.kill()
    served.wait_for(lambda: "shadow_not_scored" in served.ready()["problems"], within_s=GIVES_WAY_S)
    answer = served.client.post("/predict", json={"rows": rows(site.config, 60, seed=4)})
    assert (answer.status_code, answer.json()["version"], answer.json()["logged"]) == (200, "2", True)
    delete_alias(site.registry, site.config.model, CHALLENGER)
    served.wait_for(lambda: served.ready()["status"] == "ready", within_s=GIVES_WAY_S)
    assert len(logged(site.landing("shadow"))) == len(chosen)


def test_a_canary_answers_the_share_that_its_tag_says_and_is_away_when_its_alias_is(site: Site, served: Served) -> None:
    none = {"named": None, "version": None, "predictor": None, "share": 0.0}
    assert served.model()["canary"] == none
    set_version_tags(site.registry, site.config.model, "1", {SHARE_TAG: "0.5"})
    set_alias(site.registry, site.config.model, CANARY, "1")
    served.wait_for(lambda: served.model()["canary"]["version"] == "1", within_s=GIVES_WAY_S)
    body, said = {"rows": rows(site.config, 2, seed=6)}, {}
    for key in map(str, range(30)):
        answer = served.client.post("/predict", json=body, headers={ROUTING_KEY: key}).json()
        said[key] = (answer["arm"], answer["version"])
    assert said == {key: (arm := arm_of(key, 0.5, "1"), "1" if arm == "canary" else "2") for key in said}
    n_of = Counter(arm for arm, _ in said.values())
    counted = {(one["arm"], one["version"]): one["rows"] for one in served.client.get("/figures").json()["total"]}
    assert counted["canary", "1"] == 2 * n_of["canary"] > 0
    assert counted["baseline/1", "2"] == 2 * n_of["baseline"] > 0
    landing = site.landing("predictions")
    served.wait_for(lambda: sum(line["role"] == "canary" for line in logged(landing)) == 2 * n_of["canary"])
    assert {line["model_version"] for line in logged(landing) if line["role"] == "canary"} == {"1"}
    set_version_tags(site.registry, site.config.model, "1", {SHARE_TAG: "0"})
    served.wait_for(lambda: served.model()["canary"]["share"] == 0, within_s=15)
    set_alias(site.registry, site.config.model, CANARY, "3")  # whose files nobody registered
    served.wait_for(lambda: "canary_not_loaded" in served.ready()["problems"], within_s=15)
    set_version_tags(site.registry, site.config.model, "3", {SHARE_TAG: "1"})
    served.wait_for(lambda: served.model()["canary"]["share"] == 1, within_s=15)
    assert served.client.post("/predict", json=body).json()["version"] == "2"
    delete_alias(site.registry, site.config.model, CANARY)
    served.wait_for(lambda: served.model()["canary"] == none, within_s=15)


LIVE = Releases(
    strategy="canary",
    canary=CanaryRules(shares=[50, 100], every=timedelta(milliseconds=1), min_rows=50, deadline=timedelta(hours=1)),
    # no guard of time on a machine that does much else
    guards=Guards(
        confidence=0.9, max_error_rise=0.2, max_latency_ratio=None, max_score_distance=0.4, max_missing_rise=0.4
    ),
)


def sent(site: Site, served: Served, names: Iterable[str]) -> list[tuple[str, str]]:
    """Single rows, each under a key of its own: arm and version of each answer."""
    bodies, found = [{"rows": [row]} for row in rows(site.config, 8, seed=11)], []
    for number, name in enumerate(names):
        answer = served.client.post("/predict", json=bodies[number % 8], headers={ROUTING_KEY: name})
        assert answer.status_code == 200, answer.text
        found.append((answer.json()["arm"], answer.json()["version"]))
    return found


def test_a_canary_goes_from_its_first_share_to_office_and_the_next_one_is_taken_back_on_live_figures(
    site: Site, served: Served, store: Store
) -> None:
    config = site.config.model_copy(update={"release": LIVE})
    url, there = str(served.client.base_url).rstrip("/"), {"store": store, "registry": site.registry}

    def looked(signoff: Signoff) -> Look:
        figures = ask(url, site.config).total
        return look(config, signoff.signoff_id, figures, now=datetime.now(UTC), **there)

    def serves(champion: str, canary: str | None, share: float) -> bool:
        said = served.model()
        return (said["version"], said["canary"]["version"], said["canary"]["share"]) == (champion, canary, share)

    def halved(version: str, champion: str, names: list[str]) -> None:
        said = sent(site, served, names)
        arms = [arm_of(name, 0.5, version) for name in names]
        assert said == [(arm, version if arm == "canary" else champion) for arm in arms]
        n_of, n_all = Counter(arms), len(names)
        assert n_of["canary"] + n_of["baseline"] == n_all
        assert abs(n_of["canary"] - n_all / 2) < 4 * (n_all / 4) ** 0.5, "within four standard errors of a binomial"

    delete_alias(site.registry, config.model, CHAMPION)
    made_stable(config.model_copy(update={"release": Releases()}), "2", None, 0, **there)
    good = registered(config, site.registry, fitted(config, boosting("multiclass", seed=0, max_iter=4)))
    bad = registered(config, site.registry, fitted(config, DummyClassifier()))  # every row alike
    first = in_ledger(signed(config, site.registry, good, "2"), store)
    assert looked(first).state == "waiting"
    served.wait_for(lambda: serves("2", good, 0.5), within_s=GIVES_WAY_S)
    halved(good, "2", [f"first-{number}" for number in range(300)])
    grown = looked(first)
    assert (grown.state, "answers 100 % of the requests" in grown.reason) == ("waiting", True), grown
    served.wait_for(lambda: serves("2", good, 1.0), within_s=15)
    assert set(sent(site, served, map(str, range(50)))) == {("canary", good)}
    assert looked(first).state == "passed"
    assert promote(config, first.signoff_id, **there).version == good
    served.wait_for(lambda: serves(good, None, 0.0), within_s=GIVES_WAY_S)
    assert set(sent(site, served, map(str, range(9)))) == {("champion", good)}

    second = in_ledger(signed(config, site.registry, bad, good, 12), store)
    assert looked(second).state == "waiting"
    served.wait_for(lambda: serves(good, bad, 0.5), within_s=GIVES_WAY_S)
    halved(bad, good, [f"second-{number}" for number in range(200)])
    taken_back = looked(second)
    assert taken_back.state == "taken_back"
    assert "was taken back: guard/score" in taken_back.reason
    served.wait_for(lambda: serves(good, None, 0.0), within_s=15)
    assert set(sent(site, served, map(str, range(9)))) == {("champion", good)}
    state = ledger.release_state(store, config.model)
    assert (state.champion, state.rolled_back) == (good, {bad})
    assert repair(config, **there) == ()


def as_written(config: ModelConfig, body: Any) -> Any:
    """What JSON Schema can not say of rows: a whole number has no point, and an id stands once."""
    found = body.get("rows") if isinstance(body, dict) else None
    taken: set[str] = set()
    for number, row in enumerate(row for row in found or () if isinstance(row, dict)):
        for name, spec in config.features.items():
            value = row.get(name)
            if spec.type == "int" and isinstance(value, float) and value.is_integer():
                row[name] = int(value)
        if isinstance(name := row.get("prediction_id"), str):
            row["prediction_id"] = f"{name[:190]}-{number}" if name in taken else name
            taken.add(name)
    return body


def test_schemathesis_finds_nothing_in_what_the_service_says_of_itself(site: Site, served: Served) -> None:
    """Its examples, the edges of each value and method, and made-up requests, allowed and not: the same every time."""
    described = schemathesis.openapi.from_url(f"{served.client.base_url}/openapi.json")
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    described.config.generation.update(max_examples=15, deterministic=True, database="none", modes=modes)
    described.config.phases.stateful.enabled = False
    described.hook("map_body")(lambda _, body: as_written(site.config, body))
    checked, wrong = Counter[str](), []
    for event in from_schema(described).execute():
        assert not isinstance(event, FatalError | NonFatalError), event
        if isinstance(event, ScenarioFinished):
            for name, checks in event.recorder.checks.items():
                checked[event.recorder.label] += len(checks)
                broken = [one.failure_info.failure for one in checks if one.failure_info is not None]
                wrong += [(event.recorder.interactions[name].request, failure) for failure in broken]
    assert wrong == []
    assert set(checked) == {
        f"{method.upper()} {path}" for path, one in described.raw_schema["paths"].items() for method in one
    }
    assert min(checked["POST /predict"], checked["POST /labels"]) > 400, checked
    assert served.ready()["status"] == "ready"


def figures(served: Served) -> str:
    return served.client.get("/metrics").text


def test_a_kill_under_load_loses_no_answer_and_it_comes_back_without_the_registry(site: Site, served: Served) -> None:
    answered: list[str] = []
    enough, serves = threading.Event(), served.model()["version"]

    def ask(seed: int) -> None:
        body = {"rows": rows(site.config, 3, seed=seed)}
        with httpx.Client(base_url=served.client.base_url, timeout=30) as client, suppress(httpx.TransportError):
            while True:
                said = client.post("/predict", json=body).json()
                answered.extend(one["prediction_id"] for one in said["predictions"])
                if len(answered) > 1_500:
                    enough.set()

    asking = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in asking:
        thread.start()
    assert enough.wait(60)
    served.kill()
    for thread in asking:
        thread.join()
    spool = site.home / "serving" / site.config.model / "spool"
    (left,) = [path for path in spool.glob("predictions__*.open")] or [None]
    assert left is not None
    with left.open("ab") as torn:
        torn.write(b'{"prediction_id":"half a li')

    with serving(site.config, site.models_dir, site.home, f"http://127.0.0.1:{free_port()}") as again:
        assert again.model()["loaded_from"] == "cache"
        assert again.ready()["status"] == "degraded"
        assert "registry_silent" in again.ready()["problems"]
        assert again.client.post("/predict", json={"rows": rows(site.config, 1)}).json()["version"] == serves
        lines = logged(site.landing("predictions"))
    ids = [line["prediction_id"] for line in lines]
    assert set(answered) - set(ids) == set()
    made_up = [name for name in ids if re.fullmatch("[0-9a-f]{30}", name)]  # Schemathesis sends its own again
    assert set(answered) <= set(made_up)
    assert len(set(made_up)) == len(made_up)
    assert list(spool.glob("*.open")) == []
