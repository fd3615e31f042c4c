"""Ours against recorded episodes of AgentBoard's environment over `pddlgym`.

`fidelity/record.py` says how they are recorded. Another record is compared with
AGENTRM_PDDL_RECORD; one of AgentBoard's own problems with AGENTRM_PDDL_PROBLEMS too,
which names their folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from langchain_agentrm_pddl import PDDLFactory
from langchain_agentrm_pddl._agentboard import CHECK, LOOK

RECORD = Path(
    os.environ.get("AGENTRM_PDDL_RECORD")
    or Path(__file__).parent / "fidelity" / "record.json"
)
EPISODES = json.loads(RECORD.read_text(encoding="utf-8"))


def short(text):
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()


def unordered(text):
    return " ".join(sorted(text.replace(",", " ").split()))


@pytest.mark.parametrize(
    "episode", EPISODES, ids=[f"{e['domain']}-{e['seed']}" for e in EPISODES]
)
def test_states_texts_and_scores_are_agentboards(episode) -> None:
    factory = PDDLFactory(
        "agentboard", problems=os.environ.get("AGENTRM_PDDL_PROBLEMS")
    )
    env = factory.make()
    start = env.reset(factory.task(episode["domain"], episode["seed"]))
    assert start.goal == episode["goal"]
    assert short(start.observation) == episode["first"]
    assert start.step_limit == 30
    for action, valid, progress, state, possible, text in episode["steps"]:
        shown = env.step(action)
        here = env.position()
        loose = "check" in action.lower() or LOOK in action.lower()
        seen = unordered(shown.observation) if loose else shown.observation
        assert short(seen) == text, (action, shown.observation)
        assert shown.info["valid"] is bool(valid), action
        assert round(shown.progress, 6) == progress
        assert short("\n".join(sorted(map(" ".join, here.state)))) == state
        listed = sorted(step.text for step in here.world.possible(here.state))
        assert short("\n".join(listed)) == possible
    # A record ends with the goal or the step limit.
    assert shown.done
    assert shown.success is (len(episode["steps"]) < 30 or progress == 1.0)
    assert env.actions() == []


def test_the_record_has_what_it_should() -> None:
    assert len(EPISODES) >= 50
    assert {e["domain"] for e in EPISODES} >= {"barman", "gripper"}
    steps = [step for e in EPISODES for step in e["steps"]]
    assert sum(1 for step in steps if step[1] == 0) > 100
    assert sum(1 for step in steps if step[2] > 0) > 50
    assert sum(1 for step in steps if CHECK in step[0]) > 10
