"""Beam search and best-of-N over an environment, as graphs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_agentrm import create_beam_search, create_best_of_n
from langchain_agentrm.budgets import Budget
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.testing.scripted import (
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from tests.search.doubles import a_task, closeness, game, pool_of, texts

KINDS = ["beam", "best-of-n"]


def build(kind, policy=None, reward_model=None, factory=None, **options):
    parts = game()
    policy, reward_model = policy or parts[0], reward_model or parts[1]
    factory = factory or parts[2]
    if kind == "beam":
        options = {"beam_width": 3, "expansions": 2, **options}
        return create_beam_search(policy, reward_model, factory, **options)
    return create_best_of_n(policy, reward_model, factory, **{"n": 4, **options})


def comparable(out):
    result = {**out["result"], "search": ""}
    return result, texts(out["messages"])


@pytest.mark.parametrize("kind", KINDS)
async def test_sync_and_async_and_a_repeat_give_the_same(kind):
    task = a_task(ScriptedFactory(), type_="count_far")
    one = build(kind).compile().invoke({"task": task})
    other = await build(kind).compile().ainvoke({"task": task})
    again = (
        build(kind)
        .compile(InMemorySaver())
        .invoke({"task": task}, {"configurable": {"thread_id": "1"}})
    )
    assert comparable(one) == comparable(other) == comparable(again)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_tree_and_another_seed_another(kind):
    def tree(seed):
        graph = build(kind, seed=seed).compile()
        task = a_task(ScriptedFactory(), type_="count_far")
        return [
            [(c["id"], c["score"], c["kept"], c["votes"]) for c in e["candidates"]]
            for e in graph.stream({"task": task}, stream_mode="custom")
            if e["event"] == "agentrm.step"
        ]

    assert tree(0) == tree(0)
    assert tree(0) != tree(1)


def test_beam_search_wins_with_a_reward_model_that_knows():
    out = build("beam").compile().invoke({"task": a_task(ScriptedFactory())})
    assert out["result"]["success"]
    assert out["result"]["ended"] == "finished"
    assert set(out) == {"messages", "result"}
    assert [m.type for m in out["messages"][:2]] == ["system", "human"]
    assert out["messages"][-1].text == "The number is 6."


def test_the_root_draws_w1_times_w2_and_later_beams_w2():
    policy = ScriptedPolicy(answers=["take 1", "take 2", "take 3", "nothing"], n=1)
    build("beam", policy, beam_width=3, expansions=2, max_steps=3).compile().invoke(
        {"task": a_task(ScriptedFactory())}
    )
    assert [r.get("n") for r in policy.requests] == [6, *[2] * 6]


@pytest.mark.parametrize("limit", [1, 2, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_max_steps_is_exact(kind, limit):
    policy = ScriptedPolicy(answers=["take 1", "take 2"])
    factory = ScriptedFactory()
    graph = build(kind, policy, factory=factory, max_steps=limit).compile()
    result = graph.invoke({"task": a_task(factory)})["result"]
    assert (result["steps"], result["ended"]) == (limit, "max_steps")
    assert len(result["actions"]) == limit
    assert max(len(s.before) for s in factory.log) == limit - 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_environments_own_step_limit_holds(kind):
    policy = ScriptedPolicy(answers=["take 1", "take 2"])
    result = (
        build(kind, policy)
        .compile()
        .invoke({"task": a_task(ScriptedFactory())})["result"]
    )
    assert result["steps"] == 12
    assert not result["success"]


@pytest.mark.parametrize("limit", ["requests", "tokens"])
def test_a_runaway_search_ends_by_its_budget(limit):
    policy = ScriptedPolicy(answers=["take 1", "take 2"])
    graph = build("beam", policy, budget=Budget(**{limit: 4})).compile()
    result = graph.invoke({"task": a_task(ScriptedFactory())})["result"]
    assert result["ended"] == f"budget:{limit}"
    assert result["steps"] < 12


def test_no_discarded_candidate_is_ever_run():
    policy, reward_model, factory = game()
    graph = build("beam", policy, reward_model, factory).compile()
    kept, dropped = set(), set()
    paths = {}
    for event in graph.stream({"task": a_task(factory)}, stream_mode="custom"):
        if event["event"] != "agentrm.step":
            continue
        for c in event["candidates"]:
            path = (*paths.get(c["parent"], ()), c["action"])
            paths[c["id"]] = path
            (kept if c["kept"] else dropped).add(path)
    ran = {(*s.before, s.action) for s in factory.log}
    assert dropped
    assert ran == kept
    assert not ran & dropped


def test_a_finished_beam_competes_and_by_default_takes_a_slot():
    # `add 3` wins at once (goal 3) with 0.5: the other slot goes to the better `add 1`.
    scores = {"add 3": 0.5, "add 1": 0.9, "take 1": 0.1, "take 2": 0.2}

    def run(**options):
        policy = ScriptedPolicy(answers=list(scores))
        factory = ScriptedFactory()
        graph = build(
            "beam",
            policy,
            ScriptedRewardModel(scores),
            factory,
            beam_width=2,
            expansions=4,
            max_steps=2,
            **options,
        ).compile()
        out = graph.invoke({"task": a_task(factory, 204)})
        return out["result"], [s.action for s in factory.log if s.before]

    result, second = run()
    assert second == ["add 1"]
    assert result["success"]
    result, second = run(finished="aside")
    assert sorted(second) == ["add 1", "add 3"]
    assert result["success"]


def test_a_better_open_beam_pushes_a_finished_one_out():
    scores = {"add 3": 0.2, "add 1": 0.9, "take 1": 0.8, "take 2": 0.7}
    policy = ScriptedPolicy(answers=list(scores))
    factory = ScriptedFactory()
    graph = build(
        "beam",
        policy,
        ScriptedRewardModel(scores),
        factory,
        beam_width=1,
        expansions=4,
        max_steps=3,
    ).compile()
    result = graph.invoke({"task": a_task(factory, 204)})["result"]
    # 0, 1, 2 and then 3: only the last one is the goal.
    assert result["actions"] == ["add 1"] * 3


def test_scores_stay_with_their_sibling_when_the_batch_is_shuffled():
    class Shuffled(ScriptedRewardModel):
        def score(self, trajectories):
            batch = super().score(trajectories[::-1])
            return type(batch)(list(batch.items)[::-1], batch.usage)

    graph = build("beam", reward_model=Shuffled(closeness)).compile()
    plain = build("beam").compile()
    task = a_task(ScriptedFactory(), type_="count_far")
    assert comparable(graph.invoke({"task": task})) == comparable(
        plain.invoke({"task": task})
    )
    for event in graph.stream({"task": task}, stream_mode="custom"):
        if event["event"] == "agentrm.step" and event["step"] == 1:
            for c in event["candidates"]:
                verb, amount = c["action"].split()
                total = int(amount) if verb == "add" else -int(amount)
                assert c["score"] == pytest.approx(1 - abs(12 - total) / 100)


@pytest.mark.parametrize("kind", KINDS)
def test_usage_is_the_sum_of_the_requests(kind):
    policy, reward_model, factory = game()
    graph = build(kind, policy, reward_model, factory, max_steps=3).compile()
    spent = graph.invoke({"task": a_task(factory)})["result"]["totals"]
    read = sum(
        sum(len(str(m.text).split()) for m in r["messages"]) for r in policy.requests
    )
    written = sum(2 * (r.get("n") or 1) for r in policy.requests)
    assert spent["requests"] == policy.calls
    assert spent["policy_tokens"] == read + written


def test_best_of_n_takes_the_trajectory_that_is_scored_highest():
    policy, reward_model, factory = game()
    graph = build("best-of-n", policy, reward_model, factory, n=6).compile()
    result = graph.invoke({"task": a_task(factory)})["result"]
    (final,) = reward_model.batches
    assert len(final) == 6
    assert len({t.group for t in final}) == 1
    assert result["score"] == max(closeness(t) for t in final)


def test_best_of_n_may_hold_the_greedy_trajectory():
    policy = ScriptedPolicy(answers=["add 1", "take 1", "take 2"])
    factory = ScriptedFactory()
    graph = build("best-of-n", policy, factory=factory, n=3, include_greedy=True)
    result = graph.compile().invoke({"task": a_task(factory)})["result"]
    assert result["actions"] == ["add 1"] * 6
    assert [s for s in policy.requests if s.get("temperature") == 0.0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_environment_that_cannot_be_branched_is_refused(kind):
    with pytest.raises(ConfigurationError, match="cannot be branched"):
        build(kind, factory=ScriptedFactory(fork="none"))


def test_one_beam_needs_no_branch_and_its_only_environment_moves_on():
    policy, reward_model, _ = game()
    factory = ScriptedFactory(fork="none")
    graph = build("beam", policy, reward_model, factory, beam_width=1, expansions=6)
    result = graph.compile().invoke({"task": a_task(factory)})["result"]
    assert result["success"]
    assert not any(s.replayed for s in factory.log)
    assert len({s.engine for s in factory.log}) == 1
    assert [s.action for s in factory.log] == result["actions"]
    assert pool_of(graph).replays == 0


def test_copied_and_replayed_branches_give_the_same_result():
    task = a_task(ScriptedFactory(), type_="count_far")
    copied = build("beam").compile().invoke({"task": task})
    factory = ScriptedFactory(fork="replay")
    replayed = build("beam", factory=factory).compile().invoke({"task": task})
    assert comparable(copied) == comparable(replayed)
    assert any(s.replayed for s in factory.log)


@pytest.mark.parametrize("kind", KINDS)
def test_two_searches_at_once_do_not_disturb_each_other(kind):
    factory = ScriptedFactory()
    tasks = [a_task(factory, 200 + i) for i in range(4)] + [a_task(factory, 201)] * 2
    alone = [comparable(build(kind).compile().invoke({"task": t})) for t in tasks]
    builder = build(kind, factory=factory)
    graph = builder.compile()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda t: graph.invoke({"task": t}), tasks))
    assert [comparable(out) for out in found] == alone
    assert len({out["result"]["search"] for out in found}) == len(tasks)

    async def together():
        return await asyncio.gather(*(graph.ainvoke({"task": t}) for t in tasks))

    assert [comparable(out) for out in asyncio.run(together())] == alone
    assert len(pool_of(builder)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_task_twice_on_one_thread(kind):
    builder = build(kind)
    graph = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    task = {"task": a_task(ScriptedFactory())}
    first = graph.invoke(task, config)
    second = graph.invoke(task, config)
    half = len(first["messages"])
    assert texts(second["messages"][:half]) == texts(first["messages"])
    assert texts(second["messages"][half:]) == texts(first["messages"])
    ids = [m.id for m in second["messages"]]
    assert len(set(ids)) == len(ids)
    assert second["result"]["totals"] == first["result"]["totals"]
    assert len(pool_of(builder)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_plain_json_at_every_step(kind):
    graph = build(kind).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    graph.invoke({"task": a_task(ScriptedFactory())}, config)
    widest = 0
    for snapshot in graph.get_state_history(config):
        values = {k: v for k, v in snapshot.values.items() if k != "messages"}
        assert json.loads(json.dumps(values)) == values
        widest = max(widest, len(values.get("nodes") or {}))
    assert widest > 0
    last = graph.get_state(config).values
    assert (last["search"], last["nodes"], last["beams"]) == (None, {}, [])


def test_dead_branches_leave_the_state():
    graph = build("beam", ScriptedPolicy(answers=["take 1", "take 2"]), beam_width=2)
    compiled = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    compiled.invoke({"task": a_task(ScriptedFactory())}, config)
    for snapshot in compiled.get_state_history(config):
        info = snapshot.values.get("search")
        if info:
            assert len(snapshot.values["nodes"]) <= 2 * (info["step"] + 1)


def test_a_killed_search_resumes_without_asking_again():
    policy, reward_model, factory = game()
    whole = comparable(
        build("beam").compile().invoke({"task": a_task(factory, type_="count_far")})
    )
    saver = InMemorySaver()
    config = {"configurable": {"thread_id": "t"}}
    builder = build("beam", policy, reward_model, factory)
    graph = builder.compile(checkpointer=saver, interrupt_before=["select"])
    graph.invoke({"task": a_task(factory, type_="count_far")}, config)
    for _ in range(3):
        graph.invoke(None, config)
    asked = policy.calls
    fresh = build("beam", policy, reward_model, factory)
    out = fresh.compile(checkpointer=saver).invoke(None, config)
    assert pool_of(fresh).replays > 0
    assert comparable(out) == whole
    once = ScriptedPolicy(answers=policy.answers)
    build("beam", once).compile().invoke({"task": a_task(factory, type_="count_far")})
    assert asked < policy.calls == once.calls


_STRICT = """
import json, logging, sys, warnings
warnings.simplefilter("error")
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from tests.test_graphs import build, comparable
from tests.search.doubles import a_task
from langchain_agentrm.testing.scripted import ScriptedFactory

def run(saver):
    graph = build("beam").compile(checkpointer=saver, interrupt_before=["select"])
    config = {"configurable": {"thread_id": "t"}}
    out = graph.invoke({"task": a_task(ScriptedFactory())}, config)
    while graph.get_state(config).next:
        out = graph.invoke(None, config)
    return comparable(out)

found = [run(InMemorySaver())]
with SqliteSaver.from_conn_string(":memory:") as saver:
    found.append(run(saver))
print(json.dumps(found))
"""


@pytest.mark.parametrize("strict", ["true", "false"])
def test_checkpoints_need_no_pickled_class(strict):
    done = subprocess.run(
        [sys.executable, "-c", _STRICT],
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": strict},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    plain = comparable(build("beam").compile().invoke({"task": a_task(game()[2])}))
    assert json.loads(done.stdout) == [json.loads(json.dumps(plain))] * 2
