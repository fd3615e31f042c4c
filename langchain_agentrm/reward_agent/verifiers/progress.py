"""Verifiers of a path's progress: loops, and turns that showed nothing new."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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

__all__ = ["NoProgressVerifier", "RepeatedActionVerifier"]

State = Callable[[str], str]


def _one_line(observation: str) -> str:
    return " ".join(observation.split())


class RepeatedActionVerifier(PointwiseVerifier):
    """Refuses an action that was already taken where the agent now is.

    The value is 0 if the path holds at least `times` earlier turns with the candidate's
    action and the observation that the candidate answers, else 1. What an action did in
    that place is known then, so in a deterministic environment whose observations tell
    all, doing it again begins a loop. Where observations tell only a part, or actions
    have random outcomes, raise `times`.

    Observations are equal if they are so after `state`, actions after `key`. The first
    observation of a chat without environment is empty; such a turn counts as others do.
    It abstains only where there is no action.

    Args:
        key: Brings equal actions to one form: a function, or the factory or registry
            name of an environment, whose own `key` it then is. None asks the
            environment that the task names, where that is registered.
        state: What of an observation must be equal, such as all but a step counter;
            by default its text with blanks collapsed.
        times: How many earlier turns make a loop.
        name: Name of its signal.

    Raises:
        ConfigurationError: If `times` is not positive.
        UnknownTaskError: If `key` names an environment that does not exist.

    Example:
        ```python
        from langchain_agentrm.reward_agent.verifiers.progress import (
            RepeatedActionVerifier,
        )
        from langchain_agentrm.trajectory import Trajectory, Turn

        path = Trajectory((Turn("A wall.", "go north"), Turn("A wall.", "go north")))
        RepeatedActionVerifier().verify([path]).items[0].value  # 0.0
        ```
    """

    purpose = "Checks that the agent does not repeat an action in the same place."

    def __init__(
        self,
        key: Key | EnvironmentFactory | str | None = None,
        *,
        state: State = _one_line,
        times: int = 1,
        name: str = "repeated",
    ) -> None:
        super().__init__(name)
        if times < 1:
            msg = f"times={times!r} is not a positive number."
            raise ConfigurationError(msg, remedy="Give times of at least 1.")
        self._keys = ActionKeys(key)
        self._state = state
        self._times = times

    def applies(self, trajectory: Trajectory) -> bool:
        """Whether there is an action."""
        return bool(trajectory.turns)

    def _check(self, trajectory: Trajectory) -> Verdict:
        if not trajectory.turns:
            return abstained("there is no action")
        key = self._keys.of(trajectory)
        *before, last = [
            (self._state(turn.observation), key(turn.action))
            for turn in trajectory.turns
        ]
        seen = before.count(last)
        fine = seen < self._times
        reason = f"{answer_of(trajectory)!r} was done {seen} times before in this place"
        finding = Finding("the action is no repetition", fine, reason)
        return Verdict(float(fine), reason, (finding,))


class NoProgressVerifier(PointwiseVerifier):
    """Refuses a path whose last turns showed nothing new.

    The value is 0 if the last `patience` observations of the path, the one that the
    candidate answers among them, had all been seen earlier in it: the agent stands
    still or goes round in a circle. Else it is 1, as it is for a path that is too short
    to tell. The candidate's own outcome is not known yet, so candidates of one state
    get one value: this check tells beams and whole trajectories apart, not the actions
    of one state. It abstains only where there is no action.

    Args:
        patience: How many turns in a row may show nothing new before it is too many.
        state: What of an observation counts; by default its text, blanks collapsed.
        name: Name of its signal.

    Raises:
        ConfigurationError: If `patience` is not positive.

    Example:
        ```python
        from langchain_agentrm.reward_agent.verifiers.progress import (
            NoProgressVerifier,
        )
        from langchain_agentrm.trajectory import Trajectory, Turn

        path = Trajectory(tuple(Turn("A wall.", f"go {w}") for w in "nesw"))
        NoProgressVerifier(patience=3).verify([path]).items[0].value  # 0.0
        ```
    """

    purpose = "Checks that the agent still sees something new and is not stuck."

    def __init__(
        self,
        patience: int = 3,
        *,
        state: State = _one_line,
        name: str = "no_progress",
    ) -> None:
        super().__init__(name)
        if patience < 1:
            msg = f"patience={patience!r} is not a positive number."
            raise ConfigurationError(msg, remedy="Give patience of at least 1.")
        self._patience = patience
        self._state = state

    def applies(self, trajectory: Trajectory) -> bool:
        """Whether there is an action."""
        return bool(trajectory.turns)

    def _check(self, trajectory: Trajectory) -> Verdict:
        if not trajectory.turns:
            return abstained("there is no action")
        seen: set[str] = set()
        stale = 0
        for turn in trajectory.turns:
            state = self._state(turn.observation)
            stale = stale + 1 if state in seen else 0
            seen.add(state)
        fine = stale < self._patience
        reason = f"the last {stale} observations had been seen before"
        finding = Finding("the path still shows something new", fine, reason)
        return Verdict(float(fine), reason, (finding,))
