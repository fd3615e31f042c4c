from __future__ import annotations

import threading

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import ToolException

from langchain_agentrm import FunctionRewardModel, create_beam_search
from langchain_agentrm.environments.stateful_tools import StatefulToolFactory
from langchain_agentrm.errors import ForkError
from langchain_agentrm.testing.environment import EnvironmentConformance
from langchain_agentrm.testing.scripted import ScriptedPolicy


def tools(cart):
    def add(item: str) -> str:
        """Put an item into the cart."""
        cart.append(item)
        return f"cart: {cart}"

    def remove(item: str) -> str:
        """Take an item out of the cart."""
        if item not in cart:
            raise ToolException(f"no {item} in the cart")
        cart.remove(item)
        return f"cart: {cart}"

    return [add, remove]


def factory(reset=lambda request: ["bag"], **options):
    return StatefulToolFactory(
        reset,
        tools,
        {"fruit": "Buy an apple.", "drink": "Buy tea."},
        grade=lambda request, cart, actions: float(cart == ["bag", "apple"]),
        **options,
    )


def call(name, item):
    return [{"name": name, "args": {"item": item}}]


def begun(**options):
    made = factory(**options)
    env = made.make()
    start = env.reset(made.tasks("test")[0])
    return env, start


class TestConformance(EnvironmentConformance):
    @pytest.fixture
    def factory(self):
        return factory(step_limit=6)

    @pytest.fixture
    def tasks(self, factory):
        return factory.tasks("test")

    @pytest.fixture
    def some_actions(self):
        return [call("add", "pear"), call("remove", "bag"), call("remove", "pear")]

    def test_start_says_what_there_is_to_do(self, factory, tasks):
        # Before the first call there is a request and nothing to observe.
        assert all(factory.make().reset(task).goal for task in tasks)


def test_the_tools_are_offered_and_work_on_the_state():
    env, start = begun()
    assert [t["function"]["name"] for t in start.tools] == ["add", "remove"]
    assert start.goal == "Buy an apple."
    assert env.step(call("add", "apple")).observation == "cart: ['bag', 'apple']"
    assert "no tea in the cart" in env.step(call("remove", "tea")).observation
    last = env.step("Done.")
    assert (last.done, last.success, last.score) == (True, True, 1.0)


def test_each_branch_changes_its_own_state_and_is_graded_by_it():
    env, _ = begun()
    env.step(call("add", "tea"))
    fork = env.fork()
    fork.step(call("remove", "tea"))
    fork.step(call("add", "apple"))
    assert fork.state == ["bag", "apple"]
    assert env.state == ["bag", "tea"]
    assert fork.fork().step("Done.").score == 1.0
    assert env.step("Done.").score == 0.0


def test_a_reset_starts_anew():
    env, _ = begun()
    env.step(call("add", "tea"))
    env.reset(env.task)
    assert env.state == ["bag"]


def test_an_environment_forks_before_its_first_task():
    made = factory()
    fork = made.make().fork()
    fork.reset(made.task("request", 1))
    assert fork.step(call("add", "x")).observation == "cart: ['bag', 'x']"


def test_a_state_that_cannot_be_copied_is_named():
    env, _ = begun(reset=lambda request: [threading.Lock()], name="shop")
    with pytest.raises(ForkError, match=r"'shop' cannot be copied.*__deepcopy__"):
        env.fork()


def test_a_search_finds_the_state_that_is_wanted():
    def answers(messages, rng):
        if len(messages) > 2:
            return "Done."
        call = {"name": "add", "args": {"item": rng.choice(["tea", "apple"])}}
        return AIMessage("", tool_calls=[{**call, "id": "a", "type": "tool_call"}])

    def by_first_item(trajectories):
        return [float("apple" in str(t.turns[0].action)) for t in trajectories]

    made = factory()
    graph = create_beam_search(
        ScriptedPolicy(answers=answers),
        FunctionRewardModel(by_first_item),
        made,
        beam_width=2,
        expansions=4,
    ).compile()
    result = graph.invoke({"task": made.tasks("test")[0]})["result"]
    assert result["actions"][0] == call("add", "apple")
    assert result["success"]
