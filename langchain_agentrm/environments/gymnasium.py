"""Any Gymnasium environment as a text environment: text in, text out."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentSpec,
    Split,
    Start,
)
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.types import Action, TaskRef, Transition

__all__ = ["GymnasiumEnvironment", "GymnasiumFactory"]

Engine = Any
"""A `gymnasium.Env`; gymnasium itself is only imported to make one by its id."""

Make = str | Callable[[], Engine]
Info = Mapping[str, Any]
Actions = Mapping[str, Any] | Callable[[Engine], Mapping[str, Any]]

_ACTION = re.compile(r"\s*action\s*:(.*)", re.IGNORECASE)
_LONGEST = 4096
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_TRIED = 8
_SEEDS: Mapping[str, range] = {
    "train": range(100_000, 105_000),
    "dev": range(300_000, 305_000),
    "test": range(400_000, 405_000),
}


class GymnasiumEnvironment(Environment):
    """One episode of a Gymnasium environment, made by `GymnasiumFactory`.

    A fork is a deep copy where the factory has verified that such a copy goes on as the
    original does, and a checked replay where it does not.
    """

    def __init__(self, factory: GymnasiumFactory) -> None:
        super().__init__()
        self.spec = factory.spec
        self._factory = factory
        self._engine: Engine = None
        self._type = ""
        self._reward = 0.0
        self._progress = 0.0
        self._steps = 0
        self._over = False

    def _reset(self, task: TaskRef) -> Start:
        factory = self._factory
        factory.check(task)
        if self._engine is None or self._type != task["type"]:
            self.close()
            self._engine = factory.engine(task["type"])
            self._type = task["type"]
        observation, info = self._engine.reset(seed=task["seed"])
        self._reward = self._progress = 0.0
        self._steps, self._over = 0, False
        goal = factory.goal
        return Start(
            observation=factory.describe(observation, info),
            goal=goal if isinstance(goal, str) else goal(observation, info),
            instruction=factory.instruction,
            step_limit=factory.step_limit,
        )

    def _step(self, action: Action) -> Transition:
        if self._over:
            msg = f"The episode is over after {self._steps} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        factory = self._factory
        self._steps += 1
        text = _clean(action) if isinstance(action, str) else ""
        chosen = factory.choose(self._engine, text)
        self._over = self._steps >= factory.step_limit
        if chosen is None:
            return self._answer(factory.invalid, valid=False)
        observation, reward, terminated, truncated, info = self._engine.step(chosen[0])
        self._reward += float(reward)
        self._over = bool(self._over or terminated or truncated)
        self._progress = factory.measure(self._reward, info)
        return self._answer(factory.describe(observation, info), valid=True)

    def _answer(self, observation: str, *, valid: bool) -> Transition:
        return Transition(
            observation=observation,
            progress=self._progress,
            done=self._over,
            success=self._progress >= 1,
            score=self._progress,
            info={"valid": valid, "steps": self._steps, "reward": self._reward},
        )

    def fork(self) -> Self:
        """Make an independent environment in the same state.

        Raises:
            ReplayMismatchError: If a replay shows other observations than recorded.
        """
        if self.task is None or not self._factory.copies(self):
            return super().fork()
        twin = self._fresh()
        twin.task = self.task
        twin.actions_taken = list(self.actions_taken)
        twin.digests = list(self.digests)
        for name in ("_type", "_reward", "_progress", "_steps", "_over"):
            setattr(twin, name, getattr(self, name))
        twin._engine = copy.deepcopy(self._engine)  # noqa: SLF001 - a copy of itself
        return twin

    @property
    def over(self) -> bool:
        """Whether the episode is over."""
        return self._over

    def verify_copy(self) -> bool:
        """Try whether a deep copy of this state goes on as a replay of it does.

        The same few random actions run in a replay and in two copies, one after the
        other, so that copies which share state are found out. If they do, this
        environment's own engine may have been disturbed and is replayed.

        Returns:
            Whether copies can be trusted.
        """
        judge = super().fork()
        try:
            copies = [copy.deepcopy(self._engine) for _ in range(2)]
            space = copy.deepcopy(self._engine.action_space)
            space.seed(0)
            actions = [space.sample() for _ in range(_TRIED)]
            expected = self._future(judge._engine, actions)  # noqa: SLF001 - its own
            same = all(self._future(one, actions) == expected for one in copies)
        # Whatever an engine raises when it is copied: then it cannot be copied.
        except Exception:  # noqa: BLE001
            same = False
        if not same:
            self._engine = super().fork()._engine  # noqa: SLF001 - its own
        return same

    def _future(self, engine: Engine, actions: Sequence[Any]) -> list[object]:
        seen: list[object] = []
        for action in actions:
            observation, reward, terminated, truncated, info = engine.step(action)
            text = self._factory.describe(observation, info)
            seen.append((text, float(reward), bool(terminated), bool(truncated)))
            if terminated or truncated:
                break
        return seen

    def _fresh(self) -> Self:
        return type(self)(self._factory)

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action: the last `Action:` line, else the last line.

        Args:
            message: The policy's answer.

        Returns:
            The action, or None if the message is empty or longer than 4 kB.
        """
        text = _UNFIT.sub("\ufffd", str(message.text))
        if len(text.encode()) > _LONGEST:
            return None
        lines = [line for line in text.splitlines() if line.strip()]
        for i in range(len(lines) - 1, -1, -1):
            match = _ACTION.fullmatch(lines[i])
            if match is not None:
                # Some models put the action itself on the line below.
                rest = match[1] if match[1].strip() else "".join(lines[i + 1 : i + 2])
                return rest.strip() or None
        return lines[-1].strip() if lines else None

    def key(self, action: Action) -> str:
        """Normal form: a listed action's name in small letters, else the text."""
        return self._factory.key(_clean(action)) if isinstance(action, str) else ""

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action as an unknown action, which costs a step."""
        del message
        # Through `step`, so that a replay repeats it.
        return self.step("")

    def reject(self, message: AIMessage) -> Transition | None:
        """Let the environment answer a message without action; `step` records it."""
        return self.on_invalid(message)

    def actions(self) -> list[str] | None:
        """Listed actions, none once the episode is over; None where none are listed."""
        if self._engine is None:
            msg = f"This {self._factory.name} environment has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        listed = self._factory.listed(self._engine)
        if listed is None:
            return None
        return [] if self._over else list(listed)

    def close(self) -> None:
        """Close the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class GymnasiumFactory:
    """Makes a registry entry of a Gymnasium environment.

    Args:
        name: Name of the environment.
        make: A Gymnasium id, or a function that makes an engine; or several of them by
            task type. With one, the task type is `name`.
        describe: `fn(observation, info)` that writes an observation as text. None
            where observations are texts already.
        actions: The engine's action for each text that the policy may answer, or
            `fn(engine)` that returns those which are possible now.
        parse: `fn(text)` that reads other actions; None means that there is none in it.
            With neither, the text itself is the engine's action.
        goal: The goal, or `fn(observation, info)` that reads it out of a reset.
        instruction: Role, rules and action grammar, for policy and reward model.
        progress: `"reward"` for the sum of rewards, another name for that entry of
            `info`, or `fn(reward_sum, info)`. Held between 0 and 1; at 1 the task is
            solved, and the last one is the score.
        step_limit: Actions after which an episode ends.
        fork: `"auto"`: deep copies once they have been verified, on the first fork,
            else replay. `"replay"`: replay only.
        thread_safe: Whether several engines may be used from several threads at once.

    Raises:
        ConfigurationError: If there is nothing to make or no step to take.
    """

    def __init__(
        self,
        name: str,
        make: Make | Mapping[str, Make],
        *,
        describe: Callable[[Any, Info], str] | None = None,
        actions: Actions | None = None,
        parse: Callable[[str], Any | None] | None = None,
        goal: str | Callable[[Any, Info], str] = "",
        instruction: str = "",
        progress: str | Callable[[float, Info], float] = "reward",
        step_limit: int = 30,
        fork: Literal["auto", "replay"] = "auto",
        thread_safe: bool = True,
    ) -> None:
        makes = dict(make) if isinstance(make, Mapping) else {name: make}
        if not makes or step_limit < 1 or fork not in {"auto", "replay"}:
            msg = (
                f"Environment {name!r} cannot be made from make={make!r}, "
                f"step_limit={step_limit} and fork={fork!r}."
            )
            raise ConfigurationError(
                msg,
                remedy="Give at least one engine, one step, and fork 'auto' or "
                "'replay'.",
            )
        self.name = name
        self.goal = goal
        self.instruction = instruction
        self.step_limit = step_limit
        self.invalid = "That is no action of this environment."
        # What is always possible; that copies may be had is found out on a first fork.
        self.spec = EnvironmentSpec(
            fork="replay", replayable=True, thread_safe=thread_safe
        )
        self._makes = makes
        self._describe = describe
        self._actions = actions
        self._parse = parse
        self._progress = progress
        self._copies = {} if fork == "auto" else dict.fromkeys(makes, False)
        self._lock = threading.Lock()

    def types(self, group: Literal["held_in", "held_out", "dev", "all"]) -> list[str]:
        """Task types; all are held in."""
        return list(self._makes) if group in {"held_in", "all"} else []

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the types.

        Raises:
            UnknownTaskError: If a type or split does not exist.
        """
        seeds = _SEEDS.get(split)
        if seeds is None:
            msg = f"Environment {self.name!r} has no split {split!r}."
            raise UnknownTaskError(msg, remedy=f"Choose one of {list(_SEEDS)}.")
        names = list(self._makes) if types is None else list(dict.fromkeys(types))
        for name in names:
            self.task(name, 0)
        count = len(names) * len(seeds)
        count = count if limit is None else max(0, min(count, limit))
        return [
            self.task(names[i % len(names)], seeds[i // len(names)])
            for i in range(count)
        ]

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by type and seed.

        Raises:
            UnknownTaskError: If the type does not exist or the seed is no seed.
        """
        task = TaskRef(env=self.name, type=type_, id=f"{type_}:{seed}", seed=seed)
        self.check(task)
        return task

    def make(self) -> GymnasiumEnvironment:
        """Make an environment that has not been reset."""
        return GymnasiumEnvironment(self)

    # What its environments ask.

    def check(self, task: TaskRef) -> None:
        """Refuse a task that does not exist.

        Raises:
            UnknownTaskError: If environment, type or seed do not fit.
        """
        if task["env"] != self.name or task["type"] not in self._makes:
            msg = f"Environment {self.name!r} has no task {task['id']!r}."
            raise UnknownTaskError(msg, remedy=f"Its types are {list(self._makes)}.")
        if not isinstance(task["seed"], int) or task["seed"] < 0:
            msg = f"Environment {self.name!r} has no seed {task['seed']!r}."
            raise UnknownTaskError(msg, remedy="Seeds are whole numbers from 0.")

    def engine(self, type_: str) -> Engine:
        """Make an engine.

        Raises:
            ConfigurationError: If it is named by an id and gymnasium is missing.
        """
        make = self._makes[type_]
        if not isinstance(make, str):
            return make()
        try:
            import gymnasium
        except ImportError as error:
            msg = f"Environment {self.name!r} needs gymnasium to make {make!r}."
            raise ConfigurationError(msg, remedy="pip install gymnasium") from error
        # Its checker warns of what the engine does; here the conformance suite tests.
        return gymnasium.make(make, disable_env_checker=True)

    def describe(self, observation: Any, info: Info) -> str:
        """Write an observation as text.

        Raises:
            ConfigurationError: If it is no text and no `describe` was given.
        """
        if self._describe is not None:
            return self._describe(observation, info)
        if isinstance(observation, str):
            return observation
        msg = (
            f"Environment {self.name!r} shows {type(observation).__name__} "
            f"{observation!r:.100}, which is no text."
        )
        raise ConfigurationError(msg, remedy="Pass describe=fn(observation, info).")

    def listed(self, engine: Engine) -> Mapping[str, Any] | None:
        """Actions by text, those possible now where that is known."""
        if callable(self._actions):
            return self._actions(engine)
        return self._actions

    def choose(self, engine: Engine, text: str) -> tuple[Any] | None:
        """Find the engine's action for a text; None if there is none.

        Returns:
            The action in a tuple, since an engine's action may be None itself.
        """
        listed = self.listed(engine)
        if listed is not None:
            key = self.key(text)
            for name, action in listed.items():
                if self.key(name) == key:
                    return (action,)
        if self._parse is not None:
            read = self._parse(text)
            return None if read is None else (read,)
        return (text,) if listed is None and text.strip() else None

    def key(self, text: str) -> str:
        """Normal form of a text: small letters and single blanks for listed actions.

        Others may mean something else in capitals, so that only blanks are cut there.
        """
        plain = " ".join(text.split())
        return plain.casefold() if self._parse is None and self._actions else plain

    def measure(self, reward: float, info: Info) -> float:
        """Progress, 0..1, from the sum of rewards and the engine's info."""
        if callable(self._progress):
            value = self._progress(reward, info)
        elif self._progress == "reward":
            value = reward
        else:
            value = float(info.get(self._progress, 0.0))
        return min(1.0, max(0.0, float(value)))

    def copies(self, environment: GymnasiumEnvironment) -> bool:
        """Whether this type's engines are forked by deep copy; found out once.

        Args:
            environment: An environment with a task, whose state is tried.

        Returns:
            True after a deep copy went on as a replay does.
        """
        if environment.task is None:
            return False
        type_ = environment.task["type"]
        with self._lock:
            if type_ in self._copies:
                return self._copies[type_]
            if environment.over:
                # Nothing more can be tried in this state; a later fork decides.
                return False
            return self._copies.setdefault(type_, environment.verify_copy())


def _clean(text: str) -> str:
    return _UNFIT.sub("\ufffd", text[:_LONGEST])
