"""A channel is an Apprise URL in an environment variable. The URL is a secret: it stands in no log and in no error."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from perennial.notifying.texts import Text

_PARTS = re.compile(r"[^A-Za-z0-9_.~%-]+")
_SHORTEST = 4
"""A part of a URL that is shorter is no secret, and would blank out words."""


def send(name: str, text: Text, *, urls: Mapping[str, str]) -> str:
    """Give a message to a channel; returns why it was not taken, without a secret, and nothing where it was.

    Never raises: what a channel does is told, and stops nothing.
    """
    url = urls.get(name)
    if not url:
        return f"{name} is not set: give it the Apprise URL of the channel"
    from apprise import Apprise, AppriseAsset

    channel = Apprise(asset=AppriseAsset(app_id="Perennial", app_desc="Perennial", app_url="", async_mode=False))
    with _overheard() as said:
        try:
            if not channel.add(url):
                return f"{name} holds no URL that Apprise knows"
            if channel.notify(title=text.title, body=text.body, notify_type=text.kind, body_format="text"):
                return ""
        except Exception as error:  # a vendor's plugin may raise anything, and stops nothing
            said.append(f"{type(error).__name__}: {error}")
    why = f": {without(said[-1], url)}" if said else ""
    return f"{name} did not take the message{why}"


def without(text: str, url: str) -> str:
    """What a vendor said, in one line of at most 300 characters, without any part of the URL but its scheme and host.

    >>> without("POST to https://h.example/T0K3N/x?key=s3cret failed: 500", "jsons://h.example/T0K3N/x?key=s3cret")
    'POST to https://h.example/***/x?key=*** failed: 500'
    """
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
    known = {scheme, host, "key", "token"}
    secrets = {part for part in _PARTS.split(rest) if len(part) >= _SHORTEST and part not in known}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return " ".join(text.split())[:300]


class _Heard(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What Apprise and the library below it log, kept from every other handler: it holds parts of the URL."""
    said: list[str] = []
    handler = _Heard(said)
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3")]
    before = [(logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    try:
        yield said
    finally:
        for logger, (propagate, level) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate
            logger.setLevel(level)
