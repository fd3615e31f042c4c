"""A ScienceWorld task: text in, text out, the official simulator behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from langchain_core.messages import AIMessage

from langchain_agentrm.environments.base import (
    Environment,
    EnvironmentSpec,
    Start,
    digest,
)
from langchain_agentrm.environments.prompts import PromptFolder
from langchain_agentrm.environments.tasks import check_known, check_task
from langchain_agentrm.environments.text import LONGEST, read_action
from langchain_agentrm.errors import (
    ConfigurationError,
    ReplayMismatchError,
    UnknownTaskError,
)
from langchain_agentrm.types import Action, TaskRef, Transition
from langchain_agentrm_scienceworld.catalogue import SIZES
from langchain_agentrm_scienceworld.forms import ETO, FORMS, Form, Label, load_labels
from langchain_agentrm_scienceworld.prompts import instruction

if TYPE_CHECKING:
    from langchain_agentrm_scienceworld._jvm import Answer, Session, Where
    from langchain_agentrm_scienceworld._pool import Pool

__all__ = ["NAME", "Options", "ScienceWorld", "clean", "electrical", "locate"]

NAME = "scienceworld"
"""Registry name."""

_UNFIT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_EXPLOIT = "reset task"
_REFUSED = ("No known action matches that input", "Unknown action.")


@dataclass(frozen=True, slots=True)
class Options:
    """How tasks are played.

    Attributes:
        form: `"eto"` (the best raw score, step limits by task type) or `"agentboard"`
            (subgoals of `labels`, 30 steps).
        simplifications: What the simulator makes easier, as it names it; None means
            what the form's benchmark uses.
        step_limit: Actions per episode; None means the form's.
        move_limit: The simulator's own moves after which an episode ends, of which
            `wait` takes eleven; None means the form's.
        list_actions: Whether `actions()` lists what applies, which is slow.
        prompts: AgentRM's prompt folder; None means an instruction in our own words.
        labels: AgentBoard's label file, for that form.
        java: The Java command.
        heap: Memory of a Java process for objects, as Java writes it.
        jvms: Java processes at most.
        sessions: Simulated worlds at most in each process.
    """

    form: str = ETO.name
    simplifications: str | None = None
    step_limit: int | None = None
    move_limit: int | None = None
    list_actions: bool = False
    prompts: str | None = None
    labels: str | None = None
    java: str = "java"
    heap: str = "1g"
    jvms: int = 1
    sessions: int = 8

    def __post_init__(self) -> None:
        """Check what can be checked without Java."""
        if self.form not in FORMS:
            msg = f"ScienceWorld has no form {self.form!r}."
            raise ConfigurationError(msg, remedy=f"Choose one of {list(FORMS)}.")
        if FORMS[self.form].progress and self.labels is None:
            msg = "form='agentboard' needs the labels of its tasks."
            raise ConfigurationError(
                msg, remedy="Give labels=, AgentBoard's data/scienceworld/test.jsonl."
            )
        for name in ("step_limit", "move_limit", "jvms", "sessions"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"{name}={value} is too little."
                raise ConfigurationError(msg, remedy="Give 1 or more.")

    @property
    def rules(self) -> Form:
        """The form's rules."""
        return FORMS[self.form]

    @property
    def easier(self) -> str:
        """The simplifications in use."""
        if self.simplifications is None:
            return self.rules.simplifications
        return self.simplifications

    def label(self, type_: str, variation: int) -> Label | None:
        """AgentBoard's label of a task; None in ETO's form.

        Raises:
            UnknownTaskError: If the task has none.
        """
        if not self.rules.progress or self.labels is None:
            return None
        found = load_labels(self.labels).get((type_, variation))
        if found is None:
            msg = f"{self.labels} has no label for {type_}:{variation}."
            raise UnknownTaskError(msg, remedy="Take a task from factory.tasks().")
        return found


class ScienceWorld(Environment):
    """One task of ScienceWorld.

    It holds the task and the actions taken, not a simulated world: it borrows one for
    each call, brought here by replay where none stands here. So a fork costs nothing
    until it is stepped, and the first child of a state takes its world over.

    Args:
        options: How to play; None means ETO's evaluation.
    """

    spec = EnvironmentSpec(fork="replay", replayable=True, thread_safe=True)

    def __init__(self, options: Options | None = None) -> None:
        super().__init__()
        self.options = options or Options()
        self._where: Where | None = None
        self._limit = 0
        self._texts: tuple[str, ...] = ()
        self._best = 0.0
        self._over = False
        self._label: Label | None = None
        self._seen: frozenset[int] = frozenset()
        self._exact = True

    @property
    def pool(self) -> Pool:
        """Where worlds are borrowed from."""
        from langchain_agentrm_scienceworld._pool import Settings, get_pool

        o = self.options
        return get_pool(Settings(o.java, o.heap, o.jvms, o.sessions), o.easier)

    def _reset(self, task: TaskRef) -> Start:
        from langchain_agentrm_scienceworld._jvm import Where

        type_, variation = locate(task, self.options)
        self._label = self.options.label(type_, variation)
        where = Where(type_, variation, self.options.easier)
        pool = self.pool
        description, goal, view = pool.fresh(where)
        self._exact = pool.exact
        self._where, self._texts = where, ()
        self._best, self._over, self._seen = 0.0, False, frozenset()
        rules = self.options.rules
        self._limit = self.options.step_limit or rules.step_limits[type_]
        easier = self.options.easier.split(",")
        own = instruction(
            self._limit,
            teleport="easy" in easier or "teleportAction" in easier,
            circuit=electrical(type_, self.options.easier),
        )
        name = "sciworld_ab" if rules.progress else "sciworld"
        told, examples = (
            (own, ())
            if self.options.prompts is None
            else PromptFolder(self.options.prompts).policy(name)
        )
        return Start(
            observation=description if self._label is None else view,
            goal=goal if self._label is None else self._label.goal,
            instruction=told,
            step_limit=self._limit,
            examples=examples,
        )

    def _step(self, action: Action) -> Transition:
        where = self._loaded()
        if self._over:
            msg = f"The episode is over after {len(self._texts)} actions."
            raise ConfigurationError(msg, remedy="Call reset(task) for another one.")
        text = self._sent(action)
        with self.pool.at(where, self._texts, self._check) as session:
            answer = session.step(text)
        self._texts = (*self._texts, text)
        return self._judge(answer)

    def _judge(self, answer: Answer) -> Transition:
        failed = round(100 * answer.raw) < 0
        if self._label is None:
            self._best = max(self._best, min(1.0, answer.raw))
            success = answer.completed and round(100 * answer.raw) == 100  # noqa: PLR2004 - the official full score
            ended = answer.completed or failed
        else:
            hits = {
                i
                for i, pattern in enumerate(self._label.subgoals)
                if re.search(pattern, answer.text)
            }
            self._seen |= hits
            self._best = len(self._seen) / len(self._label.subgoals)
            success = self._best == 1.0
            ended = success or answer.completed or failed
        self._over = (
            ended
            or answer.moves > (self.options.move_limit or self.options.rules.move_limit)
            or len(self._texts) >= self._limit
        )
        return Transition(
            observation=answer.text,
            progress=self._best,
            done=self._over,
            success=success,
            score=self._best,
            info={
                "valid": not answer.text.startswith(_REFUSED),
                "raw_score": answer.raw,
                "moves": answer.moves,
                "exact": self._exact,
            },
        )

    def _check(self, i: int, answer: Answer, session: Session) -> None:
        self._exact = session.jvm.exact
        if digest(self.normalise(answer.text)) != self.digests[i + 1]:
            name = self.task["id"] if self.task else "?"
            msg = f"Replay of task {name!r} differs from the record at action {i + 1}."
            raise ReplayMismatchError(
                msg,
                remedy="Another version of ScienceWorld or Java made the record; begin "
                "the episode again.",
            )

    def _sent(self, action: Action) -> str:
        text = clean(action)
        if " ".join(text.split()).casefold() == _EXPLOIT:
            # The simulator would forgive a wrong choice, score included. The empty
            # input is one that it does not know either.
            return ""
        return text

    def _loaded(self) -> Where:
        if self._where is None:
            msg = "This ScienceWorld environment has no task."
            raise ConfigurationError(msg, remedy="Call reset(task) first.")
        return self._where

    def fork(self) -> Self:
        """Make an independent environment in the same state; a world is not needed yet.

        Its first call brings a world here, and raises `ReplayMismatchError` if that
        shows other observations than recorded.

        Returns:
            The fork.
        """
        twin = self._fresh()
        twin.task = self.task
        twin.actions_taken = list(self.actions_taken)
        twin.digests = list(self.digests)
        twin._where, twin._limit = self._where, self._limit  # noqa: SLF001 - a copy of itself
        twin._texts, twin._best = self._texts, self._best  # noqa: SLF001
        twin._over, twin._label = self._over, self._label  # noqa: SLF001
        twin._seen, twin._exact = self._seen, self._exact  # noqa: SLF001
        return twin

    def _fresh(self) -> Self:
        return type(self)(self.options)

    def normalise(self, observation: str) -> str:
        """Leave the text as it is, or sort its words where Java lists in any order."""
        if self._exact:
            return observation
        return " ".join(sorted(observation.replace(",", " ").split()))

    def parse(self, message: AIMessage) -> Action | None:
        """Read the action: the last `Action:` line, else the last line.

        Args:
            message: The policy's answer.

        Returns:
            The action, or None if there is none or it is longer than 4 kB.
        """
        return read_action(str(message.text))

    def key(self, action: Action) -> str:
        """Normalise: what is sent to the simulator, in small letters."""
        return clean(clean(action).casefold())

    def on_invalid(self, message: AIMessage) -> Transition | None:
        """Answer a message without action as an unknown action, which costs a step."""
        del message
        return self.step("")

    def actions(self) -> list[str] | None:
        """Actions that apply in this state, if `list_actions` asks for them.

        Listing takes up to some hundred milliseconds. `reset task` is left out.
        """
        where = self._loaded()
        if not self.options.list_actions:
            return None
        if self._over:
            return []
        with self.pool.at(where, self._texts, self._check) as session:
            return [x for x in session.actions() if x != _EXPLOIT]


def clean(action: Action) -> str:
    """Make one line of text without control characters, at most 4,096 characters.

    The simulator takes a tab or line break as a blank, and its connection refuses lone
    surrogates. What is no text becomes the empty action, which it does not know.
    """
    if not isinstance(action, str):
        return ""
    return " ".join(_UNFIT.sub("\ufffd", action[:LONGEST]).split())


def electrical(type_: str, simplifications: str) -> bool:
    """Whether a task has the actions `connect` and `disconnect`."""
    named = simplifications.split(",")
    if _needs_circuit(type_):
        return True
    return "easy" not in named and "noElectricalAction" not in named


def locate(task: TaskRef, options: Options) -> tuple[str, int]:
    """Find type and variation of a task.

    Raises:
        UnknownTaskError: If there is no such task, or it is played by other rules.
    """
    check_task(task, NAME)
    type_, variation = task["type"], task["seed"]
    check_known([type_], SIZES, "ScienceWorld task type")
    sizes = SIZES[type_]
    if not isinstance(variation, int) or not 0 <= variation < sizes.total:
        msg = f"Task type {type_} has no variation {variation!r}."
        raise UnknownTaskError(msg, remedy=f"Choose 0 to {sizes.total - 1}.")
    if _needs_circuit(type_) and "noElectricalAction" in options.easier:
        msg = f"Task type {type_} cannot be solved without electrical actions."
        raise UnknownTaskError(msg, remedy="Leave noElectricalAction out.")
    expected = f"{type_}:{variation}:{options.easier}"
    if task["id"] != expected:
        msg = f"Task {task['id']!r} is {expected!r} here."
        raise UnknownTaskError(
            msg, remedy="Name it with factory.task(type, variation) of this factory."
        )
    return type_, variation


def _needs_circuit(type_: str) -> bool:
    return "power-component" in type_ or "conductivity" in type_
