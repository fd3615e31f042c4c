"""Files of made-up preference pairs and responses, and where the real ones lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from langchain_agentrm import FunctionRewardModel

DATA = Path(
    os.environ.get("AGENTRM_DATA")
    or Path(__file__).parents[2].parent.joinpath("shared/data")
)


def data_file(name: str) -> Path:
    """A benchmark's file; the test is skipped where it is missing."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA} (set AGENTRM_DATA)")
    return path


def converted(number: int, good: str, bad: str, **more):
    """A pair in the form of THU-IFBench and RM-Bench."""
    asked = {"role": "user", "content": f"question {number}"}
    row = {
        "id": f"pair-{number}",
        "domain": "level-1" if number % 2 else "level-2",
        "text_chosen": [asked, {"role": "assistant", "content": good}],
        "text_rejected": [asked, {"role": "assistant", "content": bad}],
    }
    return {**row, **more}


def judged(number: int, label: str, **more):
    """A pair in JudgeBench's own form."""
    return {
        "pair_id": f"pair-{number}",
        "source": "mmlu-pro-law",
        "question": f"question {number}",
        "response_A": f"A {number}",
        "response_B": f"B {number}",
        "label": label,
        **more,
    }


def written(path: Path, rows, *, lines: bool = True) -> Path:
    """Write rows as JSON lines, or as one indented list."""
    if lines:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = json.dumps(rows, indent=1)
    path.write_text(text, encoding="utf-8")
    return path


def by_length() -> FunctionRewardModel:
    """A reward model that likes long answers."""
    return FunctionRewardModel(lambda ts: [float(len(t.turns[-1].action)) for t in ts])
