"""Run ``tests/release_machine.py`` for long, and print what was done: decision 0044 has the figures.

python tests/simulations/releases.py --steps 10000 --seed 1
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "tests")]

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.engine import make_url

from perennial.store import open_store
from perennial.store.migrate import migrate
from release_machine import at, in_memory_folder, open_site
from servers import create_database, reachable_folder, temporary_postgres

STEPS_EACH = 50


def main() -> None:
    """Until so many steps were taken, or a law is broken, which Hypothesis then shows in its shortest form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shrink", action="store_true", help="have a broken law shown in its shortest form")
    given = parser.parse_args()
    began, n_models = time.monotonic(), 0
    with reachable_folder() as cluster, temporary_postgres(cluster) as url, in_memory_folder() as folder:
        store = open_store(create_database(make_url(url), "releases"), folder.as_uri())
        migrate(store)
        site = open_site(store, folder)
        rules = settings(
            max_examples=20,
            stateful_step_count=STEPS_EACH,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *([Phase.shrink] if given.shrink else [])],
            print_blob=True,
        )
        while site.steps.total() < given.steps:
            machine = at(site)
            seed(given.seed + n_models)(machine)
            run_state_machine_as_test(machine, settings=rules)
            n_models += rules.max_examples
            print(f"{site.steps.total()} steps of {n_models} models in {time.monotonic() - began:.0f} s", flush=True)
        store.close()
    for what, n_times in (*sorted(site.steps.items()), *sorted(site.written.items())):
        print(f"{what}: {n_times}")


if __name__ == "__main__":
    main()
