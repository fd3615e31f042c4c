"""The parts of a RewardAgent, and whether they fit together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent._signals import FAILED
from langchain_agentrm.reward_agent.judgers import PREFERENCE, Judger
from langchain_agentrm.reward_agent.router import ForcedRouter, Router
from langchain_agentrm.reward_agent.types import Verifier
from langchain_agentrm.reward_models.base import RewardModel

__all__ = ["as_verifier", "check_parts"]

_PROTOCOL = ("name", "mode", "purpose", "applies", "verify", "averify")


def as_verifier(given: Any) -> Verifier:
    """Take a verifier as it is, and a function as a verifier.

    Raises:
        ConfigurationError: If it is neither, naming what a half verifier lacks.
    """
    if isinstance(given, Verifier):
        return given
    missing = [name for name in _PROTOCOL if not hasattr(given, name)]
    if len(missing) == len(_PROTOCOL) and callable(given):
        from langchain_agentrm.reward_agent.verifiers.function import FunctionVerifier

        return FunctionVerifier(given)
    msg = f"{given!r} is no verifier: it lacks {', '.join(missing)}."
    raise ConfigurationError(
        msg, remedy="Give a Verifier, or a function of a trajectory."
    )


def check_parts(
    preference: RewardModel | None,
    verifiers: Sequence[str],
    router: Router,
    judger: Judger,
) -> None:
    """Refuse parts that do not fit together.

    Args:
        preference: The preference model, if any.
        verifiers: Names of the verifiers.
        router: Who chooses among them.
        judger: Who joins their signals.

    Raises:
        ConfigurationError: Naming what does not fit.
    """
    if preference is None and not verifiers:
        msg = "A RewardAgent without preference and verifiers has no signal."
        raise ConfigurationError(msg, remedy="Give at least one of them.")
    if preference is not None and preference.comparable == "depth":
        msg = (
            "The preference's scores are comparable between paths of one length, "
            "those of a RewardAgent within one group: a search has no set of beams "
            "in which both hold."
        )
        raise ConfigurationError(
            msg, remedy="Use a read-out whose scores do not grow with the path."
        )
    twice = {name for name in verifiers if verifiers.count(name) > 1}
    if twice:
        msg = f"Several verifiers are named {min(twice)!r}."
        raise ConfigurationError(msg, remedy="Give each a name of its own.")
    taken = {PREFERENCE, FAILED} & set(verifiers)
    if taken:
        msg = f"A verifier is named {min(taken)!r}, which names another signal."
        raise ConfigurationError(msg, remedy="Give it another name.")
    forced = router.names if isinstance(router, ForcedRouter) else ()
    for part, names in (
        ("router", set(forced)),
        ("judger", judger.names - {PREFERENCE}),
    ):
        unknown = names - set(verifiers)
        if unknown:
            msg = f"The {part} names {min(unknown)!r}, which is no verifier here."
            raise ConfigurationError(
                msg, remedy=f"The verifiers are {', '.join(verifiers) or 'none'}."
            )
