"""One report of the whole reproduction: each section and claim reads its own runs.

A reward model of a study, such as one trained on a few states, would else count in the
headline of all reward models.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_agentrm._files import write_text
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.report import head_of, sections_of, write_sections
from langchain_agentrm.evaluation.report._claims import Claim, claims, claims_section
from langchain_agentrm.evaluation.report._data import Runs, load_runs
from langchain_agentrm.evaluation.report._model import Section
from langchain_agentrm.evaluation.report._transfer import (
    ablation_section,
    data_section,
    heat_section,
    robustness_section,
    weak_to_strong_section,
)
from langchain_agentrm.evaluation.report._values import offline_section

__all__ = ["publish", "write_results"]

TITLE = "The paper's claims at small scale"
MAIN = "main"

# Studies that a part of the report reads; every other part reads the main runs.
_CLAIMS: Mapping[str, tuple[str, ...]] = {
    "explicit > implicit > judge": (MAIN, "kinds"),
    "gain on a held-out environment": ("transfer",),
    "one task: policy narrow, reward model broad": ("transfer",),
    "robust to perturbed grammars": ("robustness",),
    "more states help log-linearly": ("data",),
    "actions carry most of the state": ("ablation",),
    "weak to strong": ("weak-to-strong",),
}
_SECTIONS: Mapping[str, tuple[Callable[[Runs], Section], str]] = {
    "robustness": (robustness_section, "robustness"),
    "data": (data_section, "data"),
    "ablation": (ablation_section, "ablation"),
    "weak-to-strong": (weak_to_strong_section, "weak-to-strong"),
    "heat": (heat_section, "transfer"),
    "offline": (offline_section, "offline"),
}
_JUDGE = (
    "The judge of `explicit > implicit > judge` is not answerable here: a judge is a "
    "chat model that can read a trajectory and compare, and no such model is run on a "
    "CPU in this time. A model of this size, trained on the episodes of one game, "
    "follows no instruction. The answer in the table is about explicit and implicit "
    "alone."
)


def write_results(
    folders: Mapping[str, Sequence[Path]],
    out: Path,
    notes: Sequence[str],
    tried: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write the report.

    Args:
        folders: Runs by study; at least the main ones.
        out: Output folder.
        notes: What was cut or skipped, said before the first section.
        tried: By claim, what was done to turn its answer.

    Returns:
        What `report.json` holds.

    Raises:
        ConfigurationError: If `tried` names no claim.
    """
    cache: dict[tuple[str, ...], Runs] = {}

    def runs(studies: tuple[str, ...]) -> Runs:
        if studies not in cache:
            some = [folder for study in studies for folder in folders.get(study, ())]
            # Without its own runs a part says what is missing, whatever else there is.
            own = folders.get(studies[-1])
            cache[studies] = load_runs(some) if own else Runs([], [])
        return cache[studies]

    usual = runs((MAIN,))
    answers = {claim.name: claim for claim in claims(usual)}
    for name, studies in _CLAIMS.items():
        answers[name] = _named(claims(runs(studies)), name)
    tried = tried or {}
    if unknown := set(tried) - set(answers):
        msg = f"There is no claim {unknown.pop()!r} to have tried anything for."
        raise ConfigurationError(msg, remedy=f"Use one of {[*answers]}.")
    efforts = tuple(f"Tried for `{name}`: {text}" for name, text in tried.items())
    first = claims_section([*answers.values()])
    sections = [replace(first, text=(*first.text, _JUDGE, *efforts))]
    for section in sections_of(usual)[1:]:
        make = _SECTIONS.get(section.name)
        sections.append(make[0](runs((make[1],))) if make else section)
    sources = {name: made for some in cache.values() for name, made in some.sources}
    head = [*notes, *head_of(Runs([], [], sources=[*sources.items()]))]
    every = [folder for some in folders.values() for folder in some]
    return write_sections(sections, out, title=TITLE, head=head, folders=every)


def publish(report: Path, docs: Path) -> None:
    """Copy a report into the documentation: the page, and its figures as data.

    Args:
        report: Folder of the report.
        docs: The documentation's folder.
    """
    data = docs / "data" / "results"
    shutil.copytree(report / "figures", data, dirs_exist_ok=True)
    shutil.copy(report / "report.json", data / "report.json")
    page = (report / "report.md").read_text(encoding="utf-8")
    write_text(docs / "results.md", page.replace("](figures/", "](data/results/"))


def _named(found: Sequence[Claim], name: str) -> Claim:
    return next(claim for claim in found if claim.name == name)
