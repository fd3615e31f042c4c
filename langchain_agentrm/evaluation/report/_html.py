"""The report as one self-contained HTML page: no script, nothing loaded."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from langchain_agentrm.evaluation.report._model import Section, Table, show

__all__ = ["to_html"]

_STYLE = """
:root{--ink:#1d2430;--dim:#5c6675;--line:#d9dee6;--soft:#f5f7fa;--key:#0a58ca}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);max-width:84rem;
margin:2rem auto;padding:0 1.5rem;background:#fff}
h1{font-size:1.6rem;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-top:.8rem;
border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.6rem 0 .4rem}
p{max-width:52rem;margin:.5rem 0}
code{font-size:.92em;background:var(--soft);padding:0 .2rem;border-radius:3px}
a{color:var(--key)}
nav{columns:2;background:var(--soft);padding:.8rem 1.2rem;border-radius:6px;
margin:1rem 0}
nav a{display:block}
nav .no{color:var(--dim)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums}
th,td{padding:.28rem .5rem;text-align:right;border-bottom:1px solid var(--line);
white-space:nowrap;vertical-align:top}
th{color:var(--dim);font-weight:600;vertical-align:bottom;white-space:normal}
td.text,th.text{text-align:left}
td.long{white-space:normal;min-width:13rem;text-align:left}
tr.strong td:first-child{font-weight:600}
.note,.missing{color:var(--dim);font-size:.88rem}
.missing{background:var(--soft);border-left:3px solid var(--line);
padding:.5rem .8rem}
figure{margin:1rem 0}
figure img{max-width:100%;height:auto}
figcaption{color:var(--dim);font-size:.85rem}
details summary{cursor:pointer;font-weight:600;margin:1rem 0 .4rem}
"""
_CODE = re.compile(r"`([^`]+)`")
_LONG = 34
_FOLD = " by "


def to_html(
    title: str,
    head: Sequence[str],
    sections: Sequence[Section],
    figures: Mapping[str, bytes],
) -> str:
    """Write the report.

    Args:
        title: Its title.
        head: Paragraphs before the first section.
        sections: Its sections.
        figures: SVG files by the names of figures.

    Returns:
        A complete page.
    """
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{_rich(text)}</p>" for text in head),
        "<nav>",
        *(_link(section) for section in sections),
        "</nav>",
    ]
    for section in sections:
        parts += _section(section, figures)
    return "".join([*parts, "</body></html>\n"])


def _rich(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _link(section: Section) -> str:
    mark = ' <span class="no">(not measured)</span>' if section.missing else ""
    return f'<a href="#{section.name}">{escape(section.title)}{mark}</a>'


def _section(section: Section, figures: Mapping[str, bytes]) -> Iterator[str]:
    yield f'<section id="{section.name}"><h2>{escape(section.title)}</h2>'
    if section.missing:
        text = _rich(section.missing)
        yield f'<p class="missing">Not measured. {text}</p></section>'
        return
    for text in section.text:
        yield f"<p>{_rich(text)}</p>"
    for figure in section.figures:
        # Each picture is a document of its own, so that their ids cannot meet.
        data = base64.b64encode(figures[figure.name]).decode()
        alt = escape(figure.title, quote=True)
        yield f'<figure><img alt="{alt}" src="data:image/svg+xml;base64,{data}">'
        yield f"<figcaption>Data: figures/{figure.name}.csv</figcaption></figure>"
    for table in section.tables:
        yield from _table(table)
    yield "</section>"


def _table(table: Table) -> Iterator[str]:
    folded = _FOLD in table.title
    title = escape(table.title)
    yield f"<details><summary>{title}</summary>" if folded else f"<h3>{title}</h3>"
    rows = [[show(cell) for cell in row] for row in table.rows]
    kinds = [_kind([row[i] for row in rows]) for i in range(len(table.columns))]
    yield '<div class="wide"><table><thead><tr>'
    for kind, column in zip(kinds, table.columns, strict=True):
        yield f'<th class="{kind}">{escape(column)}</th>'
    yield "</tr></thead><tbody>"
    for i, row in enumerate(rows):
        yield '<tr class="strong">' if i in table.strong else "<tr>"
        for kind, cell in zip(kinds, row, strict=True):
            yield f'<td class="{kind}">{_rich(cell)}</td>'
        yield "</tr>"
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="note">{_rich(table.note)}</p>'
    if folded:
        yield "</details>"


def _kind(cells: Sequence[str]) -> str:
    if any(len(cell) > _LONG for cell in cells):
        return "text long"
    numbers = all(cell[:1] in "+-0123456789" for cell in cells)
    return "" if numbers else "text"
