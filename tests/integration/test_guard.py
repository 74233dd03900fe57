"""Guards without labels over real parts: a service, its requests, the ledger, the registry, and the one rollback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sklearn.dummy import DummyClassifier
from typer.testing import CliRunner

from canaries import figures_of
from conftest import free_port, unique_model
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig, load_model
from perennial.contracts import LedgerEntry
from perennial.errors import ConfigError, ReleaseError, ServiceBehind, ServiceSilent
from perennial.guards.figures import LATENCY_S, ArmFigures, score_edges
from perennial.pipeline import Case
from perennial.pipeline.guarded import Guarded, guard
from perennial.provenance.taken_back import taken_back
from perennial.recipes import boosting
from perennial.registry import Registry
from perennial.settings import Settings
from perennial.store import Store
from releases import made_stable, make_version, released, signed
from serving import fitted, registered, rows, serving

pytestmark = pytest.mark.usefixtures("as_pipeline")
NOW = datetime(2026, 11, 2, tzinfo=UTC)
EDGES = score_edges("multiclass")


def figures(version: str, *, n: int = 2000, place: int = 20, errors: int = 0, slow: int = 30, gone: int = 0) -> Any:
    """Figures of single rows whose scores and times all lie in one bin."""
    scores, latency = [0] * (len(EDGES) + 1), [0] * (len(LATENCY_S) + 1)
    scores[place], latency[slow] = n, n
    known: dict[str, Any] = {"errors": errors, "scores": tuple(scores), "latency": tuple(latency)}
    since, missing = NOW - timedelta(hours=1), {"malic_acid": gone}
    return figures_of(version, "champion", n, since=since, missing=missing, **known)


@dataclass
class Service:
    """What a scoring service says of itself and of its versions; ``code`` other than 200 is all it says. Once it gave
    its figures, it ``follows``."""

    model: str
    version: str
    recent: list[ArmFigures] = field(default_factory=list)
    code: int = 200
    url: str = ""
    follows: str | None = None


@contextmanager
def answering(service: Service) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told: dict[str, Any] = {"model": service.model, "version": service.version, "for_s": 0.0}
            told["recent"] = [asdict(one) for one in service.recent]
            self.send_response(service.code)
            self.end_headers()
            if self.path == "/figures" and service.follows is not None:
                service.version = service.follows
            self.wfile.write(json.dumps(told, default=str).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield service
        server.shutdown()


@pytest.fixture
def case(wine: ModelConfig, models_dir: Path, store: Store, mlflow_uri: str, home: Path) -> Case:
    """Version 1 has passed its bake, version 2 is in its own."""
    path = models_dir / wine.model / "model.yaml"
    path.write_text(f"{path.read_text(encoding='utf-8')}serving: {{follow_within_s: 0.1}}\n", encoding="utf-8")
    quick, registry = load_model(path.parent), Registry(mlflow_uri)
    first, second = (make_version(quick, registry, content) for content in ("one", "two"))
    made_stable(quick, first, None, 6, store=store, registry=registry)
    released(quick, signed(quick, registry, second, first, 12), store=store, registry=registry)
    return Case(config=quick, store=store, registry=registry, settings=Settings(home=home))


def looked(case: Case, service: Service, **rules: Any) -> Guarded:
    config = case.config
    if rules:
        guards = config.release.guards.model_copy(update=rules)
        config = config.model_copy(update={"release": config.release.model_copy(update={"guards": guards})})
    settings = Settings(home=case.settings.home, serving_urls=f"{case.model}={service.url}")
    return guard(replace(case, config=config, settings=settings), now=datetime.now(UTC))


def kept(case: Case) -> tuple[LedgerEntry, ...]:
    return ledger.entries(case.store, case.model, kinds=["guard"])


def test_figures_that_keep_their_bounds_change_nothing_and_are_kept_once(case: Case) -> None:
    with answering(Service(case.model, "2", [figures("2"), figures("1")])) as service:
        done = looked(case, service)
        assert (done.look.status, done.release) == ("ok", None), done.look.reason
        looked(case, service)
        (entry,) = kept(case)
        assert (entry.payload["status"], entry.payload["decision"]["action"], entry.version) == ("ok", "stay", "2")
        assert {signal["name"] for signal in entry.payload["signals"]} == {
            *("guard/error_rate", "guard/latency_median", "guard/latency_p99", "guard/score"),
            "guard/missing/malic_acid",
        }
        service.recent = [figures("2", n=20), figures("1")]
        assert looked(case, service).look.status == "undecided", "a few requests are no pass"
        service.recent = [figures("1")]
        assert looked(case, service).look.status == "unseen"
    assert [entry.payload["status"] for entry in kept(case)] == ["ok", "undecided", "unseen"]
    assert (case.state().champion, case.state().in_bake) == ("2", True)


BAD: list[tuple[ArmFigures, str, dict[str, float]]] = [
    (figures("2", errors=200), "guard/error_rate", {"max_error_rise": 0.5}),
    (figures("2", slow=40), "guard/latency_p99", {"max_latency_ratio": 50.0}),
    (figures("2", gone=1000), "guard/missing/malic_acid", {"max_missing_rise": 0.9}),
    (figures("2", place=45), "guard/score", {"max_score_distance": 1.0}),
]


def test_one_breach_of_any_guard_rolls_back_by_the_one_path_with_its_hold(case: Case) -> None:
    with answering(Service(case.model, "2")) as service:
        for bad, name, bound in BAD:
            service.recent = [bad, figures("1")]
            assert looked(case, service, **bound).look.status == "ok", name
            told = looked(case, service, on_breach="report")
            assert (told.look.status, told.release, case.state().champion) == ("breached", None, "2")
            assert kept(case)[-1].payload["decision"]["action"] == "stay"
            assert name in told.look.reason
        service.follows = "1"
        name = BAD[-1][1]
        done = looked(case, service)
        assert done.look.status == "breached"
        assert looked(case, service).look.status == "idle", "the version that came back is in no bake"
    assert done.release is not None
    assert (done.release.version, done.release.previous) == ("1", "2")
    assert done.followed is not None, "verified at traffic"
    state = case.verify()
    assert (state.champion, state.rolled_back, len(state.holds)) == ("1", {"2"}, 1)
    (rollback,) = ledger.entries(case.store, case.model, kinds=["rollback"])
    assert (rollback.actor, rollback.payload["decision_id"]) == ("policy", kept(case)[-1].entry_id)
    assert name in rollback.reason
    assert "without labels" in rollback.reason
    assert name in {breach.name for breach in taken_back(case).signals}


def test_a_service_without_figures_is_its_own_status_and_red(case: Case) -> None:
    nobody = Service(case.model, "2", url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceSilent, match="can not be asked for its figures"):
        looked(case, nobody)
    for changes, told in (
        ({"code": 503}, "answers /figures with 503"),
        ({"model": "another"}, "answers for another"),
        ({"recent": [replace(figures("2"), scores=(1, 2))]}, "on another grid"),
    ):
        said: dict[str, Any] = {"model": case.model, "version": "2"} | changes
        with answering(Service(**said)) as service, pytest.raises(ServiceSilent, match=told):
            looked(case, service)
    (entry,) = kept(case)
    assert (entry.payload["status"], case.state().champion) == ("unreachable", "2")


def test_a_service_that_stays_behind_guards_nothing_and_without_a_bake_nothing_is_asked(case: Case) -> None:
    with answering(Service(case.model, "1", [figures("2"), figures("1")])) as service:
        threading.Event().wait(0.2)  # serving.follow_within_s
        with pytest.raises(ServiceBehind, match="answers with version 1: nobody guards the bake"):
            looked(case, service)
    assert kept(case) == ()
    with pytest.raises(ConfigError, match="PERENNIAL_SERVING_URLS"):
        guard(case, now=NOW)
    case.roll_back(actor="ada", reason="test", at=NOW, run_id="by hand")
    assert looked(case, Service(case.model, "1", url="http://127.0.0.1:9")).look.status == "idle"


def test_a_first_version_has_nothing_to_go_back_to_and_says_so(
    wine: ModelConfig, store: Store, mlflow_uri: str, home: Path
) -> None:
    registry = Registry(mlflow_uri)
    only = make_version(wine, registry, "one")
    released(wine, signed(wine, registry, only, None), store=store, registry=registry)
    case = Case(config=wine, store=store, registry=registry, settings=Settings(home=home))
    with (
        answering(Service(wine.model, "1", [figures("1", errors=200)])) as service,
        pytest.raises(ReleaseError, match="nothing to go back to"),
    ):
        looked(case, service)
    assert kept(case)[-1].payload["status"] == "breached"


@pytest.mark.xdist_group("serving")
def test_a_version_whose_scores_are_wrong_is_gone_within_one_look_and_without_a_label(
    store: Store, mlflow_uri: str, home: Path, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2 answers every row alike; the real service counts it, and ``perennial guard`` takes it back."""
    models = tmp_path / "models"
    models.mkdir()
    name = unique_model(models, "wine_cultivar").model
    path = models / name / "model.yaml"
    path.write_text(f"{path.read_text(encoding='utf-8')}serving: {{poll_s: 0.1}}\n", encoding="utf-8")
    config, registry = load_model(path.parent), Registry(mlflow_uri)
    good = registered(config, registry, fitted(config, boosting("multiclass", seed=0, max_iter=3)))
    wrong = registered(config, registry, fitted(config, DummyClassifier(strategy="prior")))
    made_stable(config, good, None, 6, store=store, registry=registry)
    sent = {"rows": rows(config, 100)}
    with serving(config, models, home, mlflow_uri) as served:
        for row in sent["rows"]:
            assert served.client.post("/predict", json={"rows": [row]}).status_code == 200
        released(config, signed(config, registry, wrong, good, 12), store=store, registry=registry)
        served.wait_for(lambda: served.model()["version"] == wrong, within_s=30)
        for row in sent["rows"]:
            assert served.client.post("/predict", json={"rows": [row]}).json()["version"] == wrong
        for key, value in (
            *(("PERENNIAL_DATABASE_URL", database_url), ("MLFLOW_TRACKING_URI", mlflow_uri)),
            *(("PERENNIAL_HOME", str(home)), ("PERENNIAL_MODELS_DIR", str(models))),
            ("PERENNIAL_SERVING_URLS", f"{name}={served.client.base_url}"),
        ):
            monkeypatch.setenv(key, value)
        ran = CliRunner().invoke(app, ["guard", name])
        assert (ran.exit_code, "breached" in ran.stdout) == (1, True), ran.output
        assert f"champion is version {good} again (was {wrong})" in ran.stdout
        assert served.client.post("/predict", json={"rows": sent["rows"][:1]}).json()["version"] == good
    (rollback,) = ledger.entries(store, name, kinds=["rollback"])
    assert "guard/score" in rollback.reason
