"""Verifiers of text actions: is it among the possible ones, is it well formed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.types import Finding, Verdict, answer_of
from langchain_agentrm.reward_agent.verifiers._keys import ActionKeys, Key
from langchain_agentrm.reward_agent.verifiers._pointwise import (
    PointwiseVerifier,
    abstained,
)
from langchain_agentrm.trajectory import Trajectory

if TYPE_CHECKING:
    from langchain_agentrm.environments.base import EnvironmentFactory

__all__ = ["ActionFormatVerifier", "AdmissibleActionVerifier"]


class AdmissibleActionVerifier(PointwiseVerifier):
    """Checks that the action stands in the environment's list of what is possible.

    Searches fill `Trajectory.admissible` only for a reward model that asks for it
    (`reads_admissible`), as one that holds this verifier does: an engine may take long
    to list its actions. It abstains where there is no list, and for tool calls.

    An engine may accept what it does not list, such as a question for help: name those
    actions in `also`. And a refusal may tell the agent what is missing; a policy that
    learns from refusals is hindered by this check.

    Args:
        key: Brings an action and the list to one form: a function, or the factory or
            registry name of an environment, whose own `key` it then is. None asks the
            environment that the task names, where that is registered.
        also: Actions that are admissible in every state.
        name: Name of its signal.

    Raises:
        UnknownTaskError: If `key` names an environment that does not exist.

    Example:
        ```python
        from langchain_agentrm.reward_agent.verifiers.actions import (
            AdmissibleActionVerifier,
        )
        from langchain_agentrm.trajectory import Trajectory, Turn

        path = Trajectory((Turn("A wall.", "go north"),), admissible=("go south",))
        AdmissibleActionVerifier().verify([path]).items[0].value  # 0.0
        ```
    """

    purpose = "Checks that the environment accepts the action in its present state."
    reads_admissible = True

    def __init__(
        self,
        key: Key | EnvironmentFactory | str | None = None,
        *,
        also: Iterable[str] = (),
        name: str = "admissible",
    ) -> None:
        super().__init__(name)
        self._keys = ActionKeys(key)
        self._also = tuple(also)

    def applies(self, trajectory: Trajectory) -> bool:
        """Whether the admissible actions are known."""
        return bool(trajectory.admissible)

    def _check(self, trajectory: Trajectory) -> Verdict:
        if not trajectory.admissible:
            return abstained("the admissible actions are not known")
        if trajectory.calls:
            return abstained("the action is a tool call")
        action = answer_of(trajectory)
        key = self._keys.of(trajectory)
        fine = key(action) in {key(a) for a in (*trajectory.admissible, *self._also)}
        told = "is" if fine else "is not"
        reason = f"{action!r} {told} among the {len(trajectory.admissible)} listed"
        finding = Finding("the action is admissible", fine, reason)
        return Verdict(float(fine), reason, (finding,))


class ActionFormatVerifier(PointwiseVerifier):
    """Checks that the action is well formed, whatever the state.

    Where a search reads actions by an environment's grammar, what does not parse has
    been dropped before this sees it. So this is for texts of chat models, and for
    grammars that ask more than the environment does.

    Args:
        grammar: A regular expression that the whole action must match, a function that
            tells whether an action is well formed (None: it cannot tell), or an
            environment's factory, whose `parse` must find an action.
        name: Name of its signal.

    Raises:
        ConfigurationError: If the expression does not compile.

    Example:
        ```python
        from langchain_agentrm.reward_agent.verifiers.actions import (
            ActionFormatVerifier,
        )
        from langchain_agentrm.trajectory import Trajectory, Turn

        verifier = ActionFormatVerifier(r"(add|take) [1-3]")
        path = Trajectory((Turn("The number is 0.", "add 9"),))
        verifier.verify([path]).items[0].value  # 0.0
        ```
    """

    purpose = "Checks that the action is written in the form that was asked for."

    def __init__(
        self,
        grammar: str
        | re.Pattern[str]
        | Callable[[str], bool | None]
        | EnvironmentFactory,
        *,
        name: str = "format",
    ) -> None:
        super().__init__(name)
        self._fits, self._what = _grammar_of(grammar)

    def applies(self, trajectory: Trajectory) -> bool:
        """Whether there is an action."""
        return bool(trajectory.turns)

    def _check(self, trajectory: Trajectory) -> Verdict:
        if not trajectory.turns:
            return abstained("there is no action")
        if trajectory.calls:
            return abstained("the action is a tool call")
        action = answer_of(trajectory)
        fine = self._fits(action)
        if fine is None:
            return abstained(f"{self._what} does not tell")
        told = "fits" if fine else "does not fit"
        reason = f"{action!r} {told} {self._what}"
        finding = Finding("the action is well formed", bool(fine), reason)
        return Verdict(float(bool(fine)), reason, (finding,))


def _grammar_of(
    grammar: str | re.Pattern[str] | Callable[[str], bool | None] | EnvironmentFactory,
) -> tuple[Callable[[str], bool | None], str]:
    """Make one function of any grammar, and name it."""
    if isinstance(grammar, str):
        try:
            grammar = re.compile(grammar)
        except re.error as error:
            msg = f"grammar={grammar!r} is no regular expression: {error}."
            raise ConfigurationError(
                msg, remedy="Mend it, or pass a function that tells."
            ) from error
    if isinstance(grammar, re.Pattern):
        pattern = grammar
        told = f"the form {pattern.pattern!r}"
        return lambda text: pattern.fullmatch(text.strip()) is not None, told
    if callable(grammar):
        return grammar, f"the grammar {getattr(grammar, '__name__', 'given')!r}"
    reader = grammar.make()
    told = f"the grammar of {grammar.name!r}"
    return lambda text: reader.parse(AIMessage(text)) is not None, told
