"""A person in the place of the policy."""

from __future__ import annotations

from collections.abc import Callable

from langchain_core.messages import AIMessage
from rich.console import Console
from rich.text import Text

from langchain_agentrm.environments.base import Environment
from langchain_agentrm.types import TaskRef, Transition

__all__ = ["Game"]


class Game:
    """One task in the terminal."""

    def __init__(self, environment: Environment, console: Console) -> None:
        """Take an environment, which is closed at the end."""
        self._environment = environment
        self._earlier: list[Environment] = []
        self._console = console
        self._last: Transition | None = None
        self._words: dict[str, Callable[[], None]] = {
            ":actions": self._list,
            ":undo": self._undo,
        }

    def play(self, task: TaskRef) -> None:
        """Play a task until it is over, the limit is reached or the person stops."""
        try:
            start = self._environment.reset(task)
            parts = (start.instruction, start.goal, start.observation)
            self._console.print(Text("\n\n".join(part for part in parts if part)))
            while not self._over(start.step_limit):
                line = self._read()
                if line is None or line == ":quit":
                    break
                self._words.get(line, lambda line=line: self._act(line))()
            self._sum_up()
        finally:
            for environment in (*self._earlier, self._environment):
                environment.close()

    @property
    def _taken(self) -> int:
        return len(self._environment.actions_taken)

    def _over(self, limit: int | None) -> bool:
        if self._last is not None and self._last.done:
            return True
        if limit is None or self._taken < limit:
            return False
        self._say(f"The step limit of {limit} is reached.")
        return True

    def _read(self) -> str | None:
        try:
            return self._console.input(f"[bold]{self._taken + 1}>[/bold] ").strip()
        except (EOFError, KeyboardInterrupt):
            self._say("")
            return None

    def _act(self, line: str) -> None:
        if self._environment.spec.fork == "copy":
            self._earlier.append(self._environment)
            self._environment = self._environment.fork()
        message = AIMessage(line)
        action = self._environment.parse(message)
        answer = (
            self._environment.reject(message)
            if action is None
            else self._environment.step(action)
        )
        if answer is None:
            self._say("That is no action here.", "yellow")
            return
        self._last = answer
        self._say(answer.observation)
        self._say(f"progress {answer.progress:.2f}", "dim")

    def _list(self) -> None:
        listed = self._environment.actions()
        self._say("The engine lists none." if listed is None else ", ".join(listed))

    def _undo(self) -> None:
        if self._earlier:
            self._environment.close()
            self._environment = self._earlier.pop()
            self._last = None
        self._say(f"Actions taken: {self._taken}.", "dim")

    def _sum_up(self) -> None:
        solved = self._last is not None and self._last.success
        score = 0.0 if self._last is None else self._last.score
        text = f"{'solved' if solved else 'not solved'}; score {score:.2f}"
        self._say(f"{text}; actions: {self._taken}", "green" if solved else "")

    def _say(self, text: str, style: str = "") -> None:
        # As plain text: brackets in an observation are no markup.
        self._console.print(Text(text, style=style))
