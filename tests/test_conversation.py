"""How a task opens a policy's conversation, wherever it is played."""

from __future__ import annotations

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_agentrm import create_best_of_n
from langchain_agentrm._conversation import opening_messages
from langchain_agentrm.environments.base import Environment, EnvironmentSpec, Start
from langchain_agentrm.evaluation.episodes import open_task
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.testing.scripted import ScriptedPolicy
from langchain_agentrm.training.episodes import plant
from langchain_agentrm.types import TaskRef, Transition

EXAMPLE = ({"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"})
TASK = TaskRef(env="shown", type="t", id="t:0", seed=0)
OPENING = ["Rules.", "Q", "A", "Goal.\nYou see."]


class Shown(Environment):
    """Ends with the first action; its policy gets a worked example."""

    spec = EnvironmentSpec(fork="copy")

    def _reset(self, task: TaskRef) -> Start:
        return Start("You see.", "Goal.", "Rules.", examples=EXAMPLE)

    def _step(self, action) -> Transition:
        return Transition("The end.", done=True, success=True, score=1.0)

    def _copy(self):
        return Shown()


class ShownFactory:
    """Has the one task."""

    name = "shown"
    spec = Shown.spec

    def types(self, group):
        return ["t"]

    def tasks(self, split, types=None, limit=None):
        return [TASK]

    def task(self, type_, seed):
        return TASK

    def make(self):
        return Shown()


def test_instruction_examples_then_the_task() -> None:
    found = opening_messages("Rules.", "Goal.", "You see.", EXAMPLE, root="r")
    kinds = [SystemMessage, HumanMessage, AIMessage, HumanMessage]
    assert [type(message) for message in found] == kinds
    assert [m.content for m in found] == OPENING
    assert [m.id for m in found] == ["r-system", "r-example-0", "r-example-1", "r-task"]
    assert [m.content for m in opening_messages("", "", "You see.")] == ["You see."]


def test_evaluation_and_training_open_alike() -> None:
    played, planted = open_task(ShownFactory(), TASK), plant(ShownFactory(), TASK)
    assert [m.content for m in played.state.messages] == OPENING
    assert [m.content for m in planted.root.messages] == OPENING


def test_a_search_shows_examples_to_the_policy_alone() -> None:
    asked, scored = [], []

    def answer(messages, rng):
        asked.append([m.content for m in messages])
        return AIMessage("go")

    def score(trajectories):
        scored.extend(trajectories)
        return [0.5] * len(trajectories)

    graph = create_best_of_n(
        ScriptedPolicy(answers=answer), FunctionRewardModel(score), ShownFactory(), n=2
    ).compile()
    assert graph.invoke({"task": TASK})["result"]["success"]
    assert asked
    assert all(messages == OPENING for messages in asked)
    assert scored
    for trajectory in scored:
        assert (trajectory.instruction, trajectory.goal) == ("Rules.", "Goal.")
        assert [turn.observation for turn in trajectory.turns] == ["You see."]
