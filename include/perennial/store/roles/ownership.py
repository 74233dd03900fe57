"""Who owns the ledger: a role that nobody can log in as, wherever the server lets us have one.

The owner of a table may switch its triggers off. ``ledger_owner.sql`` gives the ledger away: the local stack and
docker-compose.yaml install it as the server's administrator, and a role that may create roles runs it itself.
"""

from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from perennial.store.engine import Store

OWNER_SQL = Path(__file__).parents[1] / "ledger_owner.sql"
_NOT_ALLOWED = "42501"
_GIVE_AWAY = text("SELECT public.perennial_give_ledger_away()")
_STANDING = text(
    """
    SELECT pg_get_userbyid(c.relowner) = current_user AND to_regprocedure('perennial.ledger_chained()') IS NOT NULL
            AS is_mine,
        to_regprocedure('public.perennial_give_ledger_away()') IS NOT NULL AS is_prepared,
        r.rolsuper AS is_superuser,
        r.rolsuper OR r.rolcreaterole AS may_create_roles
    FROM pg_class AS c, pg_roles AS r
    WHERE c.oid = to_regclass('perennial.ledger') AND r.rolname = current_user
    """
)
_REACH = text(
    """
    SELECT r.rolname AS role, r.rolsuper AS is_superuser,
        pg_has_role(c.relowner, 'USAGE') OR pg_has_role(n.nspowner, 'USAGE') AS is_owner,
        pg_has_role(c.relowner, 'MEMBER') OR pg_has_role(n.nspowner, 'MEMBER')
            OR (r.rolcreaterole AND current_setting('server_version_num')::int < 160000) AS may_become_owner
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, pg_roles AS r
    WHERE c.oid = to_regclass('perennial.ledger') AND r.rolname = current_user
    """
)


def give_ledger_away(connection: Connection) -> None:
    """Let another role own the ledger, if the connecting one still does and the server allows it. Safe to repeat."""
    standing = connection.execute(_STANDING).one_or_none()
    if standing is None or not standing.is_mine:
        return
    try:
        with connection.begin_nested():
            if standing.is_prepared:
                connection.execute(_GIVE_AWAY)
            elif standing.may_create_roles:
                _give_away_ourselves(connection, is_superuser=standing.is_superuser)
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != _NOT_ALLOWED:
            raise


def _give_away_ourselves(connection: Connection, *, is_superuser: bool) -> None:
    connection.execute(text(OWNER_SQL.read_text(encoding="utf-8")))
    if not is_superuser:  # who gives a table to a role has to be a member of it, for that moment
        connection.execute(text("GRANT perennial_ledger TO CURRENT_USER"))
    connection.execute(_GIVE_AWAY)
    if not is_superuser:
        connection.execute(text("REVOKE perennial_ledger FROM CURRENT_USER"))
    connection.execute(text("DROP FUNCTION public.perennial_give_ledger_away()"))


def why_unprotected(store: Store) -> str | None:
    """Why the connecting role could change what stands in the ledger, in words; None when it can not."""
    with store.begin() as connection:
        reach = connection.execute(_REACH).one()
    if reach.is_superuser:
        why = "is a superuser of the server"
    elif reach.is_owner:
        why = "owns the ledger"
    elif reach.may_become_owner:
        why = "may make itself the owner of the ledger"
    else:
        return None
    return (
        f"role {reach.role}, as which Perennial connects, {why}: it can switch off the triggers that keep the ledger "
        "append-only; an administrator can end that, see docs/runbook.md"
    )
