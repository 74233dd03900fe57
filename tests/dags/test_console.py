"""The console over a real store, asked by people with Airflow's own logins: who sees what, who may do what."""

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import (
    Decision,
    LedgerEntry,
    Signoff,
    to_record,
)
from perennial.store import Store
from perennial.store.signals import save
from shown import HOSTILE, N_WINDOWS, in_quarantine, measured
from signed import EVALUATION, signoff

Ask = Callable[..., Any]


def write(store: Store, config: ModelConfig, kind: Any, number: int, entry_id: str, **given: Any) -> None:
    entry = LedgerEntry(
        entry_id=entry_id, model=config.model, kind=kind, at=day(number).end, actor=given.pop("actor", "policy"),
        reason=given.pop("reason", "test"), version=given.pop("version", None), payload=given,
    )  # fmt: skip
    ledger.append(store, entry)


def decided(store: Store, config: ModelConfig, number: int, action: str) -> None:
    decision = Decision(
        decision_id=f"d{number}", model=config.model, window=day(number), action=action,  # type: ignore[arg-type]
        reasons=(f"because {HOSTILE}",), champion="2", bake="passed",
    )  # fmt: skip
    given: dict[str, Any] = {"decision": to_record(decision), "batch_ids": [], "signals": []}
    write(store, config, "decision", number, f"d{number}", **given)


@pytest.fixture
def known(store: Store, wine: ModelConfig) -> ModelConfig:
    """A model with a champion, two versions that it can go back to, a hold, a review that waits, and six windows."""
    made = {"train": to_record(day(0)), "holdout": to_record(day(1))}
    for version, number in (("1", 0), ("2", 2)):
        write(store, wine, "promotion", number, f"p{version}", version=version, previous=None, intent="i", **made)
        write(store, wine, "bake", number + 1, f"b{version}", version=version, outcome="passed", windows=[])
    write(store, wine, "hold", 3, "h" * 32, reason=HOSTILE, stretch=to_record(day(1)), version="9")
    for number in range(N_WINDOWS):
        decided(store, wine, number, "halt" if number == 1 else "stay")
        save(store, measured(wine, number))
    by_shares(store, wine)
    waiting = asked_of(wine)
    judged = {"signoff": to_record(waiting), "evaluation": to_record(replace(EVALUATION, fit_cpu_s=12.5))}
    write(store, wine, "signoff", 4, waiting.signoff_id, version="3", **judged)
    return wine


def by_shares(store: Store, config: ModelConfig) -> None:
    """Version 5 answers a twentieth of the requests."""
    asked = {"signoff": "s", "step": 0, "share": 0.05, "n_rows": 0, "outcome": None, "strategy": "canary"}
    write(store, config, "canary_intent", 4, "ci", version="5", **asked)
    reason = "version 5 answers 5 % of the requests: approved"
    write(store, config, "canary", 4, "c", version="5", reason=reason, **asked, intent="ci")


def asked_of(config: ModelConfig) -> Signoff:
    return replace(signoff(), model=config.model, requested_by="carol")


def airflow_knows(config: ModelConfig) -> None:
    """The DAGs of a model stand in Airflow's tables, as its DAG processor writes them."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        session.merge(DagBundleModel(name="dags", version=None))
        session.flush()
        for kind in ("monitor", "retrain", "rollback"):
            session.merge(DagModel(dag_id=f"{config.model}__{kind}", bundle_name="dags", fileloc="dags"))


@pytest.fixture
def ask(
    airflow_login: Any, known: ModelConfig, store: Store, models_dir: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ask]:
    """A request to the console under the login of a user with a role of Airflow's, or without a login."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    from perennial.orchestration.console import answering
    from perennial.orchestration.console.app import app

    airflow_knows(known)
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", store.engine.url.render_as_string(hide_password=False))
    caches = (answering.store, answering.runtime)

    def asked(path: str, *, role: str | None = "viewer", name: str = "ada", form: Any = None, **headers: str) -> Any:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(app, root_path="/perennial")
            async with httpx.AsyncClient(transport=transport, base_url="http://airflow/perennial") as client:
                if role is not None:
                    user = SimpleAuthManagerUser(username=name, role=None if role == "stranger" else role)
                    client.cookies.set("_token", airflow_login.generate_jwt(user))
                url = path.replace("MODEL", known.model)
                if form is None:
                    return await client.get(url, headers=headers)
                return await client.post(url, data=form, headers=headers)

        return asyncio.run(answer())

    for cached in caches:
        cached.cache_clear()
    yield asked
    if answering.store.cache_info().currsize:
        answering.store().close()
    for cached in caches:
        cached.cache_clear()


def test_the_overview_says_what_waits_and_for_whom(ask: Ask) -> None:
    shown = ask("/")
    assert shown.status_code == 200
    for said in ("a candidate waits for its review", "drift/hue breached", "1 hold", "<svg", "0.85 (0.8 to 0.9)",
                 "version 5, canary with 5 % of the requests, since 20"):  # fmt: skip
        assert said in shown.text
    assert HOSTILE not in shown.text
    assert "You may see no model here." in ask("/", role="stranger").text


def test_a_model_has_its_figures_behind_its_curves_and_every_cell_leads_to_its_window(
    ask: Ask, known: ModelConfig
) -> None:
    shown = ask("/models/MODEL").text
    assert HOSTILE not in shown
    assert "The table below has every figure." in shown
    for said in ("2024-01-02 to 2024-01-03", "halted", "version 2 promoted", "bake of version 2 passed",
                 "released by shares", "version 5 answers 5 % of the requests: approved"):  # fmt: skip
        assert said in shown
    places = re.findall(r'href="/perennial(/models/[^"#]+/windows/[^"#]+)#drift/hue"', shown)
    assert len(places) == N_WINDOWS
    assert ask(places[-1]).status_code == 200
    assert shown == ask(f"/dags/{known.model}__retrain").text


def test_a_model_tells_labels_slices_fairness_costs_and_its_policy(ask: Ask, known: ModelConfig) -> None:
    shown = ask("/models/MODEL").text
    parts = {name: text for name, _, text in (part.partition("</h2>") for part in shown.split("<h2"))}
    labels = parts[' id="labels">Labels, as they came in']
    assert labels.count("40.0% after 0 days, 95.0% after 2 days") == N_WINDOWS - 1
    assert labels.count("found after 2 days") == N_WINDOWS - 1
    assert labels.count("not yet") == 1
    slices = parts[' id="slices">Slices']
    assert "accuracy/cellar=&lt;north&gt;" in slices
    assert "0.75 (0.8 to 0.9)" in slices
    assert f"of {N_WINDOWS} windows" in slices
    assert "undecided" not in slices
    fairness = parts[' id="fairness">Fairness']
    assert fairness.count("undecided") == 1
    assert fairness.count("<svg") == 2
    cost = parts[' id="costs">What training cost']
    assert "0 of 5 retrains requested, 12.5 CPU seconds of fits." in cost
    for said in ("version 3", "12.5", "waits for its answer"):
        assert said in cost
    told = parts[' id="policy">The policy in words']
    for said in ("within 1d of the one before", "At most 5 retrains are requested within 30d", "2 windows: accuracy"):
        assert said in told


def test_a_window_says_why_with_bounds_and_how_often(ask: Ask, known: ModelConfig, store: Store) -> None:
    shown = ask(f"/models/MODEL/windows/{day(N_WINDOWS - 1).key}").text
    assert HOSTILE not in shown
    for said in ("because &lt;script&gt;", "at most 0.2", "at least 0.7", "in 1 of the last 1", "300 in 12 blocks"):
        assert said in shown
    decided(store, known, N_WINDOWS, "halt")
    halted = ask(f"/models/MODEL/windows/{day(N_WINDOWS).key}")
    assert halted.status_code == 200
    for said in ("because &lt;script&gt;", ">halt<", "Nothing was measured of it."):
        assert said in halted.text
    assert ask("/models/MODEL/windows/yesterday").status_code == 404
    assert ask(f"/models/MODEL/windows/{day(99).key}").status_code == 404


def test_what_libraries_wrote_is_shown_without_an_origin(ask: Ask, known: ModelConfig, store: Store) -> None:
    place = f"/models/MODEL/windows/{day(0).key}/pages/evidently"
    assert ask(place).status_code == 404
    with store.storage.write(f"reports/{known.model}/{day(0).key}.html") as stream:
        stream.write(HOSTILE.encode())
    found = ask(place)
    assert found.text == HOSTILE
    assert found.headers["content-security-policy"].startswith("sandbox allow-scripts;")
    assert place.replace("MODEL", known.model) in ask(place.partition("/pages")[0]).text
    policy, shown = ask("/").headers["content-security-policy"], ask("/").text
    (script,) = re.findall("<script>(.*?)</script>", shown, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert ask(f"{place}/../../../../etc/passwd").status_code == 404


def test_quarantine_is_counted_shown_as_text_and_says_how_to_try_again(
    ask: Ask, known: ModelConfig, store: Store
) -> None:
    assert "Nothing is in quarantine." in ask("/models/MODEL/quarantine").text
    in_quarantine(store, known, day(2), HOSTILE)
    assert day(2).key in ask("/models/MODEL/quarantine").text
    shown = ask(f"/models/MODEL/quarantine/{day(2).key}").text
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown
    command = f"perennial reprocess {known.model} --from 2024-01-03T00:00:00Z --to 2024-01-04T00:00:00Z"
    assert command in shown


KEY = day(0).key
OF_A_TOKEN = {("GET", "/metrics"), ("POST", "/alerts")}
"""No page of a person: test_metrics.py and test_alerts.py have their rules."""
ROLES = ("viewer", "user", "op", "admin")
ANSWERS = {"/models/MODEL/reviews/SIGNOFF": "approved", "/models/MODEL/holds/HOLD": "exclude"}
RULES: dict[tuple[str, str], tuple[str, str]] = {
    ("GET", "/"): ("/", "viewer"),
    ("GET", "/models/{model}"): ("/models/MODEL", "viewer"),
    ("GET", "/dags/{dag_id}"): ("/dags/MODEL__monitor", "viewer"),
    ("GET", "/models/{model}/windows/{key}"): (f"/models/MODEL/windows/{KEY}", "viewer"),
    ("GET", "/models/{model}/windows/{key}/pages/{kind}"): (f"/models/MODEL/windows/{KEY}/pages/evidently", "viewer"),
    ("GET", "/models/{model}/quarantine"): ("/models/MODEL/quarantine", "viewer"),
    ("GET", "/models/{model}/quarantine/{key}"): (f"/models/MODEL/quarantine/{KEY}", "viewer"),
    ("GET", "/models/{model}/reviews/{signoff_id}"): ("/models/MODEL/reviews/SIGNOFF", "viewer"),
    ("POST", "/models/{model}/reviews/{signoff_id}"): ("/models/MODEL/reviews/SIGNOFF", "user"),
    ("GET", "/models/{model}/rollback"): ("/models/MODEL/rollback", "viewer"),
    ("POST", "/models/{model}/rollback"): ("/models/MODEL/rollback", "user"),
    ("GET", "/models/{model}/holds/{hold_id}"): ("/models/MODEL/holds/HOLD", "viewer"),
    ("POST", "/models/{model}/holds/{hold_id}"): ("/models/MODEL/holds/HOLD", "user"),
}  # fmt: skip
"""Every route with the address of one page, and the least role of Airflow's own that may use it."""


def test_every_route_has_a_rule_and_keeps_it(ask: Ask, known: ModelConfig, store: Store) -> None:
    """A route that is added without a line in RULES fails here."""
    from fastapi.routing import APIRoute

    from perennial.orchestration.console.app import app

    with store.storage.write(f"reports/{known.model}/{day(0).key}.html") as stream:
        stream.write(b"page")
    found = {(method, route.path) for route in app.routes for method in getattr(route, "methods", {"any"})}
    assert found == {*RULES, *OF_A_TOKEN}
    assert all(isinstance(route, APIRoute) for route in app.routes)
    before = len(ledger.entries(store, known.model))
    for (method, _), (page, least) in RULES.items():
        path = page.replace("SIGNOFF", asked_of(known).signoff_id).replace("HOLD", "h" * 32)
        form = {"token": "forged", "reason": "because", "answer": ANSWERS.get(page, ""), "version": "1"}
        given = {"form": form} if method == "POST" else {}
        assert ask(path, role=None, **given).status_code == 401, page
        assert ask(path, role="stranger", **given).status_code == (200 if page == "/" else 404), page
        for role in ROLES[: ROLES.index(least)]:
            assert "you may not act on" in ask(path, role=role, **given).text, page
        for role in ROLES[ROLES.index(least) :]:
            told = ask(path, role=role, **given)
            assert (told.status_code, "not made here" in told.text) == (
                (200, False) if method == "GET" else (403, True)
            )
    assert len(ledger.entries(store, known.model)) == before


def test_each_act_asks_for_its_own_right_on_its_own_dag(
    ask: Ask, known: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may do one thing about a model may not do another; and no form is shown whose button would be refused."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity

    from perennial.orchestration.console import access

    rights = {
        f"reviews/{asked_of(known).signoff_id}": ("PUT", DagAccessEntity.HITL_DETAIL, f"{known.model}__retrain"),
        f"holds/{'h' * 32}": ("POST", DagAccessEntity.RUN, f"{known.model}__retrain"),
        "rollback": ("POST", DagAccessEntity.RUN, f"{known.model}__rollback"),
    }
    real, granted = access.get_auth_manager(), set[tuple[str, DagAccessEntity, str]]()
    manager = SimpleNamespace(
        get_authorized_dag_ids=real.get_authorized_dag_ids,
        is_authorized_dag=lambda *, method, access_entity, details, user: (  # noqa: ARG005  # Airflow's signature
            (method, access_entity, details.id) in granted
        ),
    )
    monkeypatch.setattr(access, "get_auth_manager", lambda: manager)
    form = {"token": "forged", "reason": "because", "answer": "exclude", "version": "1"}
    for place, right in rights.items():
        form["answer"] = "approved" if place.startswith("reviews") else "exclude"
        for held, said in ((set(rights.values()) - {right}, "you may not act on"), ({right}, "not made here")):
            granted.clear()
            granted.update(held)
            assert said in ask(f"/models/MODEL/{place}", role="admin", form=form).text, (place, held)
            assert ("<form" in ask(f"/models/MODEL/{place}", role="admin").text) == (held == {right}), (place, held)


def filled_in(shown: str, **given: str) -> dict[str, str]:
    """The form of a page as somebody sends it."""
    token = re.search(r'name="token" value="([^"]+)"', shown)
    assert token is not None, "no form for them"
    return {"token": token[1], "reason": "it is right", **given}


def test_a_viewer_reads_what_may_be_done_and_finds_no_form(ask: Ask, known: ModelConfig) -> None:
    for page in ("rollback", f"holds/{'h' * 32}", f"reviews/{asked_of(known).signoff_id}"):
        assert "<form" not in ask(f"/models/MODEL/{page}").text
        assert "<form" in ask(f"/models/MODEL/{page}", role="user").text


def test_a_form_of_another_page_login_hour_or_site_does_nothing(
    ask: Ask, known: ModelConfig, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = f"/models/MODEL/holds/{'h' * 32}"
    before = len(ledger.entries(store, known.model))
    mine = filled_in(ask(page, role="user").text, answer="exclude")
    elsewhere = filled_in(ask("/models/MODEL/rollback", role="user").text, answer="exclude")
    theirs = filled_in(ask(page, role="user", name="eve").text, answer="exclude")
    for form in (elsewhere, theirs, {**mine, "token": mine["token"] + "x"}):
        assert ask(page, role="user", form=form).status_code == 403
    assert ask(page, role="user", form=mine, origin="http://evil.example").status_code == 403
    assert ask(page, role="user", form=mine, origin="null").status_code == 403
    with monkeypatch.context() as later:
        later.setattr("perennial.orchestration.console.forms.LASTS_S", -1)
        assert ask(page, role="user", form=mine).status_code == 403
    assert ask(page, role="user", form={**mine, "reason": " "}).status_code == 409
    assert len(ledger.entries(store, known.model)) == before


def test_a_hold_is_acknowledged_under_the_login_once(ask: Ask, known: ModelConfig, store: Store) -> None:
    page = f"/models/MODEL/holds/{'h' * 32}"
    shown = ask(page, role="user").text
    assert HOSTILE not in shown
    form = filled_in(shown, answer="exclude")
    assert ask(page, role="user", form=form, origin="http://airflow").status_code == 303
    assert ask(page, role="user", form=form).status_code == 303
    (word,) = ledger.entries(store, known.model, kinds=["acknowledgement"])
    assert (word.actor, word.reason, word.payload["exclude"]) == ("ada", "it is right", True)
    assert word.at == day(N_WINDOWS - 1).end
    other = ask(page, role="user", form={**form, "answer": "include"})
    assert other.status_code == 409
    assert "its rows are left out of training" in other.text


def test_a_rollback_is_one_run_of_its_dag_under_the_login(
    ask: Ask, known: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.exceptions import DagRunAlreadyExists

    started: list[dict[str, Any]] = []

    def trigger(dag_id: str, **given: Any) -> None:
        if any(one["run_id"] == given["run_id"] for one in started):
            raise DagRunAlreadyExists(SimpleNamespace(dag_id=dag_id, run_id=given["run_id"]))
        started.append({"dag_id": dag_id, **given})

    monkeypatch.setattr("perennial.orchestration.console.starting.trigger_dag", trigger)
    page = "/models/MODEL/rollback"
    shown = ask(page, role="user").text
    assert '<option value="1">' in shown
    assert '<option value="2">' not in shown
    form = filled_in(shown, version="1")
    assert ask(page, role="user", form={**form, "reason": " "}).status_code == 409
    assert ask(page, role="user", form={**form, "token": "forged"}).status_code == 403
    assert started == []
    for _ in range(2):
        assert ask(page, role="user", form=form).status_code == 202
    (run,) = started
    assert run["dag_id"] == f"{known.model}__rollback"
    assert run["conf"] == {"version": "1", "reason": "it is right"}
    assert run["triggering_user_name"] == "ada"
    assert ask(page, role="user", form={**form, "version": "2"}).status_code == 409
    assert len(started) == 1
