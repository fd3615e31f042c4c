"""Five reversible rewrites of ALFWorld's action grammar, around an unchanged engine.

AgentRM measures how a policy and a reward model stand a grammar that training never
showed. Each rewrite changes what an action is called; texts and lists follow, and the
usual form is refused, since otherwise nothing would be measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from langchain_agentrm.errors import ConfigurationError

__all__ = ["PERTURBATIONS", "Perturbation"]

PERTURBATIONS = {
    1: "`clean`, `heat`, `cool`: `using` in place of `with`",
    2: "`move to R` in place of `go to R`",
    3: "`from R take O` in place of `take O from R`",
    4: "`cabinet1` in place of `cabinet 1`, in every text",
    5: "the four together",
}
"""The perturbations by number. The paper's fifth is not published; this one is ours."""

_TOOL, _TRAVEL, _GRASP, _NUMBER, _TOGETHER = PERTURBATIONS
_ALL_PARTS = frozenset({_TOOL, _TRAVEL, _GRASP, _NUMBER})
_NAMED = re.compile(r"(?<!\w)([a-z]+) (\d+)(?!\w)")
_JOINED = re.compile(r"(?<!\w)([a-z]+)(\d+)(?!\w)")
_HELP_LINE = re.compile(r"^(  )([^:\n]+)(:)", re.MULTILINE)
_WITH = re.compile(r"(clean|heat|cool) (.+) with (.+)")
_USING = re.compile(r"(clean|heat|cool) (.+) using (.+)")
_TAKE = re.compile(r"take (.+) from (.+)")
_FROM = re.compile(r"from (.+) take (.+)")


class Perturbation:
    """One rewrite, for one game.

    Args:
        number: 1 to 5, or 0 for the usual grammar.
        names: Names of the game's things, such as `"cabinet 1"`: only these are joined
            and parted by number 4.

    Raises:
        ConfigurationError: If there is no such perturbation.
    """

    def __init__(self, number: int = 0, names: Iterable[str] = ()) -> None:
        if number not in (0, *PERTURBATIONS):
            msg = f"ALFWorld has no perturbation {number!r}."
            raise ConfigurationError(
                msg, remedy=f"Choose one of {list(PERTURBATIONS)}, or 0 for none."
            )
        self.number = number
        self._parts = _ALL_PARTS if number == _TOGETHER else frozenset({number})
        self._joined = {name.replace(" ", ""): name for name in names}

    def action(self, command: str) -> str:
        """Rewrite a command of the engine as this grammar has it."""
        if _TOOL in self._parts and (match := _WITH.fullmatch(command)):
            command = f"{match[1]} {match[2]} using {match[3]}"
        if _TRAVEL in self._parts and command.startswith("go to "):
            command = f"move to {command.removeprefix('go to ')}"
        if _GRASP in self._parts and (match := _TAKE.fullmatch(command)):
            command = f"from {match[2]} take {match[1]}"
        return self._join(command)

    def command(self, action: str) -> str | None:
        """Read an action of this grammar.

        Args:
            action: What the agent wrote.

        Returns:
            The engine's command; None for what only the usual grammar allows.
        """
        command = self._part(action)
        if _GRASP in self._parts and (match := _FROM.fullmatch(command)):
            command = f"take {match[2]} from {match[1]}"
        if _TRAVEL in self._parts and command.startswith("move to "):
            command = f"go to {command.removeprefix('move to ')}"
        if _TOOL in self._parts and (match := _USING.fullmatch(command)):
            command = f"{match[1]} {match[2]} with {match[3]}"
        return command if self.action(command) == action else None

    def text(self, text: str) -> str:
        """Rewrite what the engine says, its list of commands under `help` included."""
        if self._parts & {_TOOL, _TRAVEL, _GRASP} and text.startswith(
            "Available commands:"
        ):
            text = _HELP_LINE.sub(
                lambda match: match[1] + self.action(match[2]) + match[3], text
            )
        return self._join(text)

    def _join(self, text: str) -> str:
        if _NUMBER not in self._parts:
            return text
        return _NAMED.sub(
            lambda match: (
                match[1] + match[2] if match[1] + match[2] in self._joined else match[0]
            ),
            text,
        )

    def _part(self, text: str) -> str:
        if _NUMBER not in self._parts:
            return text
        return _JOINED.sub(lambda match: self._joined.get(match[0], match[0]), text)
