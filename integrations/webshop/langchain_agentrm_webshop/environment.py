"""WebShop as a text environment: search, click, choose options, buy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from langchain_core.messages import AIMessage

from langchain_agentrm.environments import text as texts
from langchain_agentrm.environments.base import Environment, EnvironmentSpec, Start
from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.environments.tasks import check_task
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_webshop._actions import click, read_action, search
from langchain_agentrm_webshop.prompts import INSTRUCTION
from langchain_agentrm_webshop.settings import Settings

if TYPE_CHECKING:
    from langchain_agentrm_webshop._session import Session, Visit
    from langchain_agentrm_webshop.goals import Goal

__all__ = ["NAME", "WebShop"]

NAME = "webshop"

_ETO_MARK = "Action: "
_ETO_INVALID = "Observation: Invalid format. The input must contains 'Action: '"
_PRICE = re.compile(r", and price lower than [\d.]+ dollars$")


class WebShop(Environment):
    """One shopping task, stepped by `search[words]` and `click[text on the page]`.

    The episode ends with the purchase, whose reward is the score, or with the step
    limit, which scores 0. Success is a reward of 1.

    Args:
        settings: Which catalogue, texts and limits.
    """

    spec = EnvironmentSpec(fork="copy", replayable=True, thread_safe=True)

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self._session: Session | None = None
        self._visit: Visit | None = None
        self._steps = 0

    def _reset(self, task: TaskRef) -> Start:
        # Loaded here: whoever only names tasks needs no engine.
        from langchain_agentrm_webshop._session import Session, Visit
        from langchain_agentrm_webshop.shop import open_shop

        check_task(task, NAME)
        shop = open_shop(self.settings)
        goal = shop.goal(task["type"], task["seed"])
        self._session, self._visit, self._steps = Session(shop, goal), Visit(), 0
        prompts = self.settings.prompts
        instruction, examples = (
            (INSTRUCTION, ())
            if prompts is None
            else PromptFolder(prompts).policy("webshop")
        )
        return Start(
            observation=self._session.page(self._visit).text,
            goal=goal.instruction,
            instruction=instruction,
            step_limit=self.settings.step_limit,
            examples=examples,
        )

    def _step(self, action: Action) -> Transition:
        session, visit = self.position()
        if self.over:
            msg = f"The episode is over after {self._steps} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        self._steps += 1
        text = _clean(action)
        self._visit, valid = session.act(visit, text)
        bought = self._visit.reward
        value = 0.0 if bought is None else bought.value
        info: dict[str, object] = {"valid": valid, "steps": self._steps}
        if bought is not None:
            info |= {
                "reward": value,
                "tagger": session.shop.tagger,
                "details": bought.details(),
            }
        return Transition(
            observation=self._show(session.page(self._visit).text, text),
            progress=value,
            done=self.over,
            success=value >= 1.0,
            score=value,
            info=info,
        )

    def _show(self, page: str, action: str) -> str:
        if self.settings.style != "eto":
            return page
        return f"Observation:\n{page}" if action else _ETO_INVALID

    def _copy(self) -> Self:
        twin = type(self)(self.settings)
        twin._session = self._session  # noqa: SLF001 - a copy of itself
        twin._visit = self._visit  # noqa: SLF001
        twin._steps = self._steps  # noqa: SLF001
        return twin

    def _fresh(self) -> Self:
        return type(self)(self.settings)

    @property
    def over(self) -> bool:
        """Whether something was bought or no step is left."""
        _, visit = self.position()
        return visit.reward is not None or self._steps >= self.settings.step_limit

    @property
    def goal(self) -> Goal:
        """What is to be bought, with what the agent cannot see.

        Raises:
            ConfigurationError: If no task was loaded.
        """
        return self.position()[0].goal

    def position(self) -> tuple[Session, Visit]:
        """Return the session's shared part and where this environment stands in it.

        Raises:
            ConfigurationError: If no task was loaded.
        """
        if self._session is None or self._visit is None:
            msg = "This WebShop environment has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return self._session, self._visit

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action: the last `Action:` line, else the last line.

        In style `"eto"`: all that follows the first `Action: `.

        Args:
            message: The policy's answer.

        Returns:
            The action, or None if there is none or it is longer than 4 kB.
        """
        text = str(message.text)
        if self.settings.style == "eto":
            _, mark, rest = texts.clean(text, None).strip().partition(_ETO_MARK)
            return rest[: texts.LONGEST] if mark and rest.strip() else None
        return texts.read_action(text)

    def key(self, action: Action) -> str:
        """Normalise as the engine reads it: verb and argument in small letters."""
        text = _clean(action)
        parts = read_action(text)
        return f"{parts[0]}[{parts[1]}]" if parts else " ".join(text.split())

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action, which costs a step."""
        del message
        # Through `step`, so that a replay repeats it.
        return self.step("")

    def actions(self) -> list[str] | None:
        """Whatever can be clicked; on a search page, a search for the instruction.

        A search takes any words, so that the list cannot be complete there. It is empty
        once the episode is over.
        """
        session, visit = self.position()
        if self.over:
            return []
        if visit.place == "search":
            return [search(_PRICE.sub("", session.goal.instruction)) or "search[ ]"]
        clicks = map(click, session.page(visit).clickables)
        return [action for action in clicks if action is not None]


def _clean(action: Action) -> str:
    """Make an action fit for the engine; a tool call is no action here."""
    return texts.clean(action) if isinstance(action, str) else ""
