"""The report as Markdown, its figures beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langchain_agentrm.evaluation.report._model import Section, Table, show

__all__ = ["to_markdown"]


def to_markdown(title: str, head: Sequence[str], sections: Sequence[Section]) -> str:
    """Write the report.

    Args:
        title: Its title.
        head: Paragraphs before the first section.
        sections: Its sections.

    Returns:
        The page; figures are linked as `figures/NAME.svg`.
    """
    lines = [f"# {title}", ""]
    for text in head:
        lines += [text, ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        if section.missing:
            lines += [f"Not measured. {section.missing}", ""]
            continue
        for text in section.text:
            lines += [text, ""]
        for figure in section.figures:
            lines += [f"![{figure.title}](figures/{figure.name}.svg)", ""]
        for table in section.tables:
            lines += [*_table(table), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(table: Table) -> Iterator[str]:
    yield f"### {table.title}"
    yield ""
    yield _line(table.columns)
    yield _line(["---"] * len(table.columns))
    for row in table.rows:
        yield _line([show(cell) for cell in row])
    if table.note:
        yield ""
        yield table.note


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
