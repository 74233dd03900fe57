"""What waits to be scored in the shadow: so many rows and no more, so that a slow challenger costs no memory."""

import threading
from collections import deque
from dataclasses import dataclass, field

from perennial.serving.lines import Asked


@dataclass(slots=True)
class Waiting:
    """A queue that is bounded by its rows; whoever puts something in never waits."""

    most_rows: int
    n_rows: int = 0
    _asked: deque[Asked] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    def offer(self, asked: Asked) -> bool:
        """Whether there was room for all of it; otherwise none of it waits."""
        with self._changed:
            if self._ended or self.n_rows + len(asked.ids) > self.most_rows:
                return False
            self._asked.append(asked)
            self.n_rows += len(asked.ids)
            self._changed.notify()
            return True

    def take(self, timeout_s: float) -> Asked | None:
        """What came first; None when nothing comes in time, or nothing is to come any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._ended, timeout_s)
            if not self._asked:
                return None
            asked = self._asked.popleft()
            self.n_rows -= len(asked.ids)
            return asked

    def end(self) -> int:
        """Forget what waits, and take nothing more; the number of forgotten rows."""
        with self._changed:
            n_forgotten, self.n_rows, self._ended = self.n_rows, 0, True
            self._asked.clear()
            self._changed.notify_all()
            return n_forgotten
