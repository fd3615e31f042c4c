"""Preference pairs for training, made from scored answers.

Source: Agentic Reward Modeling (arXiv 2502.19328), section 5.2, where pairs for DPO are
the best and worst answer by the reward. The margin and the rule that no verified signal
may contradict a pair are ours.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_agentrm._files import (
    file_digest,
    read_json,
    same_settings,
    write_json,
    write_jsonl,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.best_responses import ScoredResponses, score_responses
from langchain_agentrm.evaluation.responses import ResponseSet, load_responses
from langchain_agentrm.reward_models.base import RewardModel
from langchain_agentrm.types import Score, Usage

__all__ = ["Annotated", "PairRule", "annotate_file", "pairs_of"]

_WINDOW = 8
"""Prompts per thread between two writes."""


@dataclass(frozen=True, slots=True)
class PairRule:
    """Which answers make a pair.

    Attributes:
        margin: Least difference of the two answers; a difference of their scores up to
            the reward model's resolution never makes a pair.
        by_signal: Take the difference of the signal that decides, the first of
            `signals` that tells the answers apart, not of the scores. For scores that
            say who is better and not by how much, such as the default judger's places.
        pairs_per_prompt: Most pairs of one prompt: best with worst, then the next
            best with the next worst.
        signals: Names of the signals that are recorded.
        verified: Those of them that may not contradict a pair.
        conversational: Write messages even where the prompt was given as a text.
    """

    margin: float = 0.0
    by_signal: bool = False
    pairs_per_prompt: int = 1
    signals: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    conversational: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.margin >= 0:
            msg = f"margin={self.margin!r} cannot work."
            raise ConfigurationError(msg, remedy="Use 0 or more.")
        if self.pairs_per_prompt < 1:
            msg = f"pairs_per_prompt={self.pairs_per_prompt!r} cannot work."
            raise ConfigurationError(msg, remedy="Use 1 or more.")


@dataclass(frozen=True, slots=True)
class Annotated:
    """What a run came to.

    Attributes:
        prompts: Prompts in the file.
        pairs: Pairs written.
        dropped: Why there is no pair, or not one more: how often each reason.
        failed: Prompts for which a part of the reward model failed.
        resumed: Prompts that an earlier run had done.
        usage: What this run spent.
        first_error: What the first failed prompt said.
    """

    prompts: int
    pairs: int
    dropped: Mapping[str, int]
    failed: int = 0
    resumed: int = 0
    usage: Usage = field(default_factory=Usage)
    first_error: str = ""


def pairs_of(
    scored: ScoredResponses, rule: PairRule, *, resolution: float = 0.0
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Make a prompt's pairs.

    Equal answers count once. An answer without a score is in no pair.

    Args:
        scored: The prompt with its scored answers.
        rule: Which answers make a pair.
        resolution: Differences of scores up to it are ties.

    Returns:
        The pairs as rows for TRL, and how often each reason left one out: `unscored`,
        `single` (fewer than two different answers), `margin`, `contradicted`.
    """
    distinct: dict[str, tuple[str, Score]] = {}
    dropped: Counter[str] = Counter()
    for text, score in zip(scored.given.responses, scored.scores, strict=True):
        if score.value is None:
            dropped["unscored"] += 1
        else:
            distinct.setdefault(text.strip(), (text, score))
    order = sorted(distinct.values(), key=lambda some: -_value(some[1]))
    if len(order) < 2:  # noqa: PLR2004 - a pair
        dropped["single"] += 1
        return [], dropped
    pairs: list[dict[str, Any]] = []
    for i in range(min(rule.pairs_per_prompt, len(order) // 2)):
        (chosen, high), (rejected, low) = order[i], order[-1 - i]
        if _value(high) - _value(low) <= resolution or _margin(high, low, rule) < (
            rule.margin
        ):
            dropped["margin"] += 1
        elif _contradicted(high, low, rule.verified):
            dropped["contradicted"] += 1
        else:
            pairs.append(_row(scored.given, chosen, rejected, high, low, rule))
    return pairs, dropped


def annotate_file(
    reward_model: RewardModel,
    source: str | Path,
    target: str | Path,
    rule: PairRule,
    *,
    settings: Mapping[str, Any] | None = None,
    threads: int = 1,
    skip_failed: bool = False,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Annotated:
    """Write the preference pairs of a file of responses.

    The work done grows in `TARGET.part`; a run that was stopped goes on there, and asks
    again about prompts for which a part of the reward model failed. `TARGET` is written
    whole, once there are none.

    Args:
        reward_model: Who scores the answers.
        source: Rows that `load_responses` reads.
        target: Where to write rows `prompt, chosen, rejected, score_chosen,
            score_rejected, signals`, which TRL reads.
        rule: Which answers make a pair.
        settings: What made the scores, such as the verifiers' names; a resumed run must
            have the same.
        threads: Prompts in work at once; the result is the same for every number.
        skip_failed: Write the file although prompts failed; they give no pairs.
        on_progress: Told prompts done and prompts in all.

    Returns:
        What it came to.

    Raises:
        ConfigurationError: If a row is malformed, or what is there was made with other
            settings.
    """
    target = Path(target)
    sets = load_responses(source)
    manifest = target.with_name(f"{target.name}.manifest.json")
    wanted = {
        **(settings or {}),
        "input": file_digest(Path(source)),
        "margin": rule.margin,
        "margin_of": "signal" if rule.by_signal else "scores",
        "pairs_per_prompt": rule.pairs_per_prompt,
        "conversational": rule.conversational,
    }
    _check(manifest, target, wanted)
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        part.unlink(missing_ok=True)
        told = read_json(manifest)["counts"]
        return Annotated(len(sets), told["pairs"], told["dropped"], resumed=len(sets))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(manifest, {"settings": wanted})
    done: dict[str, dict[str, Any]] = {row["id"]: row for row in _whole(part)}
    write_jsonl(part, done.values())
    resumed = len(done)
    usage, failures = Usage(), []
    todo = [s for s in sets if s.id not in done]
    with part.open("a", encoding="utf-8") as out:
        for some in _windows(todo, threads):
            for scored in score_responses(reward_model, some, threads=threads):
                usage += scored.usage
                if scored.error is not None:
                    failures.append(scored.error)
                    continue
                row = _done_row(scored, rule, reward_model.resolution)
                done[scored.given.id] = row
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                out.flush()
            os.fsync(out.fileno())
            on_progress(len(done), len(sets))
    pairs = [pair for s in sets if s.id in done for pair in done[s.id]["pairs"]]
    total: Counter[str] = Counter()
    for row in done.values():
        total.update(row["dropped"])
    if failures and skip_failed:
        total["failed"] = len(failures)
    if skip_failed or not failures:
        counts = {"pairs": len(pairs), "dropped": dict(total)}
        write_json(manifest, {"settings": wanted, "counts": counts})
        write_jsonl(target, pairs)
        part.unlink()
    return Annotated(
        prompts=len(sets),
        pairs=len(pairs),
        dropped=dict(total),
        failed=len(failures),
        resumed=resumed,
        usage=usage,
        first_error=failures[0] if failures else "",
    )


def _done_row(
    scored: ScoredResponses, rule: PairRule, resolution: float
) -> dict[str, Any]:
    pairs, dropped = pairs_of(scored, rule, resolution=resolution)
    return {"id": scored.given.id, "pairs": pairs, "dropped": dropped}


def _value(score: Score) -> float:
    return 0.0 if score.value is None else score.value


def _margin(high: Score, low: Score, rule: PairRule) -> float:
    if not rule.by_signal:
        return _value(high) - _value(low)
    for name in rule.signals:
        if name in high.signals and name in low.signals:
            difference = high.signals[name] - low.signals[name]
            if difference:
                return difference
    return 0.0


def _contradicted(high: Score, low: Score, verified: Sequence[str]) -> bool:
    # Also by a signal that was left out of the score because a third answer lacks it.
    return any(
        name in high.signals
        and name in low.signals
        and low.signals[name] > high.signals[name]
        for name in verified
    )


def _row(
    given: ResponseSet,
    chosen: str,
    rejected: str,
    high: Score,
    low: Score,
    rule: PairRule,
) -> dict[str, Any]:
    prompt: Any = [dict(m) for m in given.messages]
    answers: list[Any] = [chosen, rejected]
    if given.plain and not rule.conversational:
        prompt = given.messages[-1]["content"]
    else:
        answers = [[{"role": "assistant", "content": text}] for text in answers]
    return {
        "prompt": prompt,
        "chosen": answers[0],
        "rejected": answers[1],
        "score_chosen": high.value,
        "score_rejected": low.value,
        # Every row has every name: readers of columns take their types from a few rows.
        "signals": {
            side: {name: score.signals.get(name) for name in rule.signals}
            for side, score in (("chosen", high), ("rejected", low))
        },
    }


def _check(manifest: Path, target: Path, wanted: Mapping[str, Any]) -> None:
    if manifest.exists():
        same_settings(read_json(manifest)["settings"], wanted, where=str(target))
    elif target.exists():
        msg = f"{str(target)!r} exists, and nothing says what made it."
        raise ConfigurationError(msg, remedy="Move it, or name another output.")


def _whole(part: Path) -> Iterator[dict[str, Any]]:
    """Yield rows up to the first that a kill cut short."""
    if not part.exists():
        return
    with part.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                return


def _windows(sets: Sequence[ResponseSet], threads: int) -> Iterator[list[ResponseSet]]:
    size = max(1, threads) * _WINDOW
    for at in range(0, len(sets), size):
        yield list(sets[at : at + size])
