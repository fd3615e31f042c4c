"""AgentRMSelector: sample, score, keep, go on, as one LangGraph node."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import END
from langgraph.types import Command, RetryPolicy, Send

from langchain_agentrm._endings import best_beam, ending
from langchain_agentrm._nodes import (
    child_node,
    count,
    finished_entry,
    rejected_node,
    shelf_of,
    spent_before,
    step_event,
    step_payload,
    trajectory_of,
    way_to,
    winner_message,
)
from langchain_agentrm._session import emit, open_search
from langchain_agentrm._traced import Recorded
from langchain_agentrm.engine import Models, as_proposer, drive, drive_async
from langchain_agentrm.errors import (
    ConfigurationError,
    NoCandidateError,
    is_retryable,
)
from langchain_agentrm.reward_models.base import reads_admissible
from langchain_agentrm.search import (
    Evaluate,
    Finished,
    OpenState,
    Propose,
    RoundSettings,
    SearchOptions,
    Selection,
    Shelf,
    ToolCallGrammar,
    root_id,
    select,
    why_ended,
)
from langchain_agentrm.state import (
    BeamState,
    Node,
    SearchInfo,
    Totals,
    open_state,
    path_to,
)
from langchain_agentrm.trajectory import (
    Trajectory,
    conversation_prefix,
    describe,
    offered_tools,
)

if TYPE_CHECKING:
    from langgraph.graph import StateGraph
    from langgraph.types import TracePolicy

    from langchain_agentrm.budgets import Budget
    from langchain_agentrm.environments.pool import BranchPool
    from langchain_agentrm.reward_models.base import RewardModel
    from langchain_agentrm.sampling.base import Proposer
    from langchain_agentrm.search.beam import FinishedMode
    from langchain_agentrm.search.merge import ActionGrammar
    from langchain_agentrm.search.rounds import RewardErrorPolicy

__all__ = ["AgentRMSelector"]

Effects = Generator[Propose | Evaluate, Any, Any]


class AgentRMSelector(Runnable[Any, Any]):
    """Choose actions by reward: a node for your graph, sync and async.

    Without `next_node` it is a drop-in for the model node of a `MessagesState` graph:
    it draws `expansions` candidates, scores them before any tool runs, and appends the
    chosen AI message, tool calls and all. With `next_node` it runs a beam search: it
    routes every kept beam to that node with `Send` (payload `StepInput`), joins what
    comes back, and ends at `end_node` with the winner in `messages` and `result`.

    Args:
        policy: A chat model, a runnable that returns an AI message, or a `Proposer`.
        reward_model: What scores candidates.
        beam_width: W1, beams kept. More than 1 needs `next_node`.
        expansions: W2, candidates drawn for each beam.
        max_steps: Actions after which the search ends, exactly.
        next_node: Node that runs a beam's action; None for a plain node.
        end_node: Where a finished search goes.
        pool: The environments' branches, told which are still needed.
        grammar: Reads actions out of messages; by default tool calls, else text.
        finished: Whether finished beams compete for slots or stand `"aside"`.
        on_reward_error: `"policy_order"`: where nothing can be scored the policy's own
            order decides, marked in events and result; `"raise"`: an error.
        seed: Run seed; same seed, proposals and scores give the same tree.
        temperature: Overrides the policy's own where that is possible.
        include_greedy: Let the policy's greedy action be one of the draws.
        margin: How much better than the greedy action another must be scored.
        budget: Limits, checked before each step.
        search: What goes beyond the paper: early stop, adaptive draws, diverse beams,
            revisits, the policy's opinion; all off by default.
        max_concurrency: Policy requests in flight at once.
        name: Run name in traces.
        trace_policy: What the selector's runs record in place of the whole state.
        tools: Tools offered, as JSON schemas, for reward models that check calls; None
            reads those that are bound to the policy. A search over an environment
            offers the environment's own.

    Raises:
        ConfigurationError: If the options cannot work together.

    Example:
        ```python no-run: builder, chat_model and reward_model are yours
        selector = AgentRMSelector(chat_model, reward_model, expansions=5)
        selector.add_to(builder, "model")
        builder.add_conditional_edges("model", tools_condition)
        ```
    """

    def __init__(
        self,
        policy: Runnable[Any, Any] | Proposer,
        reward_model: RewardModel,
        *,
        beam_width: int = 1,
        expansions: int = 5,
        max_steps: int = 30,
        next_node: str | None = None,
        end_node: str = END,
        pool: BranchPool | None = None,
        grammar: ActionGrammar | None = None,
        finished: FinishedMode = "compete",
        on_reward_error: RewardErrorPolicy = "policy_order",
        seed: int = 0,
        temperature: float | None = None,
        include_greedy: bool = False,
        margin: float = 0.0,
        budget: Budget | None = None,
        search: SearchOptions | None = None,
        max_concurrency: int = 16,
        name: str = "AgentRMSelector",
        trace_policy: TracePolicy | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Check the options and hold the models; nothing is called."""
        for option, value in (
            ("beam_width", beam_width),
            ("expansions", expansions),
            ("max_steps", max_steps),
        ):
            if value < 1:
                msg = f"{option}={value!r} is not a positive number."
                raise ConfigurationError(msg, remedy=f"Give {option} of at least 1.")
        if next_node is None and beam_width > 1:
            msg = f"beam_width={beam_width} keeps several beams, but next_node is None."
            raise ConfigurationError(
                msg,
                remedy="A plain node follows one path: use beam_width=1, or name the "
                "node that runs a beam's action with next_node=.",
            )
        if margin and not (include_greedy and beam_width == 1):
            msg = f"margin={margin} compares with the greedy action of one path."
            raise ConfigurationError(
                msg, remedy="Set include_greedy=True and beam_width=1."
            )
        search = search or SearchOptions()
        search.check(beam_width=beam_width, comparable=reward_model.comparable)
        if search.revisits and pool is not None:
            # Going back leaves a second branch of a state that has moved on.
            pool.check_width(beam_width + 1)
        self.models = Models(
            as_proposer(policy, max_concurrency=max_concurrency), reward_model
        )
        self.settings = RoundSettings(
            beam_width=beam_width,
            expansions=expansions,
            finished=finished,
            on_reward_error=on_reward_error,
            seed=seed,
            temperature=temperature,
            include_greedy=include_greedy,
            margin=margin,
            search=search,
        )
        self.max_steps = max_steps
        self.next_node = next_node
        self.end_node = end_node
        self.pool = pool
        self._grammar = grammar
        self.budget = budget
        self.name = name
        self.trace_policy = trace_policy
        self.tools = tuple(offered_tools(policy) if tools is None else tools)

    # As a node.

    def add_to(
        self,
        builder: StateGraph[Any, Any, Any, Any],
        name: str = "select",
        **node_options: Any,
    ) -> StateGraph[Any, Any, Any, Any]:
        """Add this selector to a graph, with the schema and routes it needs.

        LangGraph drops keys that are no channels without a word, and it cannot read a
        runnable's schema; so use this instead of `add_node`.

        Args:
            builder: The graph under construction.
            name: Node name.
            **node_options: Passed to `add_node`.

        Returns:
            The builder.

        Raises:
            ConfigurationError: If the node would also be left by a static edge.
        """
        node_options.setdefault("metadata", {"agentrm_role": "select"})
        node_options.setdefault(
            "retry_policy", RetryPolicy(max_attempts=2, retry_on=is_retryable)
        )
        if self.trace_policy is not None:
            node_options.setdefault("trace_policy", self.trace_policy)
        if self.next_node is not None:
            if any(edge[0] == name for edge in builder.edges):
                msg = f"Node {name!r} routes by itself, but an edge leaves it too."
                raise ConfigurationError(
                    msg, remedy=f"Remove add_edge({name!r}, ...): both would run."
                )
            node_options.setdefault("input_schema", BeamState)
            node_options.setdefault("destinations", (self.next_node, self.end_node))
        builder.add_node(name, self, **node_options)
        return builder

    def invoke(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Make one selection; returns an update (plain node) or a `Command`."""
        del kwargs
        call = Recorded(self.trace_policy, input)
        run = call.sync(self._invoke)
        self._call_with_config(run, call.shown, config, run_type="chain")
        return call.result

    async def ainvoke(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Async twin of `invoke`."""
        del kwargs
        call = Recorded(self.trace_policy, input)
        run = call.asynchronous(self._ainvoke)
        await self._acall_with_config(run, call.shown, config, run_type="chain")
        return call.result

    def _invoke(self, state: Any, config: RunnableConfig) -> Any:
        return drive(self._plan(state, config), self.models)

    async def _ainvoke(self, state: Any, config: RunnableConfig) -> Any:
        return await drive_async(self._plan(state, config), self.models)

    def _plan(self, state: Mapping[str, Any], config: RunnableConfig) -> Effects:
        return (
            self._plain(state) if self.next_node is None else self._beam(state, config)
        )

    @property
    def grammar(self) -> ActionGrammar:
        """Who reads actions out of messages."""
        if self._grammar is not None:
            return self._grammar
        return self.pool.grammar if self.pool is not None else ToolCallGrammar()

    def _round(
        self,
        states: Sequence[OpenState],
        finished: Sequence[tuple[Finished, Trajectory]] = (),
        shelf: Shelf | None = None,
    ) -> Generator[Propose | Evaluate, Any, Selection]:
        return select(
            states,
            finished,
            self.grammar,
            self.settings,
            resolution=self.models.reward_model.resolution,
            comparable=self.models.reward_model.comparable,
            shelf=shelf or Shelf(),
        )

    # The plain node.

    def _plain(self, state: Mapping[str, Any]) -> Effects:
        messages = convert_to_messages(state["messages"])
        prefix, observation = conversation_prefix(messages)
        root = root_id(*(f"{m.type}:{_fingerprint(m)}" for m in messages))
        earlier = [
            m.response_metadata["agentrm"]
            for m in messages[_last_human(messages) :]
            if isinstance(m, AIMessage) and "agentrm" in m.response_metadata
        ]
        taken = len(earlier)
        began = min((m["started"] for m in earlier if "started" in m), default=None)
        began = time.time() if began is None else began
        ended, text = None, ""
        if taken >= self.max_steps:
            ended = "max_steps"
            text = f"Stopped: {taken} steps were taken, and max_steps={self.max_steps}."
        elif over := self._over_budget(spent_before(earlier), began):
            ended = over
            text = f"Stopped after {taken} steps by its {over.replace(':', ' of ')}."
        if ended:
            meta = {"agentrm": {"ended": ended, "step": taken}}
            return {"messages": [AIMessage(text, id=root, response_metadata=meta)]}
        prefix = replace(prefix, tools=self.tools)
        start = OpenState(root, messages, prefix, observation, depth=0)
        selection = yield from self._round([start])
        if not selection.kept.candidates:
            first = next(iter(selection.invalid.values()))
            msg = f"None of the policy's candidates is an action: {first.error}."
            raise NoCandidateError(
                msg,
                remedy="Check the policy's prompt, its tools and its token limit.",
            )
        winner = selection.kept.candidates[0]
        emit(step_event(root, taken + 1, selection))
        message = winner_message(winner, selection, taken + 1)
        meta = message.response_metadata["agentrm"]
        if self.budget is not None and self.budget.seconds is not None:
            meta["started"] = began
        if self.budget is not None and self.budget.priced:
            meta["money"] = self.budget.cost(
                selection.policy_usage, selection.reward_usage
            )
        return {"messages": [message]}

    # The beam search.

    def _beam(self, state: Mapping[str, Any], config: RunnableConfig) -> Effects:
        info: SearchInfo | None = state.get("search")
        nodes: dict[str, Node] = dict(state.get("nodes") or {})
        beams: list[str] = list(state.get("beams") or [])
        dead: dict[str, None] = {}
        conversation: list[BaseMessage] | None = None
        earlier = len(state.get("messages") or [])
        if info is None or info["task"] is None:
            messages = convert_to_messages(state.get("messages") or [])
            conversation = messages
            root = root_id(*(f"{m.type}:{_fingerprint(m)}" for m in messages))
            if info is None or info["root"] != root:
                dead, nodes = dict.fromkeys(nodes), {}
                info = open_search(config, root, None, *_opening(messages))
                beams = [root]
        beams = [b for b in beams if b == info["root"] or b in nodes]
        stop = self._stop(info, nodes, beams)
        if stop is not None:
            return self._finish(info, nodes, beams, stop, conversation, earlier)
        opened = [b for b in beams if b == info["root"] or nodes[b]["status"] == "open"]
        states = [
            self._told(open_state(info, path_to(nodes, b), conversation), info, nodes)
            for b in opened
        ]
        done = [
            (finished_entry(nodes[b]), self._ended(info, nodes, b))
            for b in beams
            if b in nodes and nodes[b]["status"] == "finished"
        ]
        selection = yield from self._round(states, done, shelf_of(info))
        children = self._children(nodes, selection)
        info = count(info, nodes, selection, self.budget)
        # Whatever may be called back needs the states that lead to it.
        parents = {n["parent"] for n in (*children, *info.get("shelf", []))}
        kept = [*(c["id"] for c in children), *(f.id for f in selection.kept.finished)]
        ended = [f.id for f in selection.kept.finished]
        rejected = [c for c in children if c["action"] is None]
        emit(step_event(info["id"], info["step"], selection, ended, rejected))
        live = {n["id"] for b in ended for n in path_to(nodes, b)}
        for parent in parents:
            live |= {n["id"] for n in path_to(nodes, parent)}
        dead |= dict.fromkeys(n for n in nodes if n not in live)
        if not children:
            return self._finish(info, nodes, kept, "finished", conversation, earlier)
        if self.pool is not None:
            self.pool.retain(info["id"], parents)
        update = {"search": info, "beams": kept, "nodes": dead}
        sends = [
            Send(self.next_node or "", {"step": step_payload(info, nodes, child)})
            for child in children
        ]
        return Command(update=update, goto=sends)

    def _told(
        self, state: OpenState, info: SearchInfo, nodes: Mapping[str, Node]
    ) -> OpenState:
        """Add the tools offered, and what the state admits if that is asked for."""
        task = info["task"]
        if task is None or self.pool is None:
            # Not from the search's state, which would store them with every step.
            prefix = replace(state.prefix, tools=self.tools or state.prefix.tools)
            return replace(state, prefix=prefix)
        if not reads_admissible(self.models.reward_model):
            return state
        way = way_to(info, nodes, state.id)
        return state.listing(self.pool.actions(info["id"], state.id, task, *way))

    def _ended(
        self, info: SearchInfo, nodes: Mapping[str, Node], beam: str
    ) -> Trajectory:
        """The trajectory of a beam that is judged once more."""
        before = open_state(info, path_to(nodes, nodes[beam]["parent"]), [])
        known = self._told(before, info, nodes).prefix
        path = trajectory_of(info, nodes, beam)
        return replace(path, tools=known.tools, admissible=known.admissible)

    def _stop(
        self, info: SearchInfo, nodes: Mapping[str, Node], beams: Sequence[str]
    ) -> str | None:
        opened = [b for b in beams if b == info["root"] or nodes[b]["status"] == "open"]
        reason = why_ended(
            [
                finished_entry(nodes[b])
                for b in beams
                if b in nodes and nodes[b]["status"] == "finished"
            ],
            [nodes[b]["score"] if b in nodes else None for b in opened],
            beam_width=self.settings.beam_width,
            mode=self.settings.finished,
            options=self.settings.search,
            shelf=shelf_of(info),
        )
        if reason is not None:
            return reason
        # A beam that was called back is shorter than the search is old.
        deepest = max((nodes[b]["depth"] for b in opened if b in nodes), default=0)
        if info["step"] >= self.max_steps or deepest >= info["step_limit"]:
            return "max_steps"
        return self._over_budget(info["totals"], info["started"])

    def _over_budget(self, spent: Totals, started: float) -> str | None:
        if self.budget is None:
            return None
        limit = self.budget.exhausted(
            requests=spent["requests"],
            tokens=spent["policy_tokens"] + spent["reward_tokens"],
            seconds=time.time() - started,
            money=spent.get("money", 0.0),
        )
        return None if limit is None else f"budget:{limit}"

    def _children(self, nodes: Mapping[str, Node], selection: Selection) -> list[Node]:
        kept = selection.kept.candidates
        if selection.candidates or kept or not selection.invalid:
            return [child_node(nodes, c) for c in kept]
        slots = self.settings.beam_width - len(selection.kept.finished)
        return [
            rejected_node(nodes, parent, candidate)
            for parent, candidate in list(selection.invalid.items())[: max(0, slots)]
        ]

    def _finish(
        self,
        info: SearchInfo,
        nodes: Mapping[str, Node],
        beams: Sequence[str],
        ended: str,
        conversation: Sequence[BaseMessage] | None,
        earlier: int,
    ) -> Command[Any]:
        best = best_beam(
            nodes,
            beams,
            resolution=self.models.reward_model.resolution,
            tie_break=self.settings.search.tie_break,
        )
        update = ending(
            info, nodes, best, ended, alone=conversation is None, earlier=earlier
        )
        if self.pool is not None:
            self.pool.release(info["id"])
        return Command(update=update, goto=self.end_node)


def _last_human(messages: Sequence[BaseMessage]) -> int:
    return max((i for i, m in enumerate(messages) if m.type == "human"), default=0)


def _fingerprint(message: BaseMessage) -> str:
    return describe(message) if isinstance(message, AIMessage) else str(message.text)


def _opening(messages: Sequence[BaseMessage]) -> tuple[str, str, str]:
    prefix, observation = conversation_prefix(messages)
    return prefix.goal, prefix.instruction, observation
