"""One page: its parts, and what it looks like, by day and by night."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_STYLE = (
    ":root{color-scheme:light dark;--line:#8884;--head:#8882;--good:#18794e;--bad:#c62a2f;--odd:#946800;--ink:#3358d4}"
    "@media(prefers-color-scheme:dark){:root{--good:#3dd68c;--bad:#ff8b8b;--odd:#f5d90a;--ink:#9eb1ff}}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}td,th{border:1px solid var(--line);"
    "padding:.3em .6em;text-align:left;font-variant-numeric:tabular-nums;vertical-align:top}th{background:var(--head)}"
    "svg{max-width:100%;height:auto;background:#fff;color-scheme:light}caption{text-align:left;padding:.3em 0}"
    "p,h1,h2{overflow-wrap:anywhere}summary{cursor:pointer}"
    ".good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}.odd{color:var(--odd);font-weight:600}"
)


@dataclass(frozen=True, slots=True)
class Link:
    """A cell that leads to ``href``, in place of the whole page where it stands in a frame and is not ``within`` it."""

    text: str
    href: str
    within: bool = False


@dataclass(frozen=True, slots=True)
class Marked:
    """A cell of text in a colour: ``good``, ``bad`` or ``odd``; ``href`` makes it a link within the frame."""

    text: str
    mark: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Markup:
    """A cell of HTML that was made here: nothing in it is escaped."""

    html: str


Cell = str | Link | Marked | Markup


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, marks: Sequence[str] = (), caption: str = ""
) -> str:
    """A table of text; ``marks`` gives for each row the class of its second cell: ``good``, ``bad``, ``odd`` or empty.

    >>> table(("gate",), [("a<b",)], caption="all")
    '<table><caption>all</caption><tr><th scope="col">gate</th></tr><tr><td>a&lt;b</td></tr></table>'
    >>> table(("gate", "verdict"), [("a", "passed")], marks=["good"])[-46:]
    '</td><td class="good">passed</td></tr></table>'
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in headings)
    body = []
    for number, row in enumerate(rows):
        mark = marks[number] if number < len(marks) else ""
        opened = [f'<td class="{mark}">' if mark and index == 1 else "<td>" for index in range(len(row))]
        body.append("".join(f"{tag}{_shown(cell)}</td>" for tag, cell in zip(opened, row, strict=True)))
    captioned = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{captioned}<tr>{head}</tr>{''.join(f'<tr>{cells}</tr>' for cells in body)}</table>"


def _shown(cell: Cell) -> str:
    """The HTML of a cell.

    >>> _shown(Link("a<b", "/x?y='z'&q"))
    '<a target="_top" href="/x?y=&#x27;z&#x27;&amp;q">a&lt;b</a>'
    """
    if isinstance(cell, str):
        return escape(cell)
    if isinstance(cell, Markup):
        return cell.html
    if isinstance(cell, Marked):
        text = f'<span class="{cell.mark}">{escape(cell.text)}</span>'
        return f'<a href="{escape(cell.href)}">{text}</a>' if cell.href else text
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


def document(title: str, parts: Iterable[str], *, style: str = "", script: str = "") -> str:
    """The whole page: parts of HTML under a title of text; ``style`` is added to that of each, ``script`` ends it.

    >>> document("a & b", ["<p>c</p>"]).count("a &amp; b")
    1
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style>"
    )
    end = f"<script>{script}</script>" if script else ""
    return f'<!doctype html><html lang="en">{head}{chr(10).join(parts)}{end}</html>'
