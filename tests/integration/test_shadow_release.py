"""``release.strategy: shadow``: a candidate is approved once it has answered real traffic beside the champion."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from logs import day
from monitored import log_of, publish_labels, publish_predictions
from perennial import ledger
from perennial.config import ModelConfig
from perennial.config.release.declared import Releases
from perennial.contracts import LedgerEntry, Signoff, Window, to_record
from perennial.contracts.tags import CHALLENGER
from perennial.evidence.deliveries.paired import mature_since, read_paired
from perennial.pipeline import Case
from perennial.registry import Registry, set_alias
from perennial.registry.versions import alias_version
from perennial.settings import load_settings
from perennial.store import Store
from releases import made_stable, make_version, signed

pytestmark = pytest.mark.usefixtures("as_pipeline")
N_ROWS = 200


@pytest.fixture
def case(wine: ModelConfig, store: Store, mlflow_uri: str) -> Case:
    config = wine.model_copy(update={"release": Releases(strategy="shadow", min_rows=300)})
    return Case(config=config, store=store, registry=Registry(mlflow_uri), settings=load_settings())


@pytest.fixture
def candidate(case: Case) -> Signoff:
    """Version 2, signed off beside champion 1 as of the end of day 2."""
    for content in ("one", "two"):
        version = make_version(case.config, case.registry, content)
    made_stable(case.config, "1", None, 0, store=case.store, registry=case.registry)
    found = signed(case.config, case.registry, version, "1", 2)
    entry = LedgerEntry(
        entry_id=found.signoff_id,
        model=case.model,
        kind="signoff",
        at=found.as_of,
        actor="policy",
        reason="test",
        version=found.version,
        payload={"signoff": to_record(found)},
    )
    ledger.append(case.store, entry)
    set_alias(case.registry, case.model, CHALLENGER, found.version)
    return found


def served(case: Case, number: int, *, n_wrong: int, n_shadow: int = N_ROWS, labelled: int = N_ROWS) -> pd.DataFrame:
    """A day of champion 1, the answers of version 2 to its first rows in the shadow, and labels, all decided about.

    The champion is right for nine rows in ten; version 2 for all but the first ``n_wrong`` of each twenty.
    """
    frame = log_of(case.config, number, n_rows=N_ROWS, seed=number).assign(model_version="1")
    publish_predictions(case.store, case.config, day(number), frame)
    wrong = frame["label"].map({"barolo": "barbera", "barbera": "grignolino", "grignolino": "barolo"})
    order = pd.Series(range(len(frame)), index=frame.index) % 20
    told = frame.assign(role="shadow", model_version="2", predicted=frame["label"].where(order >= n_wrong, wrong))
    publish_predictions(case.store, case.config, day(number), told.iloc[:n_shadow])
    publish_labels(case.store, case.config, day(number), frame.iloc[:labelled], at=day(number).end - timedelta(hours=1))
    entry = LedgerEntry(
        entry_id=f"decision-{number}",
        model=case.model,
        kind="decision",
        at=day(number).end,
        actor="policy",
        reason="stay",
    )
    ledger.append(case.store, entry)
    return frame


def test_it_waits_for_enough_rows_and_is_then_approved_on_what_they_say(case: Case, candidate: Signoff) -> None:
    served(case, 2, n_wrong=20)  # before the signoff: the candidate was judged on these rows
    assert case.review(candidate.signoff_id, now=datetime.now(UTC)) is None
    served(case, 3, n_wrong=1)
    assert case.review(candidate.signoff_id, now=datetime.now(UTC)) is None
    served(case, 4, n_wrong=1)
    answer = case.review(candidate.signoff_id, now=datetime.now(UTC))
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("approved", "policy")
    assert "in the shadow: accuracy better by " in answer.reason
    assert "on 400 rows that both answered" in answer.reason
    assert case.review(candidate.signoff_id) == answer
    assert case.promote(candidate.signoff_id).version == "2"


def test_one_that_is_surely_worse_is_rejected_by_the_shadow_and_challenges_no_longer(
    case: Case, candidate: Signoff
) -> None:
    served(case, 3, n_wrong=8)
    served(case, 4, n_wrong=8)
    answer = case.review(candidate.signoff_id, now=datetime.now(UTC))
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("rejected", "shadow")
    assert "surely worse than release.margin 0 allows" in answer.reason
    assert alias_version(case.registry, case.model, CHALLENGER) is None
    with pytest.raises(Exception, match="rejected by shadow"):
        case.promote(candidate.signoff_id)
    (entry,) = [one for one in ledger.entries(case.store, case.model) if one.entry_id == candidate.review_id]
    assert entry.actor == "shadow"


def test_without_enough_rows_by_the_deadline_it_is_blind_and_not_approved(case: Case, candidate: Signoff) -> None:
    served(case, 3, n_wrong=1, n_shadow=40)
    late = datetime.now(UTC) + case.config.signoff.review.deadline + timedelta(minutes=1)
    answer = case.review(candidate.signoff_id, now=late)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("rejected", "shadow")
    assert answer.reason.startswith("blind: in the shadow")
    assert "on 40 rows" in answer.reason


def test_only_rows_of_windows_whose_labels_are_in_are_compared_and_only_of_these_two(
    case: Case, candidate: Signoff
) -> None:
    served(case, 3, n_wrong=1)
    served(case, 4, n_wrong=1, labelled=60)
    stretches = mature_since(case.config, candidate.as_of, as_of=day(4).end, champion="1", store=case.store)
    assert stretches == (day(3),)
    noon = day(3).start + timedelta(hours=12)  # what lies before a signoff is left out, though its window is open
    later = mature_since(case.config, noon, as_of=day(4).end, champion="1", store=case.store)
    assert later == (Window(start=noon, end=day(3).end),)
    own, theirs = read_paired(case.config, stretches, champion="1", challenger="2", as_of=day(4).end, store=case.store)
    assert own.num_rows == theirs.num_rows == N_ROWS
    assert own["label"].equals(theirs["label"])
    for challenger, champion in (("7", "1"), ("2", "9")):
        nothing, _ = read_paired(
            case.config, stretches, champion=champion, challenger=challenger, as_of=day(4).end, store=case.store
        )
        assert nothing.num_rows == 0


def test_directly_nothing_of_it_is_asked(case: Case, candidate: Signoff) -> None:
    direct = Case(
        config=case.config.model_copy(update={"release": Releases()}),
        store=case.store,
        registry=case.registry,
        settings=case.settings,
    )
    answer = direct.review(candidate.signoff_id, now=datetime.now(UTC))
    assert answer is not None
    assert (answer.verdict, answer.reason) == ("approved", "all gates passed, review mode auto")
