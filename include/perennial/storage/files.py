"""The file storage: staged batches, snapshots, references and reports, on anything that ``pyarrow.fs`` opens.

Paths in records are relative to the storage's root, so that a root can move. Files appear whole or not at all.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs, ipc

from perennial.errors import StorageUnavailable, redacted
from perennial.storage.filesystems import open_filesystem

GROUP_ROWS = 65_536
PASSING_ROWS = 262_144
"""So many rows of a passing file are written, read and judged at once."""
PASSING = ".arrow"
"""What the name of a file of rows that are read once and soon ends in."""
PART, DRAFT = ".part", ".incoming"
"""What the name of a file that is being written ends in; a draft is moved by its writer."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A root folder on a file system."""

    filesystem: Any
    root: str

    @classmethod
    def open(cls, uri: str) -> "Storage":
        """The storage at ``uri`` (``file:///...``, ``s3://...``); a local root is made when missing.

        Raises ConfigError for no such URI, StorageUnavailable when its file system does not answer.
        """
        # Rows pass through in large pieces that live for moments. Arrow's own allocator takes longer to get memory for
        # them from the system, and keeps more of it.
        pa.set_memory_pool(pa.system_memory_pool())
        filesystem, root = open_filesystem(uri, shown=f"storage {redacted(uri)}")
        return cls(filesystem, root.rstrip("/"))

    def path(self, relative: str) -> str:
        """The file system's own path of ``relative``."""
        return f"{self.root}/{relative}"

    def exists(self, relative: str) -> bool:
        """True when a file is there."""
        found: bool = self.filesystem.get_file_info(self.path(relative)).type == fs.FileType.File
        return found

    @contextmanager
    def write(self, relative: str, *, draft: bool = False) -> Iterator[Any]:
        """A binary stream to a file that appears under its name only when the block ends well.

        A ``draft`` is written under its own name at once, for callers that move it to the one that is read: an object
        store moves by copying. Either is gone when the block fails.
        """
        final = self.path(relative)
        part = final if draft else f"{final}.{uuid4().hex}{PART}"
        try:
            self._prepare(part)
            with self.filesystem.open_output_stream(part) as stream:
                yield stream
            if not draft:
                self.filesystem.move(part, final)
        except BaseException as error:
            if self.filesystem.get_file_info(part).type == fs.FileType.File:
                self.filesystem.delete_file(part)
            if isinstance(error, OSError):
                raise StorageUnavailable(f"storage {final}: {error}") from error
            raise

    def _prepare(self, path: str) -> None:
        """Make the folders of a file; on a local disk 0700 and the file 0600, for logged rows are nobody else's."""
        if not isinstance(self.filesystem, fs.LocalFileSystem):
            self.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            return
        file = Path(path)
        for folder in reversed([parent for parent in file.parents if not parent.exists()]):
            with suppress(FileExistsError):  # another process made it meanwhile
                folder.mkdir(mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    @contextmanager
    def write_parquet(self, relative: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """A Parquet writer (Zstandard) to a file that appears only when the block ends well."""
        packing: dict[str, Any] = {"compression": "zstd", "compression_level": 1}
        with self.write(relative) as stream, pq.ParquetWriter(stream, schema, **packing) as writer:
            yield writer

    @contextmanager
    def write_passing(
        self, relative: str, schema: pa.Schema, *, draft: bool = False
    ) -> Iterator[ipc.RecordBatchFileWriter]:
        """A writer of rows that are read once and soon, as Arrow holds them in memory; the file appears as above.

        On this machine's disk they are not packed, elsewhere by LZ4. A file whose name does not end in ``PASSING`` is
        read as Parquet: a ``draft`` has to get such a name.
        """
        packed = None if isinstance(self.filesystem, fs.LocalFileSystem) else "lz4"
        options = ipc.IpcWriteOptions(compression=packed)
        with self.write(relative, draft=draft) as stream, ipc.new_file(stream, schema, options=options) as writer:
            yield writer

    def read_batches(self, relative: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of a file of either kind, a bounded batch at a time: 65,536 rows of Parquet, else as written."""
        with self.filesystem.open_input_file(self.path(relative)) as source:
            if relative.endswith(PASSING):
                yield from _arrow_batches(source, columns)
                return
            # pre-buffering, the default, keeps every column chunk read so far: memory would grow with the file
            yield from pq.ParquetFile(source, pre_buffer=False).iter_batches(batch_size=GROUP_ROWS, columns=columns)

    def read_table(self, relative: str, columns: list[str] | None = None) -> pa.Table:
        """All rows of a (bounded) Parquet file."""
        with self.filesystem.open_input_file(self.path(relative)) as source:
            return pq.read_table(source, columns=columns)

    def unfinished(self, folder: str, *, before: datetime) -> tuple[str, ...]:
        """The files below ``folder`` that a killed process was writing, untouched since ``before``; in order."""
        below = fs.FileSelector(self.path(folder), allow_not_found=True, recursive=True)
        left = [file for file in self.filesystem.get_file_info(below) if file.path.endswith((PART, DRAFT))]
        return tuple(sorted(file.path.removeprefix(f"{self.root}/") for file in left if file.mtime < before))

    def move(self, source: str, target: str) -> None:
        """Give a file its final name; a file that had it is replaced."""
        self.filesystem.move(self.path(source), self.path(target))

    def delete(self, relative: str) -> None:
        """Remove a file; one that is gone already is fine."""
        if self.exists(relative):
            self.filesystem.delete_file(self.path(relative))


def _arrow_batches(source: Any, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    reader = ipc.open_file(source)
    if columns is not None:
        places = [reader.schema.get_field_index(name) for name in columns]
        reader = ipc.open_file(source, options=ipc.IpcReadOptions(included_fields=places))
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def in_groups(rows: Iterable[pa.RecordBatch], n_rows: int) -> Iterator[pa.Table]:
    """Record batches put together and cut into tables of ``n_rows`` rows, of which the last holds what is left.

    >>> batches = [pa.record_batch({"hue": pa.nulls(n)}) for n in (2, 0, 2, 7)]
    >>> [table.num_rows for table in in_groups(iter(batches), 3)]
    [3, 3, 3, 2]
    """
    pending: list[pa.RecordBatch] = []
    n_pending = 0
    for one in rows:
        rest = one
        while n_pending + rest.num_rows >= n_rows:
            yield pa.Table.from_batches([*pending, rest.slice(0, n_rows - n_pending)])
            rest, pending, n_pending = rest.slice(n_rows - n_pending), [], 0
        if rest.num_rows:
            pending.append(rest)
            n_pending += rest.num_rows
    if n_pending:
        yield pa.Table.from_batches(pending)
