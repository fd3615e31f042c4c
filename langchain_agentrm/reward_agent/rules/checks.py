"""Deciding whether an answer keeps a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.rules import _natural, _official
from langchain_agentrm.reward_agent.rules._outcome import Outcome, Profile
from langchain_agentrm.reward_agent.rules.dsl import Rule
from langchain_agentrm.reward_agent.types import Finding

__all__ = ["Profile", "check"]

_DECIDE: Mapping[str, Callable[[Rule, str], Outcome]] = {
    "natural": _natural.decide,
    "ifeval": _official.decide,
}


def check(rule: Rule, answer: str, *, profile: Profile = "natural") -> Finding:
    """Decide one rule; nothing is run and no model is asked.

    Args:
        rule: The rule.
        answer: The answer.
        profile: `"natural"`: as a careful reader means it, with the fairest reading
            where there are several; `"ifeval"`: as IFEval's own verifiers decide it.

    Returns:
        What was checked, the outcome (None for an unknown rule, or where an optional
        dependency is missing) and what was seen.

    Raises:
        ConfigurationError: If the profile is unknown.
    """
    decide = _DECIDE.get(profile)
    if decide is None:
        msg = f"profile={profile!r} is unknown."
        raise ConfigurationError(msg, remedy=f"Use one of {get_args(Profile)}.")
    outcome = decide(rule, answer)
    return Finding(rule.describe(), outcome.passed, outcome.detail)
