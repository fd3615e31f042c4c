"""What LangGraph's users expect of a node: retries, drain, approval, forks, traces."""

from __future__ import annotations

import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tracers import BaseTracer, LangChainTracer
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, RetryPolicy, TracePolicy, interrupt, omit_payload
from langsmith import Client
from typing_extensions import TypedDict

from langchain_agentrm import AgentRMSelector, BeamState, StepInput
from langchain_agentrm.errors import EnvironmentFailedError, PolicyError, is_retryable
from langchain_agentrm.state import observe
from langchain_agentrm.testing.scripted import (
    ScriptedEnvironment,
    ScriptedFactory,
    ScriptedPolicy,
    ScriptedRewardModel,
)
from tests.search.doubles import a_task, closeness, game
from tests.test_graphs import build, comparable
from tests.test_selector import ask, by_text, explorer

CONFIG = {"configurable": {"thread_id": "t"}}


def task(**options):
    return {"task": a_task(ScriptedFactory(), type_="count_far", **options)}


# Retries: one predicate, and the model client has none of its own here.


def over_http(server):
    policy = ChatOpenAI(
        model="fake", base_url=server.url, api_key="x", max_retries=0, timeout=10
    )
    builder = StateGraph(MessagesState)
    selector = AgentRMSelector(policy, ScriptedRewardModel(by_text), expansions=2)
    quick = RetryPolicy(max_attempts=2, initial_interval=0.01, retry_on=is_retryable)
    selector.add_to(builder, "model", retry_policy=quick)
    builder.add_edge(START, "model")
    return builder.compile()


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refused_request_is_not_repeated(openai_server, status):
    openai_server.script.fail = [status] * 9
    with pytest.raises(PolicyError, match=str(status)):
        over_http(openai_server).invoke(ask())
    assert len(openai_server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_request_that_may_work_later_is_repeated_as_the_policy_says(
    openai_server, status
):
    openai_server.script.fail = [status]
    out = over_http(openai_server).invoke(ask())
    assert out["messages"][-1].text.startswith("answer")
    assert len(openai_server.requests) == 2
    openai_server.requests.clear()
    openai_server.script.fail = [status] * 9
    with pytest.raises(PolicyError, match=str(status)):
        over_http(openai_server).invoke(ask())
    assert len(openai_server.requests) == 2


def test_both_nodes_of_a_search_carry_the_predicate():
    for name in ("select", "step"):
        spec = build("beam").nodes[name]
        assert spec.retry_policy.retry_on is is_retryable
        assert spec.retry_policy.max_attempts == 2


class Shaky(ScriptedEnvironment):
    """Loses its engine once, in the second step."""

    lost = False

    def _step(self, action):
        if self.actions_taken and not self._replaying and not Shaky.lost:
            Shaky.lost = True
            raise EnvironmentFailedError("The engine went away.", retryable=True)
        return super()._step(action)


class ShakyFactory(ScriptedFactory):
    def make(self):
        return Shaky(self._shared)


@pytest.mark.parametrize("fork", ["copy", "replay"])
def test_a_step_that_failed_is_taken_again_from_its_parents_state(fork):
    whole = build("beam").compile().invoke(task())
    Shaky.lost = False
    factory = ShakyFactory(fork=fork)
    out = build("beam", factory=factory).compile().invoke(task())
    assert Shaky.lost
    assert comparable(out) == comparable(whole)
    ran = [(*s.before, s.action) for s in factory.log if not s.replayed]
    assert len(set(ran)) == len(ran)


# Drain: what a server's SIGTERM handler calls.


async def run(graph, control, mode):
    if mode == "sync":
        return graph.invoke(task(), CONFIG, control=control)
    return await graph.ainvoke(task(), CONFIG, control=control)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_drained_search_goes_on_where_it_stopped(mode):
    whole = build("beam").compile().invoke(task())
    control = RunControl()
    policy, _, factory = game()
    before = signal.signal(signal.SIGTERM, lambda *_: control.request_drain("SIGTERM"))

    def rate(trajectory):
        if len(trajectory.turns) == 2 and not control.drain_requested:
            os.kill(os.getpid(), signal.SIGTERM)
        return closeness(trajectory)

    builder = build("beam", policy, ScriptedRewardModel(rate), factory)
    graph = builder.compile(checkpointer=InMemorySaver())
    try:
        with pytest.raises(GraphDrained, match="SIGTERM"):
            await run(graph, control, mode)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert control.drain_requested
    assert graph.get_state(CONFIG).next
    asked = policy.calls
    resumed = graph.invoke(None, CONFIG)
    assert comparable(resumed) == comparable(whole)
    alone = game()[0]
    build("beam", alone).compile().invoke(task())
    # Nothing was sampled twice.
    assert 0 < asked < policy.calls == alone.calls


# Approval: the interrupt stands after the selector, so that nothing is sampled again.


def approved(policy, *, checkpointer, steps=3):
    ran = []

    def act(state: StepInput):
        payload = state["step"]
        if not interrupt({"action": payload["node"]["action"]}):
            return observe(payload, "refused by the user", done=True)
        ran.append(payload["node"]["action"])
        depth = payload["node"]["depth"]
        return observe(payload, f"done {depth}", done=depth == steps, success=True)

    builder = StateGraph(BeamState)
    AgentRMSelector(
        policy,
        ScriptedRewardModel(by_text),
        beam_width=2,
        expansions=4,
        next_node="act",
    ).add_to(builder)
    builder.add_node("act", act, input_schema=StepInput)
    builder.add_edge(START, "select")
    builder.add_edge("act", "select")
    return builder.compile(checkpointer=checkpointer), ran


def letters(messages, rng):
    return rng.choice("abcdefgh")


def test_two_approvals_a_round_are_answered_at_once_and_sample_nothing_again():
    policy = ScriptedPolicy(answers=letters, n=1)
    graph, ran = approved(policy, checkpointer=InMemorySaver())
    out = graph.invoke(ask(), CONFIG, version="v2")
    rounds = []
    while out.interrupts:
        assert len({i.id for i in out.interrupts}) == len(out.interrupts)
        asked = policy.calls
        rounds.append(len(out.interrupts))
        yes = {i.id: True for i in out.interrupts}
        out = graph.invoke(Command(resume=yes), CONFIG, version="v2")
        if out.interrupts:
            assert policy.calls == asked + rounds[-1]
    assert rounds == [2, 2, 2]
    # One request at the root, one for each of two beams in two more rounds.
    assert policy.calls == 1 + 2 + 2
    assert out.value["result"]["success"]
    assert len(ran) == 6


def test_one_approval_at_a_time_leaves_the_other_waiting():
    policy = ScriptedPolicy(answers=letters, n=1)
    graph, ran = approved(policy, checkpointer=InMemorySaver(), steps=1)
    out = graph.invoke(ask(), CONFIG, version="v2")
    one, other = out.interrupts
    out = graph.invoke(Command(resume={one.id: True}), CONFIG, version="v2")
    assert [i.id for i in out.interrupts] == [other.id]
    assert ran == [one.value["action"]]
    out = graph.invoke(Command(resume={other.id: False}), CONFIG, version="v2")
    assert out.interrupts == ()
    assert ran == [one.value["action"]]
    assert policy.calls == 1
    assert out.value["result"]["ended"] == "finished"


# Time travel.


def history(graph, config=CONFIG):
    return list(graph.get_state_history(config))


def before_select(graph, step):
    """The checkpoint from which the selection of a step is made."""
    (found,) = [
        s
        for s in history(graph)
        if s.next == ("select",) and s.values["search"]["step"] == step
    ]
    return found


def test_a_search_goes_again_from_any_of_its_checkpoints():
    graph = build("beam").compile(checkpointer=InMemorySaver())
    whole = graph.invoke(task(), CONFIG)
    spots = [s for s in history(graph) if s.next]
    assert len(spots) > 6
    for spot in spots:
        again = graph.invoke(None, spot.config)
        assert comparable(again) == comparable(whole), spot.metadata


def test_a_fork_takes_the_path_that_it_was_given():
    graph = build("beam").compile(checkpointer=InMemorySaver())
    whole = graph.invoke(task(), CONFIG)
    old = before_select(graph, 1)
    beams = old.values["beams"]
    loser = next(b for b in beams if b not in _path(graph, whole))
    config = graph.update_state(old.config, {"beams": [loser]}, as_node="step")
    forked = graph.invoke(None, config)
    first = old.values["nodes"][loser]["action"]
    assert forked["result"]["actions"][0] == first
    assert forked["result"]["node"] != whole["result"]["node"]
    # The old line of history is still there and still gives what it gave.
    assert comparable(graph.invoke(None, old.config)) == comparable(whole)


def _path(graph, out):
    nodes = {}
    for snapshot in history(graph):
        nodes |= snapshot.values.get("nodes") or {}
    path, at = [], out["result"]["node"]
    while at in nodes:
        path.append(at)
        at = nodes[at]["parent"]
    return path


def test_a_fork_may_correct_an_observation():
    graph = build("beam").compile(checkpointer=InMemorySaver())
    graph.invoke(task(), CONFIG)
    old = before_select(graph, 1)
    beam = old.values["beams"][0]
    node = {**old.values["nodes"][beam], "observation": "The number is 99."}
    config = graph.update_state(old.config, {"nodes": {beam: node}}, as_node="step")
    now = graph.get_state(config).values["nodes"]
    assert now[beam]["observation"] == "The number is 99."
    assert set(now) == set(old.values["nodes"])


# Sub-graphs.


def test_a_search_inside_a_graph_keeps_its_beams_to_itself():
    class Outer(MessagesState):
        task: dict
        result: dict

    builder = StateGraph(Outer)
    builder.add_node("search", build("beam").compile())
    builder.add_edge(START, "search")
    graph = builder.compile(checkpointer=InMemorySaver())
    whole = build("beam").compile().invoke(task())
    for _ in range(2):
        out = graph.invoke(task(), CONFIG)
        assert set(out) == {"messages", "task", "result"}
        assert comparable(out)[0] == comparable(whole)[0]


# Traces.


class Runs(BaseTracer):
    """Keeps every run, as a tracing service would."""

    def __init__(self):
        super().__init__()
        self.runs = []

    def _persist_run(self, run):
        todo = [run]
        while todo:
            one = todo.pop()
            self.runs.append(one)
            todo += one.child_runs

    def named(self, name):
        return [r for r in self.runs if r.name == name]


def traced(*, select=None):
    runs = Runs()
    policy = ScriptedPolicy(answers=explorer(1))
    builder = StateGraph(MessagesState)
    selector = AgentRMSelector(
        policy, ScriptedRewardModel(by_text), expansions=2, **(select or {})
    )
    selector.add_to(builder, "model")
    builder.add_edge(START, "model")
    builder.compile(name="my-agent").invoke(
        {"messages": [HumanMessage("SECRET-PLAN", id="h")]},
        {"callbacks": [runs], "tags": ["exp1"], "metadata": {"role": "mine"}},
    )
    return runs


def test_runs_are_named_tagged_and_nested():
    runs = traced()
    (graph,), (node,) = runs.named("my-agent"), runs.named("model")
    (own,), (sample,) = runs.named("AgentRMSelector"), runs.named("agentrm.sample")
    assert [r.parent_run_id for r in (node, own, sample)] == [
        graph.id,
        node.id,
        own.id,
    ]
    assert sample.run_type == "llm"
    assert "nostream" in sample.tags
    assert "exp1" in sample.tags
    assert len(sample.outputs["generations"][0]) == 2


def test_our_metadata_has_a_name_space_of_its_own():
    (node,) = traced().named("model")
    metadata = node.extra["metadata"]
    assert metadata["agentrm_role"] == "select"
    # A node's metadata wins over the run's: a plain name would hide the user's.
    assert metadata["role"] == "mine"


HIDDEN = TracePolicy(process_inputs=omit_payload, process_outputs=omit_payload)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_trace_policy_keeps_trajectories_out_of_the_searchs_runs(mode):
    def shown(run):
        return str(run.inputs) + str(run.outputs)

    async def trace(**options):
        runs = Runs()
        graph = build("beam", **options).compile(name="search")
        config = {"callbacks": [runs]}
        if mode == "sync":
            out = graph.invoke(task(), config)
        else:
            out = await graph.ainvoke(task(), config)
        return runs, out

    plain, whole = await trace()
    hidden, out = await trace(trace_policy=HIDDEN)
    # The search itself is none the wiser.
    assert comparable(out) == comparable(whole)
    for name in ("start", "select", "step", "AgentRMSelector"):
        assert any("The number is" in shown(run) for run in plain.named(name))
        assert len(hidden.named(name)) == len(plain.named(name))
        assert not any("The number is" in shown(run) for run in hidden.named(name))
    # Not the graph's own run and not the model's prompts: the client hides those.
    assert "The number is" in shown(hidden.named("search")[0])
    assert "The number is" in shown(hidden.named("agentrm.sample")[0])


def test_a_plain_node_takes_the_policy_too():
    shown, hidden = traced(), traced(select={"trace_policy": HIDDEN})
    for name in ("model", "AgentRMSelector"):
        assert "SECRET-PLAN" in str(shown.named(name)[0].inputs)
        assert "SECRET-PLAN" not in str(hidden.named(name)[0].inputs)
        assert hidden.named(name)[0].outputs != shown.named(name)[0].outputs


class Collector:
    """Stands in for LangSmith: an HTTP server that keeps what is sent to it."""

    def __init__(self):
        sent = self.sent = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                size = int(self.headers["content-length"])
                sent.append(json.loads(self.rfile.read(size)))
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_PATCH(self):
                self.do_POST()

            def log_message(self, *args):
                """Stay silent."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.mark.parametrize("hide", [False, True])
def test_langsmith_gets_names_tags_and_metadata_and_no_texts_if_so_asked(hide):
    service = Collector()
    client = Client(
        api_url=service.url,
        api_key="x",
        auto_batch_tracing=False,
        hide_inputs=hide,
        hide_outputs=hide,
        info={},
    )
    try:
        build("beam").compile(name="search").invoke(
            task(),
            {
                "callbacks": [LangChainTracer(client=client)],
                "tags": ["exp1"],
                "metadata": {"team": "mine"},
            },
        )
    finally:
        service.http.shutdown()
        service.http.server_close()
    begun = [run for run in service.sent if "name" in run and "run_type" in run]
    assert {
        "search",
        "start",
        "select",
        "step",
        "AgentRMSelector",
        "agentrm.sample",
    } <= {run["name"] for run in begun}
    for run in begun:
        assert "exp1" in run["tags"]
        assert run["extra"]["metadata"]["team"] == "mine"
    roles = [
        run["extra"]["metadata"].get("agentrm_role")
        for run in begun
        if run["name"] == "select"
    ]
    assert set(roles) == {"select"}
    assert ("The number is" in json.dumps(service.sent)) is not hide


# JSON at the door.


def test_messages_that_arrive_as_dicts_in_a_plain_channel_are_read():
    class Loose(TypedDict):
        messages: list[dict]

    policy = ScriptedPolicy(answers=["a", "b"])
    builder = StateGraph(Loose)
    AgentRMSelector(policy, ScriptedRewardModel({"a": 0.1, "b": 0.9})).add_to(builder)
    builder.add_edge(START, "select")
    sent = json.loads(
        json.dumps(
            [
                {"role": "system", "content": "Be brief."},
                {"type": "human", "content": "Find it."},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"name": "look", "args": {}, "id": "1"}],
                },
                {"role": "tool", "content": "nothing", "tool_call_id": "1"},
            ]
        )
    )
    out = builder.compile().invoke({"messages": sent})["messages"]
    assert out[-1].text == "b"
    asked = policy.requests[0]["messages"]
    assert [m.type for m in asked] == ["system", "human", "ai", "tool"]
    assert asked[2].tool_calls[0]["name"] == "look"
