"""Every error that Perennial raises on purpose.

    PerennialError
    ├── TransientError            try again: the world may have mended
    │   ├── StoreUnavailable      PostgreSQL did not answer
    │   ├── RegistryUnavailable   MLflow did not answer
    │   ├── StorageUnavailable    the file storage did not answer
    │   ├── LockTimeout           another run holds the model's lock
    │   ├── ParityTimeout         the fresh process that scores a candidate did not answer in time
    │   └── ChannelUnavailable    a channel of notify did not take a message
    ├── RegistryRefused           fail now, nothing was answered: MLflow refused the login, or the account lacks a right
    └── PermanentError            fail now: trying again cannot help
        ├── ConfigError           model.yaml or the settings are wrong
        ├── StackError            a process of the local stack did not come up
        ├── IntegrityError        a law was about to be broken (row accounts, digests, aliases)
        ├── BatchHalted           a batch is broken and was not published
        ├── EvidenceMissing       nothing was measured for longer than allowed: a blind window or bake
        ├── TrainingError         no candidate could be made
        ├── SignoffError          the evidence for a release is missing or stale
        ├── ReleaseError          a promotion or a rollback was refused
        ├── ServiceBehind         a release stands, and what answers requests did not follow it
        └── ServiceSilent         the scoring service does not say what a version in its bake does

Orchestration maps them to Airflow's retry and fail-now, in one place. A permanent error of the registry may be an
answer (that version is gone, these files can not be read), which a caller judges by; a refusal says nothing of what was
asked, is no permanent error, and goes past them all. A message says what, where, how much and
what to do next, and is bounded: see :func:`first_of`.
"""

import re
from collections.abc import Iterable


class PerennialError(Exception):
    """Root of the tree."""


class TransientError(PerennialError):
    """Trying again later may help."""


class StoreUnavailable(TransientError):
    """PostgreSQL could not be reached or dropped the connection."""


class RegistryUnavailable(TransientError):
    """The MLflow server could not be reached."""


class StorageUnavailable(TransientError):
    """The file storage could not be reached."""


class LockTimeout(TransientError):
    """The model's lock was not free within the time allowed."""


class ParityTimeout(TransientError):
    """The fresh process that scores a candidate anew did not answer within the time allowed: a busy machine."""


class ChannelUnavailable(TransientError):
    """A channel of ``notify`` did not take a message."""


class RegistryRefused(PerennialError):
    """MLflow refused the login (401), or the account lacks the right (403). Never an answer to what was asked."""


class PermanentError(PerennialError):
    """Trying again cannot help; someone has to act."""


class ConfigError(PermanentError):
    """A configuration file or setting is wrong."""


class StackError(PermanentError):
    """A process of the local stack did not come up."""


class IntegrityError(PermanentError):
    """One of the laws was about to be broken."""


class BatchHalted(PermanentError):
    """A batch is broken and nothing of it was published."""


class EvidenceMissing(PermanentError):
    """A window, or a bake, lacks the evidence it needs for longer than allowed."""


class TrainingError(PermanentError):
    """No candidate could be made."""


class SignoffError(PermanentError):
    """Evidence for a release is missing or stale."""


class ReleaseError(PermanentError):
    """A promotion or a rollback was refused."""


class ServiceBehind(PermanentError):
    """A release stands, and the scoring service did not follow it in time."""


class ServiceSilent(PermanentError):
    """The scoring service could not be asked for its figures, or gave none that can be read: nobody guards the bake."""


_USER_INFO = re.compile(r"(?<=://)(?:[^\s/@:'\"]*:[^\s'\"]*|[^\s/@:'\"]+)@")
_SECRET_OPTION = re.compile(r"(?i)([?&][^=&\s]*(?:secret|password|token|key|sig)[^=&\s]*=)[^&\s'\"]+")


def redacted(text: str) -> str:
    """``text`` with the user info of every URI in it, and every option that is called a secret, replaced by ``***``.

    >>> redacted("no file matches s3://KEY:SE/CRET@bucket/logs/*.jsonl?region=eu")
    'no file matches s3://***@bucket/logs/*.jsonl?region=eu'
    >>> redacted("https://token@host/a and abfs://host/a?sig=abc but file:///data/a@b and s3://bucket/a@b")
    'https://***@host/a and abfs://host/a?sig=*** but file:///data/a@b and s3://bucket/a@b'
    """
    return _SECRET_OPTION.sub(r"\1***", _USER_INFO.sub("***@", text))


def first_of(items: Iterable[object], *, most: int = 5) -> str:
    """Join the first items for a message and count the rest.

    >>> first_of(["a", "b"])
    'a, b'
    >>> first_of(range(8))
    '0, 1, 2, 3, 4 and 3 more'
    """
    found = [str(item) for item in items]
    shown = ", ".join(found[:most])
    return shown if len(found) <= most else f"{shown} and {len(found) - most} more"
