from __future__ import annotations

import re

from tests.examples.processes import model_server, requests, run


def test_the_agent_finds_the_warmest_town(tmp_path):
    with model_server() as url:
        out = run("create_agent_middleware/main.py", "--base-url", url, cwd=tmp_path)
        asked = requests(url)
    lines = out.splitlines()
    assert lines[-1] == "answer: Genoa"
    steps = [line for line in lines if line.startswith("step")]
    # Parallel calls print from threads of their own, sometimes into one line.
    assert set(re.findall(r"looked up (\w+)", out)) == {
        "Bern",
        "Genoa",
        "Lyon",
        "Turin",
    }
    # One request of eight answers a step, whatever was chosen.
    assert asked == len(steps) > 1
    assert "kept 9" in steps[-1]
