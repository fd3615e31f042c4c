"""Checks what the request says of the answer's form, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.rules import Profile, Rule, check, extract
from langchain_agentrm.reward_agent.types import (
    Finding,
    Verdict,
    answer_of,
    request_of,
)
from langchain_agentrm.reward_agent.verifiers._pointwise import (
    PointwiseVerifier,
    abstained,
)
from langchain_agentrm.trajectory import Trajectory

__all__ = ["RuleVerifier", "verdict_of"]

_SHOWN = 3


class RuleVerifier(PointwiseVerifier):
    """Holds answers to the rules that their request states.

    The value is the share of the rules kept, among those that could be decided, each
    weighing the same. It abstains where the request states no rule.

    Source: Agentic Reward Modeling (Peng et al., ACL 2025), the check of instruction
    following, of which the value is the same mean; that the rules are data read out by
    patterns, where the paper has a model write programs, is ours.

    Args:
        profile: How rules are decided: as a careful reader means them, or as IFEval's
            own verifiers do.
        rules: What tells the rules of a request; `extract` unless you know better, such
            as from a data set that names them.
        name: Name of its signal.
        cache_size: Requests whose rules are kept.

    Raises:
        ConfigurationError: If the profile is unknown.

    Example:
        ```python
        from langchain_agentrm.reward_agent import RuleVerifier
        from langchain_agentrm.trajectory import Trajectory, Turn

        request = "Name a colour. Use at most 3 words and no commas."
        answers = ["Deep sea blue", "Well, that would be blue"]
        candidates = [Trajectory((Turn("", a),), goal=request) for a in answers]
        verdicts = RuleVerifier().verify(candidates).items
        assert [verdict.value for verdict in verdicts] == [1.0, 0.0]
        ```
    """

    purpose = (
        "Checks what can be counted or searched in an answer: its length, its words, "
        "its lists and sections, its format."
    )

    def __init__(
        self,
        *,
        profile: Profile = "natural",
        rules: Callable[[str], Sequence[Rule]] = extract,
        name: str = "rules",
        cache_size: int = 1024,
    ) -> None:
        """Check the profile."""
        super().__init__(name)
        checked_profile(profile)
        self.profile: Profile = profile
        self._rules = lru_cache(maxsize=cache_size)(lambda text: tuple(rules(text)))

    def rules_of(self, request: str) -> tuple[Rule, ...]:
        """Give the rules of a request, from the cache where it was read before."""
        return self._rules(request)

    def applies(self, trajectory: Trajectory) -> bool:
        """Tell whether the request states a rule."""
        return bool(self.rules_of(request_of(trajectory)))

    def _check(self, trajectory: Trajectory) -> Verdict:
        rules = self.rules_of(request_of(trajectory))
        if not rules:
            return abstained("the request states no rule that can be checked")
        return verdict_of(rules, answer_of(trajectory), self.profile)


def checked_profile(profile: Profile) -> None:
    """Refuse a profile that does not exist.

    Args:
        profile: What a user gave.

    Raises:
        ConfigurationError: If it is unknown.
    """
    if profile not in {"natural", "ifeval"}:
        msg = f"profile={profile!r} is unknown."
        raise ConfigurationError(msg, remedy="Use 'natural' or 'ifeval'.")


def verdict_of(rules: Sequence[Rule], answer: str, profile: Profile) -> Verdict:
    """Hold one answer to rules.

    Args:
        rules: At least one rule.
        answer: The answer.
        profile: How rules are decided.

    Returns:
        The share of rules kept among those decided; an abstention if none was.
    """
    findings = tuple(check(rule, answer, profile=profile) for rule in rules)
    decided = [finding for finding in findings if finding.passed is not None]
    if not decided:
        why = findings[0].detail
        return Verdict(reason=f"no rule could be decided: {why}", findings=findings)
    kept = sum(finding.passed is True for finding in decided)
    return Verdict(kept / len(decided), _reason(decided, kept), findings)


def _reason(decided: Sequence[Finding], kept: int) -> str:
    broken = [finding.check for finding in decided if not finding.passed]
    more = f" and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    told = f"; broken: {'; '.join(broken[:_SHOWN])}{more}" if broken else ""
    return f"{kept} of {len(decided)} rules kept{told}"
