"""What a search step costs a LangGraph graph where models answer at once."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send
from typing_extensions import TypedDict

from langchain_agentrm import (
    AgentRMSelector,
    BeamState,
    FunctionRewardModel,
    StepInput,
    Trajectory,
)
from langchain_agentrm.state import observe
from langchain_agentrm.types import Batch, Candidate, ProposalRequest

WIDTH = 5
STEPS = 10


class _Instant:
    """A proposer that answers at once, so that only the search is measured."""

    def propose(self, requests: Sequence[ProposalRequest]) -> Batch[list[Candidate]]:
        """Answer every request with as many short texts as it asks for."""
        items = []
        for request in requests:
            rng = random.Random(request.seed)
            items.append(
                [
                    Candidate(AIMessage(f"go {rng.random()}"), request.parent)
                    for _ in range(request.n)
                ]
            )
        return Batch(items)

    async def apropose(
        self, requests: Sequence[ProposalRequest]
    ) -> Batch[list[Candidate]]:
        """Async twin of `propose`."""
        return self.propose(requests)


def _scores(trajectories: Sequence[Trajectory]) -> list[float]:
    return [float(t.turns[-1].action.split()[-1]) for t in trajectories]


def _search() -> StateGraph[Any, Any, Any, Any]:
    def step(state: StepInput) -> dict[str, Any]:
        return observe(state["step"], "seen")

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(BeamState)
    selector = AgentRMSelector(
        _Instant(),
        FunctionRewardModel(_scores),
        beam_width=WIDTH,
        expansions=WIDTH,
        max_steps=STEPS,
        next_node="step",
    )
    selector.add_to(builder, "select")
    builder.add_node("step", step, input_schema=StepInput)
    builder.add_edge(START, "select")
    builder.add_edge("step", "select")
    return builder


class _Round(TypedDict):
    n: int
    seen: Annotated[list[int], operator.or_]


class _Branch(TypedDict):
    branch: int


def _empty() -> StateGraph[Any, Any, Any, Any]:
    def select(state: _Round) -> Command[Any]:
        if state["n"] == STEPS:
            return Command(goto=END)
        sends = [Send("step", {"branch": i}) for i in range(WIDTH)]
        return Command(update={"n": state["n"] + 1}, goto=sends)

    def step(state: _Branch) -> dict[str, Any]:
        del state
        return {}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(_Round)
    builder.add_node("select", select)
    builder.add_node("step", step, input_schema=_Branch)
    builder.add_edge(START, "select")
    builder.add_edge("step", "select")
    return builder


def graph_run(*, sqlite: bool) -> dict[str, Callable[[str], object]]:
    """Make the subjects: a whole run of ten steps, of the search and of empty nodes."""

    def runner(
        builder: StateGraph[Any, Any, Any, Any], state: dict[str, Any]
    ) -> Callable[[str], object]:
        folder = TemporaryDirectory(prefix="agentrm-bench-")
        runs = 0

        def run(tag: str) -> object:
            nonlocal runs
            runs += 1
            file = str(Path(folder.name) / f"{runs}.sqlite")
            saver: AbstractContextManager[Any] = (
                SqliteSaver.from_conn_string(file) if sqlite else nullcontext()
            )
            config: Any = {"configurable": {"thread_id": tag}, "recursion_limit": 1000}
            options: dict[str, Any] = {"durability": "sync"} if sqlite else {}
            with saver as checkpointer:
                graph = builder.compile(checkpointer=checkpointer)
                out = graph.invoke(state, config, **options)
            steps = out["n"] if "n" in out else out["result"]["steps"]
            if steps != STEPS:
                msg = f"{steps} steps were taken where {STEPS} are to be measured"
                raise RuntimeError(msg)
            return out

        return run

    question: dict[str, Any] = {"messages": [HumanMessage("question")]}
    return {
        "LangGraph, empty": runner(_empty(), {"n": 0}),
        "AgentRM": runner(_search(), question),
    }
