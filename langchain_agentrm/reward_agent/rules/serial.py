"""Rules from JSON and back; what is no rule spoils none of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from langchain_agentrm.reward_agent.rules.dsl import Rule, Unknown

__all__ = ["dump_rules", "parse_rules", "rules_schema"]

_ADAPTER: TypeAdapter[Rule] = TypeAdapter(Annotated[Rule, Field(discriminator="kind")])


def _unknown(given: object, why: str) -> Unknown:
    return Unknown(given=json.dumps(given, default=str)[:1000], why=why)


def _parse(given: object) -> Rule:
    if not isinstance(given, Mapping):
        return _unknown(given, "not an object with a kind")
    # A model that fills every field of a schema writes null for those it means not.
    plain = {str(key): value for key, value in given.items() if value is not None}
    try:
        return _ADAPTER.validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return _unknown(given, f"{place}: {first['msg']}" if place else first["msg"])


def parse_rules(data: str | Sequence[object]) -> list[Rule]:
    """Read rules from JSON; what is no rule becomes `Unknown` and spoils no other.

    Args:
        data: JSON text of a list, or of an object with the list as `rules`; or the
            list itself.

    Returns:
        One rule for each item, in order.

    Raises:
        ValueError: If the text is no JSON, or is no list.
    """
    loaded: object = json.loads(data) if isinstance(data, str) else data
    if isinstance(loaded, Mapping):
        loaded = loaded.get("rules")
    if not isinstance(loaded, Sequence) or isinstance(loaded, str | bytes):
        msg = "rules are a JSON list, or an object with the list as `rules`"
        raise ValueError(msg)  # noqa: TRY004 - one error for all that cannot be read
    return [_parse(item) for item in loaded]


def dump_rules(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Write rules as plain JSON values, which `parse_rules` reads back.

    Args:
        rules: The rules.

    Returns:
        One object for each, its kind first, with what differs from the defaults.
    """
    return [
        {"kind": rule.kind, **rule.model_dump(mode="json", exclude_defaults=True)}
        for rule in rules
    ]


def rules_schema() -> dict[str, Any]:
    """Give the JSON schema of one rule, such as for a request to a model."""
    return _ADAPTER.json_schema()
