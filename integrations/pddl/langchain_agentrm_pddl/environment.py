"""The four PDDL domains as a text environment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import Environment, EnvironmentSpec, Start
from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.environments.tasks import check_known, check_seed, check_task
from langchain_agentrm.environments.text import clean, read_action
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_pddl import _agentboard as agentboard
from langchain_agentrm_pddl import _views as views
from langchain_agentrm_pddl._strips import State, Step, World
from langchain_agentrm_pddl._worlds import open_world
from langchain_agentrm_pddl.domains import DOMAINS
from langchain_agentrm_pddl.prompts import instruction

__all__ = ["NAME", "PDDL", "STYLES", "Settings"]

NAME = "pddl"
KIND = "PDDL domain"

STYLES = ("agentrm", "agentboard")

_SENTENCE = re.compile(r"\.+(?=[\])}>\"']*(?:\s|$))")
_BETWEEN = re.compile(r"[\s,;:?!()\[\]{}<>\"`]+")


@dataclass(frozen=True, slots=True)
class Settings:
    """How the domains are played.

    Attributes:
        style: `"agentrm"`: complete observations in our own words. `"agentboard"`: its
            short forms, and its actions `check valid actions` and `look around`.
        problems: AgentBoard's folder of problem files; None plays generated problems.
        prompts: AgentRM's prompt folder; None means an instruction in our own words.
        step_limit: Actions after which an episode ends.
    """

    style: str = "agentrm"
    problems: str | None = None
    prompts: str | None = None
    step_limit: int = 30

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: If an option has no such value.
        """
        if self.style not in STYLES:
            msg = f"PDDL has no style {self.style!r}."
            raise ConfigurationError(msg, remedy=f"Choose one of {list(STYLES)}.")
        if self.step_limit < 1:
            msg = f"step_limit={self.step_limit} leaves no action."
            raise ConfigurationError(msg, remedy="Give 1 or more.")


class Position(NamedTuple):
    """Where an episode stands; it never changes, so that a fork copies a reference.

    Attributes:
        domain: Name of the domain.
        world: The problem.
        state: What holds.
        best: Highest share of the goal that held after an action.
        steps: Actions taken.
        over: Whether the episode is over.
    """

    domain: str
    world: World
    state: State
    best: float = 0.0
    steps: int = 0
    over: bool = False


class PDDL(Environment):
    """One planning problem as text, stepped by actions such as `pick ball1 rooma left`.

    Progress and score are AgentBoard's: the highest share of the goal's conditions that
    has held after an action. The episode ends when all hold at once, or at the limit.

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
        settings, domain = self.settings, task["type"]
        check_known([domain], DOMAINS, KIND)
        world = open_world(settings.problems, domain, check_seed(task["seed"], KIND))
        here = self._position = Position(domain, world, world.problem.init)
        goal = world.problem.goal
        if settings.style == "agentboard":
            observation = agentboard.state_text(here.state)
            aim = agentboard.goal_text(goal)
        else:
            setting = views.setting_text(domain, world)
            observation = " ".join(filter(None, [setting, _view(here)]))
            aim = views.goal_text(domain, goal)
        told, examples = (
            (instruction(domain, settings.style), ())
            if settings.prompts is None
            else PromptFolder(settings.prompts).policy(f"pddl_{domain}")
        )
        return Start(
            observation,
            aim,
            told,
            step_limit=settings.step_limit,
            examples=examples,
        )

    def _step(self, action: Action) -> Transition:
        here = self.position()
        if here.over:
            msg = f"The episode is over after {here.steps} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        text = clean(action) if isinstance(action, str) else ""
        if self.settings.style == "agentboard":
            state, answer, valid = _answer_agentboard(here, text)
        else:
            state, answer, valid = _answer(here, text)
        best, won = here.best, False
        if state != here.state:
            share = here.world.share(state)
            best, won = max(best, share), share >= 1
        steps = here.steps + 1
        over = won or steps >= self.settings.step_limit
        self._position = here._replace(state=state, best=best, steps=steps, over=over)
        return Transition(
            observation=answer,
            progress=best,
            done=over,
            success=won,
            score=best,
            info={"valid": valid, "steps": steps},
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
            msg = "This PDDL environment has no task."
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
        """Normalise: the words in small letters, without punctuation between them."""
        return " ".join(_words(clean(action))) if isinstance(action, str) else ""

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action as an unknown action, which costs a step."""
        del message
        # Through `step`, so that a replay repeats it.
        return self.step("")

    def actions(self) -> list[str] | None:
        """Actions that apply in this state; none once the episode is over."""
        here = self.position()
        if here.over:
            return []
        if self.settings.style == "agentboard":
            return _listed(here)
        return [
            step.text
            for step in here.world.possible(here.state)
            if here.world.apply(here.state, step) != here.state
        ]


def _view(here: Position) -> str:
    return views.state_text(here.domain, here.world, here.state)


def _answer(here: Position, text: str) -> tuple[State, str, bool]:
    operators = here.world.domain.operators
    step, named = _find(here.world, text, operators)
    if step is not None:
        state = here.world.apply(here.state, step)
        if state != here.state:
            return state, _view(here._replace(state=state)), True
    if named is None:
        why = "Nothing changes: that is no action of this task."
    elif step is None:
        why = "Nothing changes: that action cannot be done with these things."
    elif step.needs <= here.state:
        why = "Nothing changes: it is so already."
    else:
        missing = views.needs_text(here.domain, step.needs - here.state)
        why = f"Nothing changes: that is not possible now. {missing}"
    return here.state, f"{why} {_view(here)}", False


def _answer_agentboard(here: Position, text: str) -> tuple[State, str, bool]:
    asked = text.lower()
    if "check" in asked:
        return here.state, f"Valid actions are: {', '.join(_listed(here))}", True
    if agentboard.LOOK in asked:
        return here.state, agentboard.state_text(here.state), True
    possible = {step.operator for step in here.world.possible(here.state)}
    step, named = _find(here.world, text, possible)
    if named is None or not named[1]:
        return here.state, agentboard.UNKNOWN, False
    state = here.state if step is None else here.world.apply(here.state, step)
    if state == here.state:
        return state, agentboard.REFUSED, False
    new = state - here.state if agentboard.changes_only(here.domain) else state
    won = agentboard.WON if here.world.share(state) >= 1 else ""
    return state, agentboard.state_text(new) + won, True


def _listed(here: Position) -> list[str]:
    listed = [agentboard.step_text(s) for s in here.world.possible(here.state)]
    more = [agentboard.LOOK] if agentboard.changes_only(here.domain) else []
    return [*listed, agentboard.CHECK, *more]


def _find(
    world: World, text: str, operators: Iterable[str]
) -> tuple[Step | None, tuple[str, bool] | None]:
    """Read an action as AgentBoard does: the first operator, then things in order.

    Returns:
        The action, if these things fit it; and the operator with whether there were
        enough things, None if the text names no operator.
    """
    words = _words(text)
    known = set(operators)
    name = next((word for word in words if word in known), None)
    if name is None:
        return None, None
    arity = len(world.domain.operators[name].parameters)
    things = [word for word in words if word in world.objects][:arity]
    step = world.steps.get(" ".join((name, *things)))
    return step, (name, len(things) == arity)


def _words(text: str) -> list[str]:
    """Split a text as AgentBoard's tokenizer does, without the punctuation.

    A period is none of a word's where a sentence ends, and is one of it before a comma.
    """
    parts = _BETWEEN.split(_SENTENCE.sub(" ", text.lower()))
    return [part for part in (part.strip("'") for part in parts) if part]
