"""MiniGrid's bot with bounds: it may plan, or act, for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrid.utils.baby_ai_bot import BabyAIBot

__all__ = ["bot_moves"]

_MOVES = 400
_PLANS = 4_000


class _GaveUpError(Exception):
    """The bot went in circles."""


class _Stack(list[Any]):
    """The bot's stack of subgoals; counts what is put on it."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__(items)
        self.puts = 0

    def append(self, item: Any) -> None:
        self.puts += 1
        if self.puts > _PLANS:
            raise _GaveUpError
        super().append(item)


def bot_moves(engine: Any, situation: Callable[[], Any]) -> list[Any] | None:
    """Let the bot act in an engine.

    Args:
        engine: The engine, in the state from which the bot starts; it is changed.
        situation: Describes the engine's state.

    Returns:
        The situations on the way, the first and the last included; None if the bot
        fails.
    """
    way = [situation()]
    try:
        bot = BabyAIBot(engine)
        bot.stack = _Stack(bot.stack)
        for _ in range(_MOVES):
            _, reward, ended, _, _ = engine.step(bot.replan())
            way.append(situation())
            if ended:
                return way if reward > 0 else None
    # It asserts what it takes for granted, and walks over edges of its own maps.
    except (_GaveUpError, AssertionError, IndexError, ValueError, TypeError):
        return None
    return None
