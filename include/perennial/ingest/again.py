"""Which batch a delivery is: the one it was before, unless the source said something else in between."""

import sqlalchemy as sa

from perennial.contracts import SourceKind, Window, digest_of
from perennial.store import Store
from perennial.store.schema import batches


def identity(model: str, source: SourceKind, window: Window, digest: str, *, store: Store) -> str:
    """The id of the batch with this content.

    The same content again is the same batch. When another one of the window was published since, it is a new delivery,
    which corrects that one: its id tells what it came after. Raises StoreUnavailable.
    """
    own = digest_of(model, source, window.key, digest)
    newest = (
        sa.select(batches.c.seq, batches.c.batch_id, batches.c.staged["digest"].astext.label("digest"))
        .where(
            batches.c.model == model,
            batches.c.source == source,
            batches.c.window_start == window.start,
            batches.c.window_end == window.end,
            batches.c.status == "published",
        )
        .order_by(batches.c.seq.desc())
        .limit(1)
    )
    with store.begin() as connection:
        last = connection.execute(newest).first()
        before = connection.scalar(sa.select(batches.c.seq).where(batches.c.batch_id == own))
    if last is None or before is None or before > last.seq:
        return own
    return str(last.batch_id) if last.digest == digest else digest_of(own, last.batch_id)
