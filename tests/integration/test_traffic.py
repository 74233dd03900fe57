"""A release ends at what answers requests: the service is asked until it answers with the version of the ledger.

``answering`` stands in for the service where it has to stay behind or to lie; tests/integration/test_serving.py asks
the real one.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from typer.testing import CliRunner

from conftest import free_port
from logs import day
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig, load_model
from perennial.contracts import Decision, LedgerEntry, to_record
from perennial.errors import ServiceBehind
from perennial.orchestration import errors
from perennial.orchestration.tasks import guard, maintenance
from perennial.pipeline import Case
from perennial.registry import Registry, delete_alias, set_alias
from perennial.release.traffic import ask
from perennial.settings import Settings
from perennial.store import Store
from releases import made_stable, make_version, released, signed

pytestmark = pytest.mark.usefixtures("as_pipeline")


@dataclass
class Service:
    """What a scoring service says, since when, and to whom."""

    model: str
    version: str | None
    key: str | None = None
    url: str = ""
    since: float = field(default_factory=time.time)

    def follow(self, version: str) -> None:
        self.version, self.since = version, time.time()


@contextmanager
def answering(service: Service) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            let_in = service.key is None or self.headers.get("authorization") == f"Bearer {service.key}"
            told: dict[str, Any] = {"model": service.model, "version": service.version}
            self.send_response(200 if let_in else 401)
            self.end_headers()
            told["for_s"] = time.time() - service.since
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield service
        server.shutdown()


@pytest.fixture
def quick(wine: ModelConfig, models_dir: Path) -> ModelConfig:
    path = models_dir / wine.model / "model.yaml"
    path.write_text(f"{path.read_text(encoding='utf-8')}serving: {{follow_within_s: 0.5}}\n", encoding="utf-8")
    return load_model(path.parent)


@pytest.fixture
def case(
    quick: ModelConfig, store: Store, mlflow_uri: str, home: Path, models_dir: Path, database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Case:  # fmt: skip
    """Version 1 has passed its bake, version 2 is champion, and a service answers somewhere."""
    for name, value in (
        *(("PERENNIAL_DATABASE_URL", database_url), ("MLFLOW_TRACKING_URI", mlflow_uri)),
        *(("PERENNIAL_HOME", str(home)), ("PERENNIAL_MODELS_DIR", str(models_dir))),
    ):
        monkeypatch.setenv(name, value)
    registry = Registry(mlflow_uri)
    first, second = (make_version(quick, registry, content) for content in ("one", "two"))
    made_stable(quick, first, None, 6, store=store, registry=registry)
    released(quick, signed(quick, registry, second, first, 12), store=store, registry=registry)
    return Case(config=quick, store=store, registry=registry, settings=Settings(home=home))


def served_at(case: Case, url: str, key: str | None = None) -> Case:
    urls = {"serving_urls": f"{case.model}={url}", "serving_key": key}
    return replace(case, settings=Settings(home=case.settings.home, **urls))


def roll_back(case: Case) -> None:
    case.roll_back(actor="ada", reason="test", at=day(17).end, run_id="by hand")


def followed(case: Case) -> tuple[LedgerEntry, ...]:
    return ledger.entries(case.store, case.model, kinds=["traffic"])


def test_nothing_is_asked_where_nobody_said_what_serves(case: Case) -> None:
    assert case.verify_traffic() is None
    assert followed(case) == ()


def test_the_ledger_keeps_the_seconds_until_the_service_had_the_version(case: Case) -> None:
    with answering(Service(case.model, "2", key="pk_of_the_stack")) as service:
        here = served_at(case, service.url, "pk_of_the_stack")
        roll_back(here)
        late = threading.Timer(0.2, service.follow, ["1"])
        late.start()
        made = here.verify_traffic()
        late.join()
        assert made is not None
        assert (made.kind, made.version, made.payload["release"]) == (
            *("traffic", "1"),
            ledger.entries(case.store, case.model, kinds=["rollback"])[-1].entry_id,
        )
        assert 0.2 <= made.payload["seconds"] < 5
        assert f"{made.payload['seconds']:.1f} s after the decision" in made.reason
        time.sleep(0.3)  # whoever looks later finds the same: of the service, and in the ledger
        assert here.verify_traffic() == made
        assert followed(case) == (made,)


def test_a_look_that_comes_late_measures_nothing_longer(case: Case) -> None:
    with answering(Service(case.model, "2")) as service:
        here = served_at(case, service.url)
        began = time.monotonic()
        roll_back(here)
        service.follow("1")
        time.sleep(1)
        made = here.verify_traffic()
        assert made is not None
        assert made.payload["seconds"] <= time.monotonic() - began - 0.9


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "answers with version 2"),
        ({"version": None}, "answers with no version"),
        ({"model": "another", "version": "1"}, "answers for another"),
        ({"version": "1", "key": "pk_other"}, "answers 401"),
        ({"gone": True}, "can not be asked (ConnectError)"),
    ],
)
def test_a_service_that_is_behind_is_told_and_undoes_nothing(case: Case, changes: dict[str, Any], told: str) -> None:
    gone = changes.get("gone", False)
    said = {"model": case.model, "version": "2"} | {name: to for name, to in changes.items() if name != "gone"}
    with answering(Service(**said)) as service:
        here = served_at(case, f"http://127.0.0.1:{free_port()}" if gone else service.url)
        roll_back(here)
        with pytest.raises(ServiceBehind) as raised:
            here.verify_traffic()
    assert f"version 1 is champion, and the service at {here.settings.serving_url(case.model)} {told}" in str(
        raised.value
    )
    assert "the rollback stands" in str(raised.value)
    assert followed(case) == ()
    assert (here.verify().champion, here.state().rolled_back) == ("1", {"2"})


def test_one_of_several_processes_that_is_behind_is_found(case: Case) -> None:
    class Half(Service):
        asked = 0

        @property
        def version(self) -> str:
            Half.asked += 1
            return "1" if Half.asked % 3 else "2"

        @version.setter
        def version(self, _: str) -> None:
            pass

    with answering(Half(case.model, "1")) as service:
        here = served_at(case, service.url)
        roll_back(here)
        with pytest.raises(ServiceBehind):
            here.verify_traffic()


def test_a_repair_ends_by_what_answers_and_by_nobody_who_does_not(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def repaired() -> tuple[int, str]:
        done = CliRunner().invoke(app, ["repair", case.model])
        return done.exit_code, done.output + done.stderr

    assert repaired() == (0, f"{case.model}: ledger and registry agree\n")
    with answering(Service(case.model, "2")) as service:
        monkeypatch.setenv("PERENNIAL_SERVING_URLS", f"{case.model}={service.url}")
        assert repaired() == (0, f"{case.model}: ledger, registry and service agree\n")
        service.version = None
        code, said = repaired()
        told = "answers with no version"
        assert (code, told in said, said.startswith("to be mended: ")) == (1, True, True), said
        pushed = SimpleNamespace(xcom_push=lambda *_: None)
        monkeypatch.setattr(errors, "get_current_context", lambda: {"ti": pushed})
        with pytest.raises(AirflowFailException, match=told):
            maintenance.check_releases.function()
    code, said = repaired()
    assert (code, said.startswith("not known: "), "can not be asked (ConnectError)" in said) == (0, True, True), said
    maintenance.check_releases.function()
    assert ledger.entries(case.store, case.model, kinds=["integrity"]) == ()


@pytest.mark.parametrize("alias", ["champion", "stable"])
def test_the_guard_notices_an_alias_that_no_release_moved_and_none_that_a_release_has_begun_to(
    case: Case, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked() -> tuple[str, int]:
        return guard.look.function(case.model), len(ledger.entries(case.store, case.model, kinds=["integrity"]))

    roll_back(case)
    assert looked() == ("idle", 0), "a release moves aliases, too"
    set_alias(case.registry, case.model, alias, "2")
    with monkeypatch.context() as begun:
        pending = replace(case.state(), pending=ledger.entries(case.store, case.model)[-1])
        begun.setattr(Case, "state", lambda _: pending)
        assert looked() == ("idle", 0)
    assert looked() == ("idle", 1)
    assert looked() == ("idle", 1)
    if alias == "champion":
        delete_alias(case.registry, case.model, alias)
        assert looked() == ("idle", 2)


def test_the_seconds_of_a_decision_count_from_the_decision_on(case: Case) -> None:
    decision = Decision(
        model=case.model, window=day(16), action="rollback", reasons=("the bake failed",), champion="2", bake="failed",
        decision_id=(name := f"decision-{case.model}"),
    )  # fmt: skip
    ledger.append(
        case.store,
        LedgerEntry(
            entry_id=name, model=case.model, kind="decision", at=day(16).end, actor="policy", reason="test",
            payload={"decision": to_record(decision), "batch_ids": [], "signals": []},
        ),
    )  # fmt: skip
    began = time.monotonic()
    with answering(Service(case.model, "2")) as service:
        here = served_at(case, service.url)
        time.sleep(1)
        here.carry_out(name)
        with pytest.raises(ServiceBehind):
            here.verify_traffic()
        passed_s = time.monotonic() - began
        service.follow("1")
        made = here.verify_traffic()
        assert made is not None
        assert abs(made.payload["seconds"] - passed_s) < 0.8, "a second lies between the decision and the rollback"


def test_the_command_says_who_is_champion_and_fails_when_requests_do_not_see_it(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(Service(case.model, "2")) as service:
        monkeypatch.setenv("PERENNIAL_SERVING_URLS", f"{case.model}={service.url}")
        ran = CliRunner().invoke(app, ["rollback", case.model, "--reason", "test"])
        assert (ran.exit_code, "champion is version 1 again" in ran.stdout) == (1, True), ran.output
        assert "ServiceBehind" in ran.stderr
        assert ask(service.url, case.model).version == "2"
