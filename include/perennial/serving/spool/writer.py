"""The spool: one thread appends what requests bring, with one fsync for all that came meanwhile, and rotates files."""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from perennial.config.serving import Serving
from perennial.contracts import SourceKind, Window
from perennial.serving.spool.places import Landing
from perennial.serving.spool.segments import Segment, abandoned, create, sync_folder, window_of_key

SYNC_S = 0.05
"""With ``serving.durable: after`` the disk has what was answered after so long."""
_TICK_S = 0.5
_MARKER_AFTER_S = 5.0
_AWAITED = ".awaited"
Shelf = tuple[SourceKind, Window]


@dataclass(slots=True, eq=False)
class Entry:
    """Lines of one request and one window. ``handle`` is what the owner knows it by."""

    source: SourceKind
    window: Window
    data: bytes
    n_rows: int
    handle: object = None


@dataclass(slots=True)
class SpoolState:
    """How the spool is: entries waiting, bytes not yet rotated, why lines or files could last not be written."""

    n_waiting: int = 0
    n_bytes: int = 0
    write_problem: str | None = None
    rotate_problem: str | None = None
    n_write_errors: int = 0


@dataclass(slots=True)
class Spool:
    """``on_written(entries, problem)`` is called by the writing thread for each group, once it is as durable as
    ``serving.durable`` asks, or could not be written."""

    folder: Path
    landings: dict[SourceKind, Landing]
    rules: Serving
    on_written: Callable[[list[Entry], str | None], None]
    standing: SpoolState = field(default_factory=SpoolState)
    _queue: "queue.SimpleQueue[Sequence[Entry] | None]" = field(default_factory=queue.SimpleQueue)
    _open: dict[Shelf, Segment] = field(default_factory=dict)
    _closed: list[Segment] = field(default_factory=list)
    _awaited: set[Shelf] = field(default_factory=set)
    _unsynced: float | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Take over what a process before left behind, and begin. Raises OSError when the folder can not be used."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob(f"*{_AWAITED}"):
            source, key = path.name.removesuffix(_AWAITED).split("__")
            self._awaited.add((source, window_of_key(key)))  # type: ignore[arg-type]
        self._closed.extend(abandoned(self.folder, now=time.monotonic()))
        self._tick()
        self._thread = threading.Thread(target=self._work, name="spool", daemon=True)
        self._thread.start()

    def put(self, entries: Sequence[Entry]) -> None:
        """Have entries written, in one group; from any thread."""
        self._queue.put(entries)

    def close(self) -> None:
        """Write what waits, move every file to where ingest reads, and end."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        ended, ticked = False, time.monotonic()
        while not ended:
            came = self._next_group(_TICK_S if self._unsynced is None else SYNC_S)
            ended = None in came
            entries = [entry for part in came if part is not None for entry in part]
            self.standing.n_waiting = len(entries)
            if entries:
                self._commit(entries)
            self._sync_when_due(at_once=ended)
            if ended or time.monotonic() - ticked >= _TICK_S:
                ticked = time.monotonic()
                self._tick(everything=ended)

    def _next_group(self, timeout_s: float) -> list[Sequence[Entry] | None]:
        """All that came since the last group, or nothing after a while."""
        came: list[Sequence[Entry] | None] = []
        with contextlib.suppress(queue.Empty):
            came.append(self._queue.get(timeout=timeout_s))
            while True:
                came.append(self._queue.get_nowait())
        return came

    def _commit(self, entries: list[Entry]) -> None:
        """One write a file, and one fsync a file for the whole group; all of it, or nothing."""
        places: dict[Shelf, list[bytes]] = {}
        for entry in entries:
            places.setdefault((entry.source, entry.window), []).append(entry.data)
        before: list[tuple[Segment, int]] = []
        problem: str | None = None
        try:
            for place, lines in places.items():
                segment = self._segment(place)
                before.append((segment, segment.size))
                segment.write(b"".join(lines))
            if self.rules.durable == "before":
                for segment, _ in before:
                    segment.sync()
        except OSError as error:
            problem = f"{type(error).__name__}: {error}"
            for segment, size in before:
                segment.cut_to(size)
            self.standing.n_write_errors += 1
        else:
            if self.rules.durable == "after" and self._unsynced is None:
                self._unsynced = time.monotonic()
        self.standing.write_problem = problem
        self.on_written(entries, problem)
        self._close_full()

    def _segment(self, place: Shelf) -> Segment:
        found = self._open.get(place)
        if found is None:
            source, window = place
            if self.landings[source].source.done_marker is not None and place not in self._awaited:
                (self.folder / f"{source}__{window.key}{_AWAITED}").touch()
                self._awaited.add(place)
            found = create(self.folder, source, window, uuid4().hex, now=time.monotonic())
            self._open[place] = found
        return found

    def _sync_when_due(self, *, at_once: bool) -> None:
        if self._unsynced is None or not (at_once or time.monotonic() - self._unsynced >= SYNC_S):
            return
        self._unsynced = None
        try:
            for segment in self._open.values():
                segment.sync()
        except OSError as error:
            self.standing.write_problem = f"{type(error).__name__}: {error}"
            self.standing.n_write_errors += 1

    def _close_full(self) -> None:
        for place, segment in list(self._open.items()):
            if segment.size >= self.rules.rotate_mb << 20:
                self._closed.append(self._open.pop(place))

    def _tick(self, *, everything: bool = False) -> None:
        """Rotate what is due, mark windows that are done, and see whether a disk that was full is so still."""
        now, moment = time.monotonic(), datetime.now(UTC)
        for place, segment in list(self._open.items()):
            aged = now - segment.began >= self.rules.rotate_s
            over = self.rules.event_time == "arrival" and moment >= segment.window.end
            if everything or aged or over:
                self._closed.append(self._open.pop(place))
        self.standing.rotate_problem = self._move_closed()
        self._mark_done(moment)
        self.standing.n_bytes = sum(segment.size for segment in (*self._open.values(), *self._closed))
        if self.standing.write_problem is not None:
            self.standing.write_problem = self._probe()

    def _move_closed(self) -> str | None:
        problem, left = None, []
        for segment in self._closed:
            try:
                segment.move_to(self.landings[segment.source].path(segment.window, f"served-{segment.ident}"))
            except OSError as error:
                problem = f"{type(error).__name__}: {error}"
                left.append(segment)
        self._closed[:] = left
        return problem

    def _mark_done(self, moment: datetime) -> None:
        """The done marker of windows that are over, once no process of the service has a file of them."""
        for place in list(self._awaited):
            source, window = place
            marker = self.landings[source].source.done_marker
            over = (moment - window.end).total_seconds() >= _MARKER_AFTER_S
            if marker is None or not over or any(self.folder.glob(f"{source}__{window.key}__*")):
                continue
            folder = self.landings[source].folder(window)
            with contextlib.suppress(OSError):
                if folder.is_dir():
                    (folder / marker).touch()
                    sync_folder(folder)
                (self.folder / f"{source}__{window.key}{_AWAITED}").unlink(missing_ok=True)
                self._awaited.discard(place)

    def _probe(self) -> str | None:
        """Why a few bytes can not be written, or None."""
        path = self.folder / f".probe-{os.getpid()}"
        try:
            path.write_bytes(b"\0" * 4096)
            path.unlink()
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        return None
