"""What an agent tells of a candidate, for a terminal and as JSON."""

from __future__ import annotations

import json

from rich.console import Console

from langchain_agentrm.reward_agent import Finding, Passage, RewardAgent, Verdict
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from tests.reward_agent.doubles import Scripted, by, group


def told():
    good = Verdict(
        1.0,
        "all kept",
        (Finding("at most [12] words", passed=True, detail="4 words"),),
        (Passage("It is\nin Paris.", "atlas.txt:3"),),
    )
    bad = Verdict(0.0, "", (Finding("no comma", passed=False),))
    agent = RewardAgent(
        by(**{"a [b] fine": 0.5, "x, y": 2.0}),
        [Scripted("rules", {"a [b] fine": good, "x, y": bad}), Scripted("mute", {})],
    )
    return agent.explain(group("a [b] fine", "x, y"))


def test_an_explanation_reads_well():
    one, other = told()
    assert str(one).splitlines() == [
        "1 of 2, score 1: a [b] fine",
        "  chosen: rules, mute (those that apply to the request)",
        "  preference: 0.5",
        "  rules: 1",
        "    all kept",
        "    + at most [12] words (4 words)",
        "    [atlas.txt:3] It is in Paris.",
        "  mute left out: it abstained on 2 of 2 candidates: not in the script",
    ]
    assert "    - no comma" in str(other).splitlines()
    assert (one.rank, other.rank) == (1, 2)


def test_rich_shows_brackets():
    console = Console(width=200)
    with console.capture() as shown:
        console.print(told()[0])
    assert "a [b] fine" in shown.get()
    assert "[atlas.txt:3]" in shown.get()


def test_an_explanation_is_plain_json():
    data = told()[0].as_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["verdicts"]["rules"]["passages"][0]["source"] == "atlas.txt:3"
    assert data["verdicts"]["mute"]["value"] is None
    assert data["route"]["names"] == ["rules", "mute"]


def test_ties_share_a_rank_and_errors_have_none():
    agent = RewardAgent(by(a=1, b=1, c=0))
    ranks = [e.rank for e in agent.explain(group("a", "b", "c", "d"))]
    assert ranks == [1, 1, 3, None]


def test_control_characters_do_not_reach_a_terminal():
    agent = RewardAgent(ScriptedRewardModel(lambda t: 1.0))
    (one,) = agent.explain(group("a\x1b[31m\nb" + "x" * 200))
    assert "\x1b" not in str(one)
    assert len(str(one).splitlines()[0]) < 150
