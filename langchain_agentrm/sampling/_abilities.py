"""What a policy's server is likely to take, read off the model's class."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

from langchain_agentrm.sampling._draws import Abilities

__all__ = ["abilities_of", "fields_of", "fixed_options"]


def fields_of(model: Runnable[Any, Any]) -> frozenset[str]:
    """Names of a chat model's fields; none for any other runnable."""
    if not isinstance(model, BaseChatModel):
        return frozenset()
    return frozenset(type(model).model_fields)


def abilities_of(
    model: BaseChatModel, kwargs: dict[str, Any], *, seeds: bool
) -> Abilities:
    """Guess from the model's class what its server takes."""
    fields = fields_of(model)
    # OpenAI's Responses API has neither `n` nor `seed`; the model picks it by its
    # name and by the tools, which only its own method knows.
    picks = getattr(model, "_use_responses_api", None)
    responses = bool(getattr(model, "use_responses_api", False)) or (
        callable(picks) and bool(picks(kwargs))
    )
    return Abilities(
        many="n" in fields and not responses,
        seeds=seeds and "seed" in fields and not responses,
    )


def fixed_options(model: BaseChatModel) -> dict[str, Any]:
    """Options that undo what the model was made with and candidates must not have."""
    fixed: dict[str, Any] = {}
    if getattr(model, "streaming", False):
        fixed["stream"] = False
    if (getattr(model, "n", None) or 1) > 1:
        fixed["n"] = 1
    return fixed
