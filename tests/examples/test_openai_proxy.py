"""The example runs as its README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "openai_proxy"


def test_it_prints_what_the_readme_shows():
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "run.py"],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    readme = (EXAMPLE / "README.md").read_text()
    shown = re.search(r"```text\n(.*?)```", readme, re.DOTALL)
    assert done.stdout == shown[1]
