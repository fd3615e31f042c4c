"""BabyAI as a text game in which the agent itself says when it is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import (
    Demonstration,
    Environment,
    EnvironmentSpec,
    Split,
    Start,
)
from langchain_agentrm.environments.tasks import (
    TypeGroup,
    check_known,
    check_seed,
    check_task,
    demonstration_seeds,
    round_robin,
)
from langchain_agentrm.environments.text import clean, read_action
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_babyai import levels

if TYPE_CHECKING:
    from langchain_agentrm_babyai._world import Node, World

__all__ = ["BOARD_STYLE", "INSTRUCTION", "STYLES", "BabyAI", "BabyAIFactory", "factory"]

STYLES = ("agentrm",)
BOARD_STYLE = "agentboard"
"""AgentBoard's game, played by `langchain_agentrm_babyai.board.BoardBabyAI`."""

INSTRUCTION = """\
You control a robot in a grid of rooms. It sees the part of the grid in front of it.
Each observation lists what it sees as "colour kind number", nearest first, with how
many cells ahead and to the left or right it is, and then what the robot carries.
Numbers are given anew in each observation. Doors are open, closed or locked.
Answer with one action:
go to OBJECT - walk up to it and face it, e.g. "go to red ball 1"
pick up OBJECT - walk up to it and take it; one object at a time
open OBJECT - walk up to a closed door and open it
put next to OBJECT - put what you carry into an empty cell beside it
drop - put what you carry into the empty cell ahead
turn left, turn right, move forward - one low-level move
done - say that the goal is reached; this ends the task, and only then is it judged."""

_KIND = "BabyAI level"
_GROUPS = {
    "held_in": levels.HELD_IN,
    "held_out": levels.HELD_OUT,
    "dev": levels.DEV,
    "all": levels.ALL,
}


class BabyAI(Environment):
    """One BabyAI task as text, stepped by actions such as `go to red ball 1`.

    The episode does not end by itself when the task is solved: the agent must say
    `done`, and the state at that moment is judged. So nothing that a search can see
    before the end tells it the answer.

    Args:
        style: Which texts and actions; `"agentrm"` is the only one of this class.
            `BabyAIFactory(style="agentboard")` makes AgentBoard's game.

    Raises:
        ConfigurationError: If there is no such style.
    """

    spec = EnvironmentSpec(fork="copy", replayable=True, thread_safe=True)

    def __init__(self, style: str = "agentrm") -> None:
        if style not in STYLES:
            msg = f"BabyAI has no style {style!r}."
            raise ConfigurationError(msg, remedy=f"Choose one of {list(STYLES)}.")
        super().__init__()
        self.style = style
        self._world: World | None = None
        self._node: Node | None = None

    def _reset(self, task: TaskRef) -> Start:
        from langchain_agentrm_babyai._world import STEP_LIMIT, get_world

        self._world = get_world(*self._checked(task, levels.ALL))
        self._node = self._world.root
        return Start(
            observation=self._node.observation,
            goal=f"goal: {self._world.mission}.",
            instruction=INSTRUCTION,
            step_limit=STEP_LIMIT,
        )

    def _checked(self, task: TaskRef, known: Sequence[str]) -> tuple[str, int]:
        """Level and seed of a task of this environment."""
        check_task(task, BabyAIFactory.name)
        check_known([task["type"]], known, _KIND)
        return task["type"], check_seed(task["seed"], _KIND)

    def _step(self, action: Action) -> Transition:
        world, node = self.position()
        if node.over:
            msg = f"The episode is over after {node.depth} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        node = self._node = world.advance(node, self.key(action))
        value = float(node.success)
        return Transition(
            observation=node.observation,
            progress=value,
            done=node.over,
            success=node.success,
            score=value,
            info={"valid": node.valid, "steps": node.depth},
        )

    def _copy(self) -> Self:
        twin = type(self)(self.style)
        twin._world, twin._node = (  # noqa: SLF001 - a copy of itself
            self._world,
            self._node,
        )
        return twin

    def _fresh(self) -> Self:
        return type(self)(self.style)

    def position(self) -> tuple[World, Node]:
        """Return the shared world and this environment's state in it.

        Raises:
            ConfigurationError: If no task was loaded.
        """
        if self._world is None or self._node is None:
            msg = "This BabyAI environment has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return self._world, self._node

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action: the last `Action:` line, else the last line.

        Args:
            message: The policy's answer.

        Returns:
            The action, or None if there is none or it is longer than 4 kB.
        """
        return read_action(str(message.text))

    def key(self, action: Action) -> str:
        """Normalise: first line, small letters, single blanks, no final period."""
        if not isinstance(action, str):
            return ""
        lines = clean(action).strip().splitlines()
        line = lines[0] if lines else ""
        return " ".join(line.casefold().split()).rstrip(". ")

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action as an unknown action, which costs a step."""
        del message
        # Through `step`, so that a replay repeats it.
        return self.step("")

    def actions(self) -> list[str] | None:
        """Actions that apply in this state; none once the episode is over."""
        world, node = self.position()
        return list(world.actions(node))


class BabyAIFactory:
    """The registry entry `"babyai"`.

    Args:
        style: `"agentrm"`, the game in which the agent says when it is done, or
            `"agentboard"`, AgentBoard's game: its levels, texts, macros and progress.
        labels: AgentBoard's label file `data/babyai/test.jsonl`, for its test tasks;
            only for its style.
        prompts: AgentRM's published prompt folder, for the instruction; only for
            AgentBoard's style.

    Raises:
        ConfigurationError: If there is no such style, or it has no such option.
    """

    name = "babyai"
    spec = BabyAI.spec

    def __init__(
        self,
        style: str = "agentrm",
        *,
        labels: str | os.PathLike[str] | None = None,
        prompts: str | os.PathLike[str] | None = None,
    ) -> None:
        if style not in (*STYLES, BOARD_STYLE):
            msg = f"BabyAI has no style {style!r}."
            raise ConfigurationError(
                msg, remedy=f"Choose one of {[*STYLES, BOARD_STYLE]}."
            )
        self.style = style
        self._board = style == BOARD_STYLE
        if not self._board and (labels is not None or prompts is not None):
            msg = f"Labels and prompts are of no use to style {style!r}."
            raise ConfigurationError(
                msg, remedy=f"Leave them out, or choose style={BOARD_STYLE!r}."
            )
        self._labels = None if labels is None else os.fspath(labels)
        self._prompts = None if prompts is None else os.fspath(prompts)
        self._levels = levels.BOARD if self._board else levels.ALL

    def types(self, group: TypeGroup) -> list[str]:
        """Levels of a group.

        Raises:
            UnknownTaskError: If there is no such group.
        """
        check_known([group], _GROUPS, "group of BabyAI levels")
        if self._board:
            # Nothing of AgentBoard's is trained on by AgentRM.
            return list(levels.BOARD) if group in {"held_out", "all"} else []
        return list(_GROUPS[group])

    def tasks(
        self, split: Split, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[TaskRef]:
        """Tasks of a split in a fixed order, round robin over the levels.

        Args:
            split: `"train"`, `"dev"` or `"test"`.
            types: Levels; None means the held-in ones for train, and for dev and test
                the group of that split: the dev levels, or held in plus held out. In
                AgentBoard's style all of its levels.
            limit: How many tasks at most.

        Returns:
            The tasks.

        Raises:
            UnknownTaskError: If a level or the split does not exist.
        """
        splits = levels.BOARD_SPLIT_SEEDS if self._board else levels.SPLIT_SEEDS
        check_known([split], splits, "split")
        if types is None and self._board:
            types = levels.BOARD
        elif types is None:
            types = {
                "train": levels.HELD_IN,
                "dev": levels.DEV,
                "test": levels.HELD_IN + levels.HELD_OUT,
            }[split]
        return self._round_robin(types, splits[split], limit)

    def demonstrations(self, types: Sequence[str], n_per_type: int) -> list[TaskRef]:
        """Tasks for imitation, which are in no split, round robin over the levels.

        Raises:
            UnknownTaskError: If a level does not exist.
            ConfigurationError: If there are not that many tasks.
        """
        every = levels.DEMONSTRATION_SEEDS
        if self._board:
            every = levels.BOARD_DEMONSTRATION_SEEDS
        return self._round_robin(types, demonstration_seeds(n_per_type, every), None)

    def demonstrate(self, task: TaskRef) -> Demonstration | None:
        """Let the expert act; None where it gives up."""
        if self._board:
            from langchain_agentrm_babyai.board import demonstrate_board

            shown = demonstrate_board(task, self.make())
        else:
            from langchain_agentrm_babyai.expert import demonstrate

            shown = demonstrate(task, self.make())
        return shown if shown.steps else None

    def task(self, type_: str, seed: int) -> TaskRef:
        """Name one task by level and seed.

        Raises:
            UnknownTaskError: If the level does not exist or the seed is no seed.
        """
        check_known([type_], self._levels, _KIND)
        return _task(type_, check_seed(seed, _KIND))

    def make(self) -> BabyAI:
        """Make an environment that has not been reset."""
        if self._board:
            from langchain_agentrm_babyai.board import BoardBabyAI

            return BoardBabyAI(self._labels, self._prompts)
        return BabyAI(self.style)

    def _round_robin(
        self, types: Sequence[str], seeds: Sequence[int], limit: int | None
    ) -> list[TaskRef]:
        check_known(types, self._levels, _KIND)
        rows = round_robin(dict.fromkeys(types, seeds), limit)
        return [_task(type_, seed) for type_, seed in rows]


def _task(type_: str, seed: int) -> TaskRef:
    return TaskRef(env=BabyAIFactory.name, type=type_, id=f"{type_}:{seed}", seed=seed)


factory = BabyAIFactory()
"""The registry entry, as the entry point names it."""
