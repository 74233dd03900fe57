"""An object store as source and as storage: the same outcomes as on a local disk."""

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pandas as pd
import pytest
from pyarrow import fs

from ingesting import DAY, from_files, published, rows_of, take
from perennial.config import ModelConfig
from perennial.errors import StorageUnavailable
from perennial.ingest.stage import stage
from perennial.ingest.sweep import sweep
from perennial.storage import Storage
from perennial.store import Store
from s3_server import Objects, s3_server

WINE = "wine_cultivar"
LINES = "".join(f"{json.dumps(row)}\n" for row in rows_of(WINE)).encode()


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own for one test."""

    endpoint: str
    name: str
    kept: Objects | None

    def uri(self, path: str) -> str:
        """The URI of a path in it."""
        host = self.endpoint.removeprefix("http://")
        return f"s3://key:secret@{self.name}/{path}?scheme=http&endpoint_override={host}&region=us-east-1"

    def put(self, key: str, content: bytes) -> None:
        """Store an object as another program would."""
        filesystem, _ = fs.FileSystem.from_uri(self.uri(""))
        with filesystem.open_output_stream(f"{self.name}/{key}", compression=None) as stream:
            stream.write(content)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    name = f"bucket-{uuid4().hex[:12]}"
    if given := os.environ.get("PERENNIAL_TEST_S3"):
        httpx.put(f"{given}/{name}").raise_for_status()
        yield Bucket(given, name, None)
        return
    with s3_server() as (endpoint, kept):
        yield Bucket(endpoint, name, kept)


@pytest.fixture
def remote(store: Store, bucket: Bucket) -> Store:
    """The store with its files in the bucket."""
    return replace(store, storage=Storage.open(bucket.uri("storage")))


def test_object_store_as_source_and_as_storage(wine: ModelConfig, remote: Store, home: Path, bucket: Bucket) -> None:
    bucket.put("in/2024-01-01/a.jsonl.gz", gzip.compress(LINES))
    config = from_files(wine, bucket.uri("in/{start:%Y-%m-%d}/*.jsonl.gz"), "jsonl")
    first = take(config, home, remote)
    batch, verdict, account = first
    assert account.n_published == len(published(wine, remote)) == 40, verdict.reason
    assert take(config, home, remote) == first
    uris = [str(batch.uri), str(verdict.accepted_uri), str(verdict.quarantine_uri)]
    assert all(map(remote.storage.exists, uris))
    assert sweep(config, store=remote, before=datetime.now(UTC) + timedelta(hours=1)) == 3
    assert not any(map(remote.storage.exists, uris))


def test_each_object_is_copied_once(wine: ModelConfig, remote: Store, home: Path, bucket: Bucket) -> None:
    if bucket.kept is None:
        pytest.skip("only our own server counts its copies")
    bucket.put("in/a.jsonl", LINES)
    batch = take(from_files(wine, bucket.uri("in/a.jsonl"), "jsonl"), home, remote)[0]
    staged = [key for key in bucket.kept.copied if "staging" in key]
    assert len(staged) == 3, "the staged rows, the accepted ones and the quarantined ones"
    assert sum(key.endswith(f"{batch.batch_id}.arrow") for key in bucket.kept.copied) == 1
    left = [key for key in bucket.kept.objects if key.endswith((".part", ".incoming"))]
    assert not left


@pytest.mark.parametrize("n_cut", [1, 100])
def test_truncated_packed_object_halts(n_cut: int, wine: ModelConfig, store: Store, home: Path, bucket: Bucket) -> None:
    bucket.put("in/a.jsonl.gz", gzip.compress(LINES)[:-n_cut])
    batch, _, account = take(from_files(wine, bucket.uri("in/a.jsonl.gz"), "jsonl"), home, store)
    assert (account.status, account.n_published) == ("halted", 0)
    assert "in/a.jsonl.gz: not readable" in str(batch.problem)


def test_truncated_parquet_object_halts(
    wine: ModelConfig, store: Store, home: Path, bucket: Bucket, tmp_path: Path
) -> None:
    pd.DataFrame(rows_of(WINE)).to_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    config = from_files(wine, bucket.uri("in/a.parquet"), "parquet")
    bucket.put("in/a.parquet", whole)
    assert take(config, home, store)[2].n_published == 40
    bucket.put("in/a.parquet", whole[:2000] + b"\0" * 500 + whole[2500:])
    batch, _, account = take(config, home, store)
    assert account.status == "halted", batch


def test_object_store_that_does_not_answer_is_transient(
    wine: ModelConfig, store: Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    options = "?scheme=http&endpoint_override=127.0.0.1:9&region=us-east-1"
    with pytest.raises(StorageUnavailable) as caught:
        stage(
            from_files(wine, f"s3://key:hunter2@bucket/in/*{options}", "jsonl"),
            DAY,
            "predictions",
            store=store,
            home=home,
        )
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["100%.jsonl", "a%20b.jsonl", "what?.jsonl", "x[1].jsonl", "a b#c.jsonl", "é.jsonl"])
def test_special_characters_in_the_names_of_objects(
    name: str, wine: ModelConfig, store: Store, home: Path, bucket: Bucket
) -> None:
    bucket.put(f"in/{name}", LINES)
    written = name.replace("%20", "%2520")  # in a URI a percent sign and two digits stand for a character
    for pattern in (f"in/{written}", "in/*"):
        config = from_files(wine, bucket.uri(pattern), "jsonl")
        batch, _, account = take(config, home, store)
        assert batch.files == (f"{bucket.name}/in/{name}",)
        assert account.n_published == 40
