"""The console in a browser, under Airflow's own login and server: who sees what, and what comes of what they press."""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from accessible import flaws, on_a_phone
from airflow_site import AirflowSite, airflow_site
from browsing import Visitor, chromium
from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Decision, LedgerEntry, Signoff, to_record
from perennial.contracts.tags import ENTRY_TAG, SIGNOFF_TAG
from perennial.registry import Registry
from perennial.registry.versions import set_version_tags, version_tags
from perennial.store import Store
from perennial.store.signals import save
from releases import made_stable, make_version, signed
from shown import N_WINDOWS, in_quarantine, measured

USERS = {"ada": "user", "carol": "user", "vera": "viewer"}
HELD = "h" * 32


def write(store: Store, config: ModelConfig, kind: Any, number: int, entry_id: str, **given: Any) -> None:
    entry = LedgerEntry(
        entry_id=entry_id, model=config.model, kind=kind, at=day(number).end, actor="policy", reason="test",
        version=given.pop("version", None), payload=given,
    )  # fmt: skip
    ledger.append(store, entry)


def asked(config: ModelConfig, store: Store, registry: Registry, content: str) -> Signoff:
    """A candidate that waits for a person; carol asked for its retrain."""
    version = make_version(config, registry, content)
    made = replace(
        signed(config, registry, version, "2", 8), review="manual", requested_by="carol", config_digest=config.digest,
        as_of=datetime.now(UTC),
    )  # fmt: skip
    write(store, config, "signoff", 8, made.signoff_id, version=version, signoff=to_record(made))
    set_version_tags(registry, config.model, version, {SIGNOFF_TAG: "pending", ENTRY_TAG: made.signoff_id})
    return made


@pytest.fixture
def waiting(wine: ModelConfig, store: Store, mlflow_uri: str) -> tuple[Signoff, Signoff]:
    """Versions 1 and 2 passed their bakes, windows were measured and decided, two candidates wait for a person."""
    registry = Registry(mlflow_uri)
    for number, previous in ((0, None), (2, "1")):
        made_stable(
            wine, make_version(wine, registry, f"of {number}"), previous, number, store=store, registry=registry
        )
    for number in range(8):
        decision = Decision(
            decision_id=f"d{number}", model=wine.model, window=day(number), action="stay", champion="2", bake="passed",
            reasons=("nothing is the matter",),
        )  # fmt: skip
        write(store, wine, "decision", number, f"d{number}", decision=to_record(decision), batch_ids=[], signals=[])
        save(store, measured(wine, number) if number < N_WINDOWS else [])
    in_quarantine(store, wine, day(2), "a word that has no place in it to be broken " + "x" * 80)
    write(store, wine, "hold", 3, HELD, stretch=to_record(day(1)), version="9")
    return asked(wine, store, registry, "better"), asked(wine, store, registry, "worse")


@pytest.fixture
def site(
    waiting: tuple[Signoff, Signoff], store: Store, home: Path, models_dir: Path, mlflow_uri: str
) -> Iterator[AirflowSite]:
    home.mkdir(exist_ok=True)
    environment = {
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
        "PERENNIAL_DATABASE_URL": store.engine.url.render_as_string(hide_password=False),
        "MLFLOW_TRACKING_URI": mlflow_uri,
    }
    with airflow_site(USERS, environment) as running:
        yield running


def test_people_see_and_act_in_the_console(
    site: AirflowSite, waiting: tuple[Signoff, Signoff], wine: ModelConfig, store: Store, mlflow_uri: str
) -> None:
    better, worse = waiting
    with chromium() as driver:
        person = Visitor(driver, site)
        a_viewer_sees_and_can_not_act(person, wine, better)
        whoever_asked_for_it_can_not_approve(person, wine, better, store)
        a_person_clicks_through(person, wine, better)
        every_page_is_read_on_a_phone_and_reached_by_keyboard(person, wine, better)
        nothing_is_sent_without_a_reason(person, wine, better, store)
        one_is_approved_and_another_rejected(person, wine, better, worse, store, Registry(mlflow_uri))
        a_hold_is_acknowledged(person, wine, store)
        a_rollback_is_a_run_under_the_login(person, wine)
        the_page_that_a_form_answers_with_is_no_exception(person)
        links_lead_out_of_the_frame(person, wine)


def a_viewer_sees_and_can_not_act(person: Visitor, config: ModelConfig, better: Signoff) -> None:
    person.open("/")
    assert "login" in person.driver.current_url or config.model not in person.text()
    person.log_in("vera")
    assert "a candidate waits for its review" in person.open("/")
    for page, said in (
        (f"reviews/{better.signoff_id}", "You may read this, and not answer it."),
        ("rollback", "You may read this, and not roll back."),
        (f"holds/{HELD}", "You may read this, and not acknowledge it."),
    ):
        assert said in person.open(f"/models/{config.model}/{page}")
        assert not person.driver.find_elements(By.TAG_NAME, "form")


def whoever_asked_for_it_can_not_approve(person: Visitor, config: ModelConfig, better: Signoff, store: Store) -> None:
    person.log_in("carol")
    person.open(f"/models/{config.model}/reviews/{better.signoff_id}")
    person.answer("approved", "I like it")
    assert "asked for this retrain" in person.driver.find_element(By.CSS_SELECTOR, "p.bad").text
    assert answers(store, config) == {}


def answers(store: Store, config: ModelConfig) -> dict[str | None, tuple[str, str]]:
    """What was answered of the candidates under a login, and by whom."""
    return {
        entry.version: (entry.payload["verdict"], entry.actor)
        for entry in ledger.entries(store, config.model, kinds=["review", "approval"])
        if entry.kind == "approval" or entry.payload["review"].get("verified")
    }


def a_person_clicks_through(person: Visitor, config: ModelConfig, better: Signoff) -> None:
    person.log_in("ada")
    assert config.model in person.open("/")
    shown = person.follow(config.model)
    for said in ("Over time", "Labels, as they came in", "What training cost", "The policy in words"):
        assert said in shown
    shown = person.follow("2024-01-08 to 2024-01-09")
    assert "Decision: stay" in shown
    assert "nothing is the matter" in shown
    person.follow(config.model)
    assert "2024-01-03 to 2024-01-04" in person.follow("quarantine")
    person.follow(config.model)
    assert "You answer as ada." in person.follow(f"version {better.version} waits for its review")
    assert better.signoff_id in person.driver.current_url


def every_page_is_read_on_a_phone_and_reached_by_keyboard(
    person: Visitor, config: ModelConfig, better: Signoff
) -> None:
    """None is wider than the phone, the tab key meets all that can be pressed, and screen readers are told of it."""
    here, model = person.driver.current_url, f"/models/{config.model}"
    pages = ("", "/quarantine", f"/quarantine/{day(2).key}", "/rollback", f"/holds/{HELD}", f"/windows/{day(5).key}")
    with on_a_phone(person.driver):
        for path in ("/", *(model + page for page in pages), f"{model}/reviews/{better.signoff_id}"):
            person.open(path)
            assert (path, flaws(person.driver)) == (path, [])
    person.driver.get(here)


def nothing_is_sent_without_a_reason(person: Visitor, config: ModelConfig, better: Signoff, store: Store) -> None:
    """The browser keeps an empty reason; one of blanks comes back."""
    person.press("form button[value='approved']")
    assert person.driver.find_elements(By.CSS_SELECTOR, "textarea:invalid")
    assert "needs a reason" in person.answer("approved", "   ")
    assert answers(store, config) == {}


def one_is_approved_and_another_rejected(
    person: Visitor, config: ModelConfig, better: Signoff, worse: Signoff, store: Store, registry: Registry
) -> None:
    assert "approved by ada, under their own login" in person.answer("approved", "better in the north")
    person.open(f"/models/{config.model}/reviews/{worse.signoff_id}")
    assert "rejected by ada, under their own login" in person.answer("rejected", "worse in the south")
    assert answers(store, config) == {better.version: ("approved", "ada"), worse.version: ("rejected", "ada")}
    assert version_tags(registry, config.model, better.version)[SIGNOFF_TAG] == "approved"
    assert version_tags(registry, config.model, worse.version)[SIGNOFF_TAG] == "rejected"


def a_hold_is_acknowledged(person: Visitor, config: ModelConfig, store: Store) -> None:
    person.open(f"/models/{config.model}")
    assert "It can not be taken back." in person.follow("acknowledge")
    assert not ledger.entries(store, config.model, kinds=["acknowledgement"])
    assert "its rows are left out of training" in person.answer("exclude", "the sensor was broken")
    (word,) = ledger.entries(store, config.model, kinds=["acknowledgement"])
    assert (word.actor, word.reason) == ("ada", "the sensor was broken")


def a_rollback_is_a_run_under_the_login(person: Visitor, config: ModelConfig) -> None:
    person.open(f"/models/{config.model}")
    assert "takes its place at once" in person.follow("roll back")
    assert runs(person.site) == []
    assert "The rollback is on its way" in person.answer("roll back", "complaints from the north")
    ((dag_id, user, conf),) = runs(person.site)
    assert (dag_id, user) == (f"{config.model}__rollback", "ada")
    assert "complaints from the north" in conf


def the_page_that_a_form_answers_with_is_no_exception(person: Visitor) -> None:
    with on_a_phone(person.driver):
        assert flaws(person.driver) == []


def runs(site: AirflowSite) -> list[tuple[Any, ...]]:
    """The runs that Airflow has written down, with who asked for them and their forms."""
    with sqlite3.connect(f"file:{site.database}?mode=ro", uri=True) as connection:
        return list(connection.execute("SELECT dag_id, triggering_user_name, conf FROM dag_run"))


def links_lead_out_of_the_frame(person: Visitor, config: ModelConfig) -> None:
    """In Airflow's own tab and navigation, whose sandbox lets no link of the frame replace the page around it."""
    monitor = f"/dags/{config.model}__monitor"
    person.driver.get(f"{person.site.url}{monitor}/plugin/model")
    person.act(By.CSS_SELECTOR, "iframe[sandbox]", person.driver.switch_to.frame)
    person.act(By.XPATH, f"//a[normalize-space()='{config.model}__retrain']", lambda link: link.click())
    person.driver.switch_to.default_content()
    person.wait(lambda: person.driver.current_url.endswith(f"/dags/{config.model}__retrain"), "the page of the DAG")


def test_without_a_browser_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", "")
    with pytest.raises(FileNotFoundError, match="apt-get install chromium chromium-driver"), chromium():
        pass
