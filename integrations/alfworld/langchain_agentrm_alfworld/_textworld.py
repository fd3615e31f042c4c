"""The reference engine: ALFWorld's own wrappers around TextWorld's planner."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Self

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_alfworld._play import NOTHING

__all__ = ["TextWorldGame"]

# More is no command, and the parser behind the engine is slow.
_LONGEST = 4096

_MODULES = (
    "fast_downward",
    "textworld",
    "alfworld.agents.environment.alfred_tw_env",
    "textworld.envs",
    "textworld.envs.pddl.textgen",
    "textworld.logic",
)
_lock = threading.Lock()


class TextWorldGame:
    """A game in TextWorld, moved on by each command; its state cannot be copied.

    Args:
        game: The content of a `game.tw-pddl` file.

    Attributes:
        text: What the engine said last.
        valid: Whether the last command was admissible.
        won: Whether the goal holds.

    Raises:
        ConfigurationError: If ALFWorld with TextWorld is not installed.
    """

    def __init__(self, game: Mapping[str, Any]) -> None:
        self._known: frozenset[str] = frozenset()
        with _lock:
            make = _install()
        with _keeps_argv():
            self._engine = make()
            self._engine.load(dict(game))
            state = self._engine.reset()
        self.valid = True
        self._take(state)

    def commands(self) -> list[str]:
        """Admissible commands, sorted."""
        return list(self._commands)

    def step(self, command: str) -> Self:
        """Type a command.

        Args:
            command: Any text.

        Returns:
            This game, moved on.
        """
        typed = command.strip()
        self.valid = typed in self._known
        if len(typed) > _LONGEST:
            # As for any other text that is no command, nothing happens.
            self.text = NOTHING
            return self
        with _keeps_argv():
            state, _, _ = self._engine.step(typed)
        self._take(state)
        return self

    def _take(self, state: Any) -> None:
        self.text = str(state.feedback)
        self.won = bool(state["won"])
        self._commands: list[str] = state["admissible_commands"]
        self._known = frozenset(self._commands)


@contextmanager
def _keeps_argv() -> Iterator[None]:
    """Keep `sys.argv`, which the planner's translator overwrites."""
    kept = list(sys.argv)
    try:
        yield
    finally:
        sys.argv[:] = kept


@functools.cache
def _install() -> Any:
    """Load the engine and make its three slowest calls remember their results."""
    try:
        modules: list[Any] = [import_module(name) for name in _MODULES]
    except ImportError as error:
        msg = f'engine="textworld" needs alfworld with textworld: {error}.'
        raise ConfigurationError(
            msg,
            remedy="pip install 'langchain-agentrm-alfworld[textworld]' (needs g++, "
            'cmake and make), or use engine="native".',
        ) from error
    planner, textworld, wrappers, pddl, textgen, logic = modules
    parse = functools.lru_cache(4096)(textgen._parse_and_convert)  # noqa: SLF001

    def copied(symbol: Any) -> Any:
        # Symbols carry a context that the engine writes to, so each call gets its own.
        if isinstance(symbol, textgen.ListSymbol):
            return textgen.ListSymbol(copied(symbol.symbol))
        if isinstance(symbol, textgen.ConditionalSymbol):
            return textgen.ConditionalSymbol(copied(symbol.expression), symbol.given)
        return type(symbol)(symbol.symbol)

    def parsed(text: str, rule_name: str, trace: Any = False) -> list[Any]:
        del trace
        return [copied(symbol) for symbol in parse(text, rule_name=rule_name)]

    textgen._parse_and_convert = parsed  # noqa: SLF001
    rule = logic.Rule
    rule.parse_conjunctive_query = staticmethod(
        functools.lru_cache(4096)(rule.parse_conjunctive_query)
    )
    planner.pddl2sas = functools.lru_cache(16)(planner.pddl2sas)
    infos = textworld.EnvInfos(won=True, admissible_commands=True)
    return lambda: wrappers.AlfredDemangler(pddl.PddlEnv(infos), shuffle=False)
