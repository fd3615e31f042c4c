"""Methods over some tasks in lockstep, with what the methods share made once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_agentrm.budgets import Budget
from langchain_agentrm.engine import Models, Search, drive_many
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation._metering import Cost, RandomScores, Spent, metered
from langchain_agentrm.evaluation.episodes import (
    Branch,
    Tally,
    beam,
    greedy,
    open_task,
    rollouts,
    score_all,
    vote,
)
from langchain_agentrm.evaluation.naming import Method
from langchain_agentrm.evaluation.records import Draw, MethodSettings, Record
from langchain_agentrm.reward_models.base import RewardModel, reads_admissible
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.search import RoundSettings
from langchain_agentrm.types import TaskRef

__all__ = ["Chunk"]


class Chunk:
    """Some tasks with what methods share: greedy episodes, the pool and its scores."""

    def __init__(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        proposer: Proposer,
        settings: MethodSettings,
        *,
        pool_size: int,
    ) -> None:
        """Open the tasks.

        Args:
            factory: The environment.
            tasks: The tasks.
            proposer: The policy.
            settings: Temperatures and seed.
            pool_size: Episodes sampled a task, for all methods that pick.
        """
        self.tasks = tasks
        self.settings = settings
        self.proposer = proposer
        self.pool_size = pool_size
        self.roots = [open_task(factory, t) for t in tasks]
        self._memo: dict[Any, tuple[Any, list[Cost]]] = {}

    @property
    def has_pool(self) -> bool:
        """Whether the pool was sampled."""
        return "pool" in self._memo

    def has_values(self, scorer: RewardModel) -> bool:
        """Whether the pool was scored by this reward model."""
        return id(scorer) in self._memo

    def close(self) -> None:
        """Release the engines of the tasks."""
        for root in self.roots:
            root.env.close()

    def _measured(
        self,
        make: Callable[[Branch, int], Search[Any]],
        scorer: RewardModel | None = None,
    ) -> tuple[list[Any], list[Cost]]:
        tallies = [Tally() for _ in self.roots]
        spent = [Spent() for _ in self.roots]
        searches = [
            metered(make(replace(root, tally=tally), i), used)
            for i, (root, tally, used) in enumerate(
                zip(self.roots, tallies, spent, strict=True)
            )
        ]
        began = time.perf_counter()
        results = drive_many(searches, Models(self.proposer, scorer or _NO_SCORES))
        seconds = (time.perf_counter() - began) / max(1, len(self.roots))
        return results, [
            Cost(
                used.policy.requests,
                used.policy.tokens,
                used.reward.requests,
                used.reward.tokens,
                tally.env_steps,
                seconds,
            )
            for used, tally in zip(spent, tallies, strict=True)
        ]

    def _once(
        self, name: object, make: Callable[[], tuple[Any, list[Cost]]]
    ) -> tuple[Any, list[Cost]]:
        if name not in self._memo:
            self._memo[name] = make()
        return self._memo[name]

    def greedy(self) -> tuple[list[Branch], list[Cost]]:
        """Greedy episodes, run once."""
        return self._once("greedy", lambda: self._measured(lambda r, _: greedy(r)))

    def pool(self) -> tuple[list[list[Branch]], list[Cost]]:
        """Sampled episodes by task, run once for all methods that pick."""
        s, n = self.settings, self.pool_size

        def sample(root: Branch, _: int) -> Search[Any]:
            return rollouts(root, n=n, temperature=s.pool_temperature, seed=s.seed)

        return self._once("pool", lambda: self._measured(sample))

    def values(self, scorer: RewardModel) -> tuple[list[list[float]], list[Cost]]:
        """Scores of the pool, then of the greedy episode, by task."""
        pools, _ = self.pool()
        firsts, _ = self.greedy()

        def rate(_: Branch, i: int) -> Search[Any]:
            return score_all(
                [*pools[i], firsts[i]], admissible=reads_admissible(scorer)
            )

        return self._once(id(scorer), lambda: self._measured(rate, scorer))

    def draws(self, scorer: RewardModel | None = None) -> list[list[Draw]]:
        """The pool as plain figures, by task, with a reward model's scores."""
        pools, _ = self.pool()
        rated = self.values(scorer)[0] if scorer else [[] for _ in pools]
        return [
            [
                Draw(
                    b.score,
                    b.last.progress if b.last else 0.0,
                    bool(b.last and b.last.success),
                    b.state.depth,
                    b.logprob,
                    b.said_done,
                    values[i] if scorer else None,
                )
                for i, b in enumerate(pool)
            ]
            for pool, values in zip(pools, rated, strict=True)
        ]

    def records(self, method: Method, reward_model: RewardModel | None) -> list[Record]:
        """Records of one method; `reward_model` counts where the method is guided."""
        if method.kind == "greedy":
            firsts, cost = self.greedy()
            return self._pack(method.name, [(b, [b]) for b in firsts], cost)
        if method.kind == "vote":
            return self._vote(method)
        if method.kind in {"beam", "random-beam"}:
            return self._beam(method, reward_model)
        if method.kind == "random":
            return self._random(method)
        if method.guided:
            return self._best(method, _given(reward_model, method))
        pools, costs = self.pool()
        rule = _PICK[method.kind]
        share = method.n / self.pool_size
        picked = [
            (max(some, key=rule), some) for some in (p[: method.n] for p in pools)
        ]
        return self._pack(method.name, picked, [c.times(share) for c in costs])

    def _vote(self, method: Method) -> list[Record]:
        s = self.settings

        def draw(root: Branch, _: int) -> Search[Any]:
            return vote(root, n=method.n, temperature=s.vote_temperature, seed=s.seed)

        voted, cost = self._measured(draw)
        return self._pack(method.name, [(b, [b]) for b in voted], cost)

    def _beam(self, method: Method, reward_model: RewardModel | None) -> list[Record]:
        settings = RoundSettings(
            beam_width=method.w1,
            expansions=method.w2,
            finished=self.settings.finished,
            on_reward_error="raise",
            seed=self.settings.seed,
            temperature=self.settings.beam_temperature,
        )
        if method.kind == "random-beam":
            return self.beam(method.name, settings, RandomScores(self.settings.seed))
        return self.beam(method.name, settings, _given(reward_model, method))

    def beam(
        self,
        method: str,
        settings: RoundSettings,
        scorer: RewardModel,
        budget: Budget | None = None,
    ) -> list[Record]:
        """Records of a beam search with any settings."""

        def search(root: Branch, _: int) -> Search[Any]:
            return beam(
                root,
                settings,
                resolution=scorer.resolution,
                comparable=scorer.comparable,
                budget=budget,
                admissible=reads_admissible(scorer),
            )

        found, cost = self._measured(search, scorer)
        return self._pack(method, found, cost)

    def _best(self, method: Method, scorer: RewardModel) -> list[Record]:
        pools, pool_costs = self.pool()
        values, rm_costs = self.values(scorer)
        firsts, first_costs = self.greedy()
        first_too = method.kind == "best-greedy"
        picked, costs = [], []
        for i, pool in enumerate(pools):
            some, rated = pool[: method.n], values[i][: method.n]
            cost = pool_costs[i].times(method.n / self.pool_size)
            if first_too:
                # Greedy stands first, so that it wins ties.
                some, rated = [firsts[i], *some], [values[i][-1], *rated]
                cost += first_costs[i]
            best = max(range(len(some)), key=rated.__getitem__)
            picked.append((some[best], some))
            scored = (method.n + first_too) / (self.pool_size + 1)
            costs.append(cost + rm_costs[i].times(scored))
        return self._pack(method.name, picked, costs)

    def _random(self, method: Method) -> list[Record]:
        """The mean of the samples is the exact expectation of a random pick."""
        pools, costs = self.pool()
        out = []
        for task, whole, cost in zip(self.tasks, pools, costs, strict=True):
            some = whole[: method.n]
            packed = [_record(method.name, task, b, some, cost) for b in some]
            n = max(1, len(some))
            out.append(
                replace(
                    _record(
                        method.name, task, None, some, cost.times(1 / self.pool_size)
                    ),
                    score=sum(r.score for r in packed) / n,
                    steps=round(sum(r.steps for r in packed) / n),
                    progress=sum(r.progress for r in packed) / n,
                    success=sum(r.success for r in packed) / n,
                )
            )
        return out

    def _pack(
        self,
        method: str,
        picked: Sequence[tuple[Branch, Sequence[Branch]]],
        costs: Sequence[Cost],
    ) -> list[Record]:
        return [
            _record(method, task, best, held, cost)
            for task, (best, held), cost in zip(self.tasks, picked, costs, strict=True)
        ]


_NO_SCORES = RandomScores(0)
"""Takes the place of a reward model in searches that never ask for one."""

_PICK: Mapping[str, Callable[[Branch], Any]] = {
    "likelihood": lambda b: b.logprob,
    "finished-first": lambda b: (b.said_done, -b.state.depth),
    "oracle": lambda b: b.score,
}


def _given(reward_model: RewardModel | None, method: Method) -> RewardModel:
    if reward_model is None:
        msg = f"Method {method.name!r} needs a reward model, and there is none."
        raise ConfigurationError(msg, remedy="Name one, or leave the method out.")
    return reward_model


def _record(
    method: str,
    task: TaskRef,
    best: Branch | None,
    held: Sequence[Branch],
    cost: Cost,
) -> Record:
    last = best.last if best else None
    return Record(
        method,
        task["env"],
        task["type"],
        task["id"],
        best.score if best else 0.0,
        max((b.score for b in held), default=0.0),
        best.state.depth if best else 0,
        cost.policy_tokens,
        cost.rm_tokens,
        cost.seconds,
        last.progress if last else 0.0,
        float(bool(last and last.success)),
        cost.policy_calls,
        cost.rm_calls,
        cost.env_steps,
    )
