"""The challenger in the shadow: what the champion answered is answered once more, in another process, and logged.

Nothing here is waited for by a request: what is offered waits in a bounded queue, is scored by a process that gives way
to all others, and is written by a spool of its own, on the disk a moment later.
"""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from perennial.contracts import SourceKind
from perennial.serving.arms.messages import Challenger, Reply
from perennial.serving.arms.routing import in_shadow
from perennial.serving.arms.waiting import Waiting
from perennial.serving.following.follower import end_process
from perennial.serving.following.messages import Order, receive, send
from perennial.serving.lines import Asked
from perennial.serving.metrics import Metrics
from perennial.serving.spool.places import Landing
from perennial.serving.spool.writer import Entry, Spool

_AGAIN_S = 1.0
_STUCK_S = 300.0
"""A process that has not replied for so long is ended, and started anew."""
_TOLD_FOR_S = 60.0
"""For so long ``/readyz`` speaks of rows that were left out."""


@dataclass(slots=True)
class Shadow:
    """``start`` and ``close`` are called once, ``follow`` when the champion is loaded. With a share of 0 nothing is
    scored; what lies in the spool goes where ingest reads it. ``order.cache`` is the challenger's own."""

    order: Order
    folder: Path
    landings: dict[SourceKind, Landing]
    metrics: Metrics
    challenger: Challenger = field(default_factory=Challenger)
    spool: Spool = field(init=False)
    _waiting: Waiting = field(init=False)
    _problems: dict[str, str] = field(default_factory=dict)
    _dropped_at: float | None = None
    _asked: Asked | None = None
    _asked_at: float | None = None
    _process: "subprocess.Popen[bytes] | None" = None
    _thread: threading.Thread | None = None
    _ending: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        serving = self.order.config.serving
        self._waiting = Waiting(serving.shadow.max_waiting)
        self.spool = Spool(self.folder, self.landings, serving.model_copy(update={"durable": "after"}), self._written)

    @property
    def share(self) -> float:
        """Of the rows answered by the champion."""
        return self.order.config.serving.shadow.share

    def start(self) -> None:
        """Take over what was left in the spool."""
        try:
            self.spool.start()
        except OSError as error:  # the champion answers all the same
            self._problems["shadow_not_logged"] = f"{self.folder}: {error}"

    def follow(self) -> None:
        """Begin to follow the challenger: once the champion is loaded, of which it takes no time. Twice is once."""
        if self.share and self._thread is None and not self._ending.is_set() and not self._problems:
            self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """What waits is not scored any more; what was, is where ingest reads it, and no process is left."""
        self._ending.set()
        self._count("dropped", self._waiting.end())
        if self._process is not None:
            end_process(self._process)
        if self._thread is not None:
            self._thread.join()
        self.spool.close()

    def offer(self, asked: Asked) -> None:
        """Have the chosen ones of these rows scored, if there is room and somebody to score them; never waits."""
        if self.challenger.version in (None, asked.version):
            return
        chosen = [place for place, name in enumerate(asked.ids) if in_shadow(name, self.share)]
        if chosen and not self._waiting.offer(asked.only(chosen)):
            self._dropped_at = time.monotonic()
            self._count("dropped", len(chosen))

    def tick(self) -> None:
        """Called every second: end a process that is stuck, say what became known meanwhile."""
        self.metrics.shadow_waiting.set(self._waiting.n_rows)
        asked_at, process = self._asked_at, self._process
        if asked_at is not None and process is not None and time.monotonic() - asked_at > _STUCK_S:
            process.kill()

    def described(self) -> dict[str, Any]:
        """What ``/model`` says of the challenger."""
        known = self.challenger
        return {"named": known.named, "version": known.version, "predictor": known.predictor, "share": self.share}

    def problems(self) -> dict[str, str]:
        """What is not as it should be, by name. None of it keeps the champion from answering."""
        found, known = dict(self._problems), self.challenger
        if known.problem is not None:
            found["challenger_not_loaded"] = f"version {known.named} is challenger and was not loaded: {known.problem}"
        if self._dropped_at is not None and time.monotonic() - self._dropped_at < _TOLD_FOR_S:
            found["shadow_behind"] = (
                f"{self._waiting.n_rows} rows wait for the challenger, and others were left out: lower "
                "serving.shadow.share"
            )
        standing = self.spool.standing
        if (problem := standing.write_problem or standing.rotate_problem) is not None:
            found["shadow_not_logged"] = f"{self.folder}: {problem}"
        return found

    def _written(self, entries: list[Entry], problem: str | None) -> None:
        self._count("logged" if problem is None else "unlogged", sum(entry.n_rows for entry in entries))

    def _count(self, outcome: str, n_rows: int) -> None:
        self.metrics.shadow.labels(outcome).inc(n_rows)

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                self._talk()
            except Exception as error:  # whatever it was, requests are answered, and it is tried again
                self.challenger = Challenger()
                if not self._ending.is_set():
                    self._problems["shadow_not_scored"] = (
                        f"the process that scores ended: {type(error).__name__}: {error}"
                    )
            if self._asked is not None:
                self._count("failed", len(self._asked.ids))
            self._asked, self._asked_at = None, None
            self._ending.wait(_AGAIN_S)

    def _talk(self) -> None:
        command = [sys.executable, "-P", "-m", "perennial.serving.arms.scoring"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - ours
            self._process = process
            to, back = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
            send(to, self.order)
            while not self._ending.is_set():
                self._asked_at = time.monotonic()
                send(to, self._asked)
                reply: Reply = receive(back)
                asked, self._asked, self._asked_at = self._asked, None, None
                self._heard(reply, asked)
                self._asked = self._waiting.take(self.order.config.serving.poll_s)

    def _heard(self, reply: Reply, asked: Asked | None) -> None:
        """Log what the challenger said, and remember who it is."""
        self._problems.pop("shadow_not_scored", None)
        if reply.challenger != self.challenger:
            self.challenger = known = reply.challenger
            self._problems.pop("challenger_fails", None)
            self.metrics.challenges(self.order.config.model, known.version, known.predictor)
        if asked is None or self.challenger.version in (None, asked.version):
            return
        self.metrics.shadow_seconds.observe(reply.took_s)
        if reply.problem is None:
            self._problems.pop("challenger_fails", None)
        else:
            self._problems["challenger_fails"] = f"version {self.challenger.version} could not answer: {reply.problem}"
            self._count("failed", len(asked.ids))
        if reply.entries:
            self.spool.put(reply.entries)
