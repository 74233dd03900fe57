"""The canary: a version that answers its share of the requests, beside as many that the champion answers anew.

It is followed and loaded as the champion is, by a process of its own, and it answers in threads of its own: whatever it
does, the champion answers, and it is counted. Its baseline answers in such a thread too, so that the two are alike.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from perennial.serving.arms.routing import Arm, arm_of
from perennial.serving.following.follower import Current, Follower, Following
from perennial.serving.following.messages import Failed, Loaded, Looked, Message, Order
from perennial.serving.metrics import Metrics

_LOGGER = logging.getLogger(__name__)
_THREADS = 2


@dataclass(slots=True)
class CanaryArm:
    """``start`` and ``close`` are called once. ``order.alias`` is that of the canary, ``order.cache`` its own."""

    order: Order
    metrics: Metrics
    follower: Follower = field(init=False)
    _looked: Looked = field(default=Looked(at=0.0))
    _heard_at: float = 0.0
    _stuck: str | None = None
    _threads: dict[Arm, ThreadPoolExecutor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.follower = Follower(self.order, self._heard)

    def start(self) -> None:
        """Begin to follow."""
        for arm in ("canary", "baseline"):
            self._threads[arm] = ThreadPoolExecutor(_THREADS, thread_name_prefix=arm)
        self.follower.start()

    def close(self) -> None:
        """No process is left; who still computes is not waited for."""
        self.follower.close()
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    @property
    def following(self) -> Following:
        """What is known of the version that the alias names."""
        return self.follower.following

    @property
    def named(self) -> str | None:
        """The version that the alias names."""
        return self._looked.champion

    @property
    def share(self) -> float:
        """Of the requests that it answers, or would if it were loaded: none once the registry has been silent for
        ``serving.follow_within_s``, for nobody could take them back."""
        silent_s = time.monotonic() - self._heard_at
        alone = silent_s > self.order.config.serving.follow_within_s
        return 0.0 if alone or self._looked.champion is None else self._looked.share

    def route(self, key: str, champion: Current) -> tuple[Arm, Current]:
        """The arm of a request's key, and who answers it. A version that is not there, or hung, answers nothing."""
        named, share = self._looked.champion, self.share
        if named is None or not share or named == champion.loaded.version:
            return "champion", champion
        arm, canary = arm_of(key, share, named), self.following.current
        if canary is not None and canary.loaded.version == named != self._stuck:
            return arm, canary if arm == "canary" else champion
        if arm == "canary":
            self.left(named, "hung" if named == self._stuck else "not_loaded")
        return "champion", champion

    async def answers(self, arm: Arm, work: Callable[[], Any]) -> Any:
        """What ``work`` gives, in a thread of the arm. Raises what it raises, and TimeoutError for a canary that takes
        too long: it answers no longer then, until another version is canary."""
        running = asyncio.get_running_loop().run_in_executor(self._threads[arm], work)
        if arm != "canary":
            return await running
        try:
            return await asyncio.wait_for(running, self.order.config.release.canary.answer_within_s)
        except TimeoutError:
            self._stuck = self._looked.champion
            raise

    def left(self, version: str, why: str) -> None:
        """The champion answers a request in place of the canary."""
        self.metrics.canary_left.labels(version, why).inc()

    def described(self) -> dict[str, Any]:
        """What ``/model`` says of it."""
        current = self.following.current
        loaded = None if current is None else current.loaded
        version, predictor = (loaded.version, loaded.built.kind) if loaded else (None, None)
        return {"named": self._looked.champion, "version": version, "predictor": predictor, "share": self.share}

    def problems(self) -> dict[str, str]:
        """What is not as it should be, by name. None of it keeps the champion from answering."""
        found, named = {}, self._looked.champion
        if (failed := self.following.failed) is not None and failed.version == named:
            found["canary_not_loaded"] = f"version {named} is canary and was not loaded: {failed.problem}"
        if named is not None and named == self._stuck:
            found["canary_hung"] = (
                f"version {named} is canary and took longer than release.canary.answer_within_s: the champion answers"
            )
        if self.following.watcher_problem is not None:
            found["canary_not_followed"] = self.following.watcher_problem
        return found

    def tick(self) -> None:
        """Called every second: the share as it is."""
        self.metrics.canaries(self.order.config.model, self._looked.champion, self.share)

    def _heard(self, message: Message) -> None:
        if isinstance(message, Failed):
            self.metrics.swaps.labels("failed").inc()
            _LOGGER.warning("version %s is canary and was not loaded: %s", message.version, message.problem)
        elif isinstance(message, Loaded):
            self.metrics.swaps.labels("loaded").inc()
            _LOGGER.info("version %s is canary, and answers by its %s", message.version, message.built.kind)
        elif message.problem is None:
            if message.champion != self._looked.champion:
                self._stuck = None
            self._looked, self._heard_at = message, time.monotonic()
            current = self.following.current
            if current is not None and current.loaded.version != message.champion:
                self.following.current = None
