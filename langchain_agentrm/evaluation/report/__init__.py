"""The report of one or more runs: HTML, Markdown, and the data behind every figure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_agentrm._files import file_digest, write_bytes, write_json, write_text
from langchain_agentrm.evaluation.report._claims import claims, claims_section
from langchain_agentrm.evaluation.report._data import Runs, load_runs
from langchain_agentrm.evaluation.report._html import to_html
from langchain_agentrm.evaluation.report._main import main_section
from langchain_agentrm.evaluation.report._markdown import to_markdown
from langchain_agentrm.evaluation.report._model import Section, plain
from langchain_agentrm.evaluation.report._plots import to_svg
from langchain_agentrm.evaluation.report._scaling import cost_section, scaling_section
from langchain_agentrm.evaluation.report._transfer import (
    ablation_section,
    data_section,
    heat_section,
    robustness_section,
    weak_to_strong_section,
)
from langchain_agentrm.evaluation.report._values import (
    calibration_section,
    offline_section,
)

__all__ = ["head_of", "sections_of", "write_report", "write_sections"]

TITLE = "Evaluation report"


def sections_of(runs: Runs) -> list[Section]:
    """Make every section; one whose data is in none of the runs says what to run."""
    return [
        claims_section(claims(runs)),
        main_section(runs),
        scaling_section(runs),
        cost_section(runs),
        robustness_section(runs),
        ablation_section(runs),
        data_section(runs),
        weak_to_strong_section(runs),
        heat_section(runs),
        calibration_section(runs),
        offline_section(runs),
    ]


def write_report(
    folders: Sequence[Path], out: Path, *, title: str = TITLE
) -> dict[str, Any]:
    """Write `report.html`, `report.md`, `report.json` and a folder of figures.

    The HTML page holds its figures and loads nothing. Each figure also lies in
    `figures/` as SVG with its points as CSV; `report.json` has every table's figures
    unrounded.

    Args:
        folders: Output folders of `run_suite` and `analyse_offline`.
        out: Output folder.
        title: The report's title.

    Returns:
        What `report.json` holds.

    Raises:
        ConfigurationError: If a folder is no run, or two runs contradict each other.
    """
    runs = load_runs(folders)
    return write_sections(
        sections_of(runs), out, title=title, head=head_of(runs), folders=folders
    )


def write_sections(
    sections: Sequence[Section],
    out: Path,
    *,
    title: str,
    head: Sequence[str],
    folders: Sequence[Path],
) -> dict[str, Any]:
    """Write a report of sections that may read different runs.

    Args:
        sections: The sections.
        out: Output folder.
        title: The report's title.
        head: Paragraphs before the first section.
        folders: The runs, whose files are listed with their digests.

    Returns:
        What `report.json` holds.
    """
    figures = {}
    for section in sections:
        for figure in section.figures:
            figures[figure.name] = to_svg(figure)
            write_bytes(out / "figures" / f"{figure.name}.svg", figures[figure.name])
            write_text(out / "figures" / f"{figure.name}.csv", _csv(figure.data))
    write_text(out / "report.md", to_markdown(title, head, sections))
    write_text(out / "report.html", to_html(title, head, sections, figures))
    data = _data(title, head, sections, folders)
    write_json(out / "report.json", data)
    return data


def head_of(runs: Runs) -> list[str]:
    """Say of each run when it was made, from what, and how large it is."""
    lines = []
    for name, manifest in runs.sources:
        if manifest is None:
            lines.append(f"Run {name}: not finished; what it has so far is counted.")
            continue
        counts = manifest["counts"]
        commit = (manifest["commit"] or "unknown")[:10]
        made = f"Run {name}: {manifest['date'][:10]}, commit {commit}"
        if manifest["stage"] == "eval":
            config = manifest["config"]
            made += (
                f", {counts['episodes']:,} episodes on {counts['tasks']:,} tasks, "
                f"{counts['failures']} failed; samples at temperature "
                f"{config['pool_temperature']}, beams at {config['beam_temperature']}"
            )
        else:
            made += f", {counts['states']:,} labelled states"
        lines.append(made + ".")
    return lines


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _data(
    title: str,
    head: Sequence[str],
    sections: Sequence[Section],
    folders: Sequence[Path],
) -> dict[str, Any]:
    data = {
        "title": title,
        "runs": list(head),
        "inputs": {
            f"{folder.name}/{path.name}": file_digest(path)
            for folder in folders
            for path in sorted(folder.glob("*.json*"))
        },
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "missing": section.missing,
                "tables": [
                    {
                        "title": table.title,
                        "columns": list(table.columns),
                        "rows": [[plain(cell) for cell in row] for row in table.rows],
                        "note": table.note,
                    }
                    for table in section.tables
                ],
                "figures": [
                    {"name": f.name, "title": f.title, "data": list(f.data)}
                    for f in section.figures
                ],
            }
            for section in sections
        ],
    }
    # Through JSON at once, so that what is returned is what is on disk.
    return dict(json.loads(json.dumps(data)))
