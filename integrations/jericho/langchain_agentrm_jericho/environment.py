"""A game of interactive fiction: what is typed, what is printed, and the points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import Environment, EnvironmentSpec, Start
from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.environments.tasks import check_task
from langchain_agentrm.environments.text import read_action
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_jericho._lines import allowed, clean
from langchain_agentrm_jericho.forms import (
    FORMS,
    Label,
    hit,
    load_labels,
    tidy,
    tidy_agentboard,
)
from langchain_agentrm_jericho.games import VARIABLE, Story, stories
from langchain_agentrm_jericho.prompts import INSTRUCTION

if TYPE_CHECKING:
    from langchain_agentrm_jericho._engine import Engine, Point

__all__ = ["NAME", "SEEDS", "STEP_LIMIT", "JerichoGame", "Options"]

NAME = "jericho"
"""Registry name."""

STEP_LIMIT = 30
"""Actions per episode, as in AgentBoard's main configuration."""

SEEDS = 1 << 15
"""How many seeds a game has."""

_NOT_HERE = "That command is not available in this game."


@dataclass(frozen=True, slots=True)
class Options:
    """How games are played.

    Attributes:
        games: Folder of story files; None means the one `JERICHO_GAMES` names.
        form: `"points"` or `"agentboard"`.
        step_limit: Actions per episode.
        prompts: AgentRM's prompt folder; None means an instruction in our own words.
        labels: AgentBoard's label file, for that form.
    """

    games: str | None = None
    form: str = "points"
    step_limit: int = STEP_LIMIT
    prompts: str | None = None
    labels: str | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without a game."""
        if self.form not in FORMS:
            msg = f"Jericho games have no form {self.form!r}."
            raise ConfigurationError(msg, remedy=f"Choose one of {list(FORMS)}.")
        if self.form == "agentboard" and self.labels is None:
            msg = "form='agentboard' needs the labels of its games."
            raise ConfigurationError(
                msg, remedy="Give labels=, AgentBoard's data/jericho/test.jsonl."
            )
        if self.step_limit < 1:
            msg = f"step_limit={self.step_limit} is too little."
            raise ConfigurationError(msg, remedy="Give 1 or more.")

    def story(self, name: str) -> Story:
        """Find a game.

        Raises:
            UnknownTaskError: If the folder has no such game that can be scored, or
                AgentBoard's form has no label for it.
        """
        found = stories(self.games)
        if not found:
            msg = f"There is no game {name!r}, since no story file was found."
            raise UnknownTaskError(
                msg, remedy=f"Set {VARIABLE} to a folder of story files."
            )
        if name not in found or (self.label(name) is None and self.form != "points"):
            msg = f"There is no game {name!r} that can be scored."
            raise UnknownTaskError(msg, remedy=f"Choose one of {list(found)}.")
        return found[name]

    def label(self, name: str) -> Label | None:
        """AgentBoard's label of a game, in its form."""
        if self.form == "points" or self.labels is None:
            return None
        return load_labels(self.labels).get(name)


class JerichoGame(Environment):
    """One game, played from its beginning.

    A state is saved by the interpreter after each action, and a fork shares it; the
    interpreter of a story goes to whichever state is stepped next.

    Args:
        options: How to play; None means the games of `JERICHO_GAMES`, for points.
    """

    spec = EnvironmentSpec(fork="copy", replayable=True, thread_safe=True)

    def __init__(self, options: Options | None = None) -> None:
        super().__init__()
        self.options = options or Options()
        self._engine: Engine | None = None
        self._point: Point | None = None
        self._label: Label | None = None
        self._taken = 0
        self._best = 0.0
        self._found: frozenset[int] = frozenset()
        self._over = False

    def _reset(self, task: TaskRef) -> Start:
        from langchain_agentrm_jericho._engine import get_engine

        check_task(task, NAME)
        story = self.options.story(task["type"])
        seed = task["seed"]
        if not isinstance(seed, int) or not 0 <= seed < SEEDS:
            msg = f"A game has no seed {seed!r}."
            raise UnknownTaskError(msg, remedy=f"Choose 0 to {SEEDS - 1}.")
        engine = get_engine(story)
        self._label = self.options.label(story.name)
        self._engine, self._point = engine, engine.start(seed)
        self._taken, self._over = 0, False
        self._best, self._found = self._share(self._point), frozenset()
        goal = f"Score as many of the story's {engine.maximum} points as you can."
        if self._label is not None and self._label.goal:
            goal = self._label.goal
        instruction, examples = (
            (INSTRUCTION.format(steps=self.options.step_limit), ())
            if self.options.prompts is None
            else PromptFolder(self.options.prompts).policy("jericho")
        )
        return Start(
            observation=self._shown(self._point.text),
            goal=goal,
            instruction=instruction,
            step_limit=self.options.step_limit,
            examples=examples,
        )

    def _step(self, action: Action) -> Transition:
        engine, point = self._loaded()
        if self._over:
            msg = f"The episode is over after {self._taken} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        line = clean(action, commas=self._label is None)
        valid = allowed(line)
        if valid:
            point = engine.step(point, line)
            text = self._shown(point.text)
        else:
            text = _NOT_HERE
        self._point = point
        self._taken += 1
        if self._label is None:
            self._best = max(self._best, self._share(point))
            success = point.won
        else:
            self._found = hit(text, self._label.subgoals, self._found)
            self._best = len(self._found) / len(self._label.subgoals)
            success = len(self._found) == len(self._label.subgoals)
        ended = success or point.won or point.lost
        self._over = ended or self._taken >= self.options.step_limit
        return Transition(
            observation=text,
            progress=self._best,
            done=self._over,
            success=success,
            score=self._best,
            info={"valid": valid, "raw_score": point.score, "moves": point.moves},
        )

    def _share(self, point: Point) -> float:
        if self._label is not None or self._engine is None:
            return 0.0
        return max(0.0, min(1.0, point.score / self._engine.maximum))

    def _shown(self, text: str) -> str:
        if self._label is not None:
            return tidy_agentboard(text)
        return tidy(text) or "(The story prints nothing.)"

    def _copy(self) -> Self:
        twin = type(self)(self.options)
        # A copy of itself; a saved state is never changed.
        twin._engine, twin._point = self._engine, self._point  # noqa: SLF001
        twin._label, twin._taken = self._label, self._taken  # noqa: SLF001
        twin._best, twin._found = self._best, self._found  # noqa: SLF001
        twin._over = self._over  # noqa: SLF001
        return twin

    def _fresh(self) -> Self:
        return type(self)(self.options)

    def _loaded(self) -> tuple[Engine, Point]:
        if self._engine is None or self._point is None:
            msg = "This game has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return self._engine, self._point

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action: the last `Action:` line, else the last line.

        Args:
            message: The policy's answer.

        Returns:
            The action, or None if there is none or it is longer than 4 kB.
        """
        return read_action(str(message.text))

    def key(self, action: Action) -> str:
        """Normalise: the line that is typed, in small letters."""
        return clean(action, commas=self.options.form == "points").casefold()

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action as an empty line, which costs a step."""
        del message
        return self.step("")
