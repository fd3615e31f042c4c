"""A counting game and a seeded policy, so that pipeline tests need no model."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import Environment, EnvironmentSpec, Start
from langchain_agentrm.training.demos import Demonstration
from langchain_agentrm.types import Batch, Candidate, TaskRef, Transition, Usage

GOAL = 4


class CountGame(Environment):
    """Add 1 or 2 until `done`; solved if the sum is then the goal."""

    spec = EnvironmentSpec(fork="copy")
    executed: list[tuple[str, tuple[str, ...]]] = []  # noqa: RUF012 - shared on purpose

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def _reset(self, task: TaskRef) -> Start:
        self.total = 0
        return Start("see: 0", f"goal: {GOAL}.", step_limit=5)

    def _step(self, action) -> Transition:
        self.executed.append((self.task["id"], (*self.actions_taken, action)))
        if action == "done":
            won = float(self.total == GOAL)
            return Transition("the end", done=True, success=bool(won), score=won)
        self.total += int(str(action).split()[1])
        return Transition(f"see: {self.total}")

    def _copy(self) -> CountGame:
        twin = CountGame()
        twin.total = self.total
        return twin

    def parse(self, message: AIMessage):
        text = str(message.text)
        return text if text in {"add 1", "add 2", "done"} else None


@dataclass
class CountFactory:
    name: str = "count"
    spec: EnvironmentSpec = field(default_factory=lambda: CountGame.spec)

    def types(self, group):
        return ["dev-type"] if group == "dev" else ["plain"]

    def tasks(self, split, types=None, limit=None):
        return [self.task(types[0], i) for i in range(limit or 10)]

    def task(self, type_, seed):
        return TaskRef(env="count", type=type_, id=f"{type_}:{seed}", seed=seed)

    def make(self):
        return CountGame()

    def demonstrations(self, types, n_per_type):
        return [self.task(t, -1 - i) for t in types for i in range(n_per_type)]

    def demonstrate(self, task):
        actions = random.Random(task["seed"]).choice(
            [
                ["add 2", "add 2"],
                ["add 1", "add 1", "add 2"],
                ["add 2", "add 1", "add 1"],
            ]
        )
        env, steps = CountGame(), []
        seen = env.reset(task).observation
        for action in [*actions, "done"]:
            steps.append((seen, action))
            seen = env.step(action).observation
        return Demonstration(
            Start("see: 0", f"goal: {GOAL}."), steps, 1.0, success=True
        )


class RandomPolicy:
    """Answers at random, as the request's seed says; one in ten is no action."""

    def __init__(self) -> None:
        self.calls = 0

    def propose(self, requests):
        self.calls += 1
        words = ["add 1", "add 1", "add 2", "add 2", "done", "done", "add 1", "add 2"]
        words += ["add 2", "nonsense"]
        items = []
        for request in requests:
            n = 1 if request.greedy else request.n
            rng = random.Random(request.seed)
            texts = (
                ["add 2"] if request.greedy else [rng.choice(words) for _ in range(n)]
            )
            items.append([Candidate(AIMessage(t), request.parent) for t in texts])
        return Batch(items, Usage(len(requests), len(requests), len(requests)))

    async def apropose(self, requests):
        return self.propose(requests)
