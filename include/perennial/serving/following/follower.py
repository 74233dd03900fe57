"""The answering process's side: starts the process that follows, takes over what it loads, and keeps what serves."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from perennial.serving.following.messages import Failed, Loaded, Looked, Message, Order, receive, send

_AGAIN_S = 1.0
_ENDS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Current:
    """The version that answers, since when (seconds since 1970)."""

    loaded: Loaded
    since: float


@dataclass(slots=True)
class Following:
    """What is known of the champion: who answers, what the registry last said, what went wrong. Requests read
    ``current`` once; it is replaced as a whole, so that no request meets two versions."""

    current: Current | None = None
    looked: Looked | None = None
    answered_at: float | None = None
    failed: Failed | None = None
    watcher_problem: str | None = None

    def apply(self, message: Message, *, now: float) -> None:
        """Take a message in.

        >>> following = Following()
        >>> following.apply(Looked(at=1.0, champion="3"), now=1.0)
        >>> following.apply(Failed(version="3", problem="other files"), now=1.0)
        >>> following.problems()
        {'no_champion_loaded': 'version 3 is champion and was not loaded: other files'}
        """
        if isinstance(message, Looked):
            self.looked = message
            if message.problem is None:
                self.answered_at = message.at
                if self.failed is not None and self.failed.version != message.champion:
                    self.failed = None
        elif isinstance(message, Failed):
            self.failed = message
        else:
            self.current, self.failed = Current(message, now), None

    def problems(self) -> dict[str, str]:
        """What is not as it should be, by name. Only ``no_champion_loaded`` keeps the service from answering."""
        found: dict[str, str] = {}
        if self.current is None:
            found["no_champion_loaded"] = self._why_nobody()
        elif self.failed is not None:
            found["champion_not_loaded"] = (
                f"version {self.failed.version} is champion and was not loaded; version {self.current.loaded.version} "
                f"answers: {self.failed.problem}"
            )
        if self.looked is not None and self.looked.problem is not None and self.current is not None:
            found["registry_silent"] = self.looked.problem
        if self.current is not None and self.looked is not None and self.looked == Looked(at=self.looked.at):
            found["no_champion_named"] = f"the alias is gone; version {self.current.loaded.version} goes on answering"
        if self.watcher_problem is not None:
            found["not_following"] = self.watcher_problem
        return found

    def _why_nobody(self) -> str:
        if self.failed is not None:
            return f"version {self.failed.version} is champion and was not loaded: {self.failed.problem}"
        if self.looked is None:
            return "the registry has not been asked yet"
        if self.looked.problem is not None:
            return f"the registry does not answer, and no version is in the cache: {self.looked.problem}"
        if self.looked.champion is None:
            return "no version is champion"
        return f"version {self.looked.champion} is being loaded"


@dataclass(slots=True)
class Follower:
    """Keeps a process that follows, and applies what it says. ``heard`` is told each message, after it counts."""

    order: Order
    heard: Callable[[Message], None]
    following: Following = field(default_factory=Following)
    _process: "subprocess.Popen[bytes] | None" = None
    _thread: threading.Thread | None = None
    _ending: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to follow."""
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Follow no longer; the process is gone afterwards."""
        self._ending.set()
        if self._process is not None:
            end_process(self._process)
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        while not self._ending.is_set():
            try:
                self._listen()
            except Exception as error:  # whatever it was, the version that serves goes on, and it is tried again
                self.following.watcher_problem = f"the process that follows ended: {type(error).__name__}: {error}"
            self._ending.wait(_AGAIN_S)

    def _listen(self) -> None:
        command = [sys.executable, "-P", "-m", "perennial.serving.following.watching"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - ours
            self._process = process
            send(cast("BinaryIO", process.stdin), self.order)
            while True:
                message: Message = receive(cast("BinaryIO", process.stdout))
                self.following.apply(message, now=time.time())
                self.following.watcher_problem = None
                self.heard(message)


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """Close its input, at which it ends; kill one that does not. It is gone afterwards."""
    with contextlib.suppress(OSError, ValueError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
