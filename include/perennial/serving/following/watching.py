"""The process that follows: asks the registry for the champion, and hands over what it loaded. One for each process
that answers, so that nothing it does takes a request's time; it ends with it.

``python -m perennial.serving.following.watching``, with an :class:`Order` on standard input and messages on standard
output; it ends when its input does.
"""

import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# what is asked anew every few seconds need not be asked again in between
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from perennial.config import ModelConfig
from perennial.contracts.tags import CANARY, CHAMPION, DIGEST_TAG, SHARE_TAG
from perennial.errors import IntegrityError, PerennialError, redacted
from perennial.registry.client import Registry, log_in
from perennial.registry.trust import MODEL_FILE, read_model
from perennial.registry.versions import (
    alias_version,
    downloaded_version,
    find_version_tags,
    folder_digest,
    verify_digest,
    version_tags,
)
from perennial.serving.following.cache import Cache
from perennial.serving.following.messages import Failed, Loaded, Looked, Message, Order, receive, send
from perennial.serving.predictors.predictor import build

_LONGEST_PAUSE_S = 60.0


@dataclass(slots=True)
class Watch:
    """What was handed over last, and which version failed, how often, and when to try it again (monotonic seconds)."""

    config: ModelConfig
    registry: Registry
    cache: Cache
    alias: str = CHAMPION
    current: str | None = None
    failed: str | None = None
    n_failures: int = 0
    again_at: float = 0.0

    def look(self) -> Iterator[Message]:
        """Ask once; what there is to tell. Without an answer, and with nothing handed over yet, the cache is asked for
        the champion. ``Looked.champion`` is whom :attr:`alias` names."""
        try:
            champion = alias_version(self.registry, self.config.model, self.alias)
            share = self._share(champion) if champion is not None and self.alias == CANARY else 0.0
        except PerennialError as error:
            yield Looked(at=time.time(), problem=redacted(str(error)))
            if self.alias == CHAMPION and self.current is None and self.cache.last() is not None:
                version, digest = self.cache.remembered()
                yield self._tried(version, digest)
            return
        yield Looked(at=time.time(), champion=champion, share=share)
        if champion != self.current and self.alias == CANARY:
            self.current = None  # nobody answers in its place: named again, it is loaded again
        if champion is not None and champion != self.current:
            yield from self._changed(champion)

    def _share(self, version: str) -> float:
        """What the version's tag says, from 0 to 1; 0 where it says nothing that can be read."""
        try:
            share = float((find_version_tags(self.registry, self.config.model, version) or {}).get(SHARE_TAG, "0"))
        except ValueError:
            return 0.0
        return share if 0 <= share <= 1 else 0.0

    def take(self, version: str) -> Iterator[Message]:
        """This version, whoever is champion: loaded, or why not."""
        return self._changed(version)

    def _changed(self, champion: str) -> Iterator[Message]:
        if champion == self.failed and time.monotonic() < self.again_at:
            return
        try:
            digest = self._registered_digest(champion)
        except PerennialError as error:
            yield self._failure(champion, error)
            return
        yield self._tried(champion, digest)

    def _registered_digest(self, version: str) -> str:
        digest = version_tags(self.registry, self.config.model, version).get(DIGEST_TAG)
        if not digest:
            raise IntegrityError(
                f"{self.config.model} version {version} has no tag {DIGEST_TAG}: it was not registered by Perennial, "
                "and nobody can say whether its files are those that were judged"
            )
        return digest

    def _tried(self, version: str, digest: str) -> Message:
        """The version, loaded; or why not. Whatever a model raises while it answers its first rows is told."""
        began = time.monotonic()
        try:
            folder, origin = self._files(version, digest)
            what = f"{self.config.model} version {version}"
            model = read_model(folder / MODEL_FILE, trusted_types=self.config.training.trusted_types, what=what)
            _fits(self.config, folder, what)
            built = build(self.config, model)
            self.cache.remember(version, digest)
        except Exception as error:
            return self._failure(version, error)
        self.current, self.failed, self.n_failures = version, None, 0
        return Loaded(version=version, digest=digest, built=built, origin=origin, took_s=time.monotonic() - began)

    def _files(self, version: str, digest: str) -> tuple[Path, str]:
        """A folder with the verified files, from the cache or else from the registry."""
        name, folder = self.config.model, self.cache.files(version, digest)
        if folder.is_dir() and folder_digest(folder) == digest:
            return folder, "cache"
        with downloaded_version(self.registry, name, version) as found:
            verify_digest(found, digest, name=name, version=version)
            kept = self.cache.keep(version, digest, lambda draft: shutil.copytree(found, draft, dirs_exist_ok=True))
        verify_digest(kept, digest, name=name, version=version)
        return kept, "registry"

    def _failure(self, version: str, error: Exception) -> Failed:
        self.n_failures = self.n_failures + 1 if version == self.failed else 1
        self.failed = version
        pause_s = min(_LONGEST_PAUSE_S, self.config.serving.poll_s * 2**self.n_failures)
        self.again_at = time.monotonic() + pause_s
        named = "" if isinstance(error, PerennialError) else f"{type(error).__name__}: "
        return Failed(version=version, problem=redacted(f"{named}{error}")[:500])


def _fits(config: ModelConfig, folder: Path, what: str) -> None:
    """Raises IntegrityError unless the version's signature asks for features of ``model.yaml``, as they are typed."""
    from mlflow.models import Model

    described = Model.load(str(folder)).signature if (folder / "MLmodel").is_file() else None
    if described is None or described.inputs is None:
        raise IntegrityError(f"{what} carries no signature: nobody can say what it takes")
    asked = dict(zip(described.inputs.input_names(), described.inputs.input_types(), strict=True))
    for name, kind in asked.items():
        if name not in config.features:
            raise IntegrityError(f"{what}: its signature asks for {name}, no feature in model.yaml")
        if (kind.name == "string") == (name in config.numbers):
            raise IntegrityError(f"{what}: its signature takes {name} as {kind.name}, model.yaml says otherwise")


def main() -> None:
    """Follow until the input ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no message
    order: Order = receive(sys.stdin.buffer)
    log_in(order.login)
    order.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    watch = Watch(order.config, Registry(order.registry_uri), Cache(order.cache), order.alias)
    while True:
        for message in watch.look():
            send(out, message)
        if select.select([sys.stdin], [], [], order.config.serving.poll_s)[0]:
            return


if __name__ == "__main__":
    main()
