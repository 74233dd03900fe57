"""What is counted of a canary, and what follows: wait, go on, or take it back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from logs import day
from perennial.config import load_model
from perennial.config.release.ab import AB
from perennial.config.release.canary import Canary as Rules
from perennial.config.release.canary import flaws_of_releases
from perennial.config.release.declared import Releases
from perennial.contracts import LedgerEntry
from perennial.guards.figures import LATENCY_S, ArmFigures, baseline_of
from perennial.ledger.canaries import Canary
from perennial.release.canary.judging import Analysis, Labels, judged
from perennial.settings import ROOT

RULES = Rules(shares=[5.0, 100.0], every=timedelta(minutes=10), min_rows=500, deadline=timedelta(hours=4))
CONFIG = load_model(ROOT / "tests" / "models" / "tumour_malignant").model_copy(
    update={"release": Releases(strategy="canary", canary=RULES)}
)
BEGAN = datetime(2024, 1, 9, tzinfo=UTC)
ENTRY = LedgerEntry(entry_id="i", model="m", kind="canary_intent", at=BEGAN, actor="canary", reason="", version="8")
FOUND = Canary(
    intent=ENTRY, signoff="s", version="8", share=0.05, step=0, n_rows=0, outcome=None, began_at=BEGAN, since=BEGAN
)
LATER = BEGAN + RULES.every


def arm(name: str, version: str, n_rows: int, *, slow: bool = False, errors: int = 0, low: int = 2) -> ArmFigures:
    latency = [0] * (len(LATENCY_S) + 1)
    latency[40 if slow else 14] = n_rows
    return ArmFigures(
        version=version, arm=name, since=day(0).start, until=day(0).end, requests=n_rows, errors=errors, rows=n_rows,
        rows_squared=n_rows, latency=tuple(latency), scores=(n_rows // low, n_rows - n_rows // low),
    )  # fmt: skip


def seen(n_rows: int, *, found: Canary = FOUND, now: datetime = LATER, **own: Any) -> Analysis:
    beside = arm(baseline_of("8"), "7", max(n_rows, 4_000))
    return judged(CONFIG, found, (arm("canary", "8", n_rows, **own), beside), now=now)


@pytest.mark.parametrize(
    ("own", "guard"),
    [({"errors": 900}, "guard/error_rate"), ({"slow": True}, "guard/latency_median"), ({"low": 99}, "guard/score")],
)
def test_one_breach_is_enough_however_early_and_however_many_others_hold(own: Any, guard: str) -> None:
    found = seen(4_000, now=BEGAN + timedelta(seconds=1), **own)
    assert found.verdict == "breached"
    assert found.reason.startswith(guard)


def test_it_goes_on_once_every_guard_holds_on_enough_rows_for_long_enough() -> None:
    assert seen(4_000).verdict == "good"
    assert seen(4_000, now=LATER - timedelta(seconds=1)).verdict == "waiting"
    assert seen(4_000, found=replace(FOUND, since=None)).verdict == "waiting"
    assert seen(4_000, found=replace(FOUND, n_rows=3_501)).verdict == "waiting"
    assert seen(4_000, found=replace(FOUND, n_rows=3_500)).verdict == "good"
    assert seen(4_000, found=replace(FOUND, n_rows=9_000)).verdict == "good", "the counters began anew"


def test_what_could_not_be_seen_is_no_pass_and_blind_in_the_end() -> None:
    few = seen(600)
    assert few.verdict == "waiting"
    assert "undecided" in few.reason or "unknown" in few.reason
    alone = judged(CONFIG, FOUND, (arm("canary", "8", 4_000),), now=LATER)
    assert alone.verdict == "waiting"
    assert judged(CONFIG, FOUND, (), now=LATER).reason.startswith("0 rows")
    assert judged(CONFIG, FOUND, (), now=BEGAN + RULES.deadline).verdict == "blind"
    assert seen(4_000, now=BEGAN + RULES.deadline).verdict == "good"


def test_only_its_own_rows_and_those_of_its_own_baseline_speak() -> None:
    others = (
        arm("canary", "6", 4_000, errors=3_000),
        arm(baseline_of("6"), "7", 4_000, errors=3_000),
        arm("champion", "7", 4_000, errors=3_000),
        arm("champion", "8", 4_000, errors=3_000),
    )
    own = (arm("canary", "8", 4_000), arm(baseline_of("8"), "7", 4_000))
    assert judged(CONFIG, FOUND, (*others, *own), now=LATER) == judged(CONFIG, FOUND, own, now=LATER)
    harmful = (arm("canary", "8", 4_000, errors=900), own[1])
    assert judged(CONFIG, FOUND, (*others, *harmful), now=LATER).verdict == "breached"


def heard(verdict: Any, reason: str = "accuracy better by 0.1", **own: Any) -> Analysis:
    config = CONFIG.model_copy(update={"release": Releases(strategy="ab", ab=AB(deadline=timedelta(days=9)))})
    figures = (arm("canary", "8", 4_000, **own), arm(baseline_of("8"), "7", 4_000))
    now = own.pop("now", BEGAN + RULES.deadline)  # that of a canary is none of an A/B
    return judged(
        config, replace(FOUND, strategy="ab"), figures, now=now, labels=Labels(verdict=verdict, reason=reason)
    )


def test_in_an_ab_labels_decide_once_no_guard_is_breached() -> None:
    assert heard("won") == Analysis(
        verdict="good", reason="accuracy better by 0.1; 4 guards hold on 4000 rows", n_rows=4_000
    )
    assert [heard(said).verdict for said in ("waiting", "lost", "blind")] == ["waiting", "lost", "blind"]
    assert heard("won", errors=900).verdict == heard("lost", errors=900).verdict == "breached"


def test_an_ab_waits_for_open_guards_and_is_blind_after_a_deadline_of_its_own() -> None:
    config = CONFIG.model_copy(update={"release": Releases(strategy="ab", ab=AB(deadline=timedelta(days=9)))})
    few, ab = (arm("canary", "8", 600), arm(baseline_of("8"), "7", 4_000)), replace(FOUND, strategy="ab")
    won, waiting = Labels(verdict="won", reason="better"), Labels(verdict="waiting", reason="1 of 4 windows")
    for labels, why in ((won, "guard/"), (waiting, "1 of 4 windows")):
        early, late = (judged(config, ab, few, now=BEGAN + timedelta(days=n_days), labels=labels) for n_days in (8, 9))
        assert (early.verdict, late.verdict) == ("waiting", "blind")
        assert early.reason.startswith(why)
        assert late.reason == f"blind: {early.reason}"


def test_an_ab_that_no_run_could_end_is_refused() -> None:
    def flaws(**asked: Any) -> list[str]:
        rules = Releases(strategy="ab", ab=AB(**asked))
        return [flaw.split(":")[0] for flaw in flaws_of_releases(CONFIG.model_copy(update={"release": rules}))]

    assert flaws() == []
    every = CONFIG.schedule.every
    assert every is not None
    whole = 2 * every + CONFIG.label.delay
    assert flaws(windows=2, deadline=whole) == [f"release.ab.deadline = {whole}".split(":")[0]]
    assert flaws(windows=2, deadline=whole + timedelta(minutes=1)) == []
    unreadable = CONFIG.model_copy(
        update={
            "release": Releases(strategy="ab", metric="no_such"),
            "columns": CONFIG.columns.model_copy(update={"role": None}),
        }
    )
    assert [flaw.split(" ")[0] for flaw in flaws_of_releases(unreadable)] == ["release.metric", "release.strategy:"]
    short = CONFIG.signals.uncertainty.model_copy(update={"block": every, "min_blocks": 5, "block_by": None})
    signals = CONFIG.signals.model_copy(update={"uncertainty": short})
    few = CONFIG.model_copy(update={"release": Releases(strategy="ab", ab=AB(windows=4)), "signals": signals})
    assert list(flaws_of_releases(few)) == [
        "release.ab.windows = 4: they hold 4 blocks, and an interval needs 5 (signals.uncertainty)"
    ]
    assert list(flaws_of_releases(few.model_copy(update={"release": Releases(strategy="ab", ab=AB(windows=5))}))) == []
