"""A search in the process that runs the recipe: what is drawn, what is kept of it, and how it goes on after a kill."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import optuna
import pyarrow as pa
import pytest

from conftest import TEST_MODELS
from logs import day
from perennial.config import ModelConfig, load_model
from perennial.config.training.search import Search
from perennial.errors import TrainingError
from perennial.training.fitting.recipe import freeze_recipes
from perennial.training.search.here import choose_here
from perennial.training.search.study import _journal, search
from perennial.training.search.tried import EARLIER_FILE, JOURNAL_FILE, TriedSet, read_tried
from perennial.trial.fits import Fits
from published import tumour_rows
from trials import log
from trials import small as trial_model

RECIPE = """
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

def build(*, seed, depth=1, leaf=1, criterion="gini"):
    if depth == 13:
        raise ValueError("unlucky")
    numbers = make_column_transformer(("passthrough", make_column_selector(dtype_include="number")))
    return make_pipeline(numbers, DecisionTreeClassifier(
        max_depth=depth, min_samples_leaf=leaf, criterion=criterion, random_state=seed))
"""
SPACE = {"depth": {"low": 1, "high": 6}, "leaf": {"low": 1, "high": 60, "log": True}, "criterion": ["gini", "entropy"]}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    rows = pa.Table.from_pandas(tumour_rows(300, 1), preserve_index=False)
    times = [day(0).start + timedelta(seconds=number) for number in range(300)]
    return rows.append_column("event_time", pa.array(times, pa.timestamp("us", "UTC")))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def searching(seed: int = 7, **told_search: object) -> ModelConfig:
    config = load_model(TEST_MODELS / "tumour_malignant")
    wanted = Search.model_validate({"space": SPACE, "trials": 6, **told_search})
    return config.model_copy(
        update={"training": config.training.model_copy(update={"search": wanted, "seed": seed, "params": {"leaf": 2}})}
    )


def tried_in(folder: Path, config: ModelConfig, recipe: Path, table: pa.Table) -> list[TriedSet]:
    folder.mkdir(exist_ok=True)
    search(config, recipe, table, folder=folder)
    return read_tried(folder)


def what(tried: list[TriedSet]) -> list[object]:
    return [(one.number, one.state, one.params, one.folds, one.value) for one in tried]


@pytest.mark.parametrize(
    ("sampler", "most"),
    [("tpe", 12), ("random", 5), ("grid", 6)],  # tpe draws by what it knows from the eleventh on
)
def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(
    tmp_path: Path, recipe: Path, table: pa.Table, sampler: str, most: int
) -> None:
    space = {"depth": {"low": 1, "high": 3}, "criterion": ["gini", "entropy"]} if sampler == "grid" else SPACE
    whole, begun = (searching(sampler=sampler, space=space, folds=2, trials=trials) for trials in (most, most - 2))
    expected = tried_in(tmp_path / "whole", whole, recipe, table)
    assert len({str(one.params) for one in expected}) > most / 2
    tried_in(tmp_path / "begun", begun, recipe, table)
    optuna.load_study(storage=_journal(tmp_path / "begun" / JOURNAL_FILE), study_name="search").ask()  # never to end
    rest = tmp_path / "rest"
    rest.mkdir()
    (tmp_path / "begun" / JOURNAL_FILE).rename(rest / EARLIER_FILE)
    assert what(tried_in(rest, whole, recipe, table)) == what(expected)


def test_a_grid_tries_every_point_once_and_another_seed_draws_others(
    tmp_path: Path, recipe: Path, table: pa.Table
) -> None:
    grid = searching(sampler="grid", space={"depth": [1, 2, 3], "criterion": ["gini", "entropy"]}, trials=99)
    points = [tuple(one.params.values()) for one in tried_in(tmp_path / "grid", grid, recipe, table)]
    assert sorted(points) == [(depth, name) for depth in (1, 2, 3) for name in ("entropy", "gini")]
    one, other = (
        [tried.params for tried in tried_in(tmp_path / str(seed), searching(seed, trials=2), recipe, table)]
        for seed in (1, 2)
    )
    assert one != other


def test_the_best_set_is_laid_over_the_declared_parameters(tmp_path: Path, recipe: Path, table: pa.Table) -> None:
    config = searching(space={"depth": [1, 4]}, sampler="grid", folds=2)
    tried = tried_in(tmp_path / "s", config, recipe, table)
    best = max(tried, key=lambda one: one.value or 0.0)
    assert all(len(one.folds) == 2 and one.value == pytest.approx(sum(one.folds) / 2) for one in tried)
    assert search(config, recipe, table) == ({"leaf": 2, **best.params}, 2)
    less_is_better = config.model_copy(update={"training": config.training.model_copy(update={"metric": "log_loss"})})
    losses = tried_in(tmp_path / "loss", less_is_better, recipe, table)
    lowest = min(losses, key=lambda one: one.value or 0.0)
    assert search(less_is_better, recipe, table)[0] == {"leaf": 2, **lowest.params}


def test_a_set_that_fails_is_told_with_its_line_and_chosen_by_nobody(
    tmp_path: Path, recipe: Path, table: pa.Table
) -> None:
    config = searching(space={"depth": [13, 2]}, sampler="grid")
    tried = {one.params["depth"]: one for one in tried_in(tmp_path / "s", config, recipe, table)}
    assert (tried[13].state, tried[2].state) == ("failed", "complete")
    assert tried[13].problem == f"{recipe}:8: ValueError: unlucky"
    assert search(config, recipe, table)[0]["depth"] == 2
    hopeless = searching(space={"depth": [13]}, sampler="grid")
    with pytest.raises(TrainingError, match=r"none of 1 sets of parameters came to its end: .*unlucky"):
        search(hopeless, recipe, table)


def test_what_falls_behind_the_median_is_given_up_on_the_way(tmp_path: Path, recipe: Path, table: pa.Table) -> None:
    space = {"depth": {"low": 1, "high": 6}, "leaf": [1, 2, 3, 150]}  # of 150 a leaf nothing can be told apart
    tried = tried_in(
        tmp_path / "s", searching(space=space, trials=12, pruner="median", sampler="random"), recipe, table
    )
    pruned = [one for one in tried if one.state == "pruned"]
    assert pruned and {one.params["leaf"] for one in pruned} >= {150}
    assert all(one.value is None and 1 <= len(one.folds) < 3 for one in pruned)
    assert {one.state for one in tried} == {"pruned", "complete"}


def test_no_set_is_begun_after_its_time(recipe: Path, table: pa.Table) -> None:
    def ticking() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += 10.0

    clock = ticking()
    _, n_tried = search(searching(seconds=25.0, trials=50), recipe, table, clock=lambda: next(clock))
    assert n_tried == 2


def test_a_trial_searches_and_chooses_in_its_own_process_and_tells_its_fits_apart(
    tmp_path: Path, recipe: Path, table: pa.Table
) -> None:
    constant = "from sklearn.dummy import DummyClassifier\n\ndef build(*, seed): return DummyClassifier()\n"
    (tmp_path / "constant.py").write_text(constant, encoding="utf-8")
    config = searching(space={"depth": [1, 4]}, sampler="grid", folds=2)
    several = config.model_copy(
        update={"training": config.training.model_copy(update={"recipes": ["constant.py", "recipe.py"]})}
    )
    (tmp_path / "scratch").mkdir()
    recipes = freeze_recipes(tmp_path, tmp_path / "scratch", several.training.recipes)
    chosen = choose_here(several, recipes, table)
    assert (chosen.recipe.copy.name, chosen.threshold) == ("recipe.py", None)
    assert chosen.config.training.params == search(several, recipe, table)[0]
    alone = choose_here(config, recipes[1:], table)
    assert (alone.recipe, alone.config.training.params) == (chosen.recipe, chosen.config.training.params)
    fits = Fits(log=log(trial_model()), recipes=recipes, folder=tmp_path / "fits")
    rows = np.arange(9), slice(9, 12)
    configs = (config, several, searching(space={"depth": [1, 3]}, sampler="grid", folds=2))
    assert len({fits.key(one, *rows, candidate=True) for one in configs}) == 3
