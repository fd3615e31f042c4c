"""The public code's fact check: difference, queries, evidence, two grades a pair."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Generator, Sequence
from itertools import combinations
from typing import Any

from langchain_core.runnables import Runnable

from langchain_agentrm._asking import Effect
from langchain_agentrm.reward_agent._calls import Call
from langchain_agentrm.reward_agent._upstream.asking import Asker, Check
from langchain_agentrm.reward_agent._upstream.planner import FACTUALITY
from langchain_agentrm.reward_agent.types import (
    Evidence,
    Verdict,
    VerifierMode,
    answer_of,
    request_of,
)
from langchain_agentrm.reward_models._judging.prompts import digest
from langchain_agentrm.trajectory import Trajectory

__all__ = ["Factuality", "pairs_drawn"]

_SHORT, _LONG = 256, 512
_PASSAGES = 5
_DEFAULT_GRADE = 5
# The public code divides by the number of pairs plus this.
_NUDGE = 1e-5

_ANSWERS = "Answer A: {a}\nAnswer B: {b}"
_DIFFERENCE = """Step: difference
{answers}

Name the most important point in which the claims of the two answers contradict each \
other, as a Python list of texts and nothing else. Without a contradiction, write []."""
_QUERIES = """Step: queries
[Request]
{request}

[Contradictions]
{difference}

Write one search query for each contradiction, precise enough to settle it, as a \
Python list of texts and nothing else."""
_EVIDENCE = """Step: evidence
Tell what is known about the following, in a few sentences.

{query}"""
_GRADES = """Step: grades
Grade how factual each of two answers is, from 1 to 10, by the evidence.

[Evidence]
{supports}

[Request]
{request}

[Answers]
{answers}

Write, with a short reason:
Answer A: [[grade]]
Answer B: <<grade>>
If both say the same, grade both 10. If they are equally factual, give the shorter one \
more."""


class Factuality(Check):
    """Grades pairs: the only pair of two, as many random pairs as there are candidates.

    A grade that cannot be read is 5. With more than two candidates a candidate's value
    is the mean over its pairs, and 0 if it is in none; only the first query is asked.
    """

    name = FACTUALITY
    mode: VerifierMode = "group"
    purpose = "Whether the facts that an answer states are true."

    def __init__(
        self, llm: Runnable[Any, Any], evidence: Evidence | None, *, seed: int
    ) -> None:
        """Keep the parts; without evidence the model is asked for it."""
        self.llm = llm
        self.evidence = evidence
        self.seed = seed

    def _verdicts(
        self, asker: Asker, trajectories: Sequence[Trajectory]
    ) -> Generator[Effect, Any, list[Verdict]]:
        n = len(trajectories)
        if n < 2:  # noqa: PLR2004 - a pair
            alone = Verdict(reason="there is no other candidate to compare it with")
            return [alone] * n
        request = request_of(trajectories[0])
        pairs = pairs_drawn(trajectories, self.seed)
        texts = [
            _ANSWERS.format(a=answer_of(trajectories[i]), b=answer_of(trajectories[j]))
            for i, j in pairs
        ]
        differences = yield from asker.ask(
            [_DIFFERENCE.format(answers=t) for t in texts], _SHORT
        )
        replies = yield from asker.ask(
            [_QUERIES.format(request=request, difference=d) for d in differences],
            _SHORT,
        )
        queries = [_queries(reply) for reply in replies]
        if len(pairs) > 1:
            queries = [each[:1] for each in queries]
        supports = yield from self._supports(asker, queries)
        grades = yield from asker.ask(
            [
                _GRADES.format(supports=s, request=request, answers=t)
                for s, t in zip(supports, texts, strict=True)
            ],
            _LONG,
        )
        return _verdicts(n, pairs, grades)

    def _supports(
        self, asker: Asker, queries: Sequence[Sequence[str]]
    ) -> Generator[Effect, Any, list[list[str]]]:
        flat = [query for each in queries for query in each]
        evidence = self.evidence
        if evidence is None:
            found = yield from asker.ask(
                [_EVIDENCE.format(query=query) for query in flat], _LONG
            )
        else:
            batch = yield Call(
                lambda: evidence.search(flat), lambda: evidence.asearch(flat)
            )
            if isinstance(batch, Exception):
                raise batch
            asker.usage += batch.usage
            found = []
            for passages in batch.items:
                if isinstance(passages, Exception):
                    raise passages
                found.append("\n\n".join(p.text for p in passages[:_PASSAGES]))
        left = iter(found)
        return [[next(left) for _ in each] for each in queries]


def pairs_drawn(trajectories: Sequence[Trajectory], seed: int) -> list[tuple[int, int]]:
    """Draw the pairs of a group: the one of two, else n at random."""
    n = len(trajectories)
    pairs = list(combinations(range(n), 2))
    if n == 2:  # noqa: PLR2004 - a pair
        return pairs
    draw = random.Random(digest(str(seed), request_of(trajectories[0])))  # noqa: S311
    return draw.sample(pairs, k=n)


def _queries(reply: str) -> list[str]:
    """Read a Python list between the outermost brackets; else all is one query."""
    start, end = reply.find("["), reply.rfind("]")
    if -1 < start < end:
        try:
            read = ast.literal_eval(reply[start : end + 1])
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return [reply]
        if isinstance(read, list) and read:
            return [str(query) for query in read]
    return [reply]


def _verdicts(
    n: int, pairs: Sequence[tuple[int, int]], answers: Sequence[str]
) -> list[Verdict]:
    got: list[list[float]] = [[] for _ in range(n)]
    made_up = [0] * n
    for pair, answer in zip(pairs, answers, strict=True):
        for i, form in zip(pair, (r"\[\[(\d+)\]\]", r"<<(\d+)>>"), strict=True):
            found = re.search(form, answer)
            made_up[i] += found is None
            got[i].append((int(found[1]) if found else _DEFAULT_GRADE) / 10)
    return [
        _verdict(values, lost, one_pair=n == 2)  # noqa: PLR2004 - a pair
        for values, lost in zip(got, made_up, strict=True)
    ]


def _verdict(values: Sequence[float], lost: int, *, one_pair: bool) -> Verdict:
    if not values:
        return Verdict(0.0, "no sampled pair covers it; the public code counts that 0")
    notes = f"{len(values)} graded pairs"
    if lost:
        notes += f", {lost} unreadable, which the public code grades 5"
    if one_pair:
        return Verdict(values[0], notes)
    total = 0.0
    for value in values:
        total += value
    return Verdict(total / (len(values) + _NUDGE), notes)
