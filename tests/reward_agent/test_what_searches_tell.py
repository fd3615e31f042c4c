"""What searches tell a reward model besides texts: tools, calls, what is possible."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_agentrm import AgentRMSelector, create_beam_search, create_best_of_n
from langchain_agentrm.chat_models import ChatAgentRM
from langchain_agentrm.engine import Models, as_proposer, drive_many
from langchain_agentrm.environments.pool import BranchPool
from langchain_agentrm.evaluation.episodes import open_task, rollouts, score_all
from langchain_agentrm.evaluation.methods import run_beams
from langchain_agentrm.graphs import create_tool_search
from langchain_agentrm.middleware import AgentRMMiddleware
from langchain_agentrm.reward_agent import (
    AdmissibleActionVerifier,
    FunctionVerifier,
    RewardAgent,
    ToolCallVerifier,
)
from langchain_agentrm.reward_models import (
    CalibratedRewardModel,
    Calibration,
    EnsembleRewardModel,
    FunctionRewardModel,
)
from langchain_agentrm.search import RoundSettings
from langchain_agentrm.testing.scripted import (
    ScriptedEnvironment,
    ScriptedFactory,
    ScriptedPolicy,
)
from langchain_agentrm.trajectory import Trajectory, calls_of, offered_tools
from langchain_agentrm.types import Transition

LISTED = tuple(f"{verb} {k}" for verb in ("add", "take") for k in (1, 2, 3))


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return f"{where}: nothing"


class Spy(FunctionRewardModel):
    """Remembers what it was shown, and likes long texts."""

    def __init__(self, *, asks=True, comparable="global"):
        super().__init__(self._values, comparable=comparable)
        self.reads_admissible = asks
        self.shown: list[Trajectory] = []

    def _values(self, trajectories):
        self.shown += trajectories
        return [float(len(t.turns[-1].action)) for t in trajectories]


def wanderer():
    """Adds and takes at random, and says what is no action of the game."""
    return ScriptedPolicy(answers=lambda _, rng: rng.choice([*LISTED, "jump far"]), n=1)


def task(factory, i=0):
    return factory.tasks("test")[i]


def solve(graph, factory):
    config = {"recursion_limit": 200}
    return graph.compile().invoke({"task": task(factory)}, config)["result"]


@pytest.mark.parametrize("fork", ["copy", "replay"])
@pytest.mark.parametrize("comparable", ["global", "group"])
def test_a_beam_search_tells_what_each_state_admits_if_asked(fork, comparable):
    factory = ScriptedFactory(fork=fork)
    asks, does_not = Spy(comparable=comparable), Spy(asks=False, comparable=comparable)
    for spy in (asks, does_not):
        solve(create_beam_search(wanderer(), spy, factory, beam_width=3), factory)
    assert {t.admissible for t in asks.shown} == {LISTED}
    assert {t.admissible for t in does_not.shown} == {()}


def test_best_of_n_tells_it_of_the_last_state():
    factory = ScriptedFactory()
    spy = Spy()
    solve(create_best_of_n(wanderer(), spy, factory, n=3), factory)
    assert len(spy.shown) == 3
    assert {t.admissible for t in spy.shown} == {LISTED}


@pytest.mark.parametrize("comparable", ["global", "group"])
def test_evaluation_tells_what_the_graph_tells(comparable):
    factory = ScriptedFactory()
    seen, chosen = [], []
    for run in (_by_graph, _by_evaluation):
        spy = Spy(comparable=comparable)
        chosen.append(run(factory, spy))
        seen.append([(t.turns, t.admissible, t.calls) for t in spy.shown])
    assert seen[0] == seen[1]
    assert chosen[0] == chosen[1]


def test_evaluations_best_of_n_tells_it_if_asked():
    factory = ScriptedFactory()
    spy = Spy()
    models = Models(as_proposer(wanderer()), spy)
    root = open_task(factory, task(factory))
    (ends,) = drive_many([rollouts(root, n=2, temperature=1.0, seed=0)], models)
    drive_many([score_all(ends)], models)
    assert {t.admissible for t in spy.shown} == {()}
    drive_many([score_all(ends, admissible=True)], models)
    assert {t.admissible for t in spy.shown[2:]} == {LISTED}


def test_where_an_engine_lists_nothing_there_is_nothing_to_tell(monkeypatch):
    monkeypatch.setattr(ScriptedEnvironment, "actions", lambda _: None)
    monkeypatch.setattr(ScriptedEnvironment, "_step", _refuse_none)
    factory = ScriptedFactory()
    shown = []
    for run in (_by_graph, _by_evaluation):
        spy = Spy()
        run(factory, spy)
        shown += spy.shown
    assert {t.admissible for t in shown} == {()}


def _refuse_none(self, action):
    return Transition(f"You {action}.", done=len(self.actions_taken) >= 2)


def _by_graph(factory, spy):
    graph = create_beam_search(wanderer(), spy, factory, beam_width=3, temperature=1.0)
    return solve(graph, factory)["episode_score"]


def _by_evaluation(factory, spy):
    settings = RoundSettings(beam_width=3, expansions=2, temperature=1.0)
    (record,) = run_beams(
        factory, [task(factory)], as_proposer(wanderer()), spy, {"b": settings}
    )
    return record.score


def test_an_engine_is_asked_once_a_state_and_again_after_a_replay():
    factory = ScriptedFactory(fork="replay")
    asked = []
    make = factory.make

    def counting():
        env = make()
        listed = env.actions

        def actions():
            asked.append(env)
            return listed()

        env.actions = actions
        return env

    factory.make = counting
    pool = BranchPool(factory)
    where = task(factory)
    pool.start("s", "root", where)
    way = ("s", "root", where, [], [])
    assert pool.actions(*way) == pool.actions(*way) == LISTED
    assert len(asked) == 1
    pool.release("s")
    assert len(pool) == 0
    assert pool.actions(*way) == LISTED
    assert len(asked) == 2
    assert pool.replays == 1


def test_wrappers_ask_where_what_they_wrap_does():
    asks, does_not = Spy(), Spy(asks=False)
    same = Calibration("temperature")
    for member in (asks, does_not):
        wanted = member is asks
        assert EnsembleRewardModel([does_not, member]).reads_admissible is wanted
        assert CalibratedRewardModel(member, same).reads_admissible is wanted
        assert RewardAgent(member).reads_admissible is wanted
    assert RewardAgent(None, [AdmissibleActionVerifier()]).reads_admissible


def test_an_inadmissible_action_loses_in_the_selector():
    factory = ScriptedFactory()
    long = Spy(asks=False)
    policy = ScriptedPolicy(answers=["add 1", "jump far away"], n=1, seed=0)
    alone = solve(create_beam_search(policy, long, factory, beam_width=1), factory)
    agent = RewardAgent(long, [AdmissibleActionVerifier()])
    checked = solve(create_beam_search(policy, agent, factory, beam_width=1), factory)
    assert set(alone["actions"]) == {"jump far away"}
    assert set(checked["actions"]) == {"add 1"}
    assert checked["success"]
    assert not alone["success"]


# Tools and their calls.


def call(where, name="look"):
    return AIMessage(
        "", tool_calls=[{"name": name, "args": {"where": where}, "id": "1"}]
    )


def half(text):
    broken = invalid_tool_call(name="look", args='{"where": ', id="2", error="cut")
    return AIMessage(text, invalid_tool_calls=[broken])


def either(*answers):
    return lambda _, rng: rng.choice(answers)


def plain(policy, reward_model, **options):
    """A selector as the only node of a graph."""
    selector = AgentRMSelector(policy, reward_model, expansions=8, **options)
    builder = StateGraph(MessagesState)
    selector.add_to(builder, "model")
    builder.add_edge(START, "model")
    builder.add_edge("model", END)
    return builder.compile().invoke({"messages": [("user", "Where?")]})["messages"][-1]


def names(trajectory):
    return [t["function"]["name"] for t in trajectory.tools]


@pytest.mark.parametrize("shape", ["bound", "chain"])
def test_a_plain_node_tells_bound_tools_and_calls(shape):
    policy = ScriptedPolicy(answers=either(call("here"), AIMessage("nowhere")), n=1)
    bound = policy.bind_tools([look])
    chain = bound if shape == "bound" else RunnableLambda(lambda m: m) | bound
    spy = Spy()
    plain(chain, spy)
    assert [names(t) for t in spy.shown] == [["look"]] * 2
    assert sorted(map(str, (t.calls for t in spy.shown))) == sorted(
        ["()", "({'name': 'look', 'args': {'where': 'here'}},)"]
    )
    other = Spy()
    plain(chain, other, tools=[])
    assert [t.tools for t in other.shown] == [(), ()]


def test_a_wrong_call_loses_to_a_plain_answer_where_that_is_worth_something():
    policy = ScriptedPolicy(
        answers=either(call("everywhere", "search"), AIMessage("no")), n=1
    ).bind_tools([look])
    spy = Spy()
    assert plain(policy, spy).tool_calls[0]["name"] == "search"
    agent = RewardAgent(spy, [ToolCallVerifier(answer=1.0)])
    assert plain(policy, agent).text == "no"
    # Where one candidate gets no verdict, the check counts for none of them.
    silent = RewardAgent(spy, [ToolCallVerifier()])
    assert plain(policy, silent).tool_calls[0]["name"] == "search"


def test_a_tool_search_tells_tools_and_calls_of_open_and_finished_beams():
    def answer(messages, rng):
        done = any(m.type == "tool" for m in messages)
        return AIMessage(f"done {rng.randrange(9)}") if done else call(rng.choice("ab"))

    spy = Spy(comparable="group")
    reversible = look.model_copy(update={"metadata": {"reversible": True}})
    graph = create_tool_search(
        ScriptedPolicy(answers=answer, n=1), spy, [reversible], beam_width=2
    )
    graph.compile().invoke({"messages": [("user", "Where?")]})
    assert {tuple(names(t)) for t in spy.shown} == {("look",)}
    for trajectory in spy.shown:
        looks = trajectory.turns[-1].action.startswith("look(")
        assert bool(trajectory.calls) is looks


def test_the_chat_model_tells_calls_beside_tools():
    spy = Spy()
    policy = ScriptedPolicy(answers=either(call("x"), half("y")), n=1)
    chosen = ChatAgentRM(policy=policy, reward_model=spy, n=8).bind_tools([look])
    chosen.invoke("Where?")
    # What cannot be read is no action, so only the other one is scored.
    assert [t.calls for t in spy.shown] == [({"name": "look", "args": {"where": "x"}},)]
    assert names(spy.shown[0]) == ["look"]


@pytest.mark.parametrize("strategy", ["model", "handler"])
def test_the_middleware_lets_a_verifier_refuse_a_call(strategy):
    def answer(messages, rng):
        if messages[-1].type == "tool":
            return AIMessage("done")
        return rng.choice([call("here"), call("here, there and everywhere", "search")])

    spy = Spy()
    agent = create_agent(
        ScriptedPolicy(answers=answer, n=1),
        [look],
        middleware=[
            AgentRMMiddleware(
                RewardAgent(spy, [ToolCallVerifier()]), n=8, strategy=strategy
            )
        ],
    )
    said = agent.invoke({"messages": [("user", "Where?")]})["messages"]
    proposed = {t.calls[0]["name"] for t in spy.shown if t.calls}
    assert proposed == {"look", "search"}
    assert [c["name"] for m in said if m.type == "ai" for c in m.tool_calls] == ["look"]


def test_reads_calls_and_tools_as_they_are():
    assert calls_of(AIMessage("x")) == ()
    assert calls_of(half("x")) == (
        {"name": "look", "args": '{"where": ', "error": "cut"},
    )
    path = Trajectory.from_messages([AIMessage("a"), *_user()], call("x"))
    assert path.calls == ({"name": "look", "args": {"where": "x"}},)
    assert offered_tools(ScriptedPolicy(answers=["a"])) == ()
    assert offered_tools("no policy") == ()


def _user():
    from langchain_core.messages import HumanMessage

    return [HumanMessage("Where?")]


def test_candidates_that_differ_in_an_unreadable_call_only_are_two():
    first = Trajectory.from_messages(_user(), AIMessage("yes"), group="g")
    second = Trajectory.from_messages(_user(), half("yes"), group="g")
    readable = FunctionVerifier(
        lambda t: not any("error" in c for c in t.calls), name="readable"
    )
    scores = RewardAgent(None, [readable]).score([first, second]).items
    assert [s.value for s in scores] == [1.0, 0.0]
