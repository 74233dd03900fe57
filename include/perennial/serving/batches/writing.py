"""The answers of a file, written beside their target under another name until they are whole."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from perennial.storage.filesystems import answering, open_filesystem

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("prediction_id", pa.string()),
        ("score", pa.float64()),
        ("predicted", pa.string()),
        ("version", pa.string()),
    ]
)


class Output:
    """``row`` counts the rows of the source from 0. Raises ConfigError for a URI of no file system."""

    def __init__(self, uri: str) -> None:
        self._filesystem, self._path = open_filesystem(uri, shown=uri)
        self._draft, self._is_parquet = f"{self._path}.part", uri.endswith(".parquet")
        self._write: Any = None

    def exists(self) -> bool:
        """Whether the target is there."""
        with answering(self._path):
            found: bool = self._filesystem.get_file_info(self._path).type != fs.FileType.NotFound
        return found

    @contextmanager
    def opened(self) -> Iterator[None]:
        """While this is open, chunks are written."""
        with answering(self._path):
            if isinstance(self._filesystem, fs.LocalFileSystem):
                Path(self._draft).parent.mkdir(parents=True, exist_ok=True)
            with self._filesystem.open_output_stream(self._draft, compression=None) as stream:
                if self._is_parquet:
                    with pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
                        self._write = writer.write_table
                        yield
                else:
                    self._write = lambda table: stream.write(_lines(table))
                    yield

    def write(
        self,
        ids: Sequence[str],
        scores: Sequence[float],
        words: Sequence[str] | None,
        numbers: Sequence[int],
        version: str,
    ) -> None:
        """One chunk; ``words`` is None for a regression."""
        n_rows = len(numbers)
        columns: list[Any] = [numbers, ids, scores, words or [None] * n_rows, [version] * n_rows]
        with answering(self._path):
            self._write(
                pa.table([pa.array(one, kind) for one, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA)
            )

    def put(self, uri: str, path: Path) -> None:
        """Copy a file of this disk to a URI."""
        filesystem, target = open_filesystem(uri, shown=uri)
        with (
            answering(target),
            path.open("rb") as source,
            filesystem.open_output_stream(target, compression=None) as to,
        ):
            shutil.copyfileobj(source, to)

    def finish(self) -> None:
        """The target appears, whole."""
        with answering(self._path):
            self._filesystem.move(self._draft, self._path)


def _lines(table: pa.Table) -> bytes:
    import msgspec

    return msgspec.json.Encoder().encode_lines(table.to_pylist())
