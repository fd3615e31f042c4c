"""Find environments by name: those installed and those registered in this process."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint, entry_points

from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError, UnknownTaskError

__all__ = ["GROUP", "available", "get", "register", "unregister"]

GROUP = "langchain_agentrm.environments"
"""Entry-point group under which a distribution offers its factory."""

_registered: dict[str, EnvironmentFactory] = {}
_loaded: dict[str, EnvironmentFactory] = {}
_lock = threading.Lock()


def available() -> list[str]:
    """Names of all environments, sorted; loads none of them."""
    return sorted({*_registered, *_installed()})


def get(name: str) -> EnvironmentFactory:
    """Return the factory of an environment.

    Args:
        name: Registry name, such as `"babyai"`.

    Returns:
        The registered factory, else the installed one.

    Raises:
        UnknownTaskError: If no environment has this name.
        ConfigurationError: If its distribution cannot be loaded or offers no factory.
    """
    with _lock:
        known = _registered.get(name) or _loaded.get(name)
    if known is not None:
        return known
    entry = _installed().get(name)
    if entry is None:
        msg = f"There is no environment {name!r}; available: {available()}."
        raise UnknownTaskError(
            msg,
            remedy=f"Install it (pip install langchain-agentrm-{name}) or register a "
            "factory of your own with langchain_agentrm.environments.register.",
        )
    factory = _load(name, entry)
    with _lock:
        return _loaded.setdefault(name, factory)


def register(factory: EnvironmentFactory, *, replace: bool = False) -> None:
    """Make a factory known in this process under its name.

    Args:
        factory: The factory. It wins over an installed one of the same name.
        replace: Whether it may take the place of one registered before.

    Raises:
        ConfigurationError: If the object is no factory, or the name is taken.
    """
    _check(factory, "The object given to register")
    with _lock:
        taken = _registered.get(factory.name)
        if taken is not None and taken is not factory and not replace:
            msg = f"An environment {factory.name!r} is registered already."
            raise ConfigurationError(
                msg, remedy="Choose another name or pass replace=True."
            )
        _registered[factory.name] = factory


def unregister(name: str) -> None:
    """Forget a factory that was registered in this process.

    Raises:
        UnknownTaskError: If none was registered under this name.
    """
    with _lock:
        if _registered.pop(name, None) is None:
            msg = (
                f"No environment {name!r} was registered; were: {sorted(_registered)}."
            )
            raise UnknownTaskError(
                msg, remedy="Installed environments cannot be unregistered."
            )


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(name: str, entry: EntryPoint) -> EnvironmentFactory:
    try:
        factory = entry.load()
    except Exception as error:
        msg = f"Environment {name!r} ({entry.value}) cannot be loaded: {error!r}."
        raise ConfigurationError(
            msg, remedy="Reinstall its distribution and what it needs."
        ) from error
    return _check(factory, f"Entry point {entry.value} of environment {name!r}")


def _check(factory: object, what: str) -> EnvironmentFactory:
    if isinstance(factory, type) or not isinstance(factory, EnvironmentFactory):
        msg = f"{what} is no environment factory but {factory!r}."
        raise ConfigurationError(
            msg, remedy="It needs name, spec, types, tasks, task and make."
        )
    return factory
