"""A verifier of tool calls: offered, and with arguments that fit their schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.types import Finding, Verdict
from langchain_agentrm.reward_agent.verifiers._pointwise import (
    PointwiseVerifier,
    abstained,
)
from langchain_agentrm.trajectory import Trajectory

__all__ = ["ToolCallVerifier"]

_SHOWN = 3


class ToolCallVerifier(PointwiseVerifier):
    """Checks tool calls against the tools that were offered.

    The value is 1 if every call names an offered tool and its arguments are valid under
    that tool's JSON schema, 0 if one does not, or if a call's arguments could not be
    read at all. It abstains where no tool was offered, where a schema is itself wrong,
    and for an answer without calls, unless `answer` says what that is worth.

    What the schema allows passes: arguments that it does not name do, unless it has
    `additionalProperties: false` or `strict` is set. References to schemas elsewhere
    are never fetched.

    Args:
        strict: Refuse arguments that the schema does not name.
        answer: Value of an answer without calls where tools were offered; None
            abstains. With 1.0 a malformed call loses against a plain answer.
        name: Name of its signal.

    Raises:
        ConfigurationError: If jsonschema is not installed, or `answer` is not within
            0 to 1.

    Example:
        ```python
        from langchain_agentrm.reward_agent.verifiers.tool_calls import (
            ToolCallVerifier,
        )
        from langchain_agentrm.trajectory import Trajectory, Turn

        schema = {"type": "object", "required": ["city"]}
        tool = {"name": "weather", "description": "", "parameters": schema}
        call = {"name": "weather", "args": {}}
        path = Trajectory((Turn("", "weather({})"),), tools=(tool,), calls=(call,))
        ToolCallVerifier().verify([path]).items[0].value  # 0.0
        ```
    """

    purpose = "Checks that tool calls name offered tools and fit their JSON schemas."

    def __init__(
        self,
        *,
        strict: bool = False,
        answer: float | None = None,
        name: str = "tool_calls",
    ) -> None:
        super().__init__(name)
        if answer is not None and not 0 <= answer <= 1:
            msg = f"answer={answer!r} is no value of a verdict."
            raise ConfigurationError(msg, remedy="Use a number from 0 to 1, or None.")
        self._strict = strict
        self._answer = answer
        self._schemas = _Schemas()

    def applies(self, trajectory: Trajectory) -> bool:
        """Whether tools were offered."""
        return bool(trajectory.tools)

    def _check(self, trajectory: Trajectory) -> Verdict:
        if not trajectory.tools:
            return abstained("no tools were offered")
        if not trajectory.calls:
            return Verdict(self._answer, "the answer calls no tool")
        offered, unread = _offered(trajectory.tools)
        findings = [
            self._finding(call, offered, unread=unread) for call in trajectory.calls
        ]
        wrong = [f for f in findings if f.passed is False]
        unsure = [f for f in findings if f.passed is None]
        if wrong:
            return Verdict(0.0, wrong[0].detail, tuple(findings))
        if unsure:
            error = unsure[0].detail
            return Verdict(None, error, tuple(findings), error=error)
        reason = f"all calls ({len(findings)}) fit the tools offered"
        return Verdict(1.0, reason, tuple(findings))

    def _finding(
        self,
        call: Mapping[str, Any],
        offered: Mapping[str, Mapping[str, Any]],
        *,
        unread: bool,
    ) -> Finding:
        name, args = call["name"], call["args"]
        check = f"the call of {name!r} is valid"
        if "error" in call:
            return Finding(check, passed=False, detail=f"{name!r}: {call['error']}")
        if name not in offered:
            if unread:
                detail = f"{name!r} may be one of the tools without a schema"
                return Finding(check, None, detail)
            known = ", ".join(sorted(offered)) or "none"
            detail = f"no tool {name!r} was offered (offered: {known})"
            return Finding(check, passed=False, detail=detail)
        try:
            faults = self._schemas.faults(offered[name], args, strict=self._strict)
        except _WrongSchemaError as error:
            return Finding(check, None, f"the schema of {name!r} is wrong: {error}")
        detail = f"{name!r}: " + "; ".join(faults[:_SHOWN]) if faults else ""
        return Finding(check, not faults, detail)


class _WrongSchemaError(ValueError):
    """A tool's schema cannot be used."""


class _Schemas:
    """Validators of JSON schemas, each made once."""

    def __init__(self) -> None:
        try:
            self._jsonschema: Any = import_module("jsonschema")
            self._referencing: Any = import_module("referencing.jsonschema")
        except ImportError as error:
            msg = "ToolCallVerifier needs jsonschema, which is not installed."
            raise ConfigurationError(
                msg, remedy="Install langchain-agentrm[reward-agent]."
            ) from error
        self._made: dict[str, Any] = {}

    def faults(
        self, schema: Mapping[str, Any], args: object, *, strict: bool
    ) -> list[str]:
        """Say what is wrong with arguments; empty if nothing is.

        Raises:
            _WrongSchemaError: If the schema is no JSON schema or points elsewhere.
        """
        validator = self._validator(schema)
        try:
            found = sorted(validator.iter_errors(args), key=lambda e: e.json_path)
        except Exception as error:
            # A reference that leads nowhere shows only when it is followed.
            msg = f"{type(error).__name__}: {error}"
            raise _WrongSchemaError(msg) from error
        faults = [f"{e.json_path}: {e.message}" for e in found]
        if strict and isinstance(args, Mapping):
            extra = sorted(set(args) - set(schema.get("properties", {})))
            faults += [f"$.{name}: the schema names no such argument" for name in extra]
        return faults

    def _validator(self, schema: Mapping[str, Any]) -> Any:
        key = json.dumps(schema, sort_keys=True, default=str)
        if key not in self._made:
            kind = self._jsonschema.validators.validator_for(
                schema, default=self._jsonschema.Draft202012Validator
            )
            try:
                kind.check_schema(schema)
            except self._jsonschema.SchemaError as error:
                raise _WrongSchemaError(error.message) from error
            # With a registry of its own jsonschema fetches nothing from elsewhere.
            registry = self._referencing.EMPTY_REGISTRY
            self._made[key] = kind(schema, registry=registry)
        return self._made[key]


def _offered(
    tools: tuple[Mapping[str, Any], ...],
) -> tuple[dict[str, Mapping[str, Any]], bool]:
    """Read the tools' argument schemas by name, and whether one has none."""
    out: dict[str, Mapping[str, Any]] = {}
    unread = False
    for tool in tools:
        try:
            function = convert_to_openai_tool(dict(tool))["function"]
            out[function["name"]] = function.get("parameters") or {}
        except (KeyError, TypeError, ValueError):
            # A provider's own tool, which runs on its server.
            unread = True
    return out, unread
