"""Search beyond the paper: the same in graphs, sync and async, resumed and lockstep."""

from __future__ import annotations

import hashlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_agentrm import (
    AgentRMSelector,
    BeamState,
    StepInput,
    create_beam_search,
    create_best_of_n,
)
from langchain_agentrm.budgets import Budget, Price
from langchain_agentrm.engine import Models, as_proposer, drive_many
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.episodes import beam, open_task
from langchain_agentrm.search import RoundSettings, SearchOptions
from langchain_agentrm.state import observe
from langchain_agentrm.testing.scripted import (
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from langchain_agentrm.trace import build as build_tree
from tests.search.doubles import ACTIONS, a_task, closeness, pool_of, texts

OPTIONS = {
    "early stop": SearchOptions(early_stop=0.02),
    "adaptive": SearchOptions(adaptive=0.05),
    "diverse": SearchOptions(per_parent=1),
    "revisits": SearchOptions(revisits=3, dead_end=0.05, memory=4),
    "votes": SearchOptions(vote_weight=0.3),
    "likelihood": SearchOptions(likelihood_weight=0.3),
    "likelier": SearchOptions(tie_break="likelihood"),
    "all": SearchOptions(
        early_stop=0.3,
        adaptive=0.2,
        per_parent=2,
        revisits=2,
        dead_end=0.1,
        vote_weight=0.1,
        likelihood_weight=0.1,
        tie_break="likelihood",
    ),
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def talk(messages, rng):
    """Play any action, some likelier than others."""
    action = rng.choice(ACTIONS)
    tokens = [{"token": action, "logprob": -0.5 - ACTIONS.index(action)}]
    return AIMessage(action, response_metadata={"logprobs": {"content": tokens}})


def noisy(trajectory):
    """Be wrong often, and equal sometimes, so that every option has work to do."""
    path = " ".join(t.action for t in trajectory.turns)
    noise = hashlib.blake2s(path.encode()).digest()[0] / 256
    return round(closeness(trajectory) + 0.6 * noise, 1)


def parts():
    return ScriptedPolicy(answers=talk), ScriptedRewardModel(noisy), ScriptedFactory()


def graph_of(options, widths=(3, 3), *, made=None, **more):
    width, each = widths
    return create_beam_search(
        *(made or parts()), beam_width=width, expansions=each, search=options, **more
    )


def plain(out):
    return {**out["result"], "search": ""}, texts(out["messages"])


TASKS = [a_task(ScriptedFactory(), 200 + i, "count_far") for i in range(3)]


@every_option
@pytest.mark.parametrize("widths", [(1, 3), (3, 2)], ids=str)
@pytest.mark.parametrize("finished", ["compete", "aside"])
def test_lockstep_finds_what_the_graph_finds(options, widths, finished):
    one_search(options, widths, finished, seed=0)


def one_search(options, widths, finished, seed):
    """Check that lockstep and the graph find the same."""
    width, each = widths
    rounds = RoundSettings(
        beam_width=width, expansions=each, finished=finished, search=options, seed=seed
    )
    policy, reward_model, factory = parts()
    found = drive_many(
        [beam(open_task(factory, t), rounds, resolution=0.0) for t in TASKS],
        Models(as_proposer(policy), reward_model),
    )
    graph = graph_of(options, widths, finished=finished, seed=seed).compile()
    for (best, _), task in zip(found, TASKS, strict=True):
        result = graph.invoke({"task": task})["result"]
        assert best.env.actions_taken == result["actions"]
        assert best.value == result["score"]


def optional(strategy):
    return st.none() | strategy


_amounts = st.sampled_from([0.05, 0.1, 0.3])


@settings(max_examples=12, deadline=None)
@given(
    st.builds(
        SearchOptions,
        early_stop=optional(_amounts),
        adaptive=optional(_amounts),
        per_parent=optional(st.integers(1, 2)),
        revisits=st.integers(0, 3),
        dead_end=_amounts,
        memory=st.integers(1, 5),
        vote_weight=st.just(0.0) | _amounts,
        likelihood_weight=st.just(0.0) | _amounts,
        tie_break=st.sampled_from(["votes", "likelihood"]),
    ),
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.sampled_from(["compete", "aside"]),
    st.integers(0, 99),
)
def test_any_mixture_is_one_search_in_graphs_and_in_lockstep(
    options, widths, finished, seed
):
    one_search(options, widths, finished, seed)


@every_option
async def test_sync_async_and_resumed_are_one_search(options):
    task = {"task": TASKS[0]}
    one = plain(graph_of(options).compile().invoke(task))
    assert plain(await graph_of(options).compile().ainvoke(task)) == one
    # Every step in a process of its own, as far as models and branches are concerned.
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    given, out = task, None
    for _ in range(60):
        graph = graph_of(options).compile(
            checkpointer=saver, interrupt_before=["select"]
        )
        out = graph.invoke(given, config)
        given = None
        values = graph.get_state(config).values
        kept = {k: v for k, v in values.items() if k != "messages"}
        assert json.loads(json.dumps(kept)) == kept
        if not graph.get_state(config).next:
            break
    assert plain(out) == one


@every_option
def test_the_environments_are_given_back(options):
    builder = graph_of(options)
    builder.compile().invoke({"task": TASKS[1]})
    assert len(pool_of(builder)) == 0


@every_option
def test_each_option_changes_some_search(options):
    """The doubles are hard enough: an option that did nothing would be seen here."""

    def found(search):
        tasks = ScriptedFactory().tasks("test")
        graph = graph_of(search, (2, 3)).compile()
        return [plain(graph.invoke({"task": t})) for t in tasks]

    assert found(options) != found(None)


def steps_of(graph, task):
    events = list(graph.stream({"task": task}, stream_mode="custom"))
    return events, [e for e in events if e["event"] == "agentrm.step"]


def test_diverse_beams_come_from_different_parents():
    _, steps = steps_of(graph_of(OPTIONS["diverse"]).compile(), TASKS[0])
    _, free = steps_of(graph_of(None).compile(), TASKS[0])

    def crowded(step):
        parents = [c["parent"] for c in step["candidates"] if c["kept"]]
        offered = {c["parent"] for c in step["candidates"]}
        return len(offered) >= 3 and len(set(parents)) < len(parents)

    assert not any(crowded(s) for s in steps)
    assert any(crowded(s) for s in free)


def test_adaptive_draws_cost_the_same_and_go_to_the_close():
    def drawn(options):
        policy, reward_model, factory = parts()
        graph = graph_of(options, (3, 4), made=(policy, reward_model, factory))
        graph.compile().invoke({"task": TASKS[0]})
        return [r.get("n") or 1 for r in policy.requests]

    even, shared = drawn(None), drawn(OPTIONS["adaptive"])
    assert set(even[1:]) == {4}
    assert even[0] == shared[0] == 12
    assert {sum(shared[1 + i : 4 + i]) for i in (0, 3)} == {12}
    assert len(set(shared[1:])) > 1


def test_an_early_stop_takes_a_finished_beam_that_leads_clearly():
    # Goal 3: `add 3` ends at once with 0.9, the other beam stands at 0.2.
    scores = {"add 3": 0.9, "add 1": 0.2, "take 1": 0.1, "take 2": 0.1}

    def run(**options):
        policy = ScriptedPolicy(answers=list(scores))
        factory = ScriptedFactory()
        graph = graph_of(
            SearchOptions(**options),
            (2, 4),
            made=(policy, ScriptedRewardModel(scores), factory),
        )
        return graph.compile().invoke({"task": a_task(factory, 204)})["result"], policy

    result, policy = run(early_stop=0.5)
    assert (result["ended"], result["steps"], policy.calls) == ("early_stop", 1, 1)
    assert result["success"]
    result, _ = run(early_stop=0.8)
    assert result["steps"] > 1


def trap(trajectory):
    """`add 3` looks best and leads nowhere: all that follows it is scored low."""
    actions = [t.action for t in trajectory.turns]
    if actions[0] == "add 3":
        return 0.9 if len(actions) == 1 else 0.1
    return 0.6 + 0.01 * len(actions)


@pytest.mark.parametrize("fork", ["copy", "replay"])
def test_a_dead_end_is_left_for_the_best_that_was_dropped(fork):
    def run(**options):
        policy = ScriptedPolicy(answers=["add 3", "add 1"])
        factory = ScriptedFactory(fork=fork)
        made = policy, ScriptedRewardModel(trap), factory
        builder = graph_of(SearchOptions(**options), (1, 2), made=made)
        graph = builder.compile()
        events, _ = steps_of(graph, a_task(factory, 203))
        ran = [(*s.before, s.action) for s in factory.log if not s.replayed]
        return events, ran, pool_of(builder)

    events, ran, pool = run(revisits=1)
    # Goal 6: the first step runs, then the search goes back to `add 1`.
    assert ran[:2] == [("add 3",), ("add 1",)]
    assert events[-1]["result"]["actions"] == ["add 1"] * 6
    assert pool.replays == 0
    tree = build_tree(events)
    assert [n.action for n in tree.roots if n.ran] == ["add 3", "add 1"]
    assert all(n.kept for n in tree.roots)
    back = next(e for e in events if e["event"] == "agentrm.step" and e["step"] == 2)
    assert back["kept"] == [next(n.id for n in tree.roots if n.action == "add 1")]
    events, ran, _ = run()
    assert ran[0] == ("add 3",)
    assert all(path[0] == "add 3" for path in ran)


def test_a_conversation_goes_back_by_its_own_step_node():
    def act(state: StepInput):
        payload = state["step"]
        path = [*payload["actions"], payload["node"]["action"]]
        return observe(payload, " ".join(path), done=len(path) == 3)

    def run(revisits):
        builder = StateGraph(BeamState)
        AgentRMSelector(
            ScriptedPolicy(answers=["add 3", "add 1"]),
            ScriptedRewardModel(trap),
            expansions=2,
            next_node="act",
            search=SearchOptions(revisits=revisits),
        ).add_to(builder)
        builder.add_node("act", act, input_schema=StepInput)
        builder.add_edge(START, "select")
        builder.add_edge("act", "select")
        return builder.compile().invoke(ASK)

    assert run(0)["result"]["actions"][0] == "add 3"
    out = run(1)
    assert out["result"]["actions"] == ["add 1"] * 3
    assert [m.text for m in out["messages"]] == [
        "Go.", "add 1", "add 1", "add 1", "add 1 add 1", "add 1", "add 1 add 1 add 1",
    ]  # fmt: skip


def test_a_search_whose_beams_all_died_goes_back_once():
    # Goal 3 at once by `add 3`, which the reward model then knows to be poor.
    scores = {"add 3": 0.9, "add 1": 0.8, "take 1": 0.1}

    class Sour(ScriptedFactory):
        """Every game ends badly after `take 1`."""

        def make(self):
            env = super().make()
            env.parse = lambda m: None if "nothing" in str(m.text) else str(m.text)
            return env

    def answer(messages, rng):
        if len(messages) > 2 and "add 3" in str(messages[2].text):
            return "nothing"
        return rng.choice(["add 3", "add 1"])

    factory = Sour()
    made = ScriptedPolicy(answers=answer), ScriptedRewardModel(scores), factory
    task = a_task(factory, 203)
    lost = graph_of(SearchOptions(), (1, 6), made=made).compile()
    assert lost.invoke({"task": task})["result"]["ended"] == "invalid"
    made = ScriptedPolicy(answers=answer), ScriptedRewardModel(scores), Sour()
    found = graph_of(SearchOptions(revisits=1), (1, 6), made=made).compile()
    result = found.invoke({"task": task})["result"]
    assert result["actions"][0] == "add 1"


def test_the_shelf_is_bounded_and_leaves_the_state_at_the_end():
    options = SearchOptions(revisits=2, memory=3)
    graph = graph_of(options).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    graph.invoke({"task": TASKS[0]}, config)
    infos = [s.values.get("search") for s in graph.get_state_history(config)]
    shelves = [i["shelf"] for i in infos if i and "shelf" in i]
    assert max(map(len, shelves)) == 3
    assert max(i["revisits"] for i in infos if i and "revisits" in i) <= 2
    assert graph.get_state(config).values["search"] is None


def test_options_that_need_comparable_scores_are_refused_with_the_others():
    policy, _, factory = parts()
    judge = ScriptedRewardModel(noisy, comparable="group")
    with pytest.raises(ConfigurationError, match="revisits compares"):
        graph_of(SearchOptions(revisits=1), made=(policy, judge, factory))
    with pytest.raises(ConfigurationError, match="cannot be branched"):
        graph_of(
            SearchOptions(revisits=1),
            (1, 2),
            made=(policy, ScriptedRewardModel(noisy), ScriptedFactory(fork="none")),
        )


# One path.


def chat(policy, reward_model, **options):
    builder = StateGraph(MessagesState)
    AgentRMSelector(policy, reward_model, **options).add_to(builder, "model")
    builder.add_edge(START, "model")
    builder.add_edge("model", END)
    return builder.compile()


ASK = {"messages": [HumanMessage("Go.", id="h")]}


@pytest.mark.parametrize(
    ("options", "winner"),
    [
        ({}, "rare"),
        ({"vote_margin": 0.1}, "rare"),
        ({"vote_margin": 0.3}, "often"),
        ({"vote_weight": 0.1}, "rare"),
        ({"vote_weight": 0.9}, "often"),
    ],
)
def test_the_policys_own_choice_is_replaced_by_a_clear_margin_only(options, winner):
    policy = ScriptedPolicy(answers=["often", "often", "rare", "often"])
    scores = ScriptedRewardModel({"often": 0.5, "rare": 0.7})
    graph = chat(policy, scores, expansions=4, search=SearchOptions(**options))
    assert graph.invoke(ASK)["messages"][-1].text == winner


def test_a_policy_without_likelihoods_is_named_with_the_remedy():
    policy = ScriptedPolicy(answers=["a", "b"])
    scores = ScriptedRewardModel({"a": 0.5, "b": 0.7})
    search = SearchOptions(likelihood_weight=0.1)
    with pytest.raises(ConfigurationError, match=r"gave none.*logprobs=True"):
        chat(policy, scores, search=search).invoke(ASK)


# Money.

PRICED = Budget(money=1e-4, policy_price=Price(1.0, 2.0), reward_price=Price(1.0))


@pytest.mark.parametrize("kind", ["beam", "best-of-n"])
def test_a_search_ends_when_its_money_is_spent(kind):
    policy = ScriptedPolicy(answers=["take 1", "take 2"])
    made = policy, ScriptedRewardModel(noisy), ScriptedFactory()
    if kind == "beam":
        graph = graph_of(None, made=made, budget=PRICED)
    else:
        graph = create_best_of_n(*made, n=4, budget=PRICED)
    result = graph.compile().invoke({"task": TASKS[0]})["result"]
    assert result["ended"] == "budget:money"
    assert 1e-4 <= result["totals"]["money"] < 3e-4
    read = sum(
        sum(len(str(m.text).split()) for m in r["messages"]) for r in policy.requests
    )
    written = sum(2 * (r.get("n") or 1) for r in policy.requests)
    assert result["totals"]["money"] == pytest.approx((read + 2 * written) / 1e6)


def test_the_same_budget_ends_the_same_search_in_lockstep():
    policy, reward_model, factory = parts()
    rounds = RoundSettings(beam_width=3, expansions=3)
    ((best, _),) = drive_many(
        [beam(open_task(factory, TASKS[0]), rounds, resolution=0.0, budget=PRICED)],
        Models(as_proposer(policy), reward_model),
    )
    result = graph_of(None, budget=PRICED).compile().invoke({"task": TASKS[0]})
    assert result["result"]["ended"] == "budget:money"
    assert best.env.actions_taken == result["result"]["actions"]


@pytest.mark.parametrize(
    ("budget", "ended"),
    [
        (Budget(requests=2), "budget:requests"),
        (Budget(tokens=20), "budget:tokens"),
        (Budget(money=1e-5, policy_price=Price(1.0)), "budget:money"),
        (Budget(seconds=0.05), "budget:seconds"),
    ],
)
def test_a_plain_node_minds_its_budget_too(budget, ended):
    def slow(messages, rng):
        time.sleep(0.03)
        return f"step {len(messages)}"

    builder = StateGraph(MessagesState)
    selector = AgentRMSelector(
        ScriptedPolicy(answers=slow),
        ScriptedRewardModel(lambda t: 0.5),
        expansions=2,
        budget=budget,
    )
    selector.add_to(builder, "model")
    builder.add_edge(START, "model")
    builder.add_conditional_edges(
        "model",
        lambda s: (
            END
            if "ended" in s["messages"][-1].response_metadata["agentrm"]
            else "model"
        ),
        ["model", END],
    )
    out = builder.compile().invoke(ASK)["messages"]
    assert out[-1].response_metadata["agentrm"]["ended"] == ended
    assert 3 <= len(out) <= 6
    assert ended.partition(":")[2] in out[-1].text
