"""A replay sees what was known, pays once, gives the same again, and judges as the product does."""

import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score

from logs import ORIGIN, day
from perennial.backtest.compare import Comparison, compare, without_probe
from perennial.backtest.outcome import judged_places, judged_rollback
from perennial.backtest.page import page, short
from perennial.backtest.policies import NEVER, at_windows, never, overlaid, phases, refuse_unmeasured, ungated
from perennial.backtest.proposal import KeyProposal, Noise, propose
from perennial.cli.backtest import _show
from perennial.contracts import Signoff, from_record
from perennial.errors import ConfigError, TrainingError
from perennial.training.fitting.recipe import freeze_recipes
from perennial.training.search.here import choose_here
from perennial.trial.fits import Fits
from perennial.trial.log import Places, moment, windows_of
from perennial.trial.running import Replayed, Tried
from trials import PROBING, fits, log, rows, small, tried

pytestmark = pytest.mark.xdist_group("backtest")  # what is replayed and compared, and its fits, are made once

IDLE = {
    "signals": {"performance": {"roc_auc": {"role": "watch", "bound": 0.5}}, "gain": {"probe": "none"}},
    "policy": {"max_age": "900d"},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the fits of this module lie: what one test fitted, another need not."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def probing(kept: Path) -> Replayed:
    """The policy on a stream that turns round on day 9."""
    return tried(small(PROBING), kept, rows(turns_on=9))


def told(run: Replayed) -> list[tuple[object, ...]]:
    """Everything that was decided and done."""
    decided = [(found.window.key, found.action, found.reasons, found.champion) for found in run.decided]
    return [*decided, *((item.at, item.ended, item.version, item.reason) for item in run.retrains), *run.undone]


def test_the_same_history_twice_gives_the_same_whatever_the_order_of_its_rows(
    probing: Replayed, tmp_path: Path
) -> None:
    again = tried(small(PROBING), tmp_path, rows(turns_on=9).sample(frac=1, random_state=1))
    assert told(probing) == told(again)
    np.testing.assert_array_equal(probing.trial.scores, again.trial.scores)


def test_a_policy_that_never_retrains_is_never(kept: Path) -> None:
    config, frame = small(IDLE), rows(turns_on=9)
    own = tried(config, kept, frame)
    other = tried(config, kept, frame, policy=never(config))
    assert own.paid == other.paid == ()
    np.testing.assert_array_equal(own.trial.scores, other.trial.scores)


def test_never_keeps_the_first_champion_where_the_policy_would_retrain(probing: Replayed, kept: Path) -> None:
    config = small(PROBING)
    assert probing.paid
    run = tried(config, kept, rows(turns_on=9), policy=never(config))
    assert run.paid == () and set(run.trial.served) == {0, 1}


def test_a_change_is_seen_after_it_came_and_answered(probing: Replayed) -> None:
    changed_at = ORIGIN + timedelta(days=9)
    assert all(item.at > changed_at for item in probing.paid)
    assert [item.ended for item in probing.paid if item.ended == "promoted"]


def test_a_trial_judges_the_last_windows_as_the_product_does(kept: Path) -> None:
    asked = {"last": 2, "min_rows": 30, "metric": "brier", "max_loss": 0.1}
    run = tried(small({**PROBING, "signoff": {"windows": asked}}), kept, rows(turns_on=9))
    signed = [from_record(Signoff, entry.payload["signoff"]) for entry in run.trial.history.of("signoff")]
    judged = [{gate.name: gate for gate in one.gates}["windows/brier"] for one in signed]
    assert len(judged) > 1
    assert all("of the last 2 windows" in gate.detail or "2 windows asked for" in gate.detail for gate in judged)
    assert any(gate.passed for gate in judged)


def test_labels_that_have_not_arrived_are_not_seen(kept: Path) -> None:
    """Late labels move everything that rests on them; what has no label yet is no training row."""
    config = small({**PROBING, "label": {"delay": "30h", "max_wait": "6d"}})
    run = tried(config, kept, rows(turns_on=9, late_h=30))
    trained = [(item, run.trial.trained_on[item.version]) for item in run.retrains if item.version]
    assert trained
    for item, places in trained:
        holdout = run.trial.versions[str(item.version)].holdout
        assert (run.trial.log.arrived[places] < moment(item.at)).all()
        assert (run.trial.log.arrived[holdout] < moment(item.at)).all()
    measured = [signal for signal in run.signals if signal.family == "performance" and signal.value is not None]
    assert measured and all(signal.as_of >= signal.window.end + timedelta(hours=30) for signal in measured)


def test_a_label_that_arrives_at_the_very_moment_is_not_known() -> None:
    config = small()
    history = log(config, rows(1).assign(labelled_at=day(0).end))
    assert history.count(day(0), as_of=day(0).end).n_labelled == 0
    assert history.count(day(0), as_of=day(0).end + timedelta(microseconds=1)).n_labelled == 72


def test_a_version_serves_from_the_window_after_its_promotion(kept: Path) -> None:
    run = tried(small(IDLE), kept)
    first = run.retrains[0]
    served_from = run.trial.log.times[run.served].min()
    assert served_from == moment(first.at)


def test_kept_fits_give_identical_answers_and_are_not_fitted_again(
    probing: Replayed, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, frame = small(PROBING), rows(turns_on=9)

    def refuse(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perennial.training.fitting.worker.fit_recipe", refuse)
    again = tried(config, kept, frame)
    assert told(probing) == told(again)
    np.testing.assert_array_equal(probing.trial.scores, again.trial.scores)
    assert [item.cpu_s for item in probing.retrains] == [item.cpu_s for item in again.retrains]
    with pytest.raises(KeyboardInterrupt):
        tried(small({**PROBING, "training": {"seed": 8}}), kept, frame)


def test_killed_half_way_it_goes_on_with_what_was_fitted(
    probing: Replayed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perennial.training.fitting import worker

    config, frame, fitted = small(PROBING), rows(turns_on=9), worker.fit_recipe
    n_fits = len(probing.trial.fits.made)
    left = [3]

    def killed(*args: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return fitted(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "fit_recipe", killed)
    with pytest.raises(KeyboardInterrupt):
        tried(config, tmp_path / "cut", frame)
    left[0] = n_fits - 3
    again = tried(config, tmp_path / "cut", frame)
    assert told(probing) == told(again)
    assert left[0] == 0


UNFINISHED = """
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

def build(*, seed, max_iter=100):
    numbers = make_column_transformer(("passthrough", make_column_selector(dtype_include="number")))
    return make_pipeline(numbers, LogisticRegression(max_iter=1, random_state=seed))
"""


def test_what_does_not_converge_is_no_candidate_of_a_trial_and_still_a_probe(tmp_path: Path) -> None:
    """As in the product: a retrain ends there, and a probe answers with what it has."""
    (tmp_path / "recipe.py").write_text(UNFINISHED, encoding="utf-8")
    config, scratch, places = small(), tmp_path / "scratch", (np.arange(400), slice(400, 500))
    scratch.mkdir()
    recipes = freeze_recipes(tmp_path, scratch, ["recipe.py"])
    made = Fits(log=log(config), recipes=recipes, folder=tmp_path / "fits")
    with pytest.warns(ConvergenceWarning):
        assert len(made.probe(config, *places).scores) == 100
    with pytest.raises(TrainingError, match=r"recipe\.py.*: the fit did not converge: "):
        made.fit(config, *places)


def test_a_version_that_fails_its_bake_is_taken_back_and_judged(kept: Path) -> None:
    """Five days of upside-down labels: what was made of them fails its bake, and its data is held."""
    frame = rows(24)
    wrong = frame["event_time"].between(day(10).start, day(15).start, inclusive="left")
    config = small(PROBING | {"signoff": {"metrics": {"roc_auc": {"min": 0.2}}, "review": {"after_rollback": "auto"}}})
    run = tried(config, kept, frame.assign(label=frame["label"].where(~wrong, 1 - frame["label"])))
    assert [item.ended for item in run.paid if item.ended == "promoted"]
    assert [judged_rollback(run, undone, "roc_auc").rightness for undone in run.undone] == ["right"]
    assert run.trial.state.holds and all(hold.acknowledged for hold in run.trial.state.holds[:1])


def test_a_manual_review_needs_a_person_and_absent_people_release_nothing(kept: Path) -> None:
    manual = {"signoff": {"review": {"mode": "manual", "deadline": "1h"}}}
    run = tried(small({**IDLE, **manual}), kept, people="absent")
    assert {item.ended for item in run.retrains} == {"rejected"}
    assert not run.served.any()
    approved = tried(small({**IDLE, **manual}), kept, people="approve")
    assert approved.retrains[0].ended == "promoted" and not approved.retrains[0].automatic


def test_an_overlay_is_merged_and_named_by_its_file(tmp_path: Path) -> None:
    config = small(PROBING)
    path = tmp_path / "dear.yaml"
    path.write_text("signals: {gain: {price: 0.3}}\npolicy: {cooldown: 5d}\n")
    found = overlaid(config, path)
    assert (found.name, found.config.price, found.config.policy.cooldown) == ("dear", 0.3, timedelta(days=5))
    assert found.config.signals.gain.rows == config.signals.gain.rows
    assert found.config.policy.budget == config.policy.budget


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("features: {}", "features: a policy holds parts of policy, signals"),
        ("policy: {cooldwn: 5d}", "policy.cooldwn"),
        ("- 3", "no mapping"),
        ("policy: {breaches: {k: 4, n: 3}}", "can never happen"),
    ],
)
def test_an_overlay_that_can_not_be_meant_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        overlaid(small(), path)


def test_a_policy_on_drift_is_refused_for_nothing_measures_it() -> None:
    config = small({"signals": {"drift": {"score_role": "retrain"}}})
    with pytest.raises(ConfigError, match="measures neither"):
        refuse_unmeasured([Tried(name="drifting", config=config)])


def test_phases_of_a_calendar_cover_every_window_once() -> None:
    config = small()
    windows = windows_of(config, log(config), since=None, until=None)
    found = phases(config, windows, 3, day(3).end)
    assert len(found) == 4
    assert phases(config, windows, 0, day(3).end) == ()


@pytest.fixture(scope="module")
def compared(kept: Path) -> Comparison:
    asked = {"roc_auc": {"role": "watch", "bound": 0.5, "max_loss": 0.01}}
    config, folder = small({"signals": {**PROBING["signals"], "performance": asked}}), kept
    history = log(config, rows(turns_on=9))
    windows = windows_of(config, history, since=None, until=None)
    idle = Tried(name="idle", config=small(IDLE))
    return compare(
        config, history, windows, [idle], fits=fits(history, folder), change=ORIGIN + timedelta(days=9),
        progress=lambda *_: None,
    )  # fmt: skip


def test_a_change_makes_retraining_worth_it_and_an_idle_policy_worth_nothing(compared: Comparison) -> None:
    own, idle, *base = compared.outcomes
    assert [outcome.policy for outcome in base[:3]] == ["never", "every window", "every window, no gate"]
    gain = own.versus[NEVER]
    assert gain.interval is not None and gain.interval.low > 0
    assert own.detected_after_d is not None and 0 < own.detected_after_d <= 4
    assert idle.versus[NEVER].value == 0 and idle.fits == 0 and idle.gain_per_retrain is None
    assert idle.quality == base[0].quality
    assert base[1].fits > own.fits
    assert base[1].probes == 0 and own.probes > 0


def test_calendars_are_the_mean_of_their_phases(compared: Comparison) -> None:
    calendar = compared.outcomes[-1]
    assert calendar.policy.startswith("calendar") and calendar.n_phases > 1
    assert calendar.policy in compared.outcomes[0].versus


def test_the_page_stands_alone(compared: Comparison) -> None:
    text = page(compared)
    assert "<svg" in text and "http-equiv" not in text and "<script" not in text
    assert "signals.gain.price" in text and "every window, no gate" in text


@pytest.mark.parametrize(("width", "is_wide"), [(250, True), (72, False)])
def test_the_table_is_read_on_a_narrow_terminal(
    compared: Comparison, monkeypatch: pytest.MonkeyPatch, width: int, *, is_wide: bool
) -> None:
    """Columns of three letters are none: there it is an item a policy, without what did not happen."""
    told = StringIO()
    monkeypatch.setattr("perennial.cli.backtest.out", Console(width=width, file=told))
    _show(compared, Path("reports"))
    text = told.getvalue()
    said = " ".join(text.replace("│", " ").split())
    assert max(map(len, text.splitlines()[:-1])) <= width
    outcome = compared.outcomes[0]
    assert ("gain over never" in text.splitlines()[2]) is is_wide
    assert (f"quality {short(outcome.quality)}, " in said) is not is_wide
    assert f"{outcome.promotions:.3g}" in said and short(outcome.quality) in said
    assert "rollbacks 0" not in said


def test_proposals_carry_a_reason(compared: Comparison) -> None:
    keys = {"signals.gain.price", "bake.max_deficit", "policy.breaches.k", "signals.performance.roc_auc.max_loss"}
    assert {item.key for item in compared.proposal} >= keys
    assert all(item.why for item in compared.proposal)


def proposed_loss(*lost: float) -> KeyProposal:
    asked = {"roc_auc": {"role": "watch", "bound": 0.5, "max_loss": 0.02}}
    noise = Noise(
        gain_errors=(), fresh_gains=(), gate_errors=(), bake_errors=(), n_blocks=10, windows_a_year=26,
        fresh_losses={"roc_auc": lost},
    )  # fmt: skip
    found = propose(small({"signals": {"performance": asked}}), noise)
    return next(item for item in found if item.key == "signals.performance.roc_auc.max_loss")


def test_a_loss_is_proposed_that_no_new_version_breaches() -> None:
    found = proposed_loss(-0.01, 0.0312, 0.024, 0.02)
    assert (found.now, found.proposed) == (0.02, 0.032)
    assert "surely lost up to 0.0312" in found.why and "0.02 is breached by 2 of them" in found.why
    assert proposed_loss(-0.01, -0.02, -0.03).proposed == 0
    assert proposed_loss(0.1, 0.2).proposed is None


def test_what_a_new_version_lost_is_measured_by_baselines_too(compared: Comparison) -> None:
    found = next(item for item in compared.proposal if item.key == "signals.performance.roc_auc.max_loss")
    own = len(compared.outcomes[0].promoted_at) + 1
    n_versions = int(re.findall(r"\((\d+) versions\)", found.why)[0])
    assert found.proposed is not None and n_versions > own


def test_a_baseline_asks_no_probe() -> None:
    assert without_probe(small(PROBING)).signals.gain.probe == "none"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda frame: frame.drop(columns="label"), "no column label"),
        (lambda frame: pd.concat([frame, frame[:2]]), "2 rows of the history carry a prediction id that stands"),
        (lambda frame: frame[:0], "holds no row"),
        (lambda frame: frame.assign(labelled_at=None), "1152 rows of the history have a label or its time"),
        (lambda frame: frame.assign(event_time=None), "1152 of 1152 rows of the history have no event_time"),
        (lambda frame: frame.assign(n_visits=0.5), "does not hold what model.yaml declares"),
    ],
)
def test_a_history_that_can_not_be_replayed_is_refused(spoil: object, says: str) -> None:
    assert callable(spoil)
    with pytest.raises(ConfigError, match=says):
        log(small(), spoil(rows()))


def test_every_window_is_retrained_at_its_end(kept: Path) -> None:
    config = small(IDLE)
    windows = windows_of(config, log(config), since=None, until=None)
    run = tried(config, kept, policy=at_windows(config, windows, name="every window"))
    began = run.retrains[0].at
    assert [item.at for item in run.paid] == [window.end for window in windows if window.end > began]


@pytest.fixture(scope="module")
def tuned(kept: Path) -> Replayed:
    """A new version every day, each with a threshold of its own, judged by F1."""
    signals = {
        "performance": {"f1": {"role": "watch", "bound": 0.1}},
        "gain": {"probe": "none", "metric": "f1"},
    }
    training = {"tune_threshold": "f1", "cv_folds": 2, "train": "3d"}
    bake = {"metric": "f1", "bound": 0.1, "windows": 1}
    config, frame = ungated(small({"signals": signals, "training": training, "bake": bake})), rows(8)
    windows = windows_of(config, log(config, frame), since=None, until=None)
    return tried(config, kept, frame, policy=at_windows(config, windows, name="every window"))


def f1_of(run: Replayed, places: Places, version: str, threshold: float | None) -> float:
    labels = run.trial.log.table(places)["label"].to_numpy()
    return float(f1_score(labels, run.trial.versions[version].fit.at(places)[0] >= threshold))


def test_each_version_of_a_trial_decides_by_the_threshold_that_its_folds_chose(tuned: Replayed) -> None:
    trial = tuned.trial
    own = {version: made.fit.threshold for version, made in trial.versions.items()}
    assert len(set(own.values())) == len(own) > 2 and None not in own.values()
    newest = list(trial.versions)[-1]
    alone = choose_here(trial.config, trial.fits.recipes, trial.log.table(trial.trained_on[newest]))
    assert alone.threshold == own[newest] == trial.answers(newest, trial.versions[newest].holdout).threshold
    signed = [from_record(Signoff, entry.payload["signoff"]) for entry in trial.history.of("signoff")]
    assert {one.version: one.threshold for one in signed} == own
    assert {version: lineage.threshold for version, lineage in trial.state.lineages.items()} == own


def test_a_trial_measures_each_version_at_its_own_threshold(tuned: Replayed) -> None:
    trial = tuned.trial
    own = {version: made.fit.threshold for version, made in trial.versions.items()}
    apart = set()
    for signal in tuned.signals:
        if signal.name not in ("performance/f1", "bake/f1", "bake/f1_vs_stable") or signal.value is None:
            continue
        version = str(signal.version)
        places = trial.log.known(trial.log.within(trial.config.judged_over(signal.window)), signal.as_of)
        places = places[trial.served[places] == int(version)]
        value, declared = (f1_of(tuned, places, version, at) for at in (own[version], 0.5))
        if signal.name == "bake/f1_vs_stable":
            stable = re.findall(r"of stable version (\d+)", signal.detail)[0]
            value, declared = (f1_of(tuned, places, stable, at) - value for at in (own[stable], own[version]))
        assert signal.value == pytest.approx(value)
        if value != declared:
            apart.add(signal.name)
    assert apart == {"performance/f1", "bake/f1", "bake/f1_vs_stable"}


def test_what_a_policy_served_is_judged_at_the_threshold_of_whoever_served_it(tuned: Replayed) -> None:
    trial, places = tuned.trial, judged_places([tuned])
    thresholds = np.array([trial.versions[str(number)].fit.threshold for number in trial.served[places]])
    assert len(set(thresholds)) > 1
    labels = trial.log.table(places)["label"].to_numpy()
    expected = f1_score(labels, trial.scores[places] >= thresholds)
    assert tuned.answers(places).estimate(trial.config, "f1").value == pytest.approx(expected)
    half = np.arange(len(places)) % 2 == 0
    assert tuned.answers(places).rows(half).metrics(trial.config) == tuned.answers(places[half]).metrics(trial.config)
    assert expected != pytest.approx(f1_score(labels, trial.scores[places] >= 0.5))


def test_what_was_kept_of_a_fit_knows_its_threshold_and_a_probe_chooses_none(
    tuned: Replayed, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perennial.training.search.here.choose_here", refuse)
    trial, version = tuned.trial, tuned.trial.versions["1"]
    asked = slice(int(version.holdout[0]), trial.log.rows.num_rows)
    again = fits(trial.log, kept).fit(trial.config, trial.trained_on["1"], asked)
    assert again.threshold == version.fit.threshold is not None
    fresh = fits(trial.log, tmp_path)
    assert fresh.probe(trial.config, trial.trained_on["1"], asked).threshold is None
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(trial.config, trial.trained_on["1"], asked)
    by_accuracy, declared = small({"training": {"tune_threshold": "accuracy"}}), small({"training": {}})
    elsewhere = small({"training": {"tune_threshold": "accuracy"}, "label": {"decision_threshold": 0.4}})
    by_f1 = small({"training": {"tune_threshold": "f1"}})
    told = [fresh.key(one, np.arange(3), asked, candidate=True) for one in (by_accuracy, by_f1, elsewhere, declared)]
    assert len(set(told)) == 4
