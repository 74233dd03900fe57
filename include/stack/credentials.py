"""The secrets of one stack: generated once, kept in one file of mode 0600, never logged and never on a command line."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from perennial.errors import StackError


def _secret(make: Callable[[int], str], n_bytes: int) -> str:
    """A field that is generated anew unless given, and that ``repr`` does not show."""
    return field(default_factory=lambda: make(n_bytes), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Generated secrets, all of them safe inside a URL, a shell word and a configuration file. ``repr`` shows none.

    >>> Credentials(state_id="0011")
    Credentials(state_id='0011')
    """

    state_id: str = field(default_factory=lambda: secrets.token_hex(8))
    postgres_password: str = _secret(secrets.token_urlsafe, 24)
    perennial_db_password: str = _secret(secrets.token_urlsafe, 24)
    mlflow_db_password: str = _secret(secrets.token_urlsafe, 24)
    airflow_db_password: str = _secret(secrets.token_urlsafe, 24)
    mlflow_admin_password: str = _secret(secrets.token_urlsafe, 12)
    mlflow_reviewer_password: str = _secret(secrets.token_urlsafe, 12)
    mlflow_pipeline_password: str = _secret(secrets.token_urlsafe, 24)
    mlflow_serving_password: str = _secret(secrets.token_urlsafe, 24)
    mlflow_secret_key: str = _secret(secrets.token_hex, 32)
    serving_key: str = _secret(lambda n: f"pk_{secrets.token_urlsafe(n)}", 32)
    metrics_token: str = _secret(secrets.token_urlsafe, 32)
    alerts_token: str = _secret(secrets.token_urlsafe, 32)
    grafana_admin_password: str = _secret(secrets.token_urlsafe, 12)
    airflow_admin_password: str = _secret(secrets.token_urlsafe, 12)
    airflow_reviewer_password: str = _secret(secrets.token_urlsafe, 12)
    airflow_viewer_password: str = _secret(secrets.token_urlsafe, 12)
    airflow_jwt_secret: str = _secret(secrets.token_hex, 32)
    airflow_secret_key: str = _secret(secrets.token_hex, 32)
    airflow_fernet_key: str = _secret(lambda n: base64.urlsafe_b64encode(secrets.token_bytes(n)).decode(), 32)


# Secrets that a file of an earlier release does not hold. The others open data that is there: they are never made anew.
_SINCE_LOGIN = {name for name in Credentials.__slots__ if name.startswith("mlflow_")} - {"mlflow_db_password"}
_SINCE = "serving_key metrics_token alerts_token grafana_admin_password airflow_reviewer_password"
LATER = frozenset({*_SINCE_LOGIN, *_SINCE.split()})

# The variables of docker-compose.yaml, and the secrets they carry.
VARIABLES = {item.name.upper(): item.name for item in fields(Credentials) if item.name != "state_id"}


def env_file(credentials: Credentials, *, known: str = "") -> str:
    """The text of an .env file for docker-compose.yaml, without the variables that ``known``, such a text, has.

    >>> env_file(Credentials(postgres_password="p")).splitlines()[0]
    'POSTGRES_PASSWORD=p'
    >>> env_file(Credentials(), known="POSTGRES_PASSWORD=p").splitlines()[0].split("=")[0]
    'PERENNIAL_DB_PASSWORD'
    """
    there = {line.split("=", 1)[0].strip() for line in known.splitlines()}
    lacking = ((variable, name) for variable, name in VARIABLES.items() if variable not in there)
    return "".join(f"{variable}={getattr(credentials, name)}\n" for variable, name in lacking)


def load_or_create(file: Path, *, data: Path) -> Credentials:
    """The secrets in the file; generated and written when there is no such file and no ``data`` that knows others.

    A file of an earlier release gets what it lacks. Raises StackError when the file of existing data is gone: new
    secrets would not open it.
    """
    if file.exists():
        found = _read(file)
        if LATER - found.keys():
            _write(file, _credentials(file, found, may_lack=LATER))
        return load(file)
    if os.path.lexists(data):
        raise StackError(
            f"{file} is gone, and the database in {data} opens with the secrets in it only: restore the file. Nothing "
            "was deleted or changed. If the data is not wanted any more, `make clean` removes it"
        )
    created = Credentials()
    _write(file, created)
    return created


def load(file: Path) -> Credentials:
    """The secrets in the file. Raises StackError when it is unreadable, incomplete or of an earlier release."""
    credentials = _credentials(file, _read(file))
    file.chmod(0o600)
    return credentials


def _read(file: Path) -> dict[str, object]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise StackError(f"credentials {file} cannot be read ({error}): restore the file, or `make clean`") from None
    return found if isinstance(found, dict) else {}


def _credentials(file: Path, found: dict[str, object], *, may_lack: frozenset[str] = frozenset()) -> Credentials:
    names = [item.name for item in fields(Credentials)]
    missing = [name for name in names if name not in found and name not in may_lack]
    if missing and LATER.issuperset(missing):
        raise StackError(
            f"credentials {file} are of an earlier release and lack {', '.join(missing)}: `perennial down`, then "
            "`perennial up` adds them; the data stays"
        )
    if missing:
        raise StackError(f"credentials {file} lack {', '.join(missing)}: restore the file, or `make clean`")
    return Credentials(**{name: str(found[name]) for name in names if name in found})


def _write(file: Path, credentials: Credentials) -> None:
    write_private(file, json.dumps(asdict(credentials), indent=2) + "\n")


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, all at once: it is never seen half-written or with wider rights."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(text)
    draft.replace(file)
