"""docs/reference/ledger.md, from perennial.ledger.kinds."""

from collections.abc import Iterator

from perennial.ledger.kinds import KINDS
from reference_pages.markdown import code, joined, table

INTRODUCTION = """
# The ledger

Every kind of entry in table `perennial.ledger`, who writes it and what its payload holds. This page is generated from
`include/perennial/ledger/kinds.py` by `make docs`; a test holds that table against the code of the writers. A stretch
is `{"start": ..., "end": ...}`; records are those of `include/perennial/contracts/`. What each kind changes in who
serves and who is trusted stands in `include/perennial/ledger/fold.py`.
"""


def page() -> str:
    """The whole page as Markdown."""
    index = table(["kind", "records"], [(f"[{code(kind)}](#{kind})", entry.meaning) for kind, entry in KINDS.items()])
    return joined(INTRODUCTION, index, *_sections())


def _sections() -> Iterator[str]:
    for kind, entry in KINDS.items():
        yield f"## {kind}"
        yield f"Written by {', '.join(code(f'perennial.{writer}') for writer in entry.writers)}: {entry.meaning}."
        yield table(["key", "holds"], [(code(key), holds) for key, holds in entry.payload.items()])
