"""A small deterministic game that records every step ever executed."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentSpec,
    Split,
    Start,
)
from langchain_agentrm.errors import ForkError, UnknownTaskError
from langchain_agentrm.types import Action, TaskRef, Transition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import AIMessage

__all__ = ["ExecutedStep", "ScriptedEnvironment", "ScriptedFactory"]

_TYPES = ("count", "count_far")
_ACTION = re.compile(r"(?:^|Action:\s*)(add|take) (\d)\s*$", re.IGNORECASE)
_STEP_LIMIT = 12


@dataclass(frozen=True, slots=True)
class ExecutedStep:
    """One action that an engine ran.

    Attributes:
        engine: Number of the engine, counted per log.
        task: Id of the task.
        before: Actions that led to the state in which it ran.
        action: The action.
        replayed: Whether a fork repeated it, rather than a search asking for it.
    """

    engine: int
    task: str
    before: tuple[str, ...]
    action: str
    replayed: bool = False


@dataclass(slots=True)
class _Shared:
    """What all engines of one factory have in common."""

    spec: EnvironmentSpec
    log: list[ExecutedStep] = field(default_factory=list)
    engines: itertools.count[int] = field(default_factory=itertools.count)


class ScriptedEnvironment(Environment):
    """Count from 0 to a goal number with `add K` and `take K`, K from 1 to 3.

    Made by `ScriptedFactory`. The episode ends at the goal (success) or after 12
    actions. Any other action is refused, which costs a step.

    Attributes:
        log: Every step that any engine of the factory ran, in order.
    """

    def __init__(self, shared: _Shared | None = None) -> None:
        super().__init__()
        self._shared = shared or _Shared(EnvironmentSpec())
        self._engine = next(self._shared.engines)
        self._total = 0
        self._goal = 0
        self._replaying = False
        self.spec = self._shared.spec
        self.closed = False

    @property
    def log(self) -> list[ExecutedStep]:
        """Every step that any engine of the factory ran, in order."""
        return self._shared.log

    def _reset(self, task: TaskRef) -> Start:
        if task["type"] not in _TYPES:
            raise _unknown_type(task["type"])
        far = task["type"] == "count_far"
        self._goal = 3 + task["seed"] % 4 + (6 if far else 0)
        self._total = 0
        return Start(
            observation="The number is 0.",
            goal=f"Reach {self._goal}.",
            instruction="Answer with one action: add K or take K, K from 1 to 3.",
            step_limit=_STEP_LIMIT,
        )

    def parse(self, message: AIMessage) -> Action | None:
        """Read `add K` or `take K`, alone or after `Action:`; other text stays."""
        text = str(message.text).strip()
        found = _ACTION.search(text)
        return f"{found[1].lower()} {found[2]}" if found else text or None

    def actions(self) -> list[str]:
        """All actions that the game accepts."""
        return [f"{verb} {k}" for verb in ("add", "take") for k in (1, 2, 3)]

    def _step(self, action: Action) -> Transition:
        text = str(action)
        self._shared.log.append(
            ExecutedStep(
                self._engine,
                self.task["id"] if self.task else "",
                tuple(str(a) for a in self.actions_taken),
                text,
                self._replaying,
            )
        )
        valid = text in self.actions()
        if valid:
            verb, amount = text.split()
            self._total += int(amount) if verb == "add" else -int(amount)
        won = self._total == self._goal
        progress = max(0.0, 1.0 - abs(self._goal - self._total) / self._goal)
        shown = f"The number is {self._total}."
        return Transition(
            observation=shown if valid else f"Unknown action {text!r}. {shown}",
            progress=progress,
            done=won or len(self.actions_taken) + 1 >= _STEP_LIMIT,
            success=won,
            score=float(won),
            info={"valid": valid},
        )

    def fork(self) -> Self:
        """Make an independent game in the same state.

        Raises:
            ForkError: If the factory was made with `fork="none"`.
        """
        if self.spec.fork == "none":
            msg = "ScriptedEnvironment was made with fork='none'."
            raise ForkError(msg, remedy="Search it with beam_width=1.")
        return super().fork()

    def _copy(self) -> Self:
        twin = type(self)(self._shared)
        twin._set(self._total, self._goal)  # noqa: SLF001 - another of its own class
        return twin

    def _set(self, total: int, goal: int) -> None:
        self._total, self._goal = total, goal

    def _fresh(self) -> Self:
        return type(self)(self._shared)

    def replay(
        self,
        task: TaskRef,
        actions: Sequence[Action],
        digests: Sequence[str] | None = None,
    ) -> Start:
        """Repeat actions, marking them as replayed in the log."""
        self._replaying = True
        try:
            return super().replay(task, actions, digests)
        finally:
            self._replaying = False

    def close(self) -> None:
        """Remember that it was closed, for tests of who closes what."""
        self.closed = True


class ScriptedFactory:
    """Makes games that share one log.

    Args:
        fork: How a game forks. `"none"` also forbids replay.

    Example:
        ```python
        factory = ScriptedFactory(fork="replay")
        ...  # run a search over factory.tasks("test")
        ran = [s.action for s in factory.log if not s.replayed]
        ```
    """

    name = "scripted"

    def __init__(self, fork: Literal["copy", "replay", "none"] = "copy") -> None:
        self.spec = EnvironmentSpec(fork=fork, replayable=fork != "none")
        self._shared = _Shared(self.spec)

    @property
    def log(self) -> list[ExecutedStep]:
        """Every step that any engine ran, in order."""
        return self._shared.log

    def types(self, group: Literal["held_in", "held_out", "dev", "all"]) -> list[str]:
        """Task types: `count` is held in and for development, `count_far` held out."""
        named = {"held_in": ["count"], "held_out": ["count_far"], "dev": ["count"]}
        return named.get(group, list(_TYPES))

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Eight tasks a type and split, round robin over the types.

        Raises:
            UnknownTaskError: If a type or split does not exist.
        """
        starts = {"train": 0, "dev": 100, "test": 200}
        if split not in starts:
            msg = f"Split {split!r} does not exist in environment 'scripted'."
            raise UnknownTaskError(msg, remedy="Use train, dev or test.")
        seeds = range(starts[split], starts[split] + 8)
        names = _TYPES if types is None else types
        return [self.task(t, seed) for seed in seeds for t in names][:limit]

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task.

        Raises:
            UnknownTaskError: If the type does not exist.
        """
        if type_ not in _TYPES:
            raise _unknown_type(type_)
        return TaskRef(env=self.name, type=type_, id=f"{type_}-{seed}", seed=seed)

    def make(self) -> ScriptedEnvironment:
        """Make a game that has not been reset."""
        return ScriptedEnvironment(self._shared)


def _unknown_type(name: str) -> UnknownTaskError:
    msg = f"Task type {name!r} does not exist in environment 'scripted'."
    return UnknownTaskError(msg, remedy=f"Use one of {', '.join(_TYPES)}.")
