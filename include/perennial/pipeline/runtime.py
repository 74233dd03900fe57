"""What all cases share: the store, the registry, and the settings that found them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.config import ModelConfig, load_model
from perennial.pipeline.case import Case
from perennial.settings import Settings
from perennial.store import Store, open_store

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

    def close(self) -> None:
        """Give back the connections."""
        self.store.close()


def open_runtime(settings: Settings) -> Runtime:
    """A runtime; nothing is connected yet. Raises ConfigError when a setting is missing."""
    from perennial.registry import Registry

    store = open_store(settings.require_database_url(), settings.storage)
    return Runtime(store, Registry(settings.require_mlflow_uri()), settings)
