"""Comparing pairs: difference, queries, evidence, grades, each step for all at once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable

from langchain_agentrm._asking import (
    Ask,
    Effect,
    UnreadableAnswerError,
    answer_text,
    answer_usage,
)
from langchain_agentrm.reward_agent._calls import Call, told
from langchain_agentrm.reward_agent.types import Evidence, Passage
from langchain_agentrm.reward_agent.verifiers._factuality.answers import (
    Differences,
    Grades,
    Queries,
    read_json,
)
from langchain_agentrm.reward_agent.verifiers._factuality.pairs import Outcome, Pair
from langchain_agentrm.reward_agent.verifiers._factuality.prompts import (
    PROMPT_VERSION,
    ask_differences,
    ask_grades,
    ask_queries,
    clipped,
    reminded,
)
from langchain_agentrm.types import Batch, Usage

__all__ = ["Comparison"]

A = TypeVar("A", Differences, Queries, Grades)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How pairs are compared.

    Attributes:
        llm: Asked for differences, queries and grades.
        evidence: Where the queries are searched.
        both_orders: Whether grades are asked for in both orders.
        max_queries: Points and queries for a pair.
        max_passages: Passages for a query.
        max_passage_chars: Longest part of a passage that is read.
        max_concurrency: Requests to the model in flight at once.
    """

    llm: Runnable[Any, Any]
    evidence: Evidence
    both_orders: bool
    max_queries: int
    max_passages: int
    max_passage_chars: int
    max_concurrency: int

    def steps(self, pairs: Sequence[Pair]) -> Generator[Effect, Any, Usage]:
        """Give every pair its outcome.

        Args:
            pairs: Open pairs; they are filled in.

        Returns:
            What all of it cost, the evidence too.
        """
        asked = yield from self._differences(pairs)
        asked += yield from self._queries(_open(pairs))
        asked += yield from self._search(_open(pairs))
        asked += yield from self._grades(_open(pairs))
        return asked

    def _differences(self, pairs: Sequence[Pair]) -> Generator[Effect, Any, Usage]:
        answers, usage = yield from self._asked(
            [(pair, ask_differences(pair, self.max_queries)) for pair in pairs],
            Differences,
            "the differences",
        )
        for pair, answer in zip(pairs, answers, strict=True):
            if answer is None:
                continue
            pair.points = tuple(answer.differences[: self.max_queries])
            if not pair.points:
                reason = "The answers differ in no fact."
                pair.outcome = Outcome(equal=True, reason=reason)
        return usage

    def _queries(self, pairs: Sequence[Pair]) -> Generator[Effect, Any, Usage]:
        answers, usage = yield from self._asked(
            [(pair, ask_queries(pair, self.max_queries)) for pair in pairs],
            Queries,
            "the queries",
        )
        for pair, answer in zip(pairs, answers, strict=True):
            if answer is not None:
                distinct = dict.fromkeys(" ".join(q.split()) for q in answer.queries)
                pair.queries = tuple(distinct)[: self.max_queries]
        return usage

    def _search(self, pairs: Sequence[Pair]) -> Generator[Effect, Any, Usage]:
        """Search for all pairs at once, each query once."""
        queries = list(dict.fromkeys(q for pair in pairs for q in pair.queries))
        if not queries:
            return Usage()
        found = yield Call(
            lambda: self.evidence.search(queries),
            lambda: self.evidence.asearch(queries),
        )
        answers = self._aligned(found, queries)
        table = dict(zip(queries, answers.items, strict=True))
        for pair in pairs:
            self._take(pair, [table[query] for query in pair.queries])
        return answers.usage

    def _aligned(
        self, found: Batch[Any] | Exception, queries: Sequence[str]
    ) -> Batch[Any]:
        """Make a failure of the whole search one of each query."""
        if isinstance(found, Exception):
            return Batch([found] * len(queries))
        if len(found.items) == len(queries):
            return found
        msg = (
            f"{type(self.evidence).__name__} gave {len(found.items)} answers to "
            f"{len(queries)} queries"
        )
        return Batch([ValueError(msg)] * len(queries), found.usage)

    def _take(self, pair: Pair, found: Sequence[Sequence[Passage] | Exception]) -> None:
        rows: list[tuple[Passage, ...]] = []
        for query, passages in zip(pair.queries, found, strict=True):
            if isinstance(passages, Exception):
                error = f"The search for {query!r} failed: {told(passages)}."
                pair.outcome = Outcome(reason=error, error=error)
                return
            rows.append(clipped(passages, self.max_passages, self.max_passage_chars))
        pair.found = tuple(rows)
        if not any(rows):
            shown = ", ".join(repr(query) for query in pair.queries)
            pair.outcome = Outcome(reason=f"No evidence was found for {shown}.")

    def _grades(self, pairs: Sequence[Pair]) -> Generator[Effect, Any, Usage]:
        orders = (False, True) if self.both_orders else (False,)
        jobs = [(p, ask_grades(p, swapped=swap)) for p in pairs for swap in orders]
        answers, usage = yield from self._asked(jobs, Grades, "the grades")
        for i, pair in enumerate(pairs):
            # One order that could not be read has closed the pair already.
            if pair.outcome is None:
                read = answers[i * len(orders) : (i + 1) * len(orders)]
                pair.outcome = _graded(pair, [a for a in read if a is not None])
        return usage

    def _asked(
        self, jobs: Sequence[tuple[Pair, list[BaseMessage]]], form: type[A], what: str
    ) -> Generator[Effect, Any, tuple[list[A | None], Usage]]:
        """Ask all, and once more what could not be read; else the pair is undecided."""
        read: list[A | None] = [None] * len(jobs)
        usage = Usage()
        again = list(range(len(jobs)))
        failed: dict[int, Exception] = {}
        for attempt in range(2):
            if not again:
                break
            replies = yield Ask(
                self.llm,
                [reminded(jobs[i][1]) if attempt else jobs[i][1] for i in again],
                "agentrm.factuality",
                self.max_concurrency,
                {"agentrm_prompt": PROMPT_VERSION},
            )
            for i, reply in zip(again, replies, strict=True):
                usage += answer_usage(reply)
                failed.pop(i, None)
                try:
                    read[i] = read_json(answer_text(reply), form)
                except Exception as error:  # noqa: BLE001 - the pair carries it
                    failed[i] = error
            again = [
                i for i, e in failed.items() if isinstance(e, UnreadableAnswerError)
            ]
        for i, failure in failed.items():
            text = f"Asked for {what}, the model failed: {told(failure)}."
            jobs[i][0].outcome = Outcome(reason=text, error=text)
        return read, usage


def _open(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.outcome is None]


def _graded(pair: Pair, answers: Sequence[Grades]) -> Outcome:
    """Join the grades of one pair; a second answer was asked the other way round."""
    grades: list[tuple[int, int]] = []
    for i, answer in enumerate(answers):
        if answer.answer_1 is None or answer.answer_2 is None:
            return Outcome(reason=f"The evidence settles nothing: {_line(answer)}")
        shown = (answer.answer_1, answer.answer_2)
        grades.append((shown[1], shown[0]) if i else shown)
    # The sum is of whole numbers, so that equal grades give equal scores.
    first, second = (sum(g) / (10 * len(grades)) for g in zip(*grades, strict=True))
    return Outcome(
        scores=(first, second),
        reason=" ".join(dict.fromkeys(_line(answer) for answer in answers)),
        passages=tuple(dict.fromkeys(p for row in pair.found for p in row)),
    )


def _line(answer: Grades) -> str:
    return " ".join(answer.reason.split()) or "The model gave no reason."
