"""One request is fitted by one process at a time: who comes second waits, and takes over what the first one made."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from sqlalchemy import text

from perennial.config import ModelConfig
from perennial.contracts import RetrainRequest
from perennial.errors import LockTimeout
from perennial.store import Store
from perennial.store.locks import HeldLock, model_lock

AT_ONCE_S = 1.0

_HOWEVER_LONG = text("SET LOCAL idle_in_transaction_session_timeout = 0")
"""A server may end transactions that ask nothing for minutes: this one is held for as long as a fit takes."""

_log = logging.getLogger(__name__)


@contextmanager
def in_turn(config: ModelConfig, request: RetrainRequest, *, store: Store) -> Iterator[HeldLock]:
    """Nobody else fits this request meanwhile, by hand or in Airflow.

    The turn ends with the connection: when whoever had it was killed, the next one goes on. Raises LockTimeout when
    another one has it for longer than its recipes may take.
    """
    turn = partial(model_lock, store, config.model, f"fit of {request.run_id}")
    with ExitStack() as stack:
        try:
            held = stack.enter_context(turn(timeout_s=AT_ONCE_S))
        except LockTimeout:
            _log.warning("another process runs the request %s: its candidate is waited for", request.run_id)
            held = stack.enter_context(turn(timeout_s=config.training.longest.total_seconds()))
        held.connection.execute(_HOWEVER_LONG)
        yield held
