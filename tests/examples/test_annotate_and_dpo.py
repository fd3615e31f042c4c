from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.examples.processes import EXAMPLES, PATIENCE, ROOT

pytestmark = pytest.mark.skipif(
    find_spec("trl") is None, reason="trl is not installed (extra: train)"
)


def test_pairs_are_made_and_learned_from(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "annotate_and_dpo/main.py", "--work", "work"],
        cwd=tmp_path,
        env={
            "HF_HUB_OFFLINE": "1",
            "HOME": str(tmp_path),
            "OMP_NUM_THREADS": "1",
            "PATH": "",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "14 pairs to learn from" in done.stdout
    before, after = map(int, re.findall(r"likelier \w+: +(\d+)%", done.stdout))
    assert before < after
    assert after == 100
    lines = (tmp_path / "work/pairs.jsonl").read_text().splitlines()
    pair = json.loads(lines[0])
    assert list(pair) == [
        "prompt",
        "chosen",
        "rejected",
        "score_chosen",
        "score_rejected",
        "signals",
    ]
    for line in lines:
        text = json.loads(line)["chosen"][0]["content"]
        assert text == text.lower()
        assert "," not in text
