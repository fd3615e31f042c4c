"""The form in which actions are compared: an environment's own, where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from langchain_agentrm.errors import UnknownTaskError
from langchain_agentrm.trajectory import Trajectory

if TYPE_CHECKING:
    from langchain_agentrm.environments.base import EnvironmentFactory

__all__ = ["ActionKeys", "Key", "plain_key"]

Key = Callable[[str], str]


def plain_key(action: str) -> str:
    """Normalise an action where no environment does: small letters, single blanks."""
    return " ".join(action.split()).casefold()


class ActionKeys:
    """Finds the function that brings equal actions to one form.

    Args:
        key: Such a function, or the factory or registry name of an environment, whose
            own `key` it then is. None asks the environment that a trajectory's task
            names; where that is not registered, or there is no task, `plain_key` holds.

    Raises:
        UnknownTaskError: If `key` names an environment that does not exist.
    """

    def __init__(self, key: Key | EnvironmentFactory | str | None = None) -> None:
        self._fixed = None if key is None else _of(key)
        self._by_env: dict[str, Key] = {"": plain_key}

    def of(self, trajectory: Trajectory) -> Key:
        """Find the function for a trajectory's actions."""
        if self._fixed is not None:
            return self._fixed
        env = trajectory.task["env"] if trajectory.task else ""
        if env not in self._by_env:
            try:
                self._by_env[env] = _of(env)
            except UnknownTaskError:
                # A factory that was passed by hand need not be registered.
                self._by_env[env] = plain_key
        return self._by_env[env]


def _of(key: Key | EnvironmentFactory | str) -> Key:
    if isinstance(key, str):
        from langchain_agentrm.environments import registry

        key = registry.get(key)
    return key if callable(key) else key.make().key
