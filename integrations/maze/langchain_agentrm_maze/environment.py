"""The maze as a text environment, in AgentGym's or LMRL-Gym's texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import Environment, EnvironmentSpec, Start
from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.environments.tasks import check_known, check_seed, check_task
from langchain_agentrm.environments.text import clean, read_action
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_maze.layouts import ALL, MOVES, Cell, Maze, open_maze
from langchain_agentrm_maze.prompts import INSTRUCTION

__all__ = ["NAME", "STYLES", "MazeEnvironment", "Settings", "describe"]

NAME = "maze"
KIND = "maze type"

STYLES = ("agentgym", "lmrl")

_SIDES = (
    ("to your right", (0, 1)),
    ("to your left", (0, -1)),
    ("above you", (-1, 0)),
    ("below you", (1, 0)),
)
_SUCCESS, _FAILURE = "Success\n", "Failure\n"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the maze is played.

    Attributes:
        style: `"agentgym"`, or `"lmrl"` for LMRL-Gym's own texts, which part the digits
            of a number by blanks and end each observation with a newline.
        prompts: AgentRM's prompt folder; None means an instruction in our own words.
        step_limit: Actions after which an episode ends.
    """

    style: str = "agentgym"
    prompts: str | None = None
    step_limit: int = 50

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: If an option has no such value.
        """
        if self.style not in STYLES:
            msg = f"The maze has no style {self.style!r}."
            raise ConfigurationError(msg, remedy=f"Choose one of {list(STYLES)}.")
        if self.step_limit < 1:
            msg = f"step_limit={self.step_limit} leaves no action."
            raise ConfigurationError(msg, remedy="Give 1 or more.")


class Position(NamedTuple):
    """Where an episode stands; it never changes, so that a fork copies a reference.

    Attributes:
        maze: The maze.
        cell: Where the walker is.
        steps: Actions taken.
        over: Whether the episode is over.
    """

    maze: Maze
    cell: Cell
    steps: int = 0
    over: bool = False


class MazeEnvironment(Environment):
    """One walk through a maze, by `move up`, `move down`, `move left`, `move right`.

    Success, score and progress are 1 at the goal, which ends the episode, and 0 before.
    Whatever is no move is answered like a move into a wall: nothing changes.

    Args:
        settings: How to play.
    """

    spec = EnvironmentSpec(fork="copy", replayable=True, thread_safe=True)

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self._position: Position | None = None

    def _reset(self, task: TaskRef) -> Start:
        check_task(task, NAME)
        check_known([task["type"]], ALL, KIND)
        maze = open_maze(task["type"], check_seed(task["seed"], NAME))
        self._position = Position(maze, maze.start)
        settings = self.settings
        instruction, examples = (
            (INSTRUCTION, ())
            if settings.prompts is None
            else PromptFolder(settings.prompts).policy("maze")
        )
        row, column = maze.goal
        return Start(
            observation=describe(maze, maze.start, settings.style),
            goal=f"Reach the goal at position {row}, {column}.",
            instruction=instruction,
            step_limit=settings.step_limit,
            examples=examples,
        )

    def _step(self, action: Action) -> Transition:
        here = self.position()
        if here.over:
            msg = f"The episode is over after {here.steps} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        maze = here.maze
        down, right = MOVES.get(self.key(action), (0, 0))
        cell = (here.cell[0] + down, here.cell[1] + right)
        moved = cell in maze.open and cell != here.cell
        cell = cell if moved else here.cell
        won, steps = cell == maze.goal, here.steps + 1
        over = won or steps >= self.settings.step_limit
        self._position = Position(maze, cell, steps, over)
        if won:
            observation = _SUCCESS
        elif over:
            observation = _FAILURE
        else:
            observation = describe(maze, cell, self.settings.style)
        return Transition(
            observation=observation,
            progress=float(won),
            done=over,
            success=won,
            score=float(won),
            info={"valid": moved, "steps": steps},
        )

    def _copy(self) -> Self:
        twin = type(self)(self.settings)
        twin._position = self._position  # noqa: SLF001 - a copy of itself
        return twin

    def _fresh(self) -> Self:
        return type(self)(self.settings)

    def position(self) -> Position:
        """Return where this episode stands.

        Raises:
            ConfigurationError: If no task was loaded.
        """
        if self._position is None:
            msg = "This maze has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return self._position

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action: the last `Action:` line, else the last line.

        Args:
            message: The policy's answer.

        Returns:
            The action, or None if there is none or it is longer than 4 kB.
        """
        return read_action(str(message.text))

    def key(self, action: Action) -> str:
        """The text without blanks around it: capitals matter to the engine."""
        if not isinstance(action, str):
            return ""
        return clean(action).strip()

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action as an unknown action, which costs a step."""
        del message
        # Through `step`, so that a replay repeats it.
        return self.step("")

    def actions(self) -> list[str] | None:
        """The moves that no wall stops; none once the episode is over."""
        here = self.position()
        row, column = here.cell
        return [
            move
            for move, (down, right) in MOVES.items()
            if not here.over and (row + down, column + right) in here.maze.open
        ]


def describe(maze: Maze, cell: Cell, style: str) -> str:
    """Write what a walker at `cell` reads.

    Args:
        maze: The maze.
        cell: Where the walker is.
        style: `"agentgym"` or `"lmrl"`.

    Returns:
        The engine's text.
    """
    goal, here = _place(maze.goal, style), _place(cell, style)
    walls = [
        side
        for side, (down, right) in _SIDES
        if (cell[0] + down, cell[1] + right) not in maze.open
    ]
    if not walls:
        near = "There are no walls near you."
    elif len(walls) == 1:
        near = f"There is a wall {walls[0]}."
    else:
        near = f"There are walls {', '.join(walls)}."
    text = f"The goal is at position {goal}. Your current position is at position "
    return f"{text}{here}. {near}" + ("\n" if style == "lmrl" else "")


def _place(cell: Cell, style: str) -> str:
    numbers = map(str, cell)
    if style == "lmrl":
        numbers = map(" ".join, numbers)
    return ", ".join(numbers)
