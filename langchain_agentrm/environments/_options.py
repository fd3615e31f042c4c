"""Options of an environment's factory, as texts of a command line."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError

__all__ = ["Option", "options_of", "with_options"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a factory.

    Attributes:
        name: Its keyword.
        kind: What its value is read as; `Any` where the factory does not say.
        default: What counts where it is not given.
    """

    name: str
    kind: Any
    default: Any

    def read(self, text: str) -> Any:
        """Read a value: by the option's annotation, else as JSON or a bare word.

        Raises:
            ValidationError: If it is none of the annotation's values.
        """
        if self.kind is Any:
            try:
                return json.loads(text)
            except ValueError:
                return text
        return TypeAdapter(self.kind).validate_strings(text)


def options_of(factory: EnvironmentFactory) -> dict[str, Option]:
    """List the options of a factory by name, in its order.

    They are what its class takes by keyword and has a default for. Where it takes a
    dataclass or that one's fields, `(settings: Settings | None = None, **options)`,
    they are the fields.
    """
    kind = type(factory)
    hints = _hints(kind.__init__)
    parameters = [
        p
        for p in inspect.signature(kind).parameters.values()
        if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY, p.VAR_KEYWORD}
    ]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        for p in parameters:
            for part in (hints.get(p.name), *get_args(hints.get(p.name))):
                if isinstance(part, type) and is_dataclass(part):
                    return _fields(part)
    return {
        p.name: Option(p.name, hints.get(p.name, Any), p.default)
        for p in parameters
        if p.default is not p.empty
    }


def with_options(
    factory: EnvironmentFactory, given: Mapping[str, str]
) -> EnvironmentFactory:
    """Make a factory of the same class with these options, and no others.

    Args:
        factory: The registry entry.
        given: Values by name, as texts.

    Returns:
        The new factory; the same one where nothing is given.

    Raises:
        ConfigurationError: If an option does not exist or has no such value.
    """
    if not given:
        return factory
    known = options_of(factory)
    named = ", ".join(known) or "none"
    values = {}
    for name, text in given.items():
        if name not in known:
            msg = f"Environment {factory.name!r} has no option {name!r}."
            raise ConfigurationError(msg, remedy=f"Its options: {named}.")
        try:
            values[name] = known[name].read(text)
        except ValidationError as error:
            msg = (
                f"Option {name}={text!r} of environment {factory.name!r}: "
                f"{error.errors()[0]['msg']}."
            )
            raise ConfigurationError(
                msg, remedy=f"Its default is {known[name].default!r}."
            ) from error
    try:
        made: EnvironmentFactory = type(factory)(**values)
    except TypeError as error:
        msg = f"Environment {factory.name!r} cannot be made from options: {error}."
        raise ConfigurationError(
            msg, remedy="Give its class a default for each argument."
        ) from error
    return made


def _fields(kind: type) -> dict[str, Option]:
    hints = _hints(kind)
    # Through the signature, since a default factory has no value in `fields`.
    defaults = inspect.signature(kind).parameters
    return {
        f.name: Option(f.name, hints.get(f.name, Any), defaults[f.name].default)
        for f in fields(kind)
        if f.init
    }


def _hints(thing: Any) -> dict[str, Any]:
    try:
        return get_type_hints(thing)
    except NameError:
        # Annotations that only type checkers can read say nothing here.
        return {}
