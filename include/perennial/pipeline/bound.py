"""One model's config, store and registry, and how every run of it begins."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, ReleaseState
from perennial.contracts.tags import CHAMPION
from perennial.errors import ConfigError, IntegrityError, ServiceSilent, first_of
from perennial.settings import Settings
from perennial.storage.work import clear_dead
from perennial.store import Store

if TYPE_CHECKING:
    from perennial.guards.figures import ArmFigures
    from perennial.registry import Registry


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What every step of one model works with."""

    config: ModelConfig
    store: Store
    registry: Registry
    settings: Settings

    @property
    def model(self) -> str:
        """The model's name."""
        return self.config.model

    def state(self) -> ReleaseState:
        """Who serves and who is trusted, from the ledger."""
        return ledger.release_state(self.store, self.model)

    def alias(self) -> str | None:
        """The version that the registry's alias ``champion`` names, which is what serves."""
        from perennial.registry.versions import alias_version

        return alias_version(self.registry, self.model, CHAMPION)

    def last_monitored(self) -> datetime | None:
        """The end of the latest window that was decided about, or None before the first."""
        return ledger.newest_decided(self.store, self.model)

    def prepare(self) -> None:
        """Migrate the store and make the model's tables. Safe to repeat and to run at once."""
        from perennial.store.migrate import migrate
        from perennial.store.tables import ensure_data_tables

        migrate(self.store)
        ensure_data_tables(self.store, self.config)

    def begin(self) -> tuple[str, ...]:
        """Tables made, and what a crash had cut off finished; one sentence for each thing that was done or found.

        What processes that were killed left of rows and models on this machine is removed.
        """
        from perennial.release.reconcile import reconcile

        if left := clear_dead():
            _log.warning("removed what killed processes had left in their folders: %s", first_of(left))
        self.prepare()
        return reconcile(self.config, store=self.store, registry=self.registry)

    def verify_files(self) -> None:
        """Every version that serves or is trusted has the files it was promoted with. Raises IntegrityError."""
        from perennial.registry.versions import artifact_digest

        state = self.state()
        for version in (state.champion, *state.trusted):
            promoted = state.digest_of(version) if version and version not in state.gone else None
            if version is None or promoted is None:
                continue
            found = artifact_digest(self.registry, self.model, version)
            if found != promoted:
                raise IntegrityError(
                    f"{self.model} version {version}: its files have the digest {found[:16]}..., not "
                    f"{promoted[:16]}... they were promoted with: do not serve it, find out who changed them, and roll "
                    "back or restore them"
                )

    def verify(self) -> ReleaseState:
        """Ledger and registry agree on who serves. Raises IntegrityError when they do not."""
        state, serving = self.state(), self.alias()
        if state.champion != serving:
            raise IntegrityError(
                f"{self.model}: MLflow's alias champion is on version {serving}, the ledger's champion is "
                f"{state.champion}; someone moved the alias by hand: set it back in MLflow"
            )
        return state

    def figures(self) -> tuple[ArmFigures, ...]:
        """What the service counts of whom, by arms; nothing while it can not be asked.

        Raises ConfigError where no setting names it.
        """
        from perennial.release.guarded.asking import ask

        url, key = self.settings.serving_url(self.model), self.settings.serving_key
        if url is None:
            raise ConfigError(
                f"{self.model}: PERENNIAL_SERVING_URLS names no scoring service, which has to count what is judged"
            )
        try:
            return ask(url, self.config, key=key.get_secret_value() if key else None).total
        except ServiceSilent as error:  # what nobody saw is waited for, up to the canary's deadline
            _log.warning("%s", error)
            return ()

    def verify_traffic(self) -> LedgerEntry | None:
        """The service answers with the champion; None where no setting names it. Raises ServiceBehind else."""
        from perennial.release.traffic import await_traffic

        url, key = self.settings.serving_url(self.model), self.settings.serving_key
        if url is None:
            return None
        return await_traffic(self.config, url, store=self.store, key=key.get_secret_value() if key else None)
