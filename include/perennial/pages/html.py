"""One page: its parts, and what it looks like, by day and by night."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_STYLE = (
    ":root{color-scheme:light dark;--line:#8884;--head:#8882;--good:#18794e;--bad:#c62a2f;--odd:#946800}"
    "@media(prefers-color-scheme:dark){:root{--good:#3dd68c;--bad:#ff8b8b;--odd:#f5d90a}}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}td,th{border:1px solid var(--line);"
    "padding:.3em .6em;text-align:left;font-variant-numeric:tabular-nums;vertical-align:top}th{background:var(--head)}"
    "svg{max-width:100%;height:auto;background:#fff;color-scheme:light}"
    ".good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}.odd{color:var(--odd);font-weight:600}"
)


@dataclass(frozen=True, slots=True)
class Link:
    """A cell that leads to ``href``, in place of the whole page where it stands in a frame and is not ``within`` it."""

    text: str
    href: str
    within: bool = False


Cell = str | Link


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, marks: Sequence[str] = ()) -> str:
    """A table of text; ``marks`` gives for each row the class of its second cell: ``good``, ``bad``, ``odd`` or empty.

    >>> table(("gate", "verdict"), [("a<b", "passed")], marks=["good"])
    '<table><tr><th>gate</th><th>verdict</th></tr><tr><td>a&lt;b</td><td class="good">passed</td></tr></table>'
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in headings)
    body = []
    for number, row in enumerate(rows):
        mark = marks[number] if number < len(marks) else ""
        opened = [f'<td class="{mark}">' if mark and index == 1 else "<td>" for index in range(len(row))]
        body.append("".join(f"{tag}{_shown(cell)}</td>" for tag, cell in zip(opened, row, strict=True)))
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{cells}</tr>' for cells in body)}</table>"


def _shown(cell: Cell) -> str:
    """The HTML of a cell.

    >>> _shown(Link("a<b", "/x?y='z'&q"))
    '<a target="_top" href="/x?y=&#x27;z&#x27;&amp;q">a&lt;b</a>'
    """
    if isinstance(cell, str):
        return escape(cell)
    target = "" if cell.within else ' target="_top"'
    return f'<a{target} href="{escape(cell.href)}">{escape(cell.text)}</a>'


def svg(figure: Any) -> str:
    """A matplotlib figure as it stands in a page; the same figure gives the same text."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.hashsalt": "perennial", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def document(title: str, parts: Iterable[str]) -> str:
    """The whole page: parts of HTML under a title of text.

    >>> document("a & b", ["<p>c</p>"]).count("a &amp; b")
    1
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html><html lang="en">{head}{chr(10).join(parts)}</html>'
