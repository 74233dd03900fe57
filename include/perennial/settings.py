"""The only reader of the environment.

What the environment does not set is read from ``<home>/stack.env``, which the local stack writes with its generated
secrets; secrets are never shown by ``repr``.
"""

import hashlib
import os
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from perennial.config import ModelConfig
from perennial.config.notify import Notify
from perennial.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """Where things are. Every name has the prefix ``PERENNIAL_`` in the environment, but MLflow's own."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", extra="ignore", frozen=True, populate_by_name=True)

    home: Path = Field(default=ROOT / ".state", description="The state folder: `stack.env`, storage, logs, landing")
    models_dir: Path = Field(default=ROOT / "include" / "models", description="The folder of the monitored models")
    database_url: SecretStr | None = Field(default=None, description="SQLAlchemy URL of the store, with its password")
    storage_uri: str | None = Field(
        default=None, description="Root of batches, snapshots and reports; unless set, `storage` in the state folder"
    )
    mlflow_uri: str | None = Field(
        default=None, validation_alias="MLFLOW_TRACKING_URI", description="Address of the MLflow server", repr=False
    )
    mlflow_username: str | None = Field(
        default=None,
        validation_alias="MLFLOW_TRACKING_USERNAME",
        description="Account on the MLflow server",
    )
    mlflow_password: SecretStr | None = Field(
        default=None, validation_alias="MLFLOW_TRACKING_PASSWORD", description="Its password"
    )
    airflow_url: str | None = Field(default=None, description="Address of Airflow's API; the demo asks it for runs")
    public_url: str | None = Field(
        default=None, description="Where people find Airflow, for links in messages; else `PERENNIAL_AIRFLOW_URL`"
    )
    metrics_token: SecretStr | None = Field(
        default=None, description="What Prometheus has to say to read `/perennial/metrics`; unset, nobody reads it"
    )
    alerts_token: SecretStr | None = Field(
        default=None,
        description="What Alertmanager has to say to have `/perennial/alerts` start runs; unset, nothing is started",
    )
    step_log_days: int = Field(
        default=400, ge=1, description="How many days the lines of steps are kept, `logs/steps` of the state folder"
    )
    fit_pool: str = Field(
        default="default_pool", min_length=1, description="Airflow's pool of the fits; one that is not there stops them"
    )
    code: str | None = Field(default=None, description="The commit of this code, where there is no repository to ask")
    airflow_port: int = Field(default=8080, ge=1, le=65535, description="Port of the local stack's Airflow")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="Port of the local stack's MLflow")
    postgres_port: int = Field(default=54329, ge=1, le=65535, description="Port of the local stack's PostgreSQL")
    serve: str | None = Field(
        default=None,
        description="The models that the local stack serves, with commas between, in the order of their ports; unless "
        "set, those whose `model.yaml` has a section `serving`; empty for none",
    )
    serving_port: int = Field(
        default=8100,
        ge=1,
        le=65535,
        description="Port of the local stack's first scoring service; each further one has the next",
    )
    serving_urls: str | None = Field(
        default=None,
        description="Where models are served, as `flight_delay=http://127.0.0.1:8100`, with commas between: after each "
        "release the service is asked whether it followed",
    )
    serving_key: SecretStr | None = Field(
        default=None, description="A key that scoring services take, and with which they are asked"
    )

    @property
    def storage(self) -> str:
        """Root URI of staged batches, snapshots and reports; below the state folder unless configured."""
        return self.storage_uri or (self.home / "storage").resolve().as_uri()

    @property
    def code_version(self) -> str:
        """The commit of this code, 40 hex digits, ``-dirty`` where it was edited since; ``unknown`` outside of git.

        An image has no repository: its build says the commit in PERENNIAL_CODE.
        """
        return self.code or _commit()

    @property
    def lock_digest(self) -> str:
        """SHA-256 of the lock file, as 64 hex digits; ``unknown`` where it is not there."""
        lock = ROOT / "requirements.txt"
        return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "unknown"

    def require_database_url(self) -> str:
        """The store's URL, with its password. Raises ConfigError when it is not set."""
        if self.database_url is None:
            raise ConfigError(f"no database: set PERENNIAL_DATABASE_URL, or run `make up` (state in {self.home})")
        return self.database_url.get_secret_value()

    def require_mlflow_uri(self) -> str:
        """The MLflow server's URI, without an account that may stand in it. Raises ConfigError when it is not set, and
        where nobody can say where the account ends.
        """
        if self.mlflow_uri is None:
            raise ConfigError(f"no MLflow server: set MLFLOW_TRACKING_URI, or run `make up` (state in {self.home})")
        where = urlsplit(self.mlflow_uri)
        if where.scheme in ("http", "https") and "@" in f"{where.path}{where.query}{where.fragment}":
            raise ConfigError(
                "MLFLOW_TRACKING_URI has an @ after its first /, ? or #: in a password write these as %2F, %3F, %23, "
                "or set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            )
        return where._replace(netloc=where.netloc.rpartition("@")[2]).geturl()

    @property
    def mlflow_login(self) -> tuple[str, str] | None:
        """Account and password of the variables, or else of the URI; None where there is neither.

        Raises ConfigError for an account without a password, and the other way round.

        >>> Settings(mlflow_uri="http://ada:se%2Fcret@host", mlflow_username=None, mlflow_password=None).mlflow_login
        ('ada', 'se/cret')
        """
        where = urlsplit(self.mlflow_uri or "")
        username = self.mlflow_username or unquote(where.username or "")
        secret = self.mlflow_password.get_secret_value() if self.mlflow_password else ""
        password = secret or unquote(where.password or "")
        if bool(username) != bool(password):
            raise ConfigError("set both MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or neither")
        return (username, password) if username else None

    @property
    def hidden(self) -> tuple[str, ...]:
        """Every secret of these settings, as it would stand in a text that must not hold it.

        >>> given = Settings(metrics_token=SecretStr("t0ken"), database_url=SecretStr("postgresql://u:p%40ss@h/d"))
        >>> {"postgresql://u:p%40ss@h/d", "p%40ss", "p@ss", "t0ken"} <= set(given.hidden)
        True
        """
        secrets = [found.get_secret_value() for _, found in self if isinstance(found, SecretStr)]
        passwords = [urlsplit(url).password for url in (secrets[:1] if self.database_url else [])]
        passwords += [urlsplit(self.mlflow_uri or "").password]
        return tuple(filter(None, (*secrets, *passwords, *(unquote(one) for one in passwords if one))))

    @property
    def models_to_serve(self) -> tuple[str, ...] | None:
        """The models named by ``serve``, once each; None when nobody said.

        >>> Settings(serve="b, a,b").models_to_serve, Settings(serve="").models_to_serve
        (('b', 'a'), ())
        """
        if self.serve is None:
            return None
        return tuple(dict.fromkeys(name for part in self.serve.split(",") if (name := part.strip())))

    def serving_url(self, model: str) -> str | None:
        """Where a model is served; None when nobody said. Raises ConfigError for a setting that can not be read.

        >>> Settings(serving_urls="a=http://127.0.0.1:8100/, b=http://b:8000").serving_url("a")
        'http://127.0.0.1:8100'
        >>> Settings(serving_urls=None).serving_url("a")
        """
        urls = {}
        for part in filter(None, map(str.strip, (self.serving_urls or "").split(","))):
            name, _, url = part.partition("=")
            if not url.startswith(("http://", "https://")):
                raise ConfigError(f"PERENNIAL_SERVING_URLS: {part!r}: write it as flight_delay=http://127.0.0.1:8100")
            urls[name.strip()] = url.rstrip("/")
        return urls.get(model)

    def table_urls(self, config: ModelConfig) -> dict[str, str]:
        """The URLs of the model's table sources, by the variable that holds them. Raises ConfigError when unset."""
        names = [
            source.url_env for source in (config.sources.predictions, config.sources.labels) if source.kind == "table"
        ]
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise ConfigError(f"{config.model}: set {', '.join(missing)} to the SQLAlchemy URL of its table source")
        return {name: os.environ[name] for name in names}

    def channel_urls(self, routes: Notify) -> dict[str, str]:
        """The URLs of the channels that are set, by the variable that holds them."""
        return {name: url for name in routes.channels if (url := os.environ.get(name))}

    @property
    def console(self) -> str | None:
        """The address of the console in Airflow, without a slash at its end; None where Airflow's is not known."""
        address = self.public_url or self.airflow_url
        return f"{address.rstrip('/')}/perennial" if address else None


def _commit() -> str:
    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603 - fixed words
                ["git", "-C", str(ROOT), *words],  # noqa: S607 - whichever git there is
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}-dirty" if git("status", "--porcelain", "--untracked-files=no") else commit


def load_settings() -> Settings:
    """The settings in force. Raises ConfigError that names the variable, the value and what is allowed."""
    home = Path(os.environ.get("PERENNIAL_HOME") or ROOT / ".state").resolve()
    try:
        return Settings(home=home, _env_file=home / "stack.env")
    except ValidationError as error:
        found = error.errors()[0]
        key = "_".join(str(part) for part in found["loc"])
        raise ConfigError(f"setting {key} (environment or {home / 'stack.env'}): {found['msg']}") from None
