"""Tools with side effects: what may run in a branch, and what runs exactly once."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool, ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command

from langchain_agentrm import AgentRMSelector, create_beam_search, create_best_of_n
from langchain_agentrm.environments.tools import (
    ToolFactory,
    check_tools,
    irreversible,
)
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.graphs import create_tool_search
from langchain_agentrm.search import SearchOptions
from langchain_agentrm.testing.scripted import ScriptedPolicy, ScriptedRewardModel

RAN: list[tuple[str, str]] = []


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


def made(name, *, reversible=False, fail=None):
    def run(where: str) -> str:
        RAN.append((name, where))
        if fail is not None:
            raise fail
        return f"{name} {where}: fine"

    metadata = {"reversible": True} if reversible else None
    return StructuredTool.from_function(
        run, name=name, description="A tool.", metadata=metadata
    )


def call(name, where):
    args = {"where": where}
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"x{where}"}])


def look_then_send(messages, rng):
    """Look twice, each time somewhere, then send somewhere, then answer."""
    past = sum(m.type == "tool" for m in messages)
    if past >= 3:
        return f"done {rng.randrange(2)}"
    return call("send" if past == 2 else "look", f"{past}{rng.choice('abc')}")


def by_text(trajectory):
    """Like the last letter of the alphabet best; an answer is always good."""
    text = trajectory.turns[-1].action
    return {"a": 0.1, "b": 0.2, "c": 0.3}.get(text[-3:-2], 0.9)


def build(tools, **options):
    options = {"expansions": 6, **options}
    return create_tool_search(
        ScriptedPolicy(answers=look_then_send),
        ScriptedRewardModel(by_text),
        tools,
        **options,
    )


ASK = {"messages": [("user", "Send it.")]}


def test_only_the_word_itself_marks_a_tool():
    tools = [made("a", reversible=True), made("b"), made("c")]
    tools[2].metadata = {"reversible": "no"}
    assert irreversible(tools) == ["b", "c"]
    assert irreversible(tools, {"b"}) == ["c"]
    with pytest.raises(ConfigurationError, match=r"\['nope'\] names no tool.*a, b, c"):
        irreversible(tools, {"nope"})


@pytest.mark.parametrize(
    "options",
    [{"beam_width": 2}, {"beam_width": 1, "search": SearchOptions(revisits=1)}],
)
def test_branches_with_side_effects_are_refused_with_the_choices(options):
    tools = [made("look", reversible=True), made("send")]
    with pytest.raises(ConfigurationError) as caught:
        build(tools, **options)
    text = str(caught.value)
    assert "2 branches" in text
    assert "['send']" in text
    for choice in ("beam_width=1", "metadata={'reversible': True}", "forks"):
        assert choice in text


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_an_irreversible_tool_runs_once_and_only_as_chosen(mode):
    graph = build([made("look"), made("send")]).compile()
    out = graph.invoke(ASK) if mode == "sync" else await graph.ainvoke(ASK)
    chosen = [
        (c["name"], c["args"]["where"])
        for m in out["messages"]
        if m.type == "ai"
        for c in m.tool_calls
    ]
    assert chosen == RAN
    assert [name for name, _ in RAN] == ["look", "look", "send"]
    kinds = ["human", *["ai", "tool"] * 3, "ai"]
    assert [m.type for m in out["messages"]] == kinds
    assert out["messages"][-1].text.startswith("done")
    assert out["result"]["ended"] == "finished"


def test_in_a_plain_agent_too_an_irreversible_tool_runs_once():
    send = made("send")

    def answer(messages, rng):
        if any(m.type == "tool" for m in messages):
            return "done"
        return call("send", rng.choice("abcdef"))

    builder = StateGraph(MessagesState)
    selector = AgentRMSelector(
        ScriptedPolicy(answers=answer), ScriptedRewardModel(by_text), expansions=8
    )
    selector.add_to(builder, "model")
    builder.add_node("tools", ToolNode([send]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition, ["tools", END])
    builder.add_edge("tools", "model")
    out = builder.compile().invoke(ASK)
    assert len(RAN) == 1
    assert out["messages"][-1].text == "done"


def test_marked_tools_run_in_branches_and_the_winner_is_one_path():
    tools = [made("look", reversible=True), made("send")]
    out = build(tools, beam_width=2, reversible={"send"}).compile().invoke(ASK)
    assert len(RAN) > 3
    path = [
        (c["name"], c["args"]["where"])
        for m in out["messages"]
        if m.type == "ai"
        for c in m.tool_calls
    ]
    assert len(path) == 3
    assert set(path) <= set(RAN)


def test_a_checkpointed_search_does_not_run_a_tool_again():
    tools = [made("look"), made("send")]
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    stopping = build(tools).compile(checkpointer=saver, interrupt_before=["select"])
    stopping.invoke(ASK, config)
    stopping.invoke(None, config)
    stopping.invoke(None, config)
    assert [name for name, _ in RAN] == ["look", "look"]
    out = build(tools).compile(checkpointer=saver).invoke(None, config)
    assert [name for name, _ in RAN] == ["look", "look", "send"]
    assert out["result"]["ended"] == "finished"


@pytest.mark.parametrize(("reversible", "runs"), [(False, 1), (True, 2)])
def test_only_harmless_tools_are_retried(reversible, runs):
    tool = made("look", reversible=reversible, fail=ConnectionError("gone"))
    with pytest.raises(ConnectionError, match="gone"):
        build([tool, made("send", reversible=reversible)]).compile().invoke(ASK)
    assert len(RAN) == runs


def test_a_tool_that_commands_is_refused():
    def leave(where: str):
        return Command(goto="elsewhere")

    tool = StructuredTool.from_function(leave, name="look", description="Leave.")
    with pytest.raises(ConfigurationError, match="look returned a Command"):
        build([tool, made("send")]).compile().invoke(ASK)


# The same tools as an environment.


def factory(**options):
    tools = [made("look", reversible=True), made("send", reversible=True)]
    return ToolFactory(tools, {"one": "Send it.", "two": "Send that."}, **options)


def test_marked_tools_make_an_environment_that_forks():
    def grade(request, actions):
        return float(actions[-2][0]["args"]["where"] == "2c")

    tasks = factory().tasks("test")
    assert [t["id"] for t in tasks] == ["one", "two"]
    for create, options in (
        (create_beam_search, {"beam_width": 2, "expansions": 6}),
        (create_best_of_n, {"n": 3}),
    ):
        graph = create(
            ScriptedPolicy(answers=look_then_send),
            ScriptedRewardModel(by_text),
            factory(grade=grade),
            **options,
        ).compile()
        result = graph.invoke({"task": tasks[0]})["result"]
        assert result["steps"] == 4
        assert result["success"] == (result["actions"][2][0]["args"]["where"] == "2c")


def test_unmarked_tools_make_an_environment_that_only_one_beam_may_use():
    tools = [made("look", reversible=True), made("send")]
    parts = (
        ScriptedPolicy(answers=look_then_send),
        ScriptedRewardModel(by_text),
        ToolFactory(tools, {"one": "Send it."}),
    )
    with pytest.raises(ConfigurationError, match="cannot be branched"):
        create_beam_search(*parts, beam_width=2)
    with pytest.raises(ConfigurationError, match="cannot be branched"):
        create_best_of_n(*parts, n=2)
    with pytest.raises(ConfigurationError, match="cannot be branched"):
        create_beam_search(*parts, beam_width=1, search=SearchOptions(revisits=1))
    graph = create_beam_search(*parts, beam_width=1, expansions=6).compile()
    graph.invoke({"task": parts[2].tasks("test")[0]})
    assert [name for name, _ in RAN] == ["look", "look", "send"]


def test_calls_that_cannot_be_made_are_answered_and_not_run():
    env = ToolFactory(
        [made("look"), made("bad", fail=ToolException("no luck"))], {"one": "Go."}
    )
    assert "no tool 'fly'" in env.run([{"name": "fly", "args": {}}])
    assert "where" in env.run([{"name": "look", "args": {"how": 1}}])
    assert RAN == []
    both = [
        {"name": "bad", "args": {"where": "x"}},
        {"name": "look", "args": {"where": "y"}},
    ]
    assert env.run(both) == "bad: Error: no luck\nlook: look y: fine"


def test_tasks_that_do_not_exist_are_named():
    tools = factory()
    with pytest.raises(UnknownTaskError, match="no request 2 among 2"):
        tools.task("request", 2)
    with pytest.raises(UnknownTaskError, match="no task type 'other'"):
        tools.tasks("test", ["other"])
    with pytest.raises(UnknownTaskError, match="no request 'four'"):
        factory(splits={"dev": ["four"]})
    with pytest.raises(UnknownTaskError, match="no split 'exam'"):
        factory(splits={"exam": ["one"]})
    with pytest.raises(UnknownTaskError, match="no request 'three'"):
        tools.make().reset({**tools.task("request", 0), "id": "three"})


def test_requests_are_for_tests_unless_splits_say_otherwise():
    assert [t["id"] for t in factory().tasks("test")] == ["one", "two"]
    assert factory().tasks("train") == []
    split = factory(splits={"train": ["two"], "test": ["one"]})
    assert [(t["id"], t["seed"]) for t in split.tasks("train")] == [("two", 1)]
    assert [t["id"] for t in split.tasks("test")] == ["one"]


def test_forks_of_a_tool_environment_go_their_own_ways():
    env = factory(step_limit=2).make()
    start = env.reset(factory().task("request", 1))
    assert (start.goal, start.step_limit) == ("Send that.", 2)
    assert [t["function"]["name"] for t in start.tools] == ["look", "send"]
    env.step([{"name": "look", "args": {"where": "x"}}])
    twin = env.fork()
    assert twin.step("done").done
    assert env.step([{"name": "look", "args": {"where": "z"}}]).done
    assert len(env.actions_taken) == len(twin.actions_taken) == 2
    for over in (env, twin, twin.fork()):
        with pytest.raises(ConfigurationError, match="over after 2 actions"):
            over.step("done")


def test_plain_functions_are_tools_that_carry_no_mark():
    def look(where: str) -> str:
        """Look somewhere."""
        RAN.append(("look", where))
        return "nothing"

    with pytest.raises(ConfigurationError, match=r"\['look'\]"):
        build([look, made("send", reversible=True)], beam_width=2)
    build([look, made("send")]).compile().invoke(ASK)
    assert [name for name, _ in RAN] == ["look", "look", "send"]


def test_one_branch_needs_no_mark():
    check_tools([made("send")], branches=1)
    with pytest.raises(ConfigurationError, match="3 branches"):
        check_tools([made("send")], branches=3)
