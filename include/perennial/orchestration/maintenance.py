"""The tasks of ``perennial__maintenance``: upkeep of all models, one after the other, whatever befalls one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from perennial.config import ModelConfig
from perennial.errors import IntegrityError, PerennialError, TransientError
from perennial.orchestration.declared import sound_models
from perennial.orchestration.session import opened_runtime
from perennial.orchestration.step import step

if TYPE_CHECKING:
    from perennial.pipeline import Runtime

log = logging.getLogger(__name__)


@step("Remove old staged files")
def sweep() -> None:
    """Delete what was staged and published longer ago than ``validation.keep_staging``."""
    from perennial import pipeline

    now = datetime.now(UTC)

    def one(config: ModelConfig, runtime: Runtime) -> None:
        log.info("%s: %d files removed", config.model, pipeline.sweep(config, runtime=runtime, now=now))

    _for_every_model(one)


@step("Expire reviews")
def expire_reviews() -> None:
    """Reject what nobody answered in time, and what was signed off against another champion."""
    from perennial import pipeline

    now = datetime.now(UTC)

    def one(config: ModelConfig, runtime: Runtime) -> None:
        for review in pipeline.expire_reviews(config, runtime=runtime, now=now):
            log.warning("%s version %s: %s", review.model, review.version, review.reason)

    _for_every_model(one)


@step("Check releases")
def check_releases() -> None:
    """Finish what a crash cut off, then hold the ledger against the registry."""
    from perennial import pipeline

    def one(config: ModelConfig, runtime: Runtime) -> None:
        for repaired in pipeline.reconcile(config, runtime=runtime):
            log.warning("%s: %s", config.model, repaired)
        pipeline.verify(config, runtime=runtime)

    _for_every_model(one)


def _for_every_model(work: Callable[[ModelConfig, Runtime], None]) -> None:
    from perennial import pipeline

    with opened_runtime() as runtime:
        problems: list[PerennialError] = []
        for config in sound_models():
            try:
                pipeline.prepare(config, runtime=runtime)
                work(config, runtime)
            except PerennialError as error:
                log.exception("%s", config.model)
                problems.append(error)
        transient = [error for error in problems if isinstance(error, TransientError)]
        if transient:
            raise transient[0]
        if problems:
            raise IntegrityError("; ".join(str(error) for error in problems))
