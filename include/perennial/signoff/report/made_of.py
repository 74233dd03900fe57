"""The deliveries that a version was made of, as a page of its own: a candidate may rest on years of them. Pure."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from perennial.pages.html import document, table
from perennial.signoff.report.describing import dates

if TYPE_CHECKING:
    from perennial.evidence.deliveries.traced import TracedBatch


def deliveries_page(model: str, version: str, found: Sequence["TracedBatch"]) -> str:
    """A row each, in the order they came: number, source, stretch, rows, digest, and the files as they were delivered.

    >>> page = deliveries_page("flights", "4", ())
    >>> "<h1>Deliveries that flights version 4 was made of</h1>" in page, "0 deliveries" in page
    (True, True)
    """
    title = f"Deliveries that {model} version {version} was made of"
    rows = [
        (
            str(one.seq),
            one.source,
            dates(one.window),
            f"{one.n_published:,} of {one.n_staged:,}",
            one.digest[:16],
            ", ".join(one.files),
        )
        for one in found
    ]
    headings = ("number", "source", "stretch", "rows published, of those delivered", "digest", "files")
    asked = f"What else a file went into: perennial lineage batch {model} FILE."
    said = f"{len(found):,} deliveries brought its rows, those that judged it, and their labels. {asked}"
    return document(title, [f"<h1>{escape(title)}</h1>", f"<p>{escape(said)}</p>", table(headings, rows)])
