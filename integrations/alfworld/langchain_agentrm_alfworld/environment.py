"""ALFWorld as an environment: a game, an engine, a form and perhaps a perturbation."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import Environment, EnvironmentSpec, Start
from langchain_agentrm.environments.text import LONGEST, clean
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_alfworld._expert import aim
from langchain_agentrm_alfworld._pddl import parse_problem
from langchain_agentrm_alfworld._play import root
from langchain_agentrm_alfworld._wording import read_wording
from langchain_agentrm_alfworld._world import World, name_things
from langchain_agentrm_alfworld.forms import (
    CHECK,
    FORMS,
    Form,
    generated_subgoals,
    read_labels,
    without_place,
)
from langchain_agentrm_alfworld.games import (
    NAME,
    Games,
    GeneratedGames,
    load_world,
    open_games,
)
from langchain_agentrm_alfworld.generate import GENERATIONS, Generation
from langchain_agentrm_alfworld.perturb import Perturbation
from langchain_agentrm_alfworld.prompts import instruction, published

__all__ = ["ALFWorld", "Options", "spec_of"]

_INVALID = "agentrm.invalid"
_ACTION = re.compile(r"action:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """How ALFWorld is played.

    Attributes:
        style: `"eto"` (40 steps, success) or `"agentboard"` (30 steps, progress).
        engine: `"native"` (plain Python, forks by copy) or `"textworld"` (ALFWorld's
            own, slow, forks by replay).
        perturbation: 1 to 5, or 0 for the usual action grammar.
        data: Folder of the official games; None means what `ALFWORLD_DATA` names, and
            `"generated"` the generated ones whatever it names.
        generation: Text grammar of generated games: `"move"` (ALFWorld 0.4) or `"put"`
            (before, and what published prompts speak). None means `"put"` with
            `prompts`, else `"move"`.
        labels: AgentBoard's label file or its folder, for progress in official games.
        prompts: AgentRM's prompt folder; None means an instruction in our own words.
        step_limit: Another step limit than the form's.
    """

    style: str = "eto"
    engine: Literal["native", "textworld"] = "native"
    perturbation: int = 0
    data: str | None = None
    generation: Generation | None = None
    labels: str | None = None
    prompts: str | None = None
    step_limit: int | None = None

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: If an option has no such value.
        """
        known: list[tuple[str, object, tuple[object, ...]]] = [
            ("style", self.style, tuple(FORMS)),
            ("engine", self.engine, ("native", "textworld")),
            ("generation", self.generation, (None, *GENERATIONS)),
        ]
        for name, value, values in known:
            if value not in values:
                msg = f"ALFWorld has no {name} {value!r}."
                raise ConfigurationError(msg, remedy=f"Choose one of {list(values)}.")
        if self.step_limit is not None and self.step_limit < 1:
            msg = f"step_limit={self.step_limit} leaves no action."
            raise ConfigurationError(msg, remedy="Give 1 or more, or None.")
        Perturbation(self.perturbation)

    @property
    def form(self) -> Form:
        """The form with its step limit."""
        form = FORMS[self.style]
        return replace(form, step_limit=self.step_limit or form.step_limit)

    def games(self) -> Games:
        """Open the games."""
        return open_games(self.data, self.generation or self._speaks())

    def _speaks(self) -> Generation:
        return "put" if self.prompts is not None else "move"


class _Position(Protocol):
    """A state of a game in either engine."""

    @property
    def text(self) -> str: ...
    @property
    def valid(self) -> bool: ...
    @property
    def won(self) -> bool: ...
    def commands(self) -> list[str]: ...
    def step(self, command: str) -> Self: ...


@dataclass(slots=True)
class _Episode:
    """One episode so far. `place` is what AgentBoard's `look` repeats."""

    position: Any
    perturbation: Perturbation
    subgoals: tuple[str, ...]
    place: str
    reached: frozenset[int] = frozenset()
    steps: int = 0
    over: bool = False


class ALFWorld(Environment):
    """One ALFWorld game as text, stepped by commands such as `go to desk 1`.

    The answers, the list of commands and the outcome are the engine's. The episode ends
    when the goal holds or the form's step limit is reached.

    Args:
        options: How to play; the default is ETO's form with the native engine.

    Raises:
        ConfigurationError: If an option has no such value.
    """

    spec = EnvironmentSpec(fork="copy", replayable=True, thread_safe=True)

    def __init__(self, options: Options | None = None) -> None:
        super().__init__()
        self.options = options or Options()
        self.options.check()
        self.spec = spec_of(self.options)
        self._form = self.options.form
        self._episode: _Episode | None = None

    def _reset(self, task: TaskRef) -> Start:
        if task["env"] != NAME:
            msg = f"Task {task['id']!r} belongs to environment {task['env']!r}."
            raise UnknownTaskError(msg, remedy="Make that environment instead.")
        options, games = self.options, self.options.games()
        position: _Position
        if options.engine == "native":
            world = load_world(games, task)
            position = root(world)
            wording, names = world.wording, list(world.names.values())
            subgoals = self._subgoals(games, task, world)
        else:
            from langchain_agentrm_alfworld._textworld import TextWorldGame

            content = games.content(task)
            position = TextWorldGame(content)
            wording = read_wording(
                content["grammar"], content["pddl_domain"], strict=False
            )
            facts = parse_problem(content["pddl_problem"]).facts
            names = list(name_things(facts).values())
            subgoals = self._subgoals(games, task, None)
        perturbation = Perturbation(options.perturbation, names)
        # Without the engine's title: the room, and then the task.
        _, room, goal = position.text.split("\n\n", 2)
        self._episode = _Episode(position, perturbation, subgoals, place=room)
        told, examples = (
            (instruction(self._form, wording, perturbation), ())
            if options.prompts is None
            else published(
                options.prompts, self._form, options.perturbation, task["type"]
            )
        )
        return Start(
            observation=perturbation.text(room),
            goal=perturbation.text(goal),
            instruction=told,
            step_limit=self._form.step_limit,
            examples=examples,
        )

    def _subgoals(
        self, games: Games, task: TaskRef, world: World | None
    ) -> tuple[str, ...]:
        if not self._form.progress:
            return ()
        if isinstance(games, GeneratedGames):
            return generated_subgoals(aim(world or load_world(games, task)))
        if self.options.labels is None:
            # Only success can be measured then, as the README says.
            return ()
        labels = read_labels(Path(self.options.labels))
        found = labels.get(task["id"])
        if found is None:
            msg = f"AgentBoard's labels have no game {task['id']!r}."
            raise ConfigurationError(
                msg, remedy="They label the test split; leave labels out elsewhere."
            )
        return found

    def _step(self, action: Action) -> Transition:
        episode = self._going()
        text, valid = self._answer(episode, action)
        text = without_place(text)
        won = episode.position.won
        episode.steps += 1
        episode.over = won or episode.steps >= self._form.step_limit
        episode.reached |= {
            i for i, pattern in enumerate(episode.subgoals) if re.search(pattern, text)
        }
        reached = len(episode.reached) / (len(episode.subgoals) + 1)
        value = 1.0 if won else reached
        return Transition(
            observation=episode.perturbation.text(text),
            progress=value,
            done=episode.over,
            success=won,
            score=value,
            info={"valid": valid, "steps": episode.steps, "won": won},
        )

    def _answer(self, episode: _Episode, action: Action) -> tuple[str, bool]:
        """Ask the engine, by the form's rules; also whether the action was valid."""
        if not isinstance(action, str):
            if self._form.invalid is not None:
                return self._form.invalid, False
            action = ""
        action = self._form.command(clean(action, None))
        if self._form.progress and action == CHECK:
            return self._listed(episode), True
        # What only the usual grammar allows is no command here.
        command = episode.perturbation.command(action)
        episode.position = episode.position.step("" if command is None else command)
        answer, valid = episode.position.text, episode.position.valid
        if self._form.progress and command == "look":
            return episode.place, valid
        if command is not None and self._form.remembers(command, answer):
            episode.place = answer
        return answer, valid

    def _listed(self, episode: _Episode) -> str:
        listed = ", ".join([*self._possible(episode), CHECK])
        return f"Choose an action from these valid actions: {listed}"

    def _possible(self, episode: _Episode) -> list[str]:
        return [episode.perturbation.action(x) for x in episode.position.commands()]

    def _copy(self) -> Self:
        twin = self._fresh()
        if self._episode is not None:
            twin._episode = replace(self._episode)  # noqa: SLF001 - a copy of itself
        return twin

    def _fresh(self) -> Self:
        return type(self)(self.options)

    def _going(self) -> _Episode:
        episode = self._loaded()
        if episode.over:
            msg = f"The episode is over after {episode.steps} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        return episode

    def _loaded(self) -> _Episode:
        if self._episode is None:
            msg = "This ALFWorld environment has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return self._episode

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action: what follows the last `Action:`, up to the end of its line.

        A message of one line without `Action:` is an action by itself.

        Args:
            message: The policy's answer.

        Returns:
            The action, or None if there is none or it is longer than 4 kB.
        """
        text = clean(str(message.text), None).strip()
        found = list(_ACTION.finditer(text))
        rest = text[found[-1].end() :] if found else text
        lines = rest.strip().splitlines()
        if not lines or (not found and len(lines) > 1):
            return None
        action = lines[0].strip()
        return action if len(action.encode()) <= LONGEST else None

    def key(self, action: Action) -> str:
        """Normalise as the form does; capitals and blanks inside matter, as they do."""
        return self._form.key(clean(action, None)) if isinstance(action, str) else ""

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action as the benchmark does, for a step."""
        # Through `step`, so that a replay repeats it.
        return self.step([{"name": _INVALID, "args": {"text": str(message.text)}}])

    def actions(self) -> list[str] | None:
        """Admissible actions in this state; none once the episode is over."""
        episode = self._loaded()
        if episode.over:
            return []
        return [*self._possible(episode), *([CHECK] if self._form.progress else [])]

    def surface(self, command: str) -> str:
        """Rewrite a command of the engine as this environment's grammar has it."""
        return self._loaded().perturbation.action(command)

    def world(self) -> World:
        """Return the game as the native engine has it, for experts.

        Raises:
            ConfigurationError: If no task was loaded.
        """
        self._loaded()
        if self.task is None:
            msg = "This ALFWorld environment has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return load_world(self.options.games(), self.task)


def spec_of(options: Options) -> EnvironmentSpec:
    """Say what may be done with an engine."""
    if options.engine == "native":
        return ALFWorld.spec
    # The planner's library keeps its state in native memory, which cannot be copied.
    return EnvironmentSpec(fork="replay", replayable=True, thread_safe=False)
