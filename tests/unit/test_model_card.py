"""The card of a version says what it is for, and keeps quiet about nothing that is not known of it."""

from dataclasses import replace

from logs import day
from perennial.config import ModelConfig
from perennial.config.signoff.about import About
from perennial.contracts import Estimate, Flag, Gate
from perennial.signoff.report.card import card, limits
from perennial.signoff.report.page import page
from signed import EVALUATION, WINE, signoff

ABOUT = About(purpose="The cellar sorts bottles by it.", not_for=["wines | of other countries"], limits=["few of C"])


def told(**changes: object) -> ModelConfig:
    return WINE.model_copy(update={"about": ABOUT, **changes})


def test_what_the_owner_says_stands_in_the_card_and_on_the_page() -> None:
    text = card(told(), signoff(), EVALUATION)
    for said in ("The cellar sorts bottles by it.", "not for wines | of other countries", "- few of C", "version 3"):
        assert said in text
    assert "few of C" in page(told(), signoff(), EVALUATION)
    assert "about.purpose" in card(WINE, signoff(), EVALUATION)


def test_every_feature_stands_there_with_what_it_may_be() -> None:
    rows = [line for line in card(WINE, signoff(), EVALUATION).splitlines() if line.startswith("| ")]
    assert all(sum(line.startswith(f"| {name} |") for line in rows) == 1 for name in WINE.features)


def test_figures_stand_with_their_intervals_and_gains() -> None:
    found = replace(EVALUATION, candidate={"accuracy": 0.9}, gains={"accuracy": Estimate(value=0.02, problem="few")})
    assert f"| accuracy | 0.9 | {found.gains['accuracy']} |" in card(WINE, signoff(), found)


def test_nothing_that_is_not_known_is_left_out() -> None:
    unsure = Gate(name="metric/kappa", passed=True, value=0.6, bound=0.5, detail="0.6 | (0.4 to 0.8)", borderline=True)
    waived = Gate(name="no_worse/log_loss", passed=True, value=None, bound=0.0, detail="", waived="ada")
    failed = Gate(name="data/gap", passed=False, value=0.0, bound=1.0, detail="no gap")
    flag = Flag(name="flag/label_rate", window=day(2), detail="labels upside down")
    signed = replace(signoff(passed=False), gates=(unsure, waived, failed), flags=(flag,))
    hidden = replace(EVALUATION, label_coverage=0.75, baseline_problem="version 2 is gone")
    found = " ".join(limits(told(), signed, hidden))
    for said in (
        "25.0% of the rows of that time have no label",
        "compared with nothing: version 2 is gone",
        "not sure on so few rows: metric/kappa: 0.6 | (0.4 to 0.8)",
        "labels upside down",
        "failed: data/gap: no gap",
        "waived by ada: no_worse/log_loss",
        "whether groups are treated alike was not asked",
        "nothing is known of other seasons",
    ):
        assert said in found
    text = card(told(), signed, hidden)
    assert all(" ".join(one.split()) in text for one in limits(told(), signed, hidden))
