"""The process that scores for the challenger: it follows the alias ``challenger`` and answers rows, for nobody.

``python -m perennial.serving.arms.scoring``, with an :class:`~perennial.serving.following.messages.Order` and then what
was asked on standard input, and a :class:`Reply` to each on standard output; it ends when its input does. It gives way
to every process that answers requests, and what a version does to it is done to nobody else.
"""

import os
import sys
import time
from dataclasses import dataclass, field

from perennial.config import ERROR, ModelConfig
from perennial.contracts.tags import CHALLENGER
from perennial.errors import redacted
from perennial.registry.client import Registry, log_in
from perennial.serving.arms.messages import Challenger, Reply
from perennial.serving.following.cache import Cache
from perennial.serving.following.messages import Failed, Loaded, Message, Order, receive, send
from perennial.serving.following.watching import Watch
from perennial.serving.lines import Asked, PredictionLines
from perennial.serving.predictors.predictor import Built, Words

_GIVES_WAY = 10


@dataclass(slots=True)
class Scoring:
    """The challenger as it is known here, and the moment (monotonic seconds) of the next look at the alias."""

    config: ModelConfig
    watch: Watch
    challenger: Challenger = field(default_factory=Challenger)
    built: Built | None = None
    looks_at: float = 0.0

    def reply(self, asked: Asked | None, *, now: float) -> Reply:
        """Look at the alias where that is due, then answer. Whatever a version raises is told, not raised."""
        if now >= self.looks_at:
            for message in self.watch.look():
                self.heard(message)
            self.looks_at = now + self.config.serving.poll_s
        version = self.challenger.version
        if asked is None or self.built is None or version in (None, asked.version):
            return Reply(challenger=self.challenger)
        began = time.perf_counter()
        scores, words, problem = self._answers(self.built, asked)
        took_s = time.perf_counter() - began
        if problem is not None and ERROR not in self.config.operational:
            return Reply(challenger=self.challenger, problem=problem, took_s=took_s)
        windows = [self.config.schedule.window_of(moment) for moment in asked.moments]
        lines = PredictionLines.of(self.config, "shadow")
        entries = lines.entries(asked, windows, scores, words, version=str(version), latency_ms=1000 * took_s)
        return Reply(challenger=self.challenger, entries=tuple(entries), problem=problem, took_s=took_s)

    def _answers(self, built: Built, asked: Asked) -> tuple[list[float] | None, Words, str | None]:
        try:
            scores, predicted = built.predictor(list(zip(*asked.values, strict=True)))
        except Exception as error:
            return None, None, redacted(f"{type(error).__name__}: {error}")[:300]
        return scores, built.words(self.config, scores, predicted), None

    def heard(self, message: Message) -> None:
        """Take in what a look brought. A version that is named no longer answers no longer."""
        if isinstance(message, Loaded):
            self.built = message.built
            self.challenger = Challenger(named=message.version, version=message.version, predictor=message.built.kind)
        elif isinstance(message, Failed):
            self.challenger = Challenger(named=message.version, problem=message.problem)
        elif message.problem is None and message.champion != self.challenger.named:
            self.built, self.watch.current = None, None
            self.challenger = Challenger(named=message.champion)


def main() -> None:
    """Answer until the input ends."""
    os.nice(_GIVES_WAY)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no message
    order: Order = receive(sys.stdin.buffer)
    log_in(order.login)
    order.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    watch = Watch(order.config, Registry(order.registry_uri), Cache(order.cache), alias=CHALLENGER)
    scoring = Scoring(order.config, watch)
    while True:
        try:
            asked: Asked | None = receive(sys.stdin.buffer)
        except EOFError:
            return
        send(out, scoring.reply(asked, now=time.monotonic()))


if __name__ == "__main__":
    main()
