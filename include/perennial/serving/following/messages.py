"""What the process that follows says to the one that answers, over a pipe that only the two of them have."""

import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from perennial.config import ModelConfig
from perennial.contracts.tags import CHAMPION
from perennial.serving.predictors.predictor import Built

_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Whom to follow (the version that ``alias`` names), whom to ask, and where versions are kept."""

    config: ModelConfig
    registry_uri: str
    login: tuple[str, str] | None
    cache: Path
    alias: str = CHAMPION


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The registry was asked at ``at`` (seconds since 1970). ``problem`` is why it did not answer; ``champion`` the
    version that the alias names, or None; ``share`` what its tag says it answers of the requests, as a canary."""

    at: float
    champion: str | None = None
    share: float = 0.0
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A version that was verified, loaded and warmed; ``origin`` says where its files came from."""

    version: str
    digest: str
    built: Built
    origin: str
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A version could not be loaded, and why; what served before goes on."""

    version: str
    problem: str


Message = Looked | Loaded | Failed


def send(stream: BinaryIO, value: Any) -> None:
    """Write one value, whole."""
    data = pickle.dumps(value, protocol=5)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """The next value. Raises EOFError at the end.

    What comes was pickled by a process that we started, of objects that were read from skops with trusted types: no
    file is read here, and nobody else can write to the pipe.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)  # noqa: S301 - see above
