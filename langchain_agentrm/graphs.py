"""Ready graphs over an environment: beam search and best-of-N over a task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.constants import START
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import RetryPolicy

from langchain_agentrm._session import emit, open_search, search_id
from langchain_agentrm.environments.base import EnvironmentFactory, digest
from langchain_agentrm.environments.pool import BranchPool
from langchain_agentrm.environments.tools import (
    as_tools,
    check_tools,
    irreversible,
    observation_of,
)
from langchain_agentrm.errors import ConfigurationError, is_retryable
from langchain_agentrm.rollouts import RolloutSelector
from langchain_agentrm.search import root_id
from langchain_agentrm.selector import AgentRMSelector
from langchain_agentrm.state import (
    BeamState,
    Node,
    SearchInput,
    SearchOutput,
    StepInput,
    StepPayload,
    node_messages,
    observe,
)
from langchain_agentrm.types import TaskRef

if TYPE_CHECKING:
    from langgraph.prebuilt import ToolNode
    from langgraph.types import TracePolicy

    from langchain_agentrm.budgets import Budget
    from langchain_agentrm.reward_models.base import RewardModel
    from langchain_agentrm.sampling.base import Proposer

__all__ = ["create_beam_search", "create_best_of_n", "create_tool_search"]

Graph = StateGraph[Any, Any, Any, Any]


def create_beam_search(
    policy: Runnable[Any, Any] | Proposer,
    reward_model: RewardModel,
    environment: EnvironmentFactory | str,
    *,
    beam_width: int = 5,
    expansions: int = 2,
    max_steps: int = 100,
    **options: Any,
) -> Graph:
    """Make a graph that solves a task by step-level beam search.

    Candidates are scored before any runs; each kept beam acts in a branch of its own.
    Source: AgentRM (ACL 2025), beam search at test time.

    Args:
        policy: A chat model or proposer.
        reward_model: What scores candidates.
        environment: The environment's factory, or its registry name.
        beam_width: W1.
        expansions: W2.
        max_steps: Actions at most; the environment's own limit holds too.
        **options: Further options of `AgentRMSelector`.

    Returns:
        An uncompiled graph: input `{"task": TaskRef}`, output `messages` and `result`.

    Raises:
        ConfigurationError: If the environment cannot be branched as this needs.

    Example:
        ```python no-run: needs an environment and models
        graph = create_beam_search(policy, reward_model, "babyai").compile()
        graph.invoke({"task": task})["result"]["success"]
        ```
    """
    pool = BranchPool(_factory(environment))
    pool.check_width(beam_width)
    selector = AgentRMSelector(
        policy,
        reward_model,
        beam_width=beam_width,
        expansions=expansions,
        max_steps=max_steps,
        next_node="step",
        pool=pool,
        **options,
    )
    builder = _skeleton(pool, selector.trace_policy)
    selector.add_to(builder, "select")
    builder.add_edge("start", "select")
    builder.add_edge("step", "select")
    return builder


def create_best_of_n(
    policy: Runnable[Any, Any] | Proposer,
    reward_model: RewardModel,
    environment: EnvironmentFactory | str,
    *,
    n: int = 5,
    max_steps: int = 100,
    temperature: float | None = 0.7,
    include_greedy: bool = False,
    seed: int = 0,
    budget: Budget | None = None,
    trace_policy: TracePolicy | None = None,
) -> Graph:
    """Make a graph that runs N whole trajectories in lockstep and returns the best.

    The reward model reads each trajectory up to its last action; the highest wins.
    Source: AgentRM (ACL 2025), best-of-N (N = 5 in its tables).

    Args:
        policy: A chat model or proposer.
        reward_model: What scores trajectories.
        environment: The environment's factory, or its registry name.
        n: Number of trajectories.
        max_steps: Actions at most; the environment's own limit holds too.
        temperature: Sampling temperature; None leaves the policy's own.
        include_greedy: Let the first trajectory be the policy's greedy one.
        seed: Run seed.
        budget: Limits, checked before each step.
        trace_policy: What the graph's runs record in place of the whole state.

    Returns:
        An uncompiled graph: input `{"task": TaskRef}`, output `messages` and `result`.

    Raises:
        ConfigurationError: If the environment cannot be branched N times.
    """
    if n < 1:
        msg = f"n={n!r} is not a positive number of trajectories."
        raise ConfigurationError(msg, remedy="Give n of at least 1.")
    pool = BranchPool(_factory(environment))
    pool.check_width(n)
    rollouts = RolloutSelector(
        policy,
        reward_model,
        beam_width=n,
        expansions=1,
        max_steps=max_steps,
        next_node="step",
        pool=pool,
        seed=seed,
        temperature=temperature,
        include_greedy=include_greedy,
        budget=budget,
        trace_policy=trace_policy,
        name="BestOfN",
    )
    builder = _skeleton(pool, trace_policy)
    rollouts.add_to(builder, "sample")
    builder.add_edge("start", "sample")
    builder.add_edge("step", "sample")
    return builder


def create_tool_search(
    policy: Runnable[Any, Any] | Proposer,
    reward_model: RewardModel,
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    reversible: Collection[str] = (),
    beam_width: int = 1,
    expansions: int = 5,
    max_steps: int = 30,
    **options: Any,
) -> Graph:
    """Make an agent that searches over tool calls in a conversation.

    A tool marked as reversible may run in several branches; any other runs only for
    the single chosen action. An answer without tool calls ends its beam.

    Args:
        policy: A chat model, to which the tools are bound, or a runnable or proposer
            that knows them.
        reward_model: What scores candidates.
        tools: The tools, or plain functions, as `create_agent` takes them.
        reversible: Names of tools that may be branched, besides those whose
            `metadata` says `{"reversible": True}`.
        beam_width: W1.
        expansions: W2.
        max_steps: Actions at most.
        **options: Further options of `AgentRMSelector`.

    Returns:
        An uncompiled graph: input `messages`, output `messages` and `result`.

    Raises:
        ConfigurationError: If more than one branch would run a tool that is not marked.

    Example:
        ```python no-run: chat_model and reward_model are yours
        look = tool(look, ...)  # with metadata={"reversible": True}
        graph = create_tool_search(chat_model, reward_model, [look], beam_width=3)
        graph.compile().invoke({"messages": [("user", "Where are my keys?")]})
        ```
    """
    from langchain_core.language_models import BaseChatModel
    from langgraph.prebuilt import ToolNode

    search = options.get("search")
    goes_back = search is not None and search.revisits > 0
    made = as_tools(tools)
    check_tools(made, branches=beam_width + goes_back, reversible=reversible)
    if isinstance(policy, BaseChatModel):
        policy = policy.bind_tools(made)
    options.setdefault("tools", [convert_to_openai_tool(t) for t in made])
    selector = AgentRMSelector(
        policy,
        reward_model,
        beam_width=beam_width,
        expansions=expansions,
        max_steps=max_steps,
        next_node="tools",
        **options,
    )
    builder: Graph = StateGraph(
        BeamState, input_schema=MessagesState, output_schema=SearchOutput
    )
    runner = ToolNode(made)
    # A call that failed half-way may have had its effect: only harmless ones repeat.
    attempts = 1 if irreversible(made, reversible) else 2
    builder.add_node(
        "tools",
        RunnableLambda(partial(_run_tools, runner), partial(_arun_tools, runner)),
        input_schema=StepInput,
        retry_policy=RetryPolicy(max_attempts=attempts, retry_on=is_retryable),
    )
    selector.add_to(builder, "select")
    builder.add_edge(START, "select")
    builder.add_edge("tools", "select")
    return builder


def _run_tools(
    runner: ToolNode, state: StepInput, config: RunnableConfig
) -> dict[str, dict[str, Node]]:
    """Run one kept action's calls."""
    calls = _asked(state)
    answers = runner.invoke(calls, config) if calls else None
    return _answered(state, answers)


async def _arun_tools(
    runner: ToolNode, state: StepInput, config: RunnableConfig
) -> dict[str, dict[str, Node]]:
    calls = _asked(state)
    answers = await runner.ainvoke(calls, config) if calls else None
    return _answered(state, answers)


def _asked(state: StepInput) -> dict[str, Any] | None:
    node = state["step"]["node"]
    message = node_messages(node, answered=False)[0]
    return {"messages": [message]} if node["tool_calls"] else None


def _answered(
    state: StepInput, answers: Mapping[str, Any] | list[Any] | None
) -> dict[str, dict[str, Node]]:
    payload = state["step"]
    if answers is None:
        said = payload["node"]["action"] is not None
        update = observe(payload, "", done=said)
        if not said:
            update["nodes"][payload["node"]["id"]]["status"] = "invalid"
    elif isinstance(answers, Mapping):
        update = observe(payload, observation_of(answers["messages"]))
    else:
        names = ", ".join(c["name"] for c in payload["node"]["tool_calls"])
        msg = f"A tool among {names} returned a Command, which a branch cannot follow."
        raise ConfigurationError(
            msg, remedy="Let the tool return what the agent should read."
        )
    _tell(payload, update)
    return update


def _factory(environment: EnvironmentFactory | str) -> EnvironmentFactory:
    if isinstance(environment, str):
        from langchain_agentrm.environments import registry

        return registry.get(environment)
    return environment


def _skeleton(pool: BranchPool, traced: TracePolicy | None = None) -> Graph:
    builder: Graph = StateGraph(
        BeamState, input_schema=SearchInput, output_schema=SearchOutput
    )
    # LangGraph learnt of it after 1.2.0: it is passed only where it is used.
    options: dict[str, Any] = {} if traced is None else {"trace_policy": traced}
    builder.add_node("start", partial(_start, pool), input_schema=BeamState, **options)
    builder.add_node(
        "step",
        partial(_step, pool),
        input_schema=StepInput,
        retry_policy=RetryPolicy(max_attempts=2, retry_on=is_retryable),
        **options,
    )
    builder.add_edge(START, "start")
    return builder


def _start(
    pool: BranchPool, state: Mapping[str, Any], config: RunnableConfig
) -> dict[str, Any]:
    """Reset the task; whatever an earlier search left on the thread is cleared."""
    task: TaskRef = state["task"]
    root = root_id(task["env"], task["type"], task["id"], str(task["seed"]))
    ident = search_id(config, root)
    start = pool.start(ident, root, task)
    info = open_search(
        config,
        root,
        task,
        start.goal,
        start.instruction,
        start.observation,
        digest=digest(pool.grammar.normalise(start.observation)),
        step_limit=start.step_limit,
        examples=start.examples,
        tools=start.tools,
        ident=ident,
    )
    return {
        "search": info,
        "nodes": dict.fromkeys(state.get("nodes") or {}),
        "beams": [root],
    }


def _step(pool: BranchPool, state: StepInput) -> dict[str, dict[str, Node]]:
    """Run one kept action in its own branch."""
    payload = state["step"]
    node = payload["node"]
    action = node["action"]
    if payload["task"] is None:
        msg = f"Search {payload['search']} has no task."
        raise ConfigurationError(msg, remedy="Give the graph a task as its input.")
    answer = pool.step(
        payload["search"],
        node["parent"],
        node["id"],
        payload["task"],
        payload["actions"],
        payload["digests"],
        AIMessage(node["content"]) if action is None else action,
    )
    if answer is None:
        update = observe(payload, "")
        update["nodes"][node["id"]]["status"] = "invalid"
    else:
        update = observe(
            payload,
            answer.observation,
            done=answer.done,
            success=answer.success,
            score=answer.score,
            progress=answer.progress,
            digest=digest(pool.grammar.normalise(answer.observation)),
        )
    _tell(payload, update)
    return update


def _tell(payload: StepPayload, update: Mapping[str, Mapping[str, Node]]) -> None:
    done = update["nodes"][payload["node"]["id"]]
    emit(
        {
            "event": "agentrm.transition",
            "search": payload["search"],
            "node": done["id"],
            "parent": done["parent"],
            "observation": done["observation"],
            "done": done["status"] != "open",
            "success": done["success"],
            "progress": done["progress"],
        }
    )
