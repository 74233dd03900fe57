"""What all cases share: the store, the registry, and the settings that found them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.config import ModelConfig, load_model
from perennial.errors import IntegrityError
from perennial.ledger import chain
from perennial.ledger.chain import Chain
from perennial.pipeline.case import Case
from perennial.settings import Settings
from perennial.store import Store, open_store
from perennial.store.roles.ownership import why_unprotected

if TYPE_CHECKING:
    from perennial.registry import Registry


@dataclass(frozen=True, slots=True)
class Runtime:
    """Open handles; nothing is connected before it is used."""

    store: Store
    registry: Registry
    settings: Settings

    def config(self, model: str) -> ModelConfig:
        """The declared model. Raises ConfigError when there is none."""
        return load_model(self.settings.models_dir / model)

    def case(self, model: str | ModelConfig) -> Case:
        """The case of one model. Raises ConfigError when it is not declared."""
        config = self.config(model) if isinstance(model, str) else model
        return Case(config=config, store=self.store, registry=self.registry, settings=self.settings)

    def prove_ledger(self, model: str | None = None, *, known: str | None = None) -> tuple[Chain, ...]:
        """The proven chain of one model, or of every model that has entries, declared or not.

        ``known`` is a head of the model that was noted before. Raises IntegrityError that names the first broken entry
        of each model that has one.
        """
        from perennial.store.migrate import migrate

        migrate(self.store)
        proven, broken = [], []
        for one in [model] if model else chain.models(self.store):
            try:
                proven.append(chain.verify(self.store, one, known=known))
            except IntegrityError as error:
                broken.append(str(error))
        if broken:
            raise IntegrityError("; ".join(broken))
        return tuple(proven)

    def why_unprotected(self) -> str | None:
        """Why the role that Perennial connects as could change the ledger; None when it can not."""
        return why_unprotected(self.store)

    def close(self) -> None:
        """Give back the connections."""
        self.store.close()


def open_runtime(settings: Settings) -> Runtime:
    """A runtime; nothing is connected yet. Raises ConfigError when a setting is missing."""
    from perennial.registry import Registry
    from perennial.registry.client import log_in

    log_in(settings.mlflow_login)
    store = open_store(settings.require_database_url(), settings.storage)
    return Runtime(store, Registry(settings.require_mlflow_uri()), settings)
