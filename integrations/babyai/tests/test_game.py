"""The game's rules and texts."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import digest
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm_babyai import BabyAI, factory, levels
from langchain_agentrm_babyai.expert import demonstrate, expert_action


def play(level, seed, *actions):
    env = factory.make()
    env.reset(factory.task(level, seed))
    return env, [env.step(action) for action in actions]


def test_start_shows_goal_view_and_rules() -> None:
    start = factory.make().reset(factory.task("GoToLocal", 400_000))
    assert start.goal.startswith("goal: go to ")
    assert start.goal.endswith(".")
    assert start.observation.startswith("see: ")
    assert start.observation.endswith(". carrying: nothing")
    assert start.step_limit == 12
    assert "put next to OBJECT" in start.instruction


def test_success_is_judged_only_when_the_agent_says_done() -> None:
    for seed in range(400_000, 400_010):
        env = factory.make()
        env.reset(factory.task("GoToLocal", seed))
        while (action := expert_action(env)) != "done":
            transition = env.step(action)
            assert not transition.done
            assert not transition.success
            assert transition.progress == transition.score == 0.0
        end = env.step("done")
        assert (end.done, end.success, end.score) == (True, True, 1.0)
        assert end.observation == "the end"


def test_done_at_once_fails() -> None:
    _, [end] = play("PickupLoc", 400_000, "done")
    assert (end.done, end.success, end.score) == (True, False, 0.0)


def test_the_step_limit_ends_the_episode_without_success() -> None:
    _, transitions = play("GoToLocal", 400_000, *["turn left"] * 12)
    assert [t.done for t in transitions] == [False] * 11 + [True]
    assert transitions[-1].score == 0.0
    assert transitions[-1].observation.startswith("see: ")


def test_done_as_the_last_action_is_judged() -> None:
    task = factory.task("GoToLocal", 400_000)
    steps = [action for _, action in demonstrate(task).steps]
    pad = ["fly"] * (12 - len(steps))
    _, transitions = play("GoToLocal", 400_000, *pad, *steps)
    assert len(transitions) == 12
    assert transitions[-1].success


def test_a_step_after_the_end_is_refused_with_a_remedy() -> None:
    env, _ = play("GoToLocal", 400_000, "done")
    assert env.actions() == []
    with pytest.raises(ConfigurationError, match=r"over after 1 .* reset"):
        env.step("turn left")
    assert env.actions_taken == ["done"]


@pytest.mark.parametrize(
    ("level", "actions", "answer"),
    [
        ("GoToLocal", ["fly"], "unknown action. see: "),
        ("GoToLocal", [[{"name": "done", "args": {}}]], "unknown action. see: "),
        ("GoToLocal", ["go to red door 9"], "no such object in sight. see: "),
        ("GoToLocal", ["drop"], "you cannot drop here. see: "),
    ],
)
def test_refusals_are_answers(level, actions, answer) -> None:
    _, transitions = play(level, 400_000, *actions)
    assert transitions[-1].observation.startswith(answer)
    assert transitions[-1].info["valid"] is False


def seen(env):
    view = env.digests and env.position()[1].observation
    return [
        p.split(" ahead")[0] for p in view[5 : view.index(". carrying")].split("; ")
    ]


def test_refusals_that_depend_on_the_object() -> None:
    env, _ = play("PutNextLocal", 400_000)
    name = next(n for n in seen(env) if f"pick up {n}" in env.actions())
    other = next(n for n in seen(env) if n != name)
    answers = [
        env.step(action).observation.split(". see")[0]
        for action in (f"open {name}", f"put next to {other}", f"pick up {name}")
    ]
    assert answers[:2] == ["you cannot open that", "you carry nothing"]
    assert "carrying: " + name.rsplit(" ", 1)[0] in env.position()[1].observation
    held = next(n for n in seen(env))
    assert env.step(f"pick up {held}").observation.startswith("you cannot pick that up")


def test_equal_actions_run_equally() -> None:
    plain, [one] = play("GoToLocal", 400_000, "turn left")
    for text in ("Turn  Left.", "  turn left\nand more", "TURN LEFT"):
        assert plain.key(text) == "turn left"
        _, [two] = play("GoToLocal", 400_000, text)
        assert two == one


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("go to red ball 1", "go to red ball 1"),
        ("I see it.\n  Action: pick up red ball 1\n", "pick up red ball 1"),
        ("Action: turn left\nthen\naction: done", "done"),
        ("Action:\ngo to red ball 1", "go to red ball 1"),
        ("Thought: hm\n\nturn right\n\n", "turn right"),
        ("thinking\nAction:", None),
        ("", None),
        (" \n ", None),
        ("x" * 4097, None),
        ("é" * 2049, None),
        ("é" * 2048, "é" * 2048),
    ],
)
def test_parse(text, action) -> None:
    assert factory.make().parse(AIMessage(text)) == action


def test_an_invalid_message_costs_a_step() -> None:
    env, _ = play("GoToLocal", 400_000)
    answer = env.on_invalid(AIMessage(""))
    assert answer is not None
    assert answer.observation.startswith("unknown action. see: ")
    assert answer.info == {"valid": False, "steps": 1}


def test_unknown_style_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'agentboard'.*\['agentrm'\]"):
        BabyAI(style="agentboard")


def test_a_foreign_task_is_refused() -> None:
    task = {**factory.task("GoToLocal", 1), "env": "other"}
    with pytest.raises(UnknownTaskError, match="'other'"):
        factory.make().reset(task)


@pytest.mark.parametrize("seed", [-1, 1.5, "7"])
def test_a_bad_seed_is_refused(seed) -> None:
    with pytest.raises(UnknownTaskError, match="no seed"):
        factory.task("GoToLocal", seed)


def test_seeds_of_demonstrations_are_in_no_split() -> None:
    shown = {t["id"] for t in factory.demonstrations(levels.HELD_IN, 5_000)}
    assert len(shown) == 30_000
    for split in ("train", "dev", "test"):
        assert not shown & {t["id"] for t in factory.tasks(split, levels.HELD_IN)}
    with pytest.raises(ConfigurationError, match="5001"):
        factory.demonstrations(["GoToLocal"], 5_001)


def test_the_expert_solves_most_tasks() -> None:
    for level in (*levels.HELD_IN, *levels.HELD_OUT, *levels.DEV):
        shown = [demonstrate(t) for t in factory.tasks("dev", [level], 25)]
        assert sum(d.success for d in shown) >= 0.7 * 25, level


def test_a_demonstration_can_be_repeated() -> None:
    task = factory.demonstrations(["PutNextLocal"], 3)[1]
    shown = factory.demonstrate(task)
    assert shown is not None
    env = factory.make()
    start = env.reset(task)
    observation = start.observation
    assert start == shown.start
    for before, action in shown.steps:
        assert before == observation
        transition = env.step(action)
        observation = transition.observation
    assert transition.score == shown.score
    assert env.digests[-1] == digest("the end")
    assert json.loads(json.dumps(list(shown.steps))) == [list(s) for s in shown.steps]
