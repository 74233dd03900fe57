"""Rows of a file, chunk by chunk in the memory of one chunk: JSON Lines or Parquet, on any file system."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from perennial.errors import ConfigError
from perennial.storage.filesystems import open_filesystem, opened

CHUNK_ROWS = 5_000
FORMATS = (".jsonl", ".parquet")
Chunk = list[tuple[int, Any]]


def format_of(uri: str, option: str) -> str:
    """The format by the end of the name. Raises ConfigError.

    >>> format_of("s3://bucket/rows.parquet", "--from")
    '.parquet'
    """
    found = next((one for one in FORMATS if uri.endswith(one)), None)
    if found is None:
        raise ConfigError(f"{option} {uri}: a file that ends in {' or '.join(FORMATS)}")
    return found


def chunks(uri: str) -> Iterator[Chunk]:
    """Numbered rows (from 0) as JSON has them; a line that is no JSON is the text of its problem, as bytes.

    Raises ConfigError for a file that is not there or no Parquet, StorageUnavailable.
    """
    filesystem, path = open_filesystem(uri, shown=uri)
    try:
        with opened(filesystem, path, seekable=uri.endswith(".parquet")) as stream:
            yield from (_of_parquet if uri.endswith(".parquet") else _of_lines)(stream)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError(f"--from {uri}: no such file") from error


def _of_lines(stream: Any) -> Iterator[Chunk]:
    numbered = enumerate(_lines(stream))
    while chunk := list(islice(numbered, CHUNK_ROWS)):
        yield [(number, _decoded(line)) for number, line in chunk if line.strip()]


def _lines(stream: Any) -> Iterator[bytes]:
    left = b""
    while block := stream.read(1 << 20):
        *whole, left = (left + block).split(b"\n")
        yield from whole
    if left:
        yield left


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error).encode()


def _of_parquet(stream: Any) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = 0
    try:
        for batch in pq.ParquetFile(stream, pre_buffer=False).iter_batches(batch_size=CHUNK_ROWS):
            rows = batch.to_pylist()
            yield list(enumerate(rows, first))
            first += len(rows)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"--from: no Parquet that can be read ({error})"[:300]) from error
