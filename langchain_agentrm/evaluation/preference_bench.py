"""Pairwise accuracy of a reward model on preference pairs.

Source: Agentic Reward Modeling (arXiv 2502.19328), section 4: 1 where the better answer
scores higher, 0.5 for a tie, 0 else. Its public script mixes up the subsets and shows
the better answer always second; here results are joined by key and sides are drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from typing_extensions import TypedDict

from langchain_agentrm.errors import AgentRMError, ConfigurationError
from langchain_agentrm.evaluation._failures import has_failed
from langchain_agentrm.evaluation.preference_data import PreferencePair, candidates
from langchain_agentrm.metrics import bootstrap, mean
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.types import Usage

__all__ = [
    "SPLITS",
    "PairResult",
    "SubsetRow",
    "compare_pair",
    "compare_pairs",
    "ifbench_halves",
    "split_of",
    "subset_rows",
]

Split = Callable[[PreferencePair], str]


@dataclass(frozen=True, slots=True)
class PairResult:
    """What a reward model said of one pair.

    Attributes:
        key: The pair's key.
        outcome: 1.0 right, 0.0 wrong, 0.5 undecided: a tie, or no scores.
        score_chosen: Score of the better answer.
        score_rejected: Score of the worse one.
        signals_chosen: Parts of its score.
        signals_rejected: Parts of the other one.
        error: Why there are no scores.
        failed: Whether a part of the reward model failed, scores or not. What only
            abstains has not failed.
        usage: What it cost.
    """

    key: str
    outcome: float
    score_chosen: float | None = None
    score_rejected: float | None = None
    signals_chosen: Mapping[str, float] = field(default_factory=dict)
    signals_rejected: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    failed: bool = False
    usage: Usage = field(default_factory=Usage)


class SubsetRow(TypedDict):
    """One subset: shares in 0..1, and the 95 % interval of the accuracy.

    Attributes:
        subset: Its name; `all` is the whole file.
        n: Pairs.
        decided: Share of pairs with a preference.
        accuracy: Mean outcome, 0.5 where undecided.
        accuracy_decided: Mean outcome of those decided; None if none was.
        ci_low: Lower bound of the accuracy; prompts are resampled, not pairs.
        ci_high: Upper bound.
        checked: Share of pairs on which a verifier had a verdict.
        failed: Pairs for which a part of the reward model failed.
    """

    subset: str
    n: int
    decided: float
    accuracy: float
    accuracy_decided: float | None
    ci_low: float
    ci_high: float
    checked: float
    failed: int


def compare_pair(
    reward_model: RewardModel, pair: PreferencePair, *, seed: int = 0
) -> PairResult:
    """Ask which of a pair's answers is better.

    Args:
        reward_model: Who is asked. A difference up to its resolution is a tie.
        pair: The pair.
        seed: With the pair's key, it decides which answer is shown first.

    Returns:
        The result; a failure is told in it.

    Raises:
        ConfigurationError: If the reward model is set up wrongly.
    """
    swapped = _coin(seed, pair.key)
    sides = (pair.chosen, pair.rejected)
    shown = candidates(pair, *(sides[::-1] if swapped else sides))
    try:
        batch = reward_model.score(shown)
    except ConfigurationError:
        raise
    except AgentRMError as error:
        return PairResult(pair.key, 0.5, error=str(error), failed=True)
    chosen, rejected = batch.items[::-1] if swapped else batch.items
    failed = any(has_failed(score, reward_model) for score in batch.items)
    if chosen.value is None or rejected.value is None:
        return PairResult(
            pair.key,
            0.5,
            signals_chosen=chosen.signals,
            signals_rejected=rejected.signals,
            error=chosen.error or rejected.error,
            failed=failed,
            usage=batch.usage,
        )
    margin = chosen.value - rejected.value
    tied = abs(margin) <= reward_model.resolution
    return PairResult(
        pair.key,
        0.5 if tied else float(margin > 0),
        chosen.value,
        rejected.value,
        chosen.signals,
        rejected.signals,
        failed=failed,
        usage=batch.usage,
    )


def compare_pairs(
    reward_model: RewardModel,
    pairs: Sequence[PreferencePair],
    *,
    threads: int = 1,
    seed: int = 0,
    on_pair: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, PairResult]:
    """Ask about many pairs; the result is the same for every number of threads.

    Args:
        reward_model: Who is asked, one pair a call.
        pairs: The pairs.
        threads: Pairs in work at once; more than one helps where servers are asked.
        seed: Decides which answer of each pair is shown first.
        on_pair: Told pairs done and pairs in all.

    Returns:
        Results by key, in the order of the pairs.
    """
    results: dict[str, PairResult] = {}
    with ThreadPoolExecutor(max(1, threads)) as pool:
        done = pool.map(lambda p: compare_pair(reward_model, p, seed=seed), pairs)
        for result in done:
            results[result.key] = result
            on_pair(len(results), len(pairs))
    return results


def subset_rows(
    pairs: Sequence[PreferencePair],
    results: Mapping[str, PairResult],
    *,
    split: Split | None = None,
    verifiers: Collection[str] = (),
) -> list[SubsetRow]:
    """Make one row a subset, one for `all`, and one for each side of a split.

    Args:
        pairs: The pairs.
        results: Their results by key.
        split: Names the side of each pair, such as `ifbench_halves`.
        verifiers: Names of the signals that are verdicts.

    Returns:
        Rows: subsets by name, `all`, then the sides by name.
    """
    parts: dict[str, list[PreferencePair]] = {}
    for name in sorted({pair.subset for pair in pairs}):
        parts[name] = [pair for pair in pairs if pair.subset == name]
    parts["all"] = list(pairs)
    if split is not None:
        sides = [split(pair) for pair in pairs]
        for name in sorted(set(sides), reverse=True):
            parts[name] = [p for p, s in zip(pairs, sides, strict=True) if s == name]
    names = frozenset(verifiers)
    return [_row(name, some, results, names) for name, some in parts.items()]


def ifbench_halves(pair: PreferencePair) -> str:
    """Tell the half of THU-IFBench that rules were tuned on from the other.

    The halves were fixed before any rule was written: the tuning half is the first
    twelve rows and those whose id has an even SHA-1.

    Args:
        pair: A pair of that file.

    Returns:
        `"tuned-on"` or `"held-out"`.
    """
    # A fixed coin, not a secret.
    even = int(hashlib.sha1(pair.id.encode()).hexdigest(), 16) % 2 == 0  # noqa: S324
    return "tuned-on" if pair.row < _FIRST or even else "held-out"


_FIRST = 12

SPLITS: Mapping[str, Split] = {"ifbench-halves": ifbench_halves}
"""Splits by the name that the command line gives them."""


def split_of(pairs: Sequence[PreferencePair]) -> Split | None:
    """Find the split of a benchmark, known by its subsets.

    Args:
        pairs: All pairs of a file.

    Returns:
        `ifbench_halves` for THU-IFBench's three levels, else None.
    """
    levels = {"level-1", "level-2", "level-3"}
    return ifbench_halves if {p.subset for p in pairs} == levels else None


def _row(
    name: str,
    pairs: Sequence[PreferencePair],
    results: Mapping[str, PairResult],
    verifiers: frozenset[str],
) -> SubsetRow:
    some = [results[pair.key] for pair in pairs]
    decided = [r.outcome for r in some if r.outcome != 0.5]  # noqa: PLR2004 - a tie
    by_prompt: dict[Hashable, list[float]] = {}
    for pair, result in zip(pairs, some, strict=True):
        by_prompt.setdefault(pair.id, []).append(result.outcome)
    low, high = bootstrap(by_prompt)
    return SubsetRow(
        subset=name,
        n=len(some),
        decided=len(decided) / len(some),
        accuracy=mean([r.outcome for r in some]),
        accuracy_decided=mean(decided) if decided else None,
        ci_low=low,
        ci_high=high,
        checked=mean(
            [
                float(bool(verifiers & {*r.signals_chosen, *r.signals_rejected}))
                for r in some
            ]
        ),
        failed=sum(r.failed for r in some),
    )


def _coin(seed: int, key: str) -> bool:
    """Draw a side by the pair's key: its place in the file must decide nothing."""
    digest = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=1).digest()
    return bool(digest[0] & 1)
