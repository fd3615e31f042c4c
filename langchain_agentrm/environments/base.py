"""The environment seam: a task's engine behind reset, step and fork."""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, runtime_checkable

from langchain_core.messages import AIMessage

from langchain_agentrm.errors import (
    ConfigurationError,
    ForkError,
    ReplayMismatchError,
)
from langchain_agentrm.types import Action, TaskRef, Transition

__all__ = [
    "Demonstration",
    "Environment",
    "EnvironmentFactory",
    "EnvironmentSpec",
    "Split",
    "Start",
    "digest",
]

Split = Literal["train", "dev", "test"]

_REJECTED = "agentrm.invalid"


@dataclass(frozen=True, slots=True)
class Start:
    """What a freshly reset task shows.

    Attributes:
        observation: First observation.
        goal: The task's goal, in the environment's words.
        instruction: Role, rules and action grammar, for policy and reward model.
        tools: Tools offered, as JSON schemas; empty for text actions.
        step_limit: Actions after which the episode ends.
        examples: Turns of a worked example, `{role, content}`, for the policy alone: a
            reward model never reads them.
    """

    observation: str
    goal: str
    instruction: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    step_limit: int = 30
    examples: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What may be done with an environment's engine.

    Attributes:
        fork: `"copy"` (the state can be copied), `"replay"` (a fresh engine repeats the
            actions) or `"none"`.
        replayable: Whether repeating the actions has no effect outside the engine.
        thread_safe: Whether several instances may be used from several threads at once.
    """

    fork: Literal["copy", "replay", "none"] = "replay"
    replayable: bool = True
    thread_safe: bool = True


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One episode of an environment's expert.

    Attributes:
        start: What the task showed first.
        steps: The observation before each action, and the action.
        score: The episode's score, 0..1.
        success: Whether the task was solved.
    """

    start: Start
    steps: Sequence[tuple[str, str]]
    score: float
    success: bool

    @classmethod
    def play(cls, env: Environment, start: Start, actions: Iterable[str]) -> Self:
        """Let an expert act until its actions or the episode end.

        Args:
            env: An environment that stands at its start.
            start: What its reset showed.
            actions: The expert's actions; each is asked for in the state it is for.

        Returns:
            The episode.
        """
        observation, score, success = start.observation, 0.0, False
        steps: list[tuple[str, str]] = []
        for action in actions:
            transition = env.step(action)
            steps.append((observation, action))
            observation = transition.observation
            score, success = transition.score, transition.success
            if transition.done:
                break
        return cls(start, tuple(steps), score, success)


@runtime_checkable
class EnvironmentFactory(Protocol):
    """The registry entry of an environment. Starts no engine by itself."""

    name: str
    spec: EnvironmentSpec

    def types(self, group: Literal["held_in", "held_out", "dev", "all"]) -> list[str]:
        """Task types of a group (dev: neither trained nor tested)."""
        ...

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the types.

        Raises:
            UnknownTaskError: If a type or split does not exist.
        """
        ...

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by type and seed.

        Raises:
            UnknownTaskError: If the type does not exist.
        """
        ...

    def make(self) -> Environment:
        """Make an environment that has not been reset."""
        ...


def digest(text: str) -> str:
    """Short stable hash of an observation, for replay checks."""
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


class Environment(ABC):
    """One task's state: reset, step, fork. Deterministic for (task, seed, actions).

    Subclasses implement `_reset` and `_step`, `_copy` where the engine can be copied,
    and, where the default text grammar does not fit, `parse` and `key`. The base class
    records actions and observation digests, so that `fork` can fall back to a checked
    replay in a fresh engine.
    """

    spec: EnvironmentSpec = EnvironmentSpec()

    def __init__(self) -> None:
        """Start without a task."""
        self.task: TaskRef | None = None
        self.actions_taken: list[Action] = []
        self.digests: list[str] = []

    # What a subclass provides.

    @abstractmethod
    def _reset(self, task: TaskRef) -> Start:
        """Load the task and return what it shows first."""

    @abstractmethod
    def _step(self, action: Action) -> Transition:
        """Apply one action. A refused action is an ordinary step with its answer."""

    def _copy(self) -> Self:
        """Copy the engine's state; only called where `spec.fork` is `"copy"`."""
        msg = f"{type(self).__name__} declares fork='copy' but has no _copy."
        raise ForkError(msg, remedy="Implement _copy or declare fork='replay'.")

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action out of a policy's message.

        Args:
            message: The policy's answer.

        Returns:
            The action, or None if the message holds none.
        """
        text = str(message.text).strip()
        return text or None

    def key(self, action: Action) -> str:
        """Normal form by which equal actions are merged; it is never run."""
        return " ".join(str(action).split()).casefold()

    def normalise(self, observation: str) -> str:
        """Hook: what of an observation must be equal in a replay."""
        return observation

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action, costing a step; None ends the beam."""
        del message
        return None

    def actions(self) -> list[str] | None:
        """Admissible actions in this state, where the engine lists them."""
        return None

    def close(self) -> None:  # noqa: B027 - most engines hold nothing
        """Release the engine."""

    # What callers use.

    def reset(self, task: TaskRef) -> Start:
        """Load a task.

        Raises:
            UnknownTaskError: If the task does not exist.
        """
        start = self._reset(task)
        self.task = task
        self.actions_taken = []
        self.digests = [digest(self.normalise(start.observation))]
        return start

    def step(self, action: Action) -> Transition:
        """Apply one action and record it.

        Raises:
            ConfigurationError: If no task was loaded.
        """
        if self.task is None:
            msg = f"{type(self).__name__}.step was called before reset."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        transition = self._step(action)
        self.actions_taken.append(action)
        self.digests.append(digest(self.normalise(transition.observation)))
        return transition

    def reject(self, message: AIMessage) -> Transition | None:
        """Let the environment answer a message without action, and record that.

        Returns:
            Its answer, or None if it has none.
        """
        taken = len(self.actions_taken)
        answer = self.on_invalid(message)
        if answer is not None:
            # An engine may answer by a step of its own, which has recorded itself.
            del self.actions_taken[taken:], self.digests[taken + 1 :]
            args = {"text": str(message.text)}
            self.actions_taken.append([{"name": _REJECTED, "args": args}])
            self.digests.append(digest(self.normalise(answer.observation)))
        return answer

    def fork(self) -> Self:
        """Make an independent environment in the same state.

        Raises:
            ForkError: If the state can be neither copied nor replayed.
            ReplayMismatchError: If a replay shows other observations than recorded.
        """
        if self.spec.fork == "copy":
            twin = self._copy()
            twin.task = self.task
            twin.actions_taken = list(self.actions_taken)
            twin.digests = list(self.digests)
            return twin
        if self.spec.fork == "none":
            msg = f"{type(self).__name__} cannot be branched (fork='none')."
            raise ForkError(msg, remedy="Search it with beam_width=1.")
        twin = self._fresh()
        if self.task is not None:
            twin.replay(self.task, self.actions_taken, self.digests)
        return twin

    def _fresh(self) -> Self:
        return type(self)()

    def replay(
        self,
        task: TaskRef,
        actions: Sequence[Action],
        digests: Sequence[str] | None = None,
    ) -> Start:
        """Reset to `task` and repeat `actions`, checking observations on the way.

        Args:
            task: The task.
            actions: Actions in order.
            digests: Digests of the first observation and of one per action.

        Returns:
            What the reset showed.

        Raises:
            ForkError: If this environment must not be replayed.
            ReplayMismatchError: If an observation differs from what was recorded.
        """
        if not self.spec.replayable:
            msg = (
                f"{type(self).__name__} forbids replay: its actions act on the world "
                "outside."
            )
            raise ForkError(msg, remedy="Search it with beam_width=1.")
        start = self.reset(task)
        for action in actions:
            if isinstance(action, list) and action[0]["name"] == _REJECTED:
                self.reject(AIMessage(action[0]["args"]["text"]))
            else:
                self.step(action)
        if digests is not None:
            pairs = zip(self.digests, digests, strict=False)
            for i, (seen, recorded) in enumerate(pairs):
                if seen != recorded:
                    msg = (
                        f"Replay of task {task['id']!r} differs from the record at "
                        f"observation {i} of {len(digests) - 1}."
                    )
                    raise ReplayMismatchError(
                        msg,
                        remedy="The environment is not deterministic, or its version "
                        "changed since the record was made.",
                    )
        return start

    # Async twins: engines are synchronous, so a thread each by default.

    async def areset(self, task: TaskRef) -> Start:
        """Async twin of `reset`."""
        return await asyncio.to_thread(self.reset, task)

    async def astep(self, action: Action) -> Transition:
        """Async twin of `step`."""
        return await asyncio.to_thread(self.step, action)

    async def afork(self) -> Self:
        """Async twin of `fork`."""
        return await asyncio.to_thread(self.fork)
