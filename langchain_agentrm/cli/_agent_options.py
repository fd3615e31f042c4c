"""The options that every command of `agentrm reward-agent` has: what the agent is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from langchain_agentrm.cli._agent_parts import AgentWords, pairs_of_words, words_of

__all__ = ["with_agent"]


class _Judger(StrEnum):
    lexicographic = "lexicographic"
    weighted_sum = "weighted-sum"
    vote = "vote"
    llm = "llm"


class _Normalize(StrEnum):
    none = "none"
    zscore = "zscore"
    minmax = "minmax"
    rank = "rank"
    sigmoid = "sigmoid"


class _Router(StrEnum):
    rules = "rules"
    llm = "llm"
    always = "always"


class _Profile(StrEnum):
    natural = "natural"
    ifeval = "ifeval"


def _words(
    verifiers: Annotated[
        str,
        typer.Option(
            help="rules, llm-rules, code, factuality, tool-calls, or MODULE:NAME of "
            "your own; several with commas."
        ),
    ] = "rules",
    judger: Annotated[
        _Judger, typer.Option(help="How signals become one score.")
    ] = _Judger.lexicographic,
    weights: Annotated[
        str,
        typer.Option(help="For weighted-sum and vote, such as rules=2,preference=0.5."),
    ] = "",
    order: Annotated[
        str, typer.Option(help="For lexicographic: signals, most important first.")
    ] = "",
    normalize: Annotated[
        _Normalize, typer.Option(help="How weighted-sum scales the preference.")
    ] = _Normalize.none,
    router: Annotated[
        _Router, typer.Option(help="Who chooses verifiers for a request.")
    ] = _Router.rules,
    force: Annotated[
        str, typer.Option(help="Verifiers that always run, and no others.")
    ] = "",
    preference: Annotated[
        str | None,
        typer.Option(
            help="FOLDER, OWNER/NAME, vllm:FOLDER, judge:openai:MODEL, embedded:ENV; "
            "or longer, shorter."
        ),
    ] = None,
    preference_url: Annotated[
        str | None, typer.Option(help="Its server, where it has one.")
    ] = None,
    evidence: Annotated[
        str, typer.Option(help="parametric, bm25:DIR, or tool:MODULE:NAME.")
    ] = "parametric",
    llm: Annotated[
        str | None, typer.Option(help="Chat model: openai:MODEL or a folder.")
    ] = None,
    llm_url: Annotated[str | None, typer.Option(help="Its server.")] = None,
    coder: Annotated[
        str | None, typer.Option(help="Chat model for code and rules; else --llm.")
    ] = None,
    profile: Annotated[
        _Profile, typer.Option(help="How the rules verifier reads a request.")
    ] = _Profile.natural,
    upstream: Annotated[
        bool,
        typer.Option(
            "--upstream", help="The rules of the paper's public code; needs --llm."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of sides, pairs and orders.")] = 0,
    both_orders: Annotated[
        bool,
        typer.Option(
            "--both-orders", help="Factuality compares each pair in both orders."
        ),
    ] = False,
) -> AgentWords:
    return AgentWords(
        verifiers=words_of(verifiers),
        judger=judger.value,
        weights=pairs_of_words(weights),
        order=words_of(order),
        normalize=normalize.value,
        router=router.value,
        force=words_of(force),
        preference=preference,
        preference_url=preference_url,
        evidence=evidence,
        llm=llm,
        llm_url=llm_url,
        coder=coder,
        profile=profile.value,
        upstream=upstream,
        seed=seed,
        both_orders=both_orders,
    )


def with_agent(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the agent's options after its own.

    Args:
        command: Takes `words`, and options of its own.

    Returns:
        The command as typer is to see it.
    """
    shared = inspect.signature(_words).parameters
    own = [p for n, p in inspect.signature(command).parameters.items() if n != "words"]
    hints = {**_hints(command), **_hints(_words)}

    @wraps(command)
    def wrapped(**given: Any) -> None:
        words = _words(**{name: given.pop(name) for name in shared})
        command(words=words, **given)

    parameters = [
        p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for p in (*own, *shared.values())
    ]
    # typer reads the signature, and the annotations where that has none.
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    del wrapped.__wrapped__
    return wrapped


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)
