"""Episodes as searches: each method is a generator over one task, run in lockstep."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    HumanMessage,
)

from langchain_agentrm._conversation import opening_messages
from langchain_agentrm.budgets import Budget
from langchain_agentrm.environments.base import Environment, EnvironmentFactory
from langchain_agentrm.search import (
    Evaluate,
    Finished,
    OpenState,
    Propose,
    RoundSettings,
    Shelf,
    apart,
    derive_seed,
    merge,
    node_id,
    rank,
    rollout_wave,
    root_id,
    select,
    why_ended,
)
from langchain_agentrm.search.merge import apply_grammar
from langchain_agentrm.search.rounds import action_text
from langchain_agentrm.trajectory import Trajectory, calls_of
from langchain_agentrm.types import (
    Batch,
    Candidate,
    ProposalRequest,
    Score,
    TaskRef,
    Transition,
    Usage,
)

__all__ = [
    "Branch",
    "Tally",
    "beam",
    "greedy",
    "open_task",
    "rollouts",
    "score_all",
    "vote",
]

Effects = Generator[Propose | Evaluate, Any, Any]


@dataclass(slots=True)
class Tally:
    """What engines did for one search.

    Attributes:
        env_steps: Actions executed, those that a replay repeats included.
    """

    env_steps: int = 0


@dataclass(frozen=True, slots=True)
class Branch:
    """One path of an episode, with the environment at its end.

    Attributes:
        state: What can be expanded.
        env: The environment; never stepped, only forked.
        last: What the last action led to; None at the root.
        logprob: Sum of the policy's log-probabilities of the actions.
        limit: Actions allowed.
        value: The reward model's score of the path up to its last action.
        votes: How many equal proposals its last action stands for.
        chance: The policy's log-probability of the last action, where it is known.
        before: The environment that the last action was taken in; None at the root.
        path: The trajectory up to the last action; None at the root.
        key: Normal form of the last action.
        tally: Counts what engines do; shared by all branches of a search.
    """

    state: OpenState
    env: Environment
    limit: int
    last: Transition | None = None
    logprob: float = 0.0
    value: float = 0.0
    votes: int = 1
    path: Trajectory | None = None
    key: str = ""
    chance: float | None = None
    before: Environment | None = None
    tally: Tally = field(default_factory=Tally)

    def to_expand(self, *, admissible: bool) -> OpenState:
        """What is expanded, with what its state admits if that is asked for."""
        if not admissible:
            return self.state
        return self.state.listing(self.env.actions() or ())

    def to_judge(self, *, admissible: bool) -> Trajectory | None:
        """The trajectory up to the last action, likewise; None at the root."""
        if self.path is None or self.before is None or not admissible:
            return self.path
        return replace(self.path, admissible=tuple(self.before.actions() or ()))

    @property
    def standing(self) -> Finished:
        """This path as ranking sees it, ties decided as in the graphs."""
        return Finished(self.state.id, self.value, self.votes, self.key, self.chance)

    @property
    def over(self) -> bool:
        """Whether nothing can follow."""
        done = self.last is not None and self.last.done
        return done or self.state.depth >= self.limit

    @property
    def score(self) -> float:
        """Episode score so far."""
        return self.last.score if self.last else 0.0

    @property
    def said_done(self) -> bool:
        """Whether the episode ended before its step limit."""
        done = self.last is not None and self.last.done
        return done and self.state.depth < self.limit

    def then(self, candidate: Candidate) -> Branch:
        """Run a candidate's action in a fork.

        A message without action goes to the environment's own answer for such, and
        ends the path where it has none.
        """
        env = self.env.fork()
        replayed = 0 if env.spec.fork == "copy" else len(env.actions_taken)
        self.tally.env_steps += 1 + replayed
        if candidate.action is None:
            answer = env.reject(candidate.message)
            if answer is None:
                answer = Transition("", done=True, info={"valid": False})
            text = str(candidate.message.text)
        else:
            answer = env.step(candidate.action)
            text = action_text(candidate)
        path = self.state.then(text, calls_of(candidate.message))
        value = candidate.score.value if candidate.score else None
        # As in the graphs: an answer without action inherits, an unscored one has none.
        inherited = self.state.value if candidate.action is None else None
        following = OpenState(
            id=candidate.id or node_id(self.state.id, f"invalid:{text}"),
            messages=[
                *self.state.messages,
                AIMessage(str(candidate.message.text)),
                HumanMessage(answer.observation),
            ],
            prefix=path,
            observation=answer.observation,
            depth=self.state.depth + 1,
            value=inherited if value is None else value,
        )
        return Branch(
            following,
            env,
            self.limit,
            answer,
            self.logprob + (candidate.logprob or 0.0),
            self.value if value is None else value,
            candidate.votes,
            path,
            candidate.key or f"invalid:{text}",
            candidate.logprob,
            self.env,
            self.tally,
        )


def open_task(factory: EnvironmentFactory, task: TaskRef) -> Branch:
    """Reset a task and stand at its root."""
    env = factory.make()
    start = env.reset(task)
    root = root_id(task["env"], task["type"], task["id"], str(task["seed"]))
    prefix = Trajectory(
        turns=(),
        goal=start.goal,
        instruction=start.instruction,
        task=task,
        group=root,
        tools=start.tools,
    )
    messages = opening_messages(
        start.instruction, start.goal, start.observation, start.examples
    )
    state = OpenState(root, messages, prefix, start.observation)
    return Branch(state, env, start.step_limit)


def greedy(root: Branch) -> Effects:
    """Follow the policy's most likely action. Returns the final branch."""
    at = root
    while not at.over:
        request = ProposalRequest(at.state.id, at.state.messages, 1, 0, greedy=True)
        batch: Batch[list[Candidate]] = yield Propose([request])
        drawn = apply_grammar(batch.items[0], at.env, at.state.id)
        if not drawn:
            return at
        at = at.then(drawn[0])
    return at


def rollouts(root: Branch, *, n: int, temperature: float, seed: int) -> Effects:
    """Sample N whole trajectories. Returns the final branches in the order drawn."""
    open_: list[Branch] = [root]
    ended: list[Branch] = []
    # Those that end first are the short ones, so the order of ending is no sample.
    drawn: dict[str, int] = {}
    while open_:
        by_id = {b.state.id: b for b in open_}
        requests = rollout_wave(
            [b.state for b in open_],
            n=n,
            seed=seed,
            temperature=temperature,
            include_greedy=False,
        )
        batch: Batch[list[Candidate]] = yield Propose(requests)
        chosen = apart(requests, batch.items, root.env)
        following = [by_id[c.parent].then(c) for c in chosen]
        for i, (branch, candidate) in enumerate(zip(following, chosen, strict=True)):
            drawn[branch.state.id] = drawn.get(candidate.parent, i)
        ended += [b for b in following if b.over]
        open_ = [b for b in following if not b.over]
    return sorted(ended, key=lambda b: drawn[b.state.id])


def vote(root: Branch, *, n: int, temperature: float, seed: int) -> Effects:
    """Take the most frequent of n draws at every step. Returns the final branch."""
    at = root
    while not at.over:
        request = ProposalRequest(
            at.state.id,
            at.state.messages,
            n,
            derive_seed(seed, at.state.id),
            temperature=temperature,
        )
        batch: Batch[list[Candidate]] = yield Propose([request])
        drawn = apply_grammar(batch.items[0], at.env, at.state.id)
        distinct = merge(drawn)
        if distinct:
            at = at.then(max(distinct, key=lambda c: c.votes))
        elif drawn:
            at = at.then(drawn[0])
        else:
            return at
    return at


def beam(
    root: Branch,
    settings: RoundSettings,
    *,
    resolution: float,
    comparable: Literal["global", "group", "depth"] = "global",
    budget: Budget | None = None,
    admissible: bool = False,
) -> Effects:
    """Step-level beam search. Returns the winner and what the beam held at its end.

    With `admissible` each trajectory tells what its last state admits.

    Raises:
        ConfigurationError: If the options of `settings.search` cannot work with the
            width or with what the scores are comparable across.
    """
    settings.search.check(beam_width=settings.beam_width, comparable=comparable)
    open_: list[Branch] = [root]
    ended: list[Branch] = []
    shelf = Shelf()
    parents: dict[str, Branch] = {}
    spent = [Usage(), Usage()]
    began = time.monotonic()
    while not _stop(open_, ended, shelf, settings, spent, began, budget):
        by_id = {**parents, **{b.state.id: b for b in (*open_, *ended)}}
        judged = [(b.standing, b.to_judge(admissible=admissible)) for b in ended]
        finished = [(standing, path) for standing, path in judged if path]
        selection = yield from select(
            [b.to_expand(admissible=admissible) for b in open_],
            finished,
            root.env,
            settings,
            resolution=resolution,
            comparable=comparable,
            shelf=shelf,
        )
        shelf = selection.shelf
        parents = {c.parent: by_id[c.parent] for c in shelf.candidates}
        spent = [
            spent[0] + selection.policy_usage,
            spent[1] + selection.reward_usage,
        ]
        chosen = list(selection.kept.candidates)
        if not selection.candidates and not chosen:
            slots = settings.beam_width - len(selection.kept.finished)
            chosen = list(selection.invalid.values())[: max(0, slots)]
        following = [by_id[c.parent].then(c) for c in chosen]
        ended = [
            replace(by_id[f.id], value=f.value) for f in selection.kept.finished
        ] + [b for b in following if b.over]
        open_ = [b for b in following if not b.over]
    held = [*ended, *open_]
    order = rank(
        [b.standing for b in ended or open_],
        resolution=resolution,
        tie_break=settings.search.tie_break,
    )
    best = next(b for b in held if b.state.id == order[0].id)
    return best, held


def _stop(
    open_: Sequence[Branch],
    ended: Sequence[Branch],
    shelf: Shelf,
    settings: RoundSettings,
    spent: Sequence[Usage],
    began: float,
    budget: Budget | None,
) -> bool:
    reason = why_ended(
        [b.standing for b in ended],
        [b.state.value for b in open_],
        beam_width=settings.beam_width,
        mode=settings.finished,
        options=settings.search,
        shelf=shelf,
    )
    if reason is not None or budget is None:
        return reason is not None
    policy, reward = spent
    over = budget.exhausted(
        requests=policy.requests,
        tokens=policy.tokens + reward.tokens,
        seconds=time.monotonic() - began,
        money=budget.cost(policy, reward),
    )
    return over is not None


def score_all(branches: Sequence[Branch], *, admissible: bool = False) -> Effects:
    """Score final branches up to their last action. Returns their values."""
    judged = [b.to_judge(admissible=admissible) for b in branches]
    paths = [path for path in judged if path is not None]
    batch: Batch[Score] = yield Evaluate(paths)
    return [s.value if s.value is not None else float("-inf") for s in batch.items]
