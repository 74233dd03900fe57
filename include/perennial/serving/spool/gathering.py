"""The event loop's side of the spool: what requests bring while a group is being written is the next group.

To hand lines to another thread and to hear of them costs the same for one request as for all that wait, and more than
to write them: on a disk that syncs in a third of a millisecond most requests would go alone.
"""

import asyncio
from collections.abc import Callable, Sequence

from perennial.serving.spool.writer import Entry


class Gathering:
    """``put`` takes entries from any thread, and has them written in the order in which they were put. All but
    ``written`` is the event loop's."""

    def __init__(self, put: Callable[[Sequence[Entry]], None]) -> None:
        self._put = put
        self._coming: list[Entry] = []
        self._n_out = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def write(self, entries: Sequence[Entry]) -> list[str]:
        """Once all of them are as durable as was asked for: why some could not be written.

        They are written whether or not the caller still waits.
        """
        loop = self._loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[str | None]] = [loop.create_future() for _ in entries]
        for entry, future in zip(entries, futures, strict=True):
            entry.handle = future
        if not self._coming and not self._n_out:
            loop.call_soon(self.hand_over)  # other requests of this turn come along
        self._coming.extend(entries)
        return [problem for future in futures if (problem := await future) is not None]

    def hand_over(self) -> None:
        """Have all that came written, whatever is being written."""
        if self._coming:
            group, self._coming = self._coming, []
            self._n_out += len(group)
            self._put(group)

    def written(self, entries: list[Entry], problem: str | None) -> None:
        """A group is as durable as was asked for, or could not be written; called by the thread that writes."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._settle, entries, problem)

    def _settle(self, entries: list[Entry], problem: str | None) -> None:
        self._n_out -= len(entries)
        for entry in entries:
            future = entry.handle
            if isinstance(future, asyncio.Future) and not future.done():
                future.set_result(problem)
        if not self._n_out:
            self.hand_over()
