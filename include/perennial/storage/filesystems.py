"""File systems of ``pyarrow.fs`` by their URI, and files on them whose every failure to answer has a name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyarrow import fs

from perennial.errors import ConfigError, StorageUnavailable, redacted


def open_filesystem(uri: str, *, shown: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it. ``shown`` is what messages call it.

    Raises ConfigError for no such URI, StorageUnavailable when its file system does not answer.
    """
    try:
        with answering(shown):
            filesystem, path = fs.FileSystem.from_uri(uri)
        return filesystem, path
    except ValueError as error:
        # its message may hold a part of a secret, also of one that the caller cut in two at a slash
        cause = "" if "@" in f"{uri}{shown}" else f" ({error})"
    raise ConfigError(f"{redacted(shown)}: no URI of a file system that pyarrow.fs opens{cause}")


@contextmanager
def opened(filesystem: Any, path: str, *, seekable: bool = False) -> Iterator[Any]:
    """The bytes of a file as they are: on a local disk OSError is the file's fault, elsewhere StorageUnavailable."""
    opening = filesystem.open_input_file if seekable else filesystem.open_input_stream
    options = {} if seekable else {"compression": None, "buffer_size": 0}
    if isinstance(filesystem, fs.LocalFileSystem):
        with opening(path, **options) as stream:
            yield stream
        return
    with answering(path):
        remote = opening(path, **options)
    with remote, pa.PythonFile(_Remote(remote, path), mode="r") as stream:
        yield stream


@contextmanager
def answering(path: str) -> Iterator[None]:
    """Turn the OSError of a remote file system into StorageUnavailable."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(redacted(f"{path}: {error}")) from error


class _Remote:
    """A stream whose file system's failures are StorageUnavailable."""

    def __init__(self, stream: Any, path: str) -> None:
        self._stream = stream
        self._path = path
        self.closed = False

    def read(self, n_bytes: int | None = None) -> bytes:
        """Up to ``n_bytes`` more bytes; empty at the end."""
        with answering(self._path):
            block: bytes = self._stream.read(n_bytes)
        return block

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new position."""
        with answering(self._path):
            position: int = self._stream.seek(offset, whence)
        return position

    def tell(self) -> int:
        """The position."""
        position: int = self._stream.tell()
        return position

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """The owner of the stream closes it."""
        self.closed = True
