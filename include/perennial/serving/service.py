"""What one process that answers holds: the version that serves, the spool, the figures; and how it answers."""

import asyncio
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from perennial.config import ERROR, ModelConfig
from perennial.contracts import Window
from perennial.contracts.tags import CANARY, CHAMPION
from perennial.errors import redacted
from perennial.serving.arms.answering import INLINE_ROWS, answered
from perennial.serving.arms.canary import CanaryArm
from perennial.serving.arms.shadow import Shadow
from perennial.serving.following.follower import Follower
from perennial.serving.following.messages import Failed, Loaded, Message, Order
from perennial.serving.guard import BAD_REQUEST, FAILED, LOOPBACK, UNAVAILABLE, UNPROCESSABLE, Denial, Guard
from perennial.serving.keys import Keys
from perennial.serving.limits import Limits
from perennial.serving.lines import Asked, PredictionLines, label_lines, written
from perennial.serving.measured.counting import Counting
from perennial.serving.metrics import Metrics
from perennial.serving.once import Once
from perennial.serving.predictors.predictor import Words, import_what_answers
from perennial.serving.requests.faults import MOMENTS, faults_of, out_of_time, twice
from perennial.serving.requests.openapi import Answer, Prediction, Taken
from perennial.serving.requests.types import Types, types_of
from perennial.serving.spool.gathering import Gathering
from perennial.serving.spool.places import landings
from perennial.serving.spool.writer import Entry, Spool

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a process that answers is told when it starts."""

    config: ModelConfig
    home: Path
    registry_uri: str
    login: tuple[str, str] | None = field(repr=False)
    host: str = "127.0.0.1"
    workers: int = 1
    key: str | None = field(default=None, repr=False)

    @property
    def folder(self) -> Path:
        """Where the service keeps its cache and its spool."""
        return self.home / "serving" / self.config.model

    @property
    def needs_key(self) -> bool:
        """Whether others than this machine can ask."""
        return self.host not in LOOPBACK


class Service:
    """One process that answers. ``start`` and ``close`` are called once, within its event loop."""

    def __init__(self, spec: Spec) -> None:
        self.spec, self.config = spec, spec.config
        self.types: Types = types_of(spec.config)
        self.metrics = Metrics(spec.config.features, shared=spec.workers > 1)
        rules, keys = spec.config.serving, Keys.below(spec.home, spec.key)
        limits = Limits(rules.rate_limit, spec.workers)
        self.guard = Guard(keys, spec.needs_key, rules.max_body_kb << 10, limits)
        self.spool = Spool(spec.folder / "spool", landings(spec.config, spec.home), rules, self._written)
        self._gathering = Gathering(self.spool.put)
        order = Order(config=spec.config, registry_uri=spec.registry_uri, login=spec.login, cache=spec.folder / "cache")
        self.follower = Follower(order, self._heard)
        self.once, self._lines = Once(), PredictionLines.of(spec.config)
        self.shadow: Shadow | None = None
        if "shadow" in self.spool.landings:
            apart = replace(order, cache=spec.folder / "cache_challenger")
            self.shadow = Shadow(apart, spec.folder / "spool_shadow", self.spool.landings, self.metrics)
        self.canary: CanaryArm | None = None
        if spec.config.release.by_shares:
            self.canary = CanaryArm(replace(order, cache=spec.folder / "cache_canary", alias=CANARY), self.metrics)
        self._beside = [arm for arm in (self.shadow, self.canary) if arm is not None]
        bodies = {"rows": self.types.predict, "labels": self.types.labels}
        self._decode = {key: msgspec.json.Decoder(body) for key, body in bodies.items()}
        self._n_features = len(spec.config.features)
        self._given = rules.event_time == "given"
        self._names = {str(name): name for name in spec.config.label.classes or ()}
        self._unique, self._numbers = f"{os.getpid() & 0xFFFFFF:06x}{os.urandom(3).hex()}", itertools.count()
        self.counting = Counting(spec.config, spec.folder / "measured", self._unique)
        self._last: Window | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what was left behind, and follow the champion."""
        self.guard.renew()
        self.follower.start()
        await asyncio.to_thread(self.spool.start)
        for arm in self._beside:
            await asyncio.to_thread(arm.start)
        await asyncio.to_thread(import_what_answers)
        self._ticking = asyncio.create_task(self._tick())

    async def close(self) -> None:
        """Everything answered is where ingest reads it, and no process is left."""
        if self._ticking is not None:
            self._ticking.cancel()
        self.counting.keep(self.counting.mine())
        for arm in self._beside:
            await asyncio.to_thread(arm.close)
        await asyncio.to_thread(self.follower.close)
        self._gathering.hand_over()
        await asyncio.to_thread(self.spool.close)

    def new_id(self) -> str:
        """An id that no other process makes, and that sorts by time."""
        return f"{time.time_ns() // 1_000_000:012x}{self._unique}{next(self._numbers) & 0xFFFFFF:06x}"

    def problems(self) -> dict[str, str]:
        """What is not as it should be, by name."""
        found = self.follower.following.problems()
        standing = self.spool.standing
        if standing.write_problem is not None:
            found["log_not_written"] = f"{self.spool.folder}: {standing.write_problem}"
        if standing.rotate_problem is not None:
            found["log_not_delivered"] = f"answers stay in {self.spool.folder}: {standing.rotate_problem}"
        for arm in self._beside:
            found |= arm.problems()
        return found

    def refuses(self, problems: dict[str, str]) -> bool:
        """Whether any of these keeps requests from being answered."""
        full = "log_not_written" in problems and self.config.serving.on_full_disk == "refuse"
        return full or "no_champion_loaded" in problems

    def decoded(self, body: bytes, key: str) -> Any:
        """The rows or labels of a body. Raises Denial that names what is wrong."""
        try:
            found = getattr(self._decode[key].decode(body), key)
            faults = out_of_time(found, MOMENTS[key]) if self._given else ()
            if not faults:
                return found
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            faults = faults_of(self.config, self.types, body, key=key)
        if faults[0].allowed.startswith("JSON: "):
            raise Denial(BAD_REQUEST, "the body is no JSON", faults)
        raise Denial(UNPROCESSABLE, f"{len(faults)} values are not allowed; the first ones are under faults", faults)

    async def predict(
        self, body: bytes, request_id: str, arrived: float, key: str | None = None
    ) -> tuple[Answer, Asked]:
        """Score and log the rows of a body, whose request is ``key``'s; the answer, and what :meth:`left` takes."""
        rows = self.decoded(body, "rows")
        current = self.follower.following.current
        if current is None:
            raise Denial(UNAVAILABLE, self.problems()["no_champion_loaded"])
        values = [msgspec.structs.astuple(row)[: self._n_features] for row in rows]
        ids = [row.prediction_id if row.prediction_id is not msgspec.UNSET else self.new_id() for row in rows]
        if len(set(ids)) < len(ids):
            raise Denial(UNPROCESSABLE, "a prediction_id stands twice among the rows", twice(ids))
        moments = [row.event_time for row in rows] if self._given else [datetime.now(UTC)] * len(rows)
        log = Asked(values, ids, moments, current.loaded.version, arrived)
        try:
            found = await answered(self.config, current, log, key, self.canary)
        except Exception as error:  # a model may raise anything
            self.counting.failed(log.version, CHAMPION, time.perf_counter() - arrived)
            if ERROR in self.config.operational:
                await self._logged(self._entries(log, None, None))
            raise Denial(FAILED, redacted(f"version {log.version} could not answer: {error}")[:300]) from error
        logged = await self._logged(self._entries(found.log, found.scores, found.words))
        took_s = time.perf_counter() - arrived
        self.counting.answered(found.log.version, found.counted_as, values, found.scores, took_s)
        if found.left is not None:
            self.counting.failed(found.left, CANARY, took_s)
        return self._answer(request_id, found.log, found.scores, found.words, logged=logged), found.log

    async def left(self, asked: Asked) -> None:
        """Once an answer has left: its values are counted, and the challenger may answer the same."""
        self.metrics.features.add(asked.values)
        if self.shadow is not None and len(asked.ids) <= INLINE_ROWS:
            self.shadow.offer(asked)
        elif self.shadow is not None:
            await asyncio.to_thread(self.shadow.offer, asked)

    def _answer(self, request_id: str, log: Asked, scores: Sequence[float], words: Words, *, logged: bool) -> Answer:
        names: list[Any] = [None] * len(scores) if words is None else [self._names[word] for word in words]
        for name, n_rows in Counter(names).items():
            self.metrics.rows.labels(log.version, "" if name is None else str(name)).inc(n_rows)
        if words is not None:
            histogram = self.metrics.scores.labels(log.version)
            for score in scores:
                histogram.observe(score)
        if not logged:
            self.metrics.unlogged.inc(len(scores))
        answers = [
            Prediction(prediction_id=name, score=score, predicted=word)
            for name, score, word in zip(log.ids, scores, names, strict=True)
        ]
        return Answer(
            request_id=request_id,
            model=self.config.model,
            version=log.version,
            logged=logged,
            predictions=answers,
            arm=log.arm,
        )

    def _entries(self, log: Asked, scores: Sequence[float] | None, predicted: Words) -> list[Entry]:
        """The lines of a request, by the window that they belong to."""
        latency_ms = 1000 * (time.perf_counter() - log.arrived)
        windows = [self._window_of(moment) for moment in (log.moments if self._given else log.moments[:1])]
        if not self._given:
            windows *= len(log.ids)
        return self._lines.entries(log, windows, scores, predicted, version=log.version, latency_ms=latency_ms)

    def _window_of(self, moment: datetime) -> Window:
        """The window of a prediction: nearly always that of the one before."""
        if self._last is None or not self._last.start <= moment < self._last.end:
            self._last = self.spool.landings["predictions"].window_of(moment)
        return self._last

    async def take_labels(self, body: bytes, request_id: str) -> Taken:
        """Log the truth of earlier predictions. Raises Denial."""
        labels = self.decoded(body, "labels")
        now = datetime.now(UTC)
        moments = [label.labelled_at if self._given else now for label in labels]
        landing = self.spool.landings["labels"]
        windows = [landing.window_of(moment) for moment in moments]
        entries = []
        for window in dict.fromkeys(windows):
            chosen = [place for place, one in enumerate(windows) if one == window]
            ids, truths = [labels[place].prediction_id for place in chosen], [labels[place].label for place in chosen]
            data = label_lines(self.config, ids, truths, [written(moments[place]) for place in chosen])
            entries.append(Entry("labels", window, data, len(chosen)))
        if not await self._logged(entries):
            raise Denial(UNAVAILABLE, "the labels can not be written")
        return Taken(request_id=request_id, n_labels=len(labels))

    async def _logged(self, entries: list[Entry]) -> bool:
        """Whether all of it is as durable as was asked for. Raises Denial where answers without a log are refused."""
        problems = await self._gathering.write(entries)
        if problems and self.config.serving.on_full_disk == "refuse":
            raise Denial(UNAVAILABLE, f"the log can not be written, and nothing is answered without it: {problems[0]}")
        return not problems

    def _written(self, entries: list[Entry], problem: str | None) -> None:
        if problem is not None:
            self.metrics.write_errors.inc()
        self._gathering.written(entries, problem)

    def _heard(self, message: Message) -> None:
        if isinstance(message, Failed):
            self.metrics.swaps.labels("failed").inc()
            _LOGGER.warning("version %s was not loaded: %s", message.version, message.problem)
        elif isinstance(message, Loaded):
            self.metrics.swaps.labels("loaded").inc()
            self.metrics.swap_seconds.observe(message.took_s)
            self.metrics.shows(self.config.model, message.version, message.built.kind)
            _LOGGER.info("version %s answers, by its %s", message.version, message.built.kind)
            if self.shadow is not None:
                self.shadow.follow()
        elif message.problem is None:
            self.metrics.asked_at.set(message.at)

    async def _tick(self) -> None:
        known: set[str] = set()
        while True:
            self.guard.renew()
            problems = self.problems()
            known |= set(problems)
            for name in known:
                self.metrics.problem.labels(name).set(int(name in problems))
            if (counted := self.counting.changed()) is not None:
                await asyncio.to_thread(self.counting.keep, counted)
            self.metrics.features.count()
            self.metrics.waiting.set(self.spool.standing.n_waiting)
            self.metrics.spool_bytes.set(self.spool.standing.n_bytes)
            for arm in self._beside:
                arm.tick()
            await asyncio.sleep(1)
