"""Rules alone on THU-IFBench, which the repository does not carry."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from langchain_agentrm.metrics import mean
from langchain_agentrm.reward_agent.verifiers.rules import RuleVerifier
from langchain_agentrm.trajectory import Trajectory, Turn

FOLDER = Path(
    os.environ.get("AGENTRM_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
FILE = FOLDER / "thu-ifbench" / "data.converted.json"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"{FILE} is missing")


def outcome(verifier, row):
    request, chosen = (turn["content"] for turn in row["text_chosen"])
    rejected = row["text_rejected"][1]["content"]
    pair = [Trajectory((Turn("", a),), goal=request) for a in (chosen, rejected)]
    values = [verdict.value for verdict in verifier.verify(pair).items]
    if None in values or values[0] == values[1]:
        return 0.5
    return float(values[0] > values[1])


def held_out(place, row):
    digest = hashlib.sha1(str(row["id"]).encode(), usedforsecurity=False)
    return place >= 12 and int(digest.hexdigest(), 16) % 2 == 1


def test_as_good_as_claimed_and_the_same_with_threads():
    rows = json.loads(FILE.read_text("utf-8"))
    verifier = RuleVerifier()
    seen = [outcome(verifier, row) for row in rows]
    decided = [x for x in seen if x != 0.5]
    assert mean(seen) >= 0.67
    assert mean(decided) >= 0.94
    fresh = [x for i, x in enumerate(seen) if held_out(i, rows[i])]
    assert mean(fresh) >= 0.67
    with ThreadPoolExecutor(8) as pool:
        again = RuleVerifier()
        assert list(pool.map(lambda row: outcome(again, row), rows)) == seen
