"""Releases under every trouble at once, as a state machine for Hypothesis over the real ledger and MLflow's own store.

One step is an action (a signoff, an answer, a look at a canary or at an A/B, for which labels of both arms are
published, a promotion, a rollback, the end of a bake, a hand in MLflow, a repair) with at most one trouble in it: at
the n-th call of the store or of MLflow, before or after its effect, the process dies, the call fails, or somebody else
acts meanwhile, with the lock lost or not. After every repair the laws hold.
"""

import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from mlflow.exceptions import MlflowException
from sqlalchemy import text

from arms_served import served
from canaries import DEADLINE, ENOUGH, EVERY, SHARES, counted
from logs import day
from perennial import ledger
from perennial.config import ModelConfig, load_model
from perennial.config.release.ab import AB
from perennial.config.release.canary import Canary
from perennial.config.release.declared import Releases
from perennial.contracts import LedgerEntry, Signoff, digest_of, to_record
from perennial.contracts.tags import CANARY, CHALLENGER, CHAMPION, RELEASE_TAG, SHARE_TAG, STABLE
from perennial.errors import IntegrityError, LockTimeout, PerennialError, ReleaseError, StoreUnavailable
from perennial.ledger import History, chain
from perennial.ledger.canaries import Outcome, canary_of, live_canary
from perennial.ledger.fold import MOVES
from perennial.registry import Registry, alias_version
from perennial.registry.versions import ensure_model, find_version_tags
from perennial.release.agreement import stable_of, tag_of
from perennial.release.canary.ramp import Look, asks_for_canary, expire, look
from perennial.release.hold import acknowledge
from perennial.release.promote import challenge, promote, withdraw
from perennial.release.reconcile import follow_bake, repair, why_left_behind
from perennial.release.rollback import roll_back
from perennial.signoff.review import record_review
from perennial.store import Store, locks
from perennial.store.tables import ensure_data_tables
from releases import approval, signed

AB_TEST = "ab"
SHARES_OF = {"canary": SHARES, "ab": (50.0,)}
"""Those that a version answers before it serves, in percent, by the strategy."""
ENDS: dict[str, set[Outcome]] = {
    "canary": {"passed", "breached", "blind", "expired", "stopped"},
    "ab": {"passed", "breached", "blind", "expired", "stopped", "lost"},
}
"""What a version may come to before it serves, by the strategy."""
WINE = load_model(Path(__file__).parent / "models" / "wine_cultivar")
DAYS_BETWEEN = 10
"""So far apart that what one version was made from is not held with another's."""


class Killed(BaseException):
    """The process is gone: nothing of it catches this."""


@dataclass
class Trap:
    """What happens at the ``at``-th call; ``calls`` counts them."""

    at: int = 0
    after: bool = False
    spring: Callable[[str], None] = lambda _: None
    calls: int = 0
    armed: bool = False

    @contextmanager
    def around(self, what: str) -> Iterator[None]:
        """One call of the store or of MLflow."""
        mine = False
        if self.armed:
            self.calls += 1
            mine = self.calls == self.at
        if mine and not self.after:
            self._spring(what)
        yield
        if mine and self.after:
            self._spring(what)

    def _spring(self, what: str) -> None:
        self.armed = False
        self.spring(what)
        self.armed = True


@dataclass
class Traps:
    """The trap of the process that acts; somebody who acts meanwhile has one of his own."""

    stack: list[Trap] = field(default_factory=lambda: [Trap()])

    @property
    def top(self) -> Trap:
        return self.stack[-1]

    @contextmanager
    def set(self, trap: Trap) -> Iterator[None]:
        self.stack.append(trap)
        try:
            yield
        finally:
            self.stack.pop()


TRAPS = Traps()


class TrappedStore(Store):
    """The real store, each of whose transactions is a call."""

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with TRAPS.top.around("store"), super().begin() as connection:
            yield connection


class TrappedClient:
    """MLflow's own client, each of whose methods is a call."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)

        def call(*given: Any, **named: Any) -> Any:
            with TRAPS.top.around("mlflow"):
                return real(*given, **named)

        return call


class TrappedRegistry(Registry):
    """The registry, asked through a :class:`TrappedClient`."""

    @property
    def client(self) -> Any:
        return TrappedClient(super().client)


def fails(what: str) -> None:
    """The call is not answered."""
    if what == "store":
        raise StoreUnavailable("the connection was dropped")
    raise MlflowException("API request to http://mlflow failed with exception the connection was dropped")


def dies(_: str) -> None:
    """The process is killed."""
    raise Killed


@contextmanager
def suppressed() -> Iterator[None]:
    """Whatever ends an action is no matter, but that it waits for itself."""
    patience = locks.model_lock.__wrapped__.__kwdefaults__  # type: ignore[attr-defined]
    before, patience["timeout_s"] = patience["timeout_s"], 5
    try:
        yield
    except LockTimeout as error:
        raise AssertionError(f"nobody else is there to wait for: {error}") from error
    except (PerennialError, Killed):
        pass
    finally:
        patience["timeout_s"] = before


class Act(NamedTuple):
    """Something that a process or a person does: ``number`` chooses among what there is, modulo how many there are."""

    what: str
    number: int = 0


class Trouble(NamedTuple):
    """``dies`` or ``fails`` at the ``at``-th call, or ``act`` of somebody else, with the lock lost."""

    kind: Literal["none", "dies", "fails", "meanwhile"]
    at: int = 1
    after: bool = False
    act: Act | None = None
    lost: bool = True
    then: int = 0
    """At which call the other one dies; 0 for never."""


ALIASES = {"hand": CHAMPION, "stable": STABLE, "challenger": CHALLENGER, "canary": CANARY}
TAKEN_AWAY = {"unset": CHAMPION, "uncanary": CANARY}
HANDS = (*ALIASES, *TAKEN_AWAY, "share", "delete")
NUMBERS = st.integers(0, 7)
CALLS = st.integers(1, 36)
LOOKS = st.integers(0, 15)
"""What is seen, and of which of the newest two."""
BY_PROCESS = st.sampled_from(
    ["promote", "promote", "rollback", "decided", "bake", "repair", "look", "look", "expire"]
).flatmap(lambda what: st.builds(Act, st.just(what), LOOKS if what == "look" else NUMBERS))
BY_HAND = st.builds(
    Act,
    st.sampled_from(["hand", "hand", "delete", "stable", "challenger", "unset", "canary", "uncanary", "share"]),
    NUMBERS,
)
SEEN = ("good", "good", "good", "good", "few", "bad", "bad", "late")
"""What the service counted of a canary: it may go on, it has to wait, it does harm, or nobody could see in time."""
LABELS: dict[str, dict[str, int]] = {
    "better": {"n_wrong": 0, "n_worse": 8},
    "worse": {"n_wrong": 12},
    "no better": {"n_wrong": 3, "n_worse": 1},
    "of another size": {"n_wrong": 0, "n_worse": 8, "n_lost": 14},
}
"""What the labels of a window say of the challenger in an A/B, as :func:`served` publishes it."""
HEARD = ("better", "better", "better", "worse", "no better", "of another size", "bad", "late")
"""Of an A/B: what its next window says, with guards that hold; or that it does harm, or is late, without a window."""
COMES_TO: dict[str, dict[str, Outcome]] = {
    "canary": {"good": "passed", "bad": "breached", "late": "blind"},
    "ab": {
        "better": "passed",
        "worse": "lost",
        "no better": "lost",
        "of another size": "blind",
        "bad": "breached",
        "late": "blind",
    },
}
"""How a canary, or an A/B, ends in whose every look this is seen."""
N_ROWS = 600
"""Of a window, for both arms together: with 400, arms of another size are not seen on one day in six."""
TROUBLES = st.one_of(
    st.just(Trouble("none")),
    st.tuples(st.sampled_from(["dies", "fails"]), CALLS, st.booleans()).map(lambda given: Trouble(*given)),
    st.tuples(CALLS, st.booleans(), BY_PROCESS, st.just(True), st.sampled_from([0, 0, 9, 14, 19])).map(
        lambda given: Trouble("meanwhile", *given)
    ),
    st.tuples(CALLS, st.booleans(), BY_HAND, st.booleans()).map(lambda given: Trouble("meanwhile", *given)),
)


@dataclass
class Site:
    """Where a machine works. ``policies`` are those of ``release.moved_alias`` that it draws from."""

    store: Store
    uri: str
    folder: Path
    policies: tuple[str, ...] = ("revert", "revert", "report", "adopt")
    steps: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    """How often a trouble came to pass and a law was put to the test; the entries of all ledgers by their kind."""


def open_site(store: Store, folder: Path) -> Site:
    """MLflow's store in this process, on SQLite below the folder: a call costs milliseconds."""
    site = Site(TrappedStore(store.engine, store.libpq_uri, store.storage), f"sqlite:///{folder}/mlflow.db", folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ensure_model(Registry(site.uri), "first")
    return site


@contextmanager
def in_memory_folder() -> Iterator[Path]:
    """A folder that no disk is waited for, where there is one."""
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - made by mkdtemp
    folder = Path(tempfile.mkdtemp(prefix="perennial-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class ReleaseMachine(RuleBasedStateMachine):
    """One model from nothing on. ``site`` is set by :func:`machine_at`."""

    site: Site

    def __init__(self) -> None:
        super().__init__()
        self.store, self.registry = self.site.store, TrappedRegistry(self.site.uri)
        self.config: ModelConfig = WINE.model_copy(update={"model": f"wine_{uuid4().hex[:10]}"})
        self.signoffs: list[Signoff] = []
        self.versions: list[str] = []
        self.spoiled: set[str] = set()
        self.deleted: set[str] = set()
        self.labels: dict[str, list[str]] = {}
        ensure_model(Registry(self.site.uri), self.config.model)

    @property
    def there(self) -> dict[str, Any]:
        """What every release is called with."""
        return {"store": self.store, "registry": self.registry}

    @property
    def history(self) -> History:
        return ledger.read(self.store, self.config.model)

    @initialize(
        policy=st.integers(0, 3),
        strategy=st.sampled_from(["canary", "canary", "ab", "ab", "direct"]),
        n_before=st.integers(0, 2),
        windows=st.integers(1, 2),
        test=st.sampled_from(["fixed", "sequential"]),
    )
    def begin(
        self,
        policy: int,
        strategy: Literal["canary", "ab", "direct"],
        n_before: int,
        windows: int = 1,
        test: Literal["fixed", "sequential"] = "fixed",
    ) -> None:
        """A policy about hands, and what was released before without trouble: a stable version, one in its bake."""
        known = self.site.policies
        rules = Releases(
            moved_alias=known[policy % len(known)],  # type: ignore[arg-type]
            strategy=strategy,
            canary=Canary(shares=list(SHARES), every=EVERY, deadline=DEADLINE),
            ab=AB(share=SHARES_OF["ab"][0], windows=windows, test=test, deadline=DEADLINE),
        )
        self.config = self.config.model_copy(update={"release": rules})
        if strategy == AB_TEST:
            ensure_data_tables(self.store, self.config)
        for number in range(n_before):
            self._signed("approved")()
            self._promote_at_last(self.signoffs[-1])
            if number == 0:
                self._bake(passed=True)

    # --- what happens ---------------------------------------------------------------------------------------------

    @rule(verdict=st.sampled_from(["approved", "approved", "approved", "rejected", None]), trouble=TROUBLES)
    def sign(self, verdict: str | None, trouble: Trouble) -> None:
        self._attempt("sign", self._signed(verdict), trouble)

    @rule(number=NUMBERS, verdict=st.sampled_from(["approved", "rejected"]), trouble=TROUBLES)
    def answer(self, number: int, verdict: str, trouble: Trouble) -> None:
        if self.signoffs:
            chosen = self.signoffs[-1 - number % len(self.signoffs)]
            self._attempt("answer", lambda: self._answer(chosen, verdict), trouble)

    @rule(act=BY_PROCESS, trouble=TROUBLES)
    def act(self, act: Act, trouble: Trouble) -> None:
        self._attempt(act.what, lambda: self._act(act), trouble)

    @rule(act=BY_HAND)
    def by_hand(self, act: Act) -> None:
        self._attempt(f"by hand: {act.what}", lambda: self._act(act), Trouble("none"))

    @precondition(lambda self: self.versions)
    @rule()
    def tamper(self) -> None:
        """Somebody writes another file into the newest version."""
        self.site.steps["tamper"] += 1
        self.spoiled.add(self.versions[-1])
        (self._folder(self.versions[-1]) / "model.skops").write_text("forged", encoding="utf-8")

    @precondition(lambda self: any(not hold.acknowledged for hold in self.history.state.holds))
    @rule()
    def word_on_holds(self) -> None:
        for hold in self.history.state.holds:
            if not hold.acknowledged:
                acknowledge(
                    self.config.model, hold.entry_id, store=self.store, actor="ada", reason="seen", exclude=True,
                    at=day(1).end,
                )  # fmt: skip
        self.site.steps["acknowledge"] += 1

    @rule()
    def mend_and_look(self) -> None:
        self.site.steps["repair, and look"] += 1
        self._mended_and_lawful()

    @rule(number=NUMBERS)
    def an_approved_release_is_not_lost(self, number: int) -> None:
        """After a repair, what was approved and is as it was approved is promoted, at once and once."""
        self.site.steps["promote what must be"] += 1
        if not self.signoffs or not self._mended_and_lawful():
            return
        signoff = self.signoffs[-1 - number % len(self.signoffs)]
        if self._is_promotable(signoff):
            made = self._promote_at_last(signoff)
            assert made.version == signoff.version
            assert promote(self.config, signoff.signoff_id, **self.there) == made
            self.site.written["promoted as it must be"] += 1
            self._mended_and_lawful()

    @precondition(lambda self: self.config.release.by_shares)
    @rule(number=st.integers(0, 11))
    def a_share_comes_to_what_was_seen(self, number: int) -> None:
        """After a repair, a version that is approved now answers its share until it has passed, or is taken back."""
        strategy = self.config.release.strategy
        ends = COMES_TO[strategy]
        seen = list(ends)[number % len(ends)]
        self.site.steps[f"{strategy} to its end"] += 1
        if not self._mended_and_lawful():
            return
        self._signed("approved")()
        signoff = self.signoffs[-1]
        if signoff.champion_seen is None or not self._is_promotable(signoff):
            return
        looks = [self._look(signoff, seen) for _ in range(1 + self._n_looks)]
        found = canary_of(self.history, signoff.signoff_id)
        assert found is not None
        assert found.outcome == ends[seen], looks
        self.site.written[f"{strategy} came to {found.outcome} as it must"] += 1
        if found.outcome != "passed":
            self._is_taken_back(signoff, looks[-1])

    @rule()
    def a_rollback_is_not_lost(self) -> None:
        """After a repair, a trusted version with its files is gone back to when somebody asks for it."""
        self.site.steps["roll back what must be"] += 1
        if not self._mended_and_lawful():
            return
        state = self.history.state
        if state.fallback is not None and state.fallback not in self.spoiled:
            made = self._rollback(f"asked for {uuid4().hex}")
            assert (made.version, made.previous) == (state.fallback, state.champion)
            self.site.written["rolled back as it must be"] += 1
            self._mended_and_lawful()

    def teardown(self) -> None:
        self._mended_and_lawful()
        chain.verify(self.store, self.config.model)
        for item in self.history.entries:
            self.site.written["abandoned" if "abandons" in item.payload else item.kind] += 1
            if item.kind == "canary_intent" and item.payload["outcome"]:
                self.site.written[f"ended, {item.payload['strategy']}: {item.payload['outcome']}"] += 1
        shutil.rmtree(self.site.folder / self.config.model, ignore_errors=True)

    # --- how it happens -------------------------------------------------------------------------------------------

    def _attempt(self, what: str, work: Callable[[], Any], trouble: Trouble) -> None:
        self.site.steps[f"{what}, {trouble.kind}"] += 1
        sprung: dict[str, Callable[[str], Any]] = {"dies": dies, "fails": fails}

        def spring(what_call: str) -> None:
            self.site.written[f"trouble: {trouble.kind} at a call of {what_call}"] += 1
            sprung.get(trouble.kind, lambda _: self._meanwhile(trouble))(what_call)

        trap = Trap(trouble.at if trouble.kind != "none" else 0, trouble.after, spring, armed=True)
        with TRAPS.set(trap), suppressed():
            work()

    def _meanwhile(self, trouble: Trouble) -> None:
        assert trouble.act is not None
        if trouble.lost:
            end_locks(self.store)
        elif trouble.act.what not in HANDS:
            return
        other = Trap(trouble.then, spring=dies, armed=True)
        with TRAPS.set(other), suppressed():
            self._act(trouble.act)

    def _act(self, act: Act) -> None:
        if act.what in HANDS:
            self._by_hand(act)
        elif act.what == "promote" and self.signoffs:
            signoff = self.signoffs[-1 - act.number % min(3, len(self.signoffs))]
            promote(self.config, signoff.signoff_id, **self.there)
        elif act.what == "rollback":
            self._rollback(f"run {act.number}")
        elif act.what == "decided":
            self._roll_back_as_decided()
        elif act.what == "bake":
            self._bake(passed=act.number != 0)
        elif act.what == "repair":
            repair(self.config, **self.there)
        elif act.what == "look" and self.signoffs:
            seen = HEARD if self.config.release.strategy == AB_TEST else SEEN
            self._look(self.signoffs[-1 - act.number // len(seen) % len(self.signoffs)], seen[act.number % len(seen)])
        elif act.what == "expire":
            expire(self.config, now=datetime.now(UTC) + DEADLINE * (act.number % 2), **self.there)

    def _by_hand(self, act: Act) -> None:
        """What somebody may do in MLflow's pages."""
        client, model, chosen = Registry(self.site.uri).client, self.config.model, self._choose(act.number)
        if act.what in TAKEN_AWAY:
            client.delete_registered_model_alias(model, TAKEN_AWAY[act.what])
        elif chosen is None:
            return
        elif act.what in ALIASES:
            client.set_registered_model_alias(model, ALIASES[act.what], chosen)
        elif act.what == "share":
            client.set_model_version_tag(model, chosen, SHARE_TAG, "0.9")
        elif act.number > 3:
            self.deleted.add(chosen)
            self.spoiled.add(chosen)
            client.delete_model_version(model, chosen)

    def _choose(self, number: int) -> str | None:
        left = [version for version in self.versions if version not in self.deleted]
        return left[-1 - number % len(left)] if left else None

    def _look(self, signoff: Signoff, seen: str) -> Look:
        """One look at a canary, by what a service would have counted of it since it began, and at its labels."""
        if seen in LABELS:
            self._serve(signoff, seen)
        found = canary_of(self.history, signoff.signoff_id)
        n_rows = (found.n_rows if found else 0) + (10 if seen in ("few", "late") else ENOUGH)
        champion = self.history.state.champion
        figures = counted(signoff.version, champion or "", n_rows, errors=n_rows // 4 if seen == "bad" else 0)
        now = datetime.now(UTC) + (DEADLINE if seen == "late" else 2 * EVERY)
        made = look(self.config, signoff.signoff_id, figures, now=now, **self.there)
        self.site.written[f"look, {self.config.release.strategy}: {made.state}"] += 1
        return made

    def _serve(self, signoff: Signoff, said: str) -> None:
        """The next window of an A/B that goes on, up to its horizon; nothing of it goes wrong."""
        with TRAPS.set(Trap()):
            found, rules = canary_of(self.history, signoff.signoff_id), self.config.release
            labels = self.labels.setdefault(signoff.version, [])
            if found is None or found.outcome is not None or len(labels) >= rules.ab.windows:
                return
            labels.append(said)
            number, versions = (signoff.as_of - day(1).start).days + len(labels), (signoff.champion_seen, found.version)
            served(self.store, self.config, number, versions=versions, n_rows=N_ROWS, **LABELS[said])
            self.site.written[f"window, {said}"] += 1

    def _promote_at_last(self, signoff: Signoff) -> Any:
        """By growing shares, or an A/B, where it is asked for."""
        looks = [self._look(signoff, self._at_best) for _ in range(1 + self._n_looks)]
        assert looks[-1].state == ("passed" if asks_for_canary(self.config, signoff) else "none"), looks
        return promote(self.config, signoff.signoff_id, **self.there)

    @property
    def _n_looks(self) -> int:
        """After the one that begins it, up to the end of a canary, or of an A/B."""
        rules = self.config.release
        return rules.ab.windows if rules.strategy == AB_TEST else len(SHARES)

    @property
    def _at_best(self) -> str:
        return "better" if self.config.release.strategy == AB_TEST else "good"

    def _rollback(self, run_id: str) -> Any:
        at = day(1).end
        return roll_back(self.config, **self.there, actor="ada", reason="it errs", at=at, run_id=run_id)

    def _roll_back_as_decided(self) -> None:
        champion = self.history.state.champion
        entry = LedgerEntry(
            entry_id=digest_of("decision", self.config.model, champion), model=self.config.model, kind="decision",
            at=day(1).end, actor="policy", reason="the bake failed",
            payload={"decision": {"action": "rollback", "champion": champion}},
        )  # fmt: skip
        ledger.append(self.store, entry)
        call = {"actor": "policy", "reason": "the bake failed", "at": day(1).end, "decision_id": entry.entry_id}
        roll_back(self.config, **self.there, **call)

    def _bake(self, *, passed: bool) -> None:
        """What settling it writes; the alias follows."""
        state = self.history.state
        if state.champion is None or not state.in_bake:
            return
        entry = LedgerEntry(
            entry_id=digest_of("bake", self.config.model, state.champion), model=self.config.model, kind="bake",
            at=day(1).end, actor="policy", reason="a bake", version=state.champion,
            payload={"outcome": "passed" if passed else "failed", "windows": []},
        )  # fmt: skip
        ledger.append(self.store, entry)
        if passed:
            follow_bake(self.config, **self.there)

    def _signed(self, verdict: str | None) -> Callable[[], None]:
        """A candidate passed its gates; it becomes challenger, and is answered."""
        number = DAYS_BETWEEN * (1 + len(self.signoffs))
        made = signed(self.config, self.registry, self._registered(), self.history.state.champion, number)
        made = replace(made, review="manual")
        self.signoffs.append(made)
        self._written(made)

        def work() -> None:
            challenge(self.config, made, **self.there)
            if verdict is not None:
                self._answer(made, verdict)

        return work

    def _registered(self) -> str:
        number = len(self.versions) + 1
        folder = self._folder(str(number))
        folder.mkdir(parents=True)
        (folder / "model.skops").write_text(f"version {number}", encoding="utf-8")
        made = Registry(self.site.uri).client.create_model_version(self.config.model, folder.as_uri())
        assert str(made.version) == str(number)
        self.versions.append(str(made.version))
        return self.versions[-1]

    def _folder(self, version: str) -> Path:
        return self.site.folder / self.config.model / version

    def _written(self, signoff: Signoff) -> None:
        entry = LedgerEntry(
            entry_id=signoff.signoff_id, model=signoff.model, kind="signoff", at=signoff.as_of, actor="policy",
            reason="passed", version=signoff.version, payload={"signoff": to_record(signoff)},
        )  # fmt: skip
        ledger.append(self.store, entry)

    def _answer(self, signoff: Signoff, verdict: str) -> None:
        given = approval(signoff, verdict=verdict, reviewer="ada", reason="seen")
        standing = record_review(self.config, signoff, given, **self.there)
        if standing.verdict == "rejected":
            withdraw(self.config, signoff.version, **self.there)

    # --- what holds -----------------------------------------------------------------------------------------------

    def _is_promotable(self, signoff: Signoff) -> bool:
        history = self.history
        entry, answer = history.entry(signoff.signoff_id), history.review_of(signoff)
        assert entry is not None
        return (
            answer is not None
            and answer.verdict == "approved"
            and history.state.refusal_of(signoff) is None
            and history.released_after(entry) is None
            and signoff.version not in self.spoiled
            and alias_version(self.registry, self.config.model, CHAMPION) == history.state.champion
            and self._may_be_canary(history, signoff)
        )

    def _is_taken_back(self, signoff: Signoff, last: Look) -> None:
        """At once and for good, without a repair."""
        model = self.config.model
        assert alias_version(self.registry, model, CANARY) is None
        assert alias_version(self.registry, model, CHALLENGER) != signoff.version
        assert self._look(signoff, self._at_best) == last
        with suppress(ReleaseError):
            raise AssertionError(f"promoted: {promote(self.config, signoff.signoff_id, **self.there)}")

    def _may_be_canary(self, history: History, signoff: Signoff) -> bool:
        """Whether it was not taken back, no label spoke against it, and no other version is canary."""
        found, live = canary_of(history, signoff.signoff_id), live_canary(history)
        is_liked = set(self.labels.get(signoff.version, ())) <= {"better"}
        is_well = found is None or found.outcome == "passed" or (found.outcome is None and is_liked)
        return is_well and (live is None or live.signoff == signoff.signoff_id)

    def _mended_and_lawful(self) -> bool:
        """Repair, see that the laws hold; False where a person has something to act on."""
        try:
            repair(self.config, **self.there)
            again = repair(self.config, **self.there)
        except IntegrityError as error:
            assert self.config.release.moved_alias != "revert", error
            assert "was moved by hand" in str(error)
            self._do_as_told()
            return False
        assert [found.said for found in again if found.mended] == [], "what was mended stays so"
        history = self.history
        lawful(history, self.spoiled)
        lawfully_shared(history, self.config)
        lawfully_heard(history, self.labels)
        if again:
            assert all(word in self._excuses(history) for word in {self._kind_of(found.said) for found in again}), again
            return False
        self._agrees(history)
        return True

    def _do_as_told(self) -> None:
        """A person sets the alias as the message says, and the release is finished."""
        pending = self.history.state.pending
        assert pending is not None
        with suppress(MlflowException):  # deleted
            Registry(self.site.uri).client.set_registered_model_alias(self.config.model, CHAMPION, str(pending.version))
        with suppress(IntegrityError):
            repair(self.config, **self.there)

    @staticmethod
    def _kind_of(said: str) -> str:
        return "gone" if "was deleted in MLflow" in said else "by hand" if "by hand" in said else said

    def _excuses(self, history: History) -> set[str]:
        gone = {"gone"} if history.state.champion in history.state.gone else set()
        # what is adopted is refused where its files were changed
        return gone | ({"by hand"} if self.config.release.moved_alias != "revert" else set())

    def _agrees(self, history: History) -> None:
        state, model = history.state, self.config.model
        assert state.pending is None
        assert alias_version(self.registry, model, CHAMPION) == state.champion
        assert alias_version(self.registry, model, STABLE) == stable_of(state)
        self._agrees_on_canary(history)
        challenger = alias_version(self.registry, model, CHALLENGER)
        assert challenger is None or why_left_behind(history, challenger) is None
        for version in self.versions:
            tags = None if version in self.deleted else find_version_tags(self.registry, model, version)
            assert tags is None or tags.get(RELEASE_TAG) == tag_of(state, version), version

    def _agrees_on_canary(self, history: History) -> None:
        """What the service reads in MLflow is what the ledger says, and that it was told."""
        live, model = live_canary(history), self.config.model
        assert alias_version(self.registry, model, CANARY) == (live.version if live else None)
        if live is not None:
            assert live.since is not None
            assert live.version not in self.deleted
            tags = find_version_tags(self.registry, model, live.version)
            assert tags is not None
            assert tags[SHARE_TAG] == f"{live.share:g}"


def lawful(history: History, spoiled: set[str]) -> None:
    """Every release stands once in the ledger, between its intent and nobody else's, and none undoes a rollback."""
    state, pending, completed = ledger.fold(history.model, ()), None, set()
    for item in history.entries:
        if item.kind in ("promotion_intent", "rollback_intent"):
            assert pending is None, f"{item} while {pending} was under way"
            assert item.payload["previous"] == state.champion, "it replaces the champion that there is"
            assert item.version not in state.rolled_back, "a version that was rolled back comes back"
            pending = item
        elif item.kind in ("promotion", "rollback"):
            assert pending is not None
            assert item.payload["intent"] == pending.entry_id
            assert item.entry_id not in completed
            completed.add(item.entry_id)
            if item.kind == "promotion":
                signoff = history.signoff(item.payload["signoff"])
                assert signoff is not None
                answer = history.review_of(signoff)
                assert answer is not None
                assert (answer.verdict, signoff.version) == ("approved", item.version)
            pending = None
        elif "abandons" in item.payload:
            assert pending is not None
            assert item.payload["abandons"] == pending.entry_id
            assert pending.version in spoiled, f"lost: {item.reason}"
            pending = None
        state = ledger.after(state, item)
    assert pending is None
    assert [item.seq for item in history.entries] == sorted(item.seq or 0 for item in history.entries)


def lawfully_shared(history: History, config: ModelConfig) -> None:
    """One canary at a time, approved beside this champion; its shares grow until its end, and it comes never again. An
    A/B is one with a single share. Harm bars a version, and nothing else that ends it does."""
    state, live, last, shares, ended = ledger.fold(history.model, ()), None, None, Counter[str](), dict[str, str]()
    strategy = config.release.strategy
    for item in history.entries:
        if item.kind == "canary_intent":
            asked = item.payload
            signoff = history.signoff(name := asked["signoff"])
            assert signoff is not None
            assert state.pending is None
            assert live in (None, name), "one after the other"
            assert ended.get(name, "passed") == "passed", "what was taken back stays so"
            assert asked["strategy"] == strategy
            if asked["outcome"] is None:
                answer = history.review_of(signoff)
                assert answer is not None
                assert (answer.verdict, signoff.champion_seen) == ("approved", state.champion)
                assert item.version == signoff.version
                assert item.version not in state.rolled_back
                assert name not in ended
                assert shares[name] < asked["share"] == SHARES_OF[strategy][asked["step"]] / 100
                shares[name] = asked["share"]
            else:
                assert asked["outcome"] in ENDS[strategy]
                last_share = SHARES_OF[strategy][-1] / 100
                assert asked["share"] == (last_share if asked["outcome"] == "passed" else 0.0)
                assert shares[name] == last_share or asked["outcome"] != "passed"
                ended[name] = asked["outcome"]
            live, last = (name if asked["share"] else None), item
        elif item.kind == "canary":
            assert last is not None
            assert item.payload == {**last.payload, "intent": last.entry_id}
            assert item.version == last.version
            last = None
        elif item.kind in MOVES or "abandons" in item.payload:
            last = None
            if item.kind == "promotion_intent" and strategy in SHARES_OF and item.payload["previous"]:
                assert (live, ended.get(live or "")) == (item.payload["signoff"], "passed")
            live = None if item.kind in ("promotion", "rollback") else live
        barred, state = state.rolled_back, ledger.after(state, item)
        if item.kind in ("canary_intent", "canary"):
            harmed = {item.version} if item.payload["outcome"] == "breached" else set()
            assert state.rolled_back == barred | harmed, "harm bars it, and nothing else"


def lawfully_heard(history: History, labels: dict[str, list[str]]) -> None:
    """What an A/B came to is what the labels of its windows said; ``labels`` has that by the version."""
    for item in history.of("canary_intent"):
        said = labels.get(str(item.version), [])
        if item.payload["strategy"] != AB_TEST:
            continue
        if item.payload["outcome"] == "passed":
            assert "better" in said, f"{said}: {item.reason}"
        elif item.payload["outcome"] == "lost":
            assert {"worse", "no better"} & set(said), f"{said}: {item.reason}"
        elif "sample ratio" in item.reason:
            assert "of another size" in said, f"{said}: {item.reason}"


def end_locks(store: Store) -> int:
    """Whoever holds a release lock in this database loses his connection, and the lock with it; how many did."""
    statement = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"
    )
    with store.engine.connect() as connection:
        return len(connection.execute(statement).all())


@cache
def machine_at(key: int) -> type[ReleaseMachine]:
    """A class of its own for each site, as Hypothesis wants machines."""
    return type(f"ReleaseMachine{key}", (ReleaseMachine,), {})


def at(site: Site) -> type[ReleaseMachine]:
    """The machine that works at a site."""
    made = machine_at(id(site))
    made.site = site
    return made


__all__ = ["ReleaseError", "ReleaseMachine", "at", "in_memory_folder", "open_site"]
