"""Who may ask: named keys, of which only digests are kept.

A key is 256 random bits, so that a plain SHA-256 of it can not be guessed back; it is shown once, when it is made.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from perennial.errors import ConfigError, first_of

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_PREFIX = "pk_"
_OF_SETTINGS = "PERENNIAL_SERVING_KEY"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys below a state folder: ``serving/keys.json``, its owner's alone to read; and that of the settings."""

    path: Path
    of_settings: str | None = field(default=None, repr=False)

    @classmethod
    def below(cls, home: Path, of_settings: str | None = None) -> "Keys":
        """Those of a state folder."""
        return cls(home / "serving" / "keys.json", of_settings)

    def known(self) -> dict[str, dict[str, str]]:
        """All keys that are let in, by name. Raises ConfigError as :meth:`read`."""
        given = {_OF_SETTINGS: {"sha256": _digest(self.of_settings), "made": ""}} if self.of_settings else {}
        return self.read() | given

    def read(self) -> dict[str, dict[str, str]]:
        """What is known of each key, by its name. Raises ConfigError for a file that can not be read."""
        try:
            found: dict[str, dict[str, str]] = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(name): {"sha256": str(key["sha256"]), "made": str(key["made"])} for name, key in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{self.path}: not readable as keys: {type(error).__name__}; remove it, and add them anew"
            ) from None

    def add(self, name: str, *, at: datetime) -> str:
        """Make a key and return it, which nothing can do a second time. Raises ConfigError for a name that is taken."""
        known = self.read()
        if not _NAME.fullmatch(name):
            raise ConfigError(f"key {name!r}: call it by up to 48 letters, digits, - and _, in lower case")
        if name in known:
            raise ConfigError(f"key {name!r}: there is one of this name; remove it first")
        key = _PREFIX + secrets.token_urlsafe(32)
        self._write({**known, name: {"sha256": _digest(key), "made": at.isoformat(timespec="seconds")}})
        return key

    def remove(self, name: str) -> None:
        """Forget a key: a service that runs knows it within a second. Raises ConfigError when there is none."""
        known = self.read()
        if name not in known:
            raise ConfigError(f"key {name!r}: there is none; there are {first_of(known) or 'none at all'}")
        self._write({other: key for other, key in known.items() if other != name})

    def _write(self, known: dict[str, dict[str, str]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}.part")
        descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(known, stream, indent=2)
        draft.rename(self.path)


def whose(key: str, known: dict[str, dict[str, str]]) -> str | None:
    """The name of a key, or None. Each is compared, and in constant time.

    >>> whose("pk_a", {"desk": {"sha256": _digest("pk_a")}}), whose("pk_b", {"desk": {"sha256": _digest("pk_a")}})
    ('desk', None)
    """
    digest, found = _digest(key), None
    for name, stored in known.items():
        if hmac.compare_digest(digest, stored["sha256"]):
            found = name
    return found


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
