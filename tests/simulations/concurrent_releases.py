"""Eight promotions and rollbacks of one model at once, round after round, while locks are lost: decision 0062.

python tests/simulations/concurrent_releases.py --rounds 200 --seed 1

Eight processes, each with connections of its own, over one PostgreSQL, in which the ledger and MLflow's own store are.
In each round two to four rollbacks, of which two are one and the same call, and as many approvals of versions as make
eight of them, all given against the champion there is, begin within a tenth of a second, and meanwhile whoever holds a
lock loses his connection, a few times. What was not answered is tried again, as Airflow does. Then ledger and aliases
agree, every release that somebody was told of stands once in the ledger, nothing was released twice or under another
approval, and something was released.
"""

import argparse
import multiprocessing
import random
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "tests")]

from sqlalchemy.engine import make_url

from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, Release, digest_of
from perennial.contracts.tags import CHAMPION
from perennial.errors import PerennialError, TransientError
from perennial.ledger import chain
from perennial.registry import Registry, alias_version
from perennial.registry.versions import ensure_model
from perennial.release.promote import promote
from perennial.release.reconcile import follow_bake, repair
from perennial.release.rollback import roll_back
from perennial.store import Store, open_store
from perennial.store.migrate import migrate
from release_machine import WINE, end_locks, in_memory_folder, lawful
from releases import in_ledger, signed
from servers import create_database, reachable_folder, temporary_postgres

AT_ONCE, TRIES, ROUNDS_EACH = 8, 6, 20
LOSSES, WITHIN_S = 4, 0.6


class Place(NamedTuple):
    """Where the ledger, its files and MLflow's store are."""

    database: str
    storage: str
    mlflow: str


class Order(NamedTuple):
    """An approval to promote, or, with ``run_id``, a rollback; begun after some seconds."""

    model: str
    signoff: str | None
    run_id: str
    at: datetime
    after_s: float


class Told(NamedTuple):
    """What became of an order: the release, or why there was none; how often it was tried."""

    release: Release | None
    refused: str
    n_tries: int


_open: dict[Place, tuple[Store, Registry]] = {}


def opened(place: Place) -> tuple[Store, Registry]:
    """The connections of this process."""
    if place not in _open:
        warnings.simplefilter("ignore")
        _open[place] = (open_store(place.database, place.storage), Registry(place.mlflow))
    return _open[place]


def warm(place: Place) -> None:
    """MLflow looks at its tables once a process."""
    alias_version(opened(place)[1], "nobody", CHAMPION)
    time.sleep(0.5)  # so that each process does


def carried_out(place: Place, order: Order) -> Told:
    """One release as a task makes it: tried again when something did not answer, and then with what the ledger says."""
    store, registry = opened(place)
    config = WINE.model_copy(update={"model": order.model})
    time.sleep(order.after_s)
    for n_tries in range(1, TRIES + 1):
        try:
            if order.signoff is not None:
                made = promote(config, order.signoff, store=store, registry=registry)
            else:
                asked: dict[str, Any] = {"actor": "ada", "reason": "it errs", "at": order.at, "run_id": order.run_id}
                made = roll_back(config, store=store, registry=registry, **asked)
            return Told(made, "", n_tries)
        except TransientError as error:
            last = error
        except PerennialError as error:
            return Told(None, f"{type(error).__name__}: {error}", n_tries)
    raise last


@dataclass(slots=True)
class Model:
    """One model, its versions and what was counted of it."""

    config: ModelConfig
    place: Place
    folder: Path
    seen: Counter[str]
    n_versions: int = 0
    number: int = 0
    known: set[str] = field(default_factory=set)

    @property
    def there(self) -> dict[str, Any]:
        store, registry = opened(self.place)
        return {"store": store, "registry": registry}

    @property
    def store(self) -> Store:
        return opened(self.place)[0]

    @property
    def history(self) -> ledger.History:
        return ledger.read(self.store, self.config.model)

    def approved(self) -> str:
        """A version, signed off against the champion there is and approved; the id of its signoff."""
        self.n_versions += 1
        files = self.folder / self.config.model / str(self.n_versions)
        files.mkdir(parents=True)
        (files / "model.skops").write_text(f"version {self.n_versions}", encoding="utf-8")
        registry: Registry = self.there["registry"]
        made = registry.client.create_model_version(self.config.model, files.as_uri())
        signoff = signed(self.config, registry, str(made.version), self.history.state.champion, self.number)
        return in_ledger(signoff, self.store).signoff_id

    def settle(self, *, passed: bool) -> None:
        """The champion's bake ends well, and it can be gone back to."""
        state = self.history.state
        if not passed or not state.in_bake or state.champion is None:
            return
        entry = LedgerEntry(
            entry_id=digest_of("bake", self.config.model, state.champion), model=self.config.model, kind="bake",
            at=day(self.number).end, actor="policy", reason="passed", version=state.champion,
            payload={"outcome": "passed", "windows": []},
        )  # fmt: skip
        ledger.append(self.store, entry)
        follow_bake(self.config, **self.there)

    def round(self, pool: ProcessPoolExecutor, chance: random.Random) -> None:
        """Eight at once, while locks are lost, and the laws afterwards."""
        self.number += 10
        self.settle(passed=chance.random() < 0.7)
        while self.history.state.fallback is None:
            promote(self.config, self.approved(), **self.there)
            self.settle(passed=True)
            self.number += 10
        n_before = len(self.history.of("promotion", "rollback"))
        name, at = self.config.model, day(self.number).end
        runs = [f"{self.number} {which}" for which in ("one", "one", "two", "three")][: chance.randint(2, 4)]
        given = [*((self.approved(), "") for _ in range(AT_ONCE - len(runs))), *((None, run) for run in runs)]
        chance.shuffle(given)
        orders = [Order(name, signoff, run, at, chance.random() * 0.1) for signoff, run in given]
        going = [pool.submit(carried_out, self.place, order) for order in orders]
        self._lose_locks(going, chance)
        # a lock is waited for twice as long: nobody waits for one that he holds himself, or who waits for him
        told = [done.result(60) for done in going]
        self._lawful(orders, told, n_before)

    def _lose_locks(self, going: list["Future[Told]"], chance: random.Random) -> None:
        for pause in sorted(chance.random() * WITHIN_S / LOSSES for _ in range(LOSSES)):
            wait(going, pause)
            self.seen["locks lost"] += end_locks(self.store)

    def _lawful(self, orders: list[Order], told: list[Told], n_before: int) -> None:
        state, registry = self.history.state, self.there["registry"]
        self.seen["left for a repair"] += int(
            state.pending is not None or alias_version(registry, self.config.model, CHAMPION) != state.champion
        )
        repair(self.config, **self.there)
        assert repair(self.config, **self.there) == (), "what was mended stays so, and nothing is left"
        history = self.history
        lawful(history, set())
        chain.verify(self.store, self.config.model)
        made = history.of("promotion", "rollback")
        assert alias_version(registry, self.config.model, CHAMPION) == history.state.champion
        promoted = Counter(item.payload["signoff"] for item in made if item.kind == "promotion")
        called = Counter(item.payload["call"] for item in made if item.kind == "rollback")
        assert set(promoted.values()) | set(called.values()) <= {1}, "a double promotion, or a rollback made twice"
        standing = {item.entry_id for item in made}
        lost = [one.release for one in told if one.release and one.release.entry_id not in standing]
        assert lost == [], "a lost update: somebody was told of a release that the ledger does not have"
        assert len(made) > n_before, f"an approved release was lost: {[one.refused for one in told]}"
        for order, one in zip(orders, told, strict=True):
            self.seen["promotions asked for" if order.signoff else "rollbacks asked for"] += 1
            self.seen["told of a release" if one.release else "told why there was none"] += 1
            self.seen["tried again"] += one.n_tries - 1
        for item in made[n_before:]:
            self.seen[f"{item.kind}s in the ledger"] += 1


def main() -> None:
    """Until so many rounds were made, or a law is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, began, seen = random.Random(given.seed), time.monotonic(), Counter[str]()  # noqa: S311 - drawn anew
    with (
        reachable_folder() as cluster,
        temporary_postgres(cluster) as url,
        in_memory_folder() as folder,
        ProcessPoolExecutor(AT_ONCE, mp_context=multiprocessing.get_context("fork")) as pool,
    ):
        databases = [create_database(make_url(url), name) for name in ("releases", "mlflow")]
        place = Place(databases[0], folder.as_uri(), databases[1])
        wait([pool.submit(time.sleep, 0.5) for _ in range(AT_ONCE)])  # forked before anything is connected
        store, registry = opened(place)
        migrate(store)
        ensure_model(registry, "first")
        for ready in [pool.submit(warm, place) for _ in range(AT_ONCE)]:
            ready.result()
        for number in range(given.rounds):
            if number % ROUNDS_EACH == 0:
                model = Model(WINE.model_copy(update={"model": f"wine_{uuid4().hex[:10]}"}), place, folder, seen)
                ensure_model(registry, model.config.model)
                print(f"{number} rounds in {time.monotonic() - began:.0f} s: {dict(seen)}", flush=True)
            model.round(pool, chance)
        store.close()
    print(f"{given.rounds} rounds in {time.monotonic() - began:.0f} s")
    for what, n_times in sorted(seen.items()):
        print(f"{what}: {n_times}")


if __name__ == "__main__":
    main()
