"""A review by two people in a browser: each logs in to MLflow, reads the verdict, and answers in the tags of the page.

With ``PERENNIAL_SCREENSHOTS`` (``make screenshots``) what they see is kept in that folder.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from browsing import chromium
from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Candidate, DataFacts, Estimate, Evaluation, Signoff, Snapshot, Window
from perennial.pipeline import Case
from perennial.registry import Registry, artifact_digest
from perennial.registry.versions import get_version, version_tags
from perennial.settings import load_settings
from perennial.signoff.gates import judge
from perennial.signoff.signing import sign_off
from perennial.statistics.intervals import around
from perennial.store import Store
from releases import make_version
from stack.environment import ADMIN, REVIEWER

KEPT = os.environ.get("PERENNIAL_SCREENSHOTS")
PATIENCE_S, N_ROWS = 30, 400
CLOSE = "document.querySelectorAll(arguments[0]).forEach(one => one.click())"
TAGS_OF_A_REVIEWER = ["reviewer", "second_reviewer", "signoff", "signoff.reason"]
ROW = "//main//tr[td[1][normalize-space()='{}']]"


class Person:
    """Somebody who logged in to MLflow with a browser."""

    def __init__(self, driver: webdriver.Chrome, uri: str) -> None:
        self.driver, self.uri = driver, uri

    def read(self, signoff: Signoff) -> str:
        """The page of a version from top to bottom, opened anew."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.uri}/#/models/{signoff.model}/versions/{signoff.version}")
        self.wait(lambda: self.driver.find_elements(By.XPATH, ROW.format("signoff")), "the tags are there")
        self._close_the_assistant()
        return self.text()

    def text(self) -> str:
        """What the page says now."""
        return str(self.driver.find_element(By.TAG_NAME, "main").text)

    def tags(self) -> list[str]:
        """The names in the list of tags, from top to bottom."""
        return [cell.text for cell in self.driver.find_elements(By.XPATH, "//main//tr[@data-row-key]/td[1]")]

    def write(self, tag: str, value: str) -> None:
        """Give a tag a value, with the pencil beside it."""
        self._press(tag, "edit")
        self._at(f"{ROW.format(tag)}//input", lambda found: found.send_keys(f"{Keys.CONTROL}a{Keys.NULL}{value}"))
        self._press(tag, "save")
        self.wait(lambda: self._value(tag) == value, f"{tag} is {value}")

    def keep(self, name: str) -> None:
        """A picture for the docs, if they are asked for."""
        if KEPT:
            height = self.driver.execute_script("return document.querySelector('main').scrollHeight")
            self.driver.set_window_size(1200, min(1800, int(height) + 200))
            seen = Image.open(BytesIO(self.driver.get_screenshot_as_png()))
            seen.convert("RGB").quantize(64).save(Path(KEPT) / f"{name}.png", optimize=True)

    def wait(self, until: Callable[[], Any], what: str) -> None:
        """Until it is so; what a page that draws itself anew takes away meanwhile is looked for again."""
        again = (
            NoSuchElementException,
            StaleElementReferenceException,
            ElementNotInteractableException,
            ElementClickInterceptedException,
        )
        WebDriverWait(self.driver, PATIENCE_S, 0.1, again).until(lambda _: until(), what)

    def _value(self, tag: str) -> str:
        return self.driver.find_element(By.XPATH, f"{ROW.format(tag)}/td[2]").text

    def _press(self, tag: str, button: str) -> None:
        self._at(
            f"{ROW.format(tag)}//button[@data-testid='editable-table-button-{button}']", lambda found: found.click()
        )

    def _at(self, place: str, act: Callable[[WebElement], None]) -> None:
        def acted() -> bool:
            found = self.driver.find_element(By.XPATH, place)
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
            act(found)
            return True

        self.wait(acted, place)

    def _close_the_assistant(self) -> None:
        self.driver.execute_script(CLOSE, "[data-component-id$='chat_panel.close']")


@contextmanager
def person(name: str, uri: str) -> Iterator[Person]:
    """A browser of somebody's own, who has logged in."""
    with chromium() as opened:
        login = f"{name}:{os.environ['MLFLOW_TRACKING_PASSWORD']}@"
        opened.get(f"{uri.replace('://', f'://{login}')}/api/2.0/mlflow/users/current")  # as into the browser's window
        assert f'"username":"{name}"' in opened.page_source.replace(" ", "")
        yield Person(opened, uri)


def make_reviewers(uri: str, *names: str) -> None:
    """Accounts with the rights of ``reviewer``, if they are not there yet."""
    password = os.environ["MLFLOW_TRACKING_PASSWORD"]
    with httpx.Client(base_url=uri, auth=(ADMIN, password), timeout=60) as mlflow:
        roles = mlflow.get("/api/3.0/mlflow/roles/list", params={"workspace": "default"}).json()["roles"]
        role_id = next(role["id"] for role in roles if role["name"] == REVIEWER)
        for name in names:
            mlflow.post("/api/2.0/mlflow/users/create", json={"username": name, "password": password})
            mlflow.post("/api/3.0/mlflow/roles/assign", json={"username": name, "role_id": role_id})
            assert mlflow.get("/api/2.0/mlflow/users/current", auth=(name, password)).status_code == httpx.codes.OK


def judged(config: ModelConfig, candidate: Candidate, accuracy: float) -> Evaluation:
    gain = accuracy - 0.4
    return Evaluation(
        model=config.model,
        mlflow_run_id=candidate.mlflow_run_id,
        n_rows=N_ROWS,
        label_coverage=1.0,
        candidate={"accuracy": accuracy},
        candidate_paired={"accuracy": accuracy},
        baseline="constant",
        baseline_metrics={"accuracy": 0.4},
        n_paired_rows=N_ROWS,
        intervals={"accuracy": around(accuracy, 0.015, N_ROWS, 14, 0.95)},
        gains={"accuracy": Estimate(value=gain, interval=around(gain, 0.02, N_ROWS, 14, 0.95))},
        data=DataFacts(n_same_ids=0, shared_entities=None, gap_s=60.0, least_class={"train": 90, "holdout": 20}),
    )


def signed(config: ModelConfig, store: Store, registry: Registry, accuracy: float) -> Signoff:
    """A version of its own with a signoff as of day 6, asked for by carol."""
    version = make_version(config, registry, f"of {accuracy}")
    candidate = Candidate(
        model=config.model,
        version=version,
        mlflow_run_id=str(get_version(registry, config.model, version).run_id),
        artifact_digest=artifact_digest(registry, config.model, version),
        snapshot_id="snapshot",
    )
    frozen = Snapshot(
        snapshot_id="snapshot",
        model=config.model,
        as_of=day(6).end,
        train_uri="snapshots/train.parquet",
        holdout_uri="snapshots/holdout.parquet",
        digest="0" * 64,
        train=Window(start=day(0).start, end=day(3).end),
        holdout=Window(start=day(4).start, end=day(5).end),
        n_train=1600,
        n_holdout=N_ROWS,
        holdout_label_coverage=1.0,
    )
    evaluation = judged(config, candidate, accuracy)
    gates = judge(config, evaluation, parity_gap=0.0, parity_detail=f"{N_ROWS} holdout rows scored in a fresh process")
    return sign_off(
        config,
        candidate,
        evaluation,
        frozen,
        gates,
        state=ledger.release_state(store, config.model),
        registry=registry,
        store=store,
        as_of=day(6).end,
        requested_by="carol",
    )


@pytest.fixture
def case(wine: ModelConfig, store: Store, mlflow_uri: str) -> Case:
    """The wine model, which asks two people."""
    review = wine.signoff.review.model_copy(update={"mode": "manual", "people": 2})
    asks_two = wine.model_copy(update={"signoff": wine.signoff.model_copy(update={"review": review})})
    return Case(config=asks_two, store=store, registry=Registry(mlflow_uri), settings=load_settings())


def test_two_people_answer_in_the_browser_and_go_past_a_failed_gate(case: Case, mlflow_uri: str) -> None:
    """Each in a browser of their own; the second sees what the answer of the first lacks."""
    waiting, failed = (signed(case.config, case.store, case.registry, accuracy) for accuracy in (0.95, 0.65))
    make_reviewers(mlflow_uri, "ada", "bob")
    with person("ada", mlflow_uri) as ada:
        reads_the_verdict_first(ada, waiting)
        ada.keep("review-waiting")
        ada.write("reviewer", "ada")
        ada.write("signoff.reason", "looked at the cellars")
        ada.write("signoff", "approved")
    assert case.review(waiting.signoff_id) is None
    with person("bob", mlflow_uri) as bob:
        assert "signoff.note tag second_reviewer is empty" in " ".join(bob.read(waiting).split())
        bob.keep("review-second")
        bob.write("second_reviewer", "bob")
        answer = case.review(waiting.signoff_id)
        assert answer is not None
        assert (answer.verdict, answer.reviewer) == ("approved", "ada and bob")
        assert answer.reason == "tag signoff = approved: looked at the cellars"
        goes_past_a_gate(bob, failed, case)


def reads_the_verdict_first(reader: Person, waiting: Signoff) -> None:
    seen = reader.read(waiting)
    told = [
        f"Signoff of {waiting.model} version {waiting.version}: all gates passed",
        "It waits for your review.",
        "carol asked for it and can not approve it",
        "metric/accuracy passed 0.95 (0.9176 to 0.9824) 0.7",
        "Tags",
    ]
    places = [seen.find(words) for words in told]
    assert sorted(places) == places, f"in this order: {dict(zip(told, places, strict=True))} in {seen}"
    assert places[0] >= 0
    assert reader.tags()[:4] == TAGS_OF_A_REVIEWER


def goes_past_a_gate(reader: Person, failed: Signoff, case: Case) -> None:
    seen = reader.read(failed)
    assert f"version {failed.version}: 1 of 8 gates failed" in seen
    assert "two people, neither of them carol who asked for it, may promote it all the same" in seen
    assert reader.tags()[:4] == TAGS_OF_A_REVIEWER
    reader.write("reviewer", "bob")
    reader.write("signoff.reason", "the north cellar is closed")
    reader.write("second_reviewer", "ada")
    reader.write("signoff", "past gates")
    assert case.answer_past_gates(failed.version) is not None
    seen = reader.read(failed)
    marked = "Promoted past its failed gates metric/accuracy, by bob and ada: the north cellar is closed."
    assert 0 < seen.find(marked) < seen.find("Signoff of")
    assert version_tags(case.registry, case.model, failed.version)["signoff"] == "approved"
    reader.wait(lambda: "@ champion" in reader.text(), "the alias is shown")
    reader.keep("past-gates")
