"""The interpreter: one for each story file, which goes from saved state to state."""

from __future__ import annotations

import re
import threading
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_jericho.games import Story, load_jericho

__all__ = ["Engine", "Point", "get_engine"]

# Words 6 of the header (where the global variables are) and, of these, the second,
# which version 3 shows as score in its status line.
_GLOBALS = slice(0x0C, 0x0E)
_SCORE = 2
_MOVES = 4
_MAXIMUM = re.compile(
    r"(?:total|maximum|out)\s+of\s+(?:a\s+)?(?:possible\s+|maximum\s+)?(?:of\s+)?(\d+)"
    r"|of\s+a\s+(?:possible|maximum)\s+(\d+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A saved state of a story, and what it says about itself.

    Attributes:
        saved: The interpreter's state.
        text: What the story printed last.
        score: Its points.
        moves: Its count of moves.
        won: Whether the story was won.
        lost: Whether the story is over otherwise.
    """

    saved: Any
    text: str
    score: int
    moves: int
    won: bool
    lost: bool


class Engine:
    """An interpreter for one story file. Used by one thread at a time.

    Args:
        story: The story.

    Raises:
        ConfigurationError: If the story does not say what the highest score is.
    """

    def __init__(self, story: Story) -> None:
        self.story = story
        self._jericho = load_jericho()
        self._lock = threading.Lock()
        with warnings.catch_warnings():
            # It warns that it does not find the score, which is read elsewhere.
            warnings.simplefilter("ignore")
            self._frotz = self._jericho.FrotzEnv(story.path, seed=1)
        self._here: Point | None = None
        self.maximum = (
            int(self._frotz.get_max_score()) if story.known else self._announced()
        )
        if self.maximum < 1:
            msg = f"The highest score of {story.path} is {self.maximum}."
            raise ConfigurationError(msg, remedy="Take a story that can be scored.")

    def start(self, seed: int) -> Point:
        """Begin the story.

        Args:
            seed: 0 is the seed of Jericho's walkthrough; others are their own.
        """
        with self._lock:
            # Jericho takes 0 for "the walkthrough's", and without one for the clock.
            self._frotz.seed(seed if self.story.known else seed + 1)
            text, _ = self._frotz.reset()
            self._here = self._point(text)
            return self._here

    def step(self, point: Point, text: str) -> Point:
        """Type one line at a point of the story.

        Args:
            point: The state to go on from.
            text: One line without control characters.

        Returns:
            The state after it.
        """
        with self._lock:
            if point is not self._here:
                # A state may be set in a stopped interpreter, but it stays stopped.
                if self._frotz._emulator_halted():  # noqa: SLF001 - no other name
                    self._frotz.reset()
                self._frotz.set_state(point.saved)
            self._here = None
            answer, _, _, _ = self._frotz.step(text)
            self._here = self._point(answer)
            return self._here

    def _point(self, text: str) -> Point:
        frotz = self._frotz
        saved = frotz.get_state()
        halted = bool(frotz._emulator_halted())  # noqa: SLF001 - no other name
        if self.story.known:
            won = bool(frotz.victory())
            score, moves = int(frotz.get_score()), int(frotz.get_moves())
            lost = not won and (bool(frotz.game_over()) or halted)
        else:
            score, moves = _status_line(saved[0])
            won = score >= self.maximum if hasattr(self, "maximum") else False
            lost = halted and not won
        return Point(saved, text, score, moves, won, lost)

    def _announced(self) -> int:
        self._frotz.reset()
        answer, _, _, _ = self._frotz.step("score")
        match = _MAXIMUM.search(" ".join(answer.split()))
        if match is None:
            msg = f"The story {self.story.path} does not say how many points there are."
            raise ConfigurationError(msg, remedy="Take a file that Jericho knows.")
        return int(match[1] or match[2])


def _status_line(memory: Any) -> tuple[int, int]:
    data = bytes(memory)
    at = int.from_bytes(data[_GLOBALS], "big")
    words = (data[at + _SCORE : at + _SCORE + 2], data[at + _MOVES : at + _MOVES + 2])
    score, moves = (int.from_bytes(word, "big", signed=True) for word in words)
    return score, moves


@lru_cache(maxsize=64)
def get_engine(story: Story) -> Engine:
    """Return this process's interpreter for a story; the last 64 are kept.

    Raises:
        ConfigurationError: If the story cannot be scored.
    """
    return Engine(story)
