"""Best of n over answers that were drawn before, for several n at once.

Source: Agentic Reward Modeling (arXiv 2502.19328), section 5.1: the best answer of each
n. Its n are nested here, first answers of one draw, and scored once for the largest.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import TypedDict

from langchain_agentrm.errors import AgentRMError, ConfigurationError
from langchain_agentrm.evaluation._failures import has_failed
from langchain_agentrm.evaluation.responses import ResponseSet, response_trajectories
from langchain_agentrm.metrics import bootstrap, mean
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.types import Score, Usage

__all__ = [
    "BestRow",
    "ScoredResponses",
    "best_index",
    "best_rows",
    "chosen_rows",
    "score_responses",
]


@dataclass(frozen=True, slots=True)
class ScoredResponses:
    """A prompt's answers with their scores.

    Attributes:
        given: The prompt and its answers.
        scores: A score or an error for each of the first answers that were scored.
        usage: What they cost.
        error: What failed, where a part of the reward model did.
    """

    given: ResponseSet
    scores: tuple[Score, ...]
    usage: Usage = field(default_factory=Usage)
    error: str | None = None


class BestRow(TypedDict):
    """What choosing among n answers is worth; shares in 0..1.

    Attributes:
        n: Answers to choose among.
        prompts: Prompts whose answers have a known worth.
        accuracy: Mean worth of the answers chosen.
        ci_low: Lower bound of its 95 % interval over prompts.
        ci_high: Upper bound.
        average: Mean worth of all n, as of a choice at random.
        best: Mean worth of the best of the n, which no choice can pass.
        unscored: Prompts where nothing could be scored; their first answer counts.
    """

    n: int
    prompts: int
    accuracy: float
    ci_low: float
    ci_high: float
    average: float
    best: float
    unscored: int


def score_responses(
    reward_model: RewardModel,
    sets: Sequence[ResponseSet],
    *,
    largest: int | None = None,
    threads: int = 1,
) -> Iterator[ScoredResponses]:
    """Score the first answers of each prompt, one prompt a call.

    Args:
        reward_model: Who scores.
        sets: The prompts.
        largest: How many answers of each; all if None.
        threads: Prompts in work at once.

    Yields:
        Scored prompts in the order given.

    Raises:
        ConfigurationError: If the reward model is set up wrongly, or a prompt has fewer
            than `largest` answers.
    """
    if largest is not None:
        for given in sets:
            if len(given.responses) < largest:
                msg = (
                    f"Prompt {given.id!r} has {len(given.responses)} responses; "
                    f"{largest} are asked for."
                )
                raise ConfigurationError(msg, remedy="Draw more, or lower n.")
    with ThreadPoolExecutor(max(1, threads)) as pool:
        yield from pool.map(lambda s: _score(reward_model, s, largest), sets)


def best_index(scores: Sequence[Score], resolution: float = 0.0) -> int | None:
    """Find the best of some scores.

    Args:
        scores: Scores or errors.
        resolution: Differences up to it are ties.

    Returns:
        The place of the best; the earliest of equals; None if all are errors.
    """
    best: int | None = None
    top = 0.0
    for i, score in enumerate(scores):
        if score.value is not None and (best is None or score.value > top + resolution):
            best, top = i, score.value
    return best


def best_rows(
    scored: Sequence[ScoredResponses], ns: Sequence[int], *, resolution: float = 0.0
) -> list[BestRow]:
    """Make one row for each n, over the prompts whose answers have a known worth.

    Args:
        scored: Prompts scored for the largest n.
        ns: Numbers of answers.
        resolution: Differences up to it are ties, which the earliest wins.

    Returns:
        The rows; none if no answer's worth is known.
    """
    known = [s for s in scored if s.given.correct]
    rows: list[BestRow] = []
    for n in ns if known else ():
        worth: dict[Hashable, list[float]] = {}
        unscored = 0
        for some in known:
            best = best_index(some.scores[:n], resolution)
            unscored += best is None
            worth[some.given.id] = [some.given.correct[best or 0]]
        low, high = bootstrap(worth)
        rows.append(
            BestRow(
                n=n,
                prompts=len(known),
                accuracy=mean([v for values in worth.values() for v in values]),
                ci_low=low,
                ci_high=high,
                average=mean([mean(s.given.correct[:n]) for s in known]),
                best=mean([max(s.given.correct[:n]) for s in known]),
                unscored=unscored,
            )
        )
    return rows


def chosen_rows(
    scored: Sequence[ScoredResponses], n: int, *, resolution: float = 0.0
) -> list[dict[str, Any]]:
    """Tell which of the first n answers is chosen for each prompt.

    Args:
        scored: Prompts scored for n answers or more.
        n: Answers to choose among.
        resolution: Differences up to it are ties, which the earliest wins.

    Returns:
        Rows `id, prompt, response, index, score, error`; where nothing could be scored,
        `response` is None and `error` says why.
    """
    rows: list[dict[str, Any]] = []
    for some in scored:
        given = some.given
        best = best_index(some.scores[:n], resolution)
        plain = given.messages[-1]["content"]
        rows.append(
            {
                "id": given.id,
                "prompt": plain if given.plain else [dict(m) for m in given.messages],
                "response": None if best is None else given.responses[best],
                "index": best,
                "score": None if best is None else some.scores[best].value,
                "error": some.error or (some.scores[0].error if best is None else None),
            }
        )
    return rows


def _score(
    reward_model: RewardModel, given: ResponseSet, largest: int | None
) -> ScoredResponses:
    trajectories = response_trajectories(given, given.responses[:largest])
    try:
        batch = reward_model.score(trajectories)
    except ConfigurationError:
        raise
    except AgentRMError as raised:
        text = str(raised)
        return ScoredResponses(
            given, tuple(Score(error=text) for _ in trajectories), error=text
        )
    failed = [s for s in batch.items if has_failed(s, reward_model)]
    error = failed[0].error or "a signal failed" if failed else None
    return ScoredResponses(given, tuple(batch.items), batch.usage, error)
