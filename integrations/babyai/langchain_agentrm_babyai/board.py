"""BabyAI as AgentBoard plays it: its texts, macros, ending and progress rate."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_agentrm.environments.base import Demonstration, Start
from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.environments.text import clean
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_babyai import levels
from langchain_agentrm_babyai.environment import BOARD_STYLE, BabyAI

if TYPE_CHECKING:
    from langchain_agentrm_babyai._board import BoardNode, BoardWorld, Subgoals

__all__ = ["BOARD_INSTRUCTION", "BoardBabyAI", "demonstrate_board"]

BOARD_INSTRUCTION = """\
You control a robot in rooms of a grid; it sees what lies in front of it. Each object
is named by colour, kind and a number, and doors by their state, "red closed door 1".
You have 30 actions. Answer with one action each time, on a line that begins with
"Action:", perhaps after a line of thought. The actions:
turn left, turn right, move forward - one low-level move
go to OBJECT - walk up to it and face it, e.g. "go to red ball 1"
pickup OBJECT - walk up to it and take it; one object at a time
drop - put what you carry into the cell ahead
go through DOOR - walk into an open door
toggle and go through DOOR - open a closed door, or a locked one with its key, and enter
toggle - open the door just ahead
check available actions - list what can be done now"""

_PICK_UP = "pick up "
_REMEDY = "Give AgentBoard's file data/babyai/test.jsonl, with one line a task."


class BoardBabyAI(BabyAI):
    """One BabyAI task as AgentBoard plays it; the level ends by itself.

    Progress is the best share of the label's subgoals so far. Without a label they are
    what the expert takes and opens on its way, and the end; progress is then 1 as soon
    as MiniGrid says that the task is solved. The score is the progress.

    Args:
        labels: AgentBoard's label file, for its own 112 tasks.
        prompts: AgentRM's published prompt folder; None means an instruction in our
            own words.
    """

    def __init__(self, labels: str | None = None, prompts: str | None = None) -> None:
        super().__init__()
        self.style = BOARD_STYLE
        self._labels = labels
        self._prompts = prompts

    def _reset(self, task: TaskRef) -> Start:
        from langchain_agentrm_babyai._board import BOARD_LIMIT, get_board

        level, seed = self._checked(task, levels.BOARD)
        instruction, examples = (
            (BOARD_INSTRUCTION, ())
            if self._prompts is None
            else PromptFolder(self._prompts).policy("babyai")
        )
        world = get_board(level, seed, self._label(level, seed))
        self._world, self._node = world, world.root
        return Start(
            observation=world.root.observation,
            goal=world.goal,
            instruction=instruction,
            step_limit=BOARD_LIMIT,
            examples=examples,
        )

    def _step(self, action: Action) -> Transition:
        from langchain_agentrm_babyai._board import BoardNode

        done = super()._step(action)
        node = self._node
        progress = node.progress if isinstance(node, BoardNode) else 0.0
        return Transition(
            observation=done.observation,
            progress=progress,
            done=done.done,
            success=done.success,
            score=progress,
            info=done.info,
        )

    def _copy(self) -> Self:
        twin = self._fresh()
        twin._world, twin._node = self._world, self._node  # noqa: SLF001
        return twin

    def _fresh(self) -> Self:
        return type(self)(self._labels, self._prompts)

    def key(self, action: Action) -> str:
        """Normalise as AgentBoard does: small letters, no blanks around it.

        `pick up`, as AgentRM's prompt has it, becomes AgentBoard's `pickup`.
        """
        if not isinstance(action, str):
            return "no text"
        lines = clean(action).strip().splitlines()
        line = lines[0].strip().lower() if lines else ""
        if line.startswith(_PICK_UP):
            line = "pickup " + line[len(_PICK_UP) :]
        return line

    def board(self) -> tuple[BoardWorld, BoardNode]:
        """Return the shared world and this environment's state in it.

        Raises:
            ConfigurationError: If no task was loaded.
        """
        from langchain_agentrm_babyai._board import BoardWorld

        world, node = self.position()
        if not isinstance(world, BoardWorld):
            msg = "This environment holds a state of another style."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return world, world.board_node(node)

    def _label(self, level: str, seed: int) -> Subgoals | None:
        if self._labels is None or seed not in levels.BOARD_SPLIT_SEEDS["test"]:
            return None
        seeds = levels.BOARD_SPLIT_SEEDS["test"]
        at = levels.BOARD.index(level) * len(seeds) + seed - seeds[0]
        return _load_labels(self._labels)[at]


def demonstrate_board(task: TaskRef, env: BabyAI) -> Demonstration:
    """Play the way of MiniGrid's bot, which sees no more than the agent.

    Args:
        task: The task.
        env: An environment in AgentBoard's style.

    Returns:
        The episode; without steps where the bot does not solve the task in time.

    Raises:
        UnknownTaskError: If the task does not exist.
        ConfigurationError: If the environment has another style.
    """
    start = env.reset(task)
    if not isinstance(env, BoardBabyAI):
        msg = f"{type(env).__name__} is no environment in AgentBoard's style."
        raise ConfigurationError(msg, remedy="Use BabyAIFactory(style='agentboard').")
    return Demonstration.play(env, start, env.board()[0].expert() or ())


@lru_cache(maxsize=4)
def _load_labels(path: str) -> tuple[Subgoals, ...]:
    out = []
    for number, line in enumerate(_text(Path(path), _REMEDY).splitlines(), 1):
        if not line.strip():
            continue
        try:
            out.append(_subgoals(json.loads(line)))
        except (ValueError, TypeError, AttributeError) as error:
            msg = f"{path}, line {number}, is no label of AgentBoard's: {error!r}."
            raise ConfigurationError(msg, remedy=_REMEDY) from error
    wanted = len(levels.BOARD) * len(levels.BOARD_SPLIT_SEEDS["test"])
    if len(out) != wanted:
        msg = f"{path} has {len(out)} labels, and AgentBoard has {wanted} tasks."
        raise ConfigurationError(msg, remedy=_REMEDY)
    return tuple(out)


def _subgoals(row: dict[str, Any]) -> Subgoals:
    """Read one way, or several of equal length."""
    if "subgoals" in row and "subgoals_1" not in row:
        ways = [row["subgoals"]]
    else:
        ways = [ways for name, ways in row.items() if "subgoals" in name]
    found = tuple(tuple(str(s) for s in way) for way in ways)
    if not found or not found[0] or len({len(way) for way in found}) != 1:
        msg = "no subgoals, or ways of several lengths"
        raise ValueError(msg)
    return found


def _text(path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}."
        raise ConfigurationError(msg, remedy=remedy) from error
