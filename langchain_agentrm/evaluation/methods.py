"""The methods of the table: what each runs, what it picks, and what it costs alone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_agentrm.budgets import Budget
from langchain_agentrm.engine import Models, Search, drive_many
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.episodes import (
    Branch,
    beam,
    greedy,
    open_task,
    rollouts,
    score_all,
    vote,
)
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.sampling.base import Proposer
from langchain_agentrm.search import Evaluate, Propose, RoundSettings
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score, TaskRef, Usage

__all__ = [
    "CONTROLS",
    "METHODS",
    "MethodSettings",
    "Record",
    "run_beams",
    "run_chunk",
]

BEAMS = {
    "beam-2x3": (2, 3),
    "beam-5x2": (5, 2),
    "beam-5x5": (5, 5),
    "random-beam-5x2": (5, 2),
}
METHODS = (
    "greedy",
    "random-of-5",
    "vote-of-5",
    "likelihood-of-5",
    "finished-first-of-5",
    "random-beam-5x2",
    "best-of-5",
    "best-of-greedy+4",
    "beam-2x3",
    "beam-5x2",
    "beam-5x5",
    "oracle-of-5",
)
CONTROLS = METHODS[1:6]
"""What needs no reward model; `oracle-of-5` knows the outcome: a reference only."""


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """Settings fixed on dev seeds before any test episode.

    Attributes:
        pool_temperature: Of the samples that the pool methods share.
        vote_temperature: Of the vote.
        beam_temperature: Of all beams.
        finished: Whether finished beams compete or stand aside.
        seed: Run seed.
    """

    pool_temperature: float = 0.7
    vote_temperature: float = 0.7
    beam_temperature: float = 1.0
    finished: Literal["compete", "aside"] = "compete"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One method on one task.

    Attributes:
        method: Name of the method.
        env: Environment.
        type: Task type.
        task: Task id.
        score: Episode score, 0..1.
        held: Best score among what the method could have picked at its end.
        steps: Actions of the chosen path.
        policy_tokens: Tokens the method would take alone, its share of the chunk.
        rm_tokens: The same for the reward model.
        seconds: The same for wall-clock seconds.
    """

    method: str
    env: str
    type: str
    task: str
    score: float
    held: float
    steps: int
    policy_tokens: float
    rm_tokens: float
    seconds: float


class _Meter(Models):
    """Models that remember what was spent."""

    def __init__(self, proposer: Proposer, reward_model: RewardModel) -> None:
        super().__init__(proposer, reward_model)
        self.policy = Usage()
        self.reward = Usage()

    def run(self, effect: Propose | Evaluate) -> Batch[Any]:
        batch = super().run(effect)
        if isinstance(effect, Propose):
            self.policy += batch.usage
        else:
            self.reward += batch.usage
        return batch


@dataclass(frozen=True, slots=True)
class _Cost:
    policy: float = 0.0
    reward: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: _Cost) -> _Cost:
        return _Cost(
            self.policy + other.policy,
            self.reward + other.reward,
            self.seconds + other.seconds,
        )

    def times(self, share: float) -> _Cost:
        return _Cost(self.policy * share, self.reward * share, self.seconds * share)


class _RandomScores:
    """The control's scorer: a number drawn from the trajectory's text and the seed."""

    resolution = 0.0
    comparable: Literal["global", "group", "depth"] = "global"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        return Batch([Score.of(self._draw(t)) for t in trajectories])

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        return self.score(trajectories)

    def _draw(self, trajectory: Trajectory) -> float:
        text = f"{self.seed}|{trajectory.task}|{trajectory.turns}"
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8)
        return int.from_bytes(digest.digest()) / 2**64


def run_chunk(
    factory: EnvironmentFactory,
    tasks: Sequence[TaskRef],
    proposer: Proposer,
    reward_model: RewardModel,
    methods: Sequence[str],
    settings: MethodSettings,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[Record]:
    """Run methods over some tasks, all episodes of a method in lockstep.

    Args:
        factory: The environment.
        tasks: Tasks of this chunk.
        proposer: The policy.
        reward_model: The reward model.
        methods: Names out of `METHODS`.
        settings: Temperatures and seed.
        progress: Told the name of each method before it runs.

    Returns:
        One record per method and task.

    Raises:
        ConfigurationError: If a method does not exist.
    """
    unknown = [m for m in methods if m not in METHODS]
    if unknown:
        msg = f"Unknown method {unknown[0]!r}."
        raise ConfigurationError(msg, remedy=f"Known ones: {', '.join(METHODS)}.")
    chunk = _Chunk(factory, tasks, proposer, reward_model, settings)
    out: list[Record] = []
    for method in (m for m in METHODS if m in methods):
        if progress:
            progress(method)
        out += chunk.records(method)
    return out


def run_beams(
    factory: EnvironmentFactory,
    tasks: Sequence[TaskRef],
    proposer: Proposer,
    reward_model: RewardModel,
    variants: Mapping[str, RoundSettings],
    *,
    budgets: Mapping[str, Budget] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Record]:
    """Run beam searches of any settings over some tasks, each in lockstep.

    Args:
        factory: The environment.
        tasks: Tasks of this chunk.
        proposer: The policy.
        reward_model: The reward model.
        variants: Settings by the name that the records get.
        budgets: Budgets of single searches, by the same names.
        progress: Told the name of each variant before it runs.

    Returns:
        One record per variant and task.

    Raises:
        ConfigurationError: If the settings of a variant cannot work.
    """
    chunk = _Chunk(factory, tasks, proposer, reward_model, MethodSettings())
    out: list[Record] = []
    for name, settings in variants.items():
        if progress:
            progress(name)
        out += chunk.beam(name, settings, reward_model, (budgets or {}).get(name))
    return out


class _Chunk:
    """One chunk's shared work: tasks, greedy episodes, the pool and its scores."""

    def __init__(
        self,
        factory: EnvironmentFactory,
        tasks: Sequence[TaskRef],
        proposer: Proposer,
        reward_model: RewardModel,
        settings: MethodSettings,
    ) -> None:
        self.tasks = tasks
        self.settings = settings
        self.proposer = proposer
        self.reward_model = reward_model
        self.roots = [open_task(factory, t) for t in tasks]
        self._memo: dict[str, tuple[Any, _Cost]] = {}

    def _measured(
        self, searches: Sequence[Search[Any]], scorer: RewardModel | None = None
    ) -> tuple[list[Any], _Cost]:
        meter = _Meter(self.proposer, scorer or self.reward_model)
        began = time.perf_counter()
        results = drive_many(searches, meter)
        seconds = time.perf_counter() - began
        return results, _Cost(meter.policy.tokens, meter.reward.tokens, seconds)

    def _once(
        self, name: str, make: Callable[[], tuple[Any, _Cost]]
    ) -> tuple[Any, _Cost]:
        if name not in self._memo:
            self._memo[name] = make()
        return self._memo[name]

    def greedy(self) -> tuple[list[Branch], _Cost]:
        """Greedy episodes, run once."""
        return self._once(
            "greedy", lambda: self._measured([greedy(r) for r in self.roots])
        )

    def pool(self) -> tuple[list[list[Branch]], _Cost]:
        """Five sampled episodes a task, run once for all methods that pick."""
        s = self.settings
        return self._once(
            "pool",
            lambda: self._measured(
                [
                    rollouts(r, n=5, temperature=s.pool_temperature, seed=s.seed)
                    for r in self.roots
                ]
            ),
        )

    def values(self) -> tuple[list[list[float]], _Cost]:
        """Scores of the pool, then of the greedy episode, by task."""

        def make() -> tuple[Any, _Cost]:
            pools, _ = self.pool()
            firsts, _ = self.greedy()
            return self._measured(
                [score_all([*p, g]) for p, g in zip(pools, firsts, strict=True)]
            )

        return self._once("values", make)

    def records(self, method: str) -> list[Record]:
        """Records of one method."""
        if method == "greedy":
            firsts, cost = self.greedy()
            return self._pack(method, [(b, [b]) for b in firsts], cost)
        if method == "vote-of-5":
            s = self.settings
            voted, cost = self._measured(
                [
                    vote(r, n=5, temperature=s.vote_temperature, seed=s.seed)
                    for r in self.roots
                ]
            )
            return self._pack(method, [(b, [b]) for b in voted], cost)
        if method in BEAMS:
            return self._beam(method)
        if method == "random-of-5":
            return self._random()
        if method.startswith("best-of"):
            return self._best(method)
        pools, cost = self.pool()
        rule = _PICK[method]
        return self._pack(method, [(max(p, key=rule), p) for p in pools], cost)

    def _beam(self, method: str) -> list[Record]:
        width, expansions = BEAMS[method]
        settings = RoundSettings(
            beam_width=width,
            expansions=expansions,
            finished=self.settings.finished,
            on_reward_error="raise",
            seed=self.settings.seed,
            temperature=self.settings.beam_temperature,
        )
        scorer: RewardModel = self.reward_model
        if method.startswith("random"):
            scorer = _RandomScores(self.settings.seed)
        return self.beam(method, settings, scorer)

    def beam(
        self,
        method: str,
        settings: RoundSettings,
        scorer: RewardModel,
        budget: Budget | None = None,
    ) -> list[Record]:
        """Records of a beam search with any settings."""
        found, cost = self._measured(
            [
                beam(
                    r,
                    settings,
                    resolution=scorer.resolution,
                    comparable=scorer.comparable,
                    budget=budget,
                )
                for r in self.roots
            ],
            scorer,
        )
        return self._pack(method, found, cost)

    def _best(self, method: str) -> list[Record]:
        pools, cost = self.pool()
        values, rm_cost = self.values()
        firsts, first_cost = self.greedy()
        picked = []
        for pool, first, scores in zip(pools, firsts, values, strict=True):
            if method == "best-of-5":
                some, rated = pool, scores[:-1]
            else:
                # Greedy stands first, so that it wins ties.
                some, rated = [first, *pool[:4]], [scores[-1], *scores[:4]]
            best = max(range(len(some)), key=rated.__getitem__)
            picked.append((some[best], some))
        if method != "best-of-5":
            cost = cost.times(4 / 5) + first_cost
        return self._pack(method, picked, cost + rm_cost.times(5 / 6))

    def _random(self) -> list[Record]:
        """The mean of the samples is the exact expectation of a random pick."""
        pools, cost = self.pool()
        one = cost.times(1 / 5 / max(1, len(self.tasks)))
        return [
            _record(
                "random-of-5",
                task,
                sum(b.score for b in pool) / max(1, len(pool)),
                max((b.score for b in pool), default=0.0),
                round(sum(b.state.depth for b in pool) / max(1, len(pool))),
                one,
            )
            for task, pool in zip(self.tasks, pools, strict=True)
        ]

    def _pack(
        self,
        method: str,
        picked: Sequence[tuple[Branch, Sequence[Branch]]],
        cost: _Cost,
    ) -> list[Record]:
        each = cost.times(1 / max(1, len(self.tasks)))
        return [
            _record(
                method,
                task,
                best.score,
                max((b.score for b in held), default=0.0),
                best.state.depth,
                each,
            )
            for task, (best, held) in zip(self.tasks, picked, strict=True)
        ]


_PICK: Mapping[str, Callable[[Branch], Any]] = {
    "likelihood-of-5": lambda b: b.logprob,
    "finished-first-of-5": lambda b: (b.said_done, -b.state.depth),
    "oracle-of-5": lambda b: b.score,
}


def _record(
    method: str, task: TaskRef, score: float, held: float, steps: int, cost: _Cost
) -> Record:
    return Record(
        method,
        task["env"],
        task["type"],
        task["id"],
        score,
        held,
        steps,
        cost.policy,
        cost.reward,
        cost.seconds,
    )
