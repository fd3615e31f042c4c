from __future__ import annotations

from tests.examples.processes import model_server, requests, run


def test_the_selector_finds_the_warmest_town(tmp_path):
    with model_server() as url:
        out = run("drop_in_node/main.py", "--base-url", url, cwd=tmp_path)
        asked = requests(url)
    lines = out.splitlines()
    assert lines[-1] == "answer: Genoa"
    steps = [line for line in lines if line.startswith("step")]
    kept = [line for line in lines if line.startswith("  *")]
    # One request of eight answers a step, and one of them kept.
    assert asked == len(steps) == len(kept) > 1
    assert kept[-1].endswith("Genoa")
