"""Are the facts right? Candidates are compared in pairs, by evidence.

Source: Agentic Reward Modeling (Peng et al., ACL 2025), the factuality agent:
difference, queries, evidence, verdict. The prompts, the structured answers, the ring of
pairs and everything about abstaining are ours.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.runnables import Runnable

from langchain_agentrm._asking import Effect, adrive, drive
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.evidence.parametric import ParametricEvidence
from langchain_agentrm.reward_agent.types import (
    Evidence,
    Verdict,
    VerifierMode,
    answer_of,
    request_of,
)
from langchain_agentrm.reward_agent.verifiers._factuality.compare import Comparison
from langchain_agentrm.reward_agent.verifiers._factuality.count import verdicts_of
from langchain_agentrm.reward_agent.verifiers._factuality.pairs import (
    Outcome,
    Pair,
    make_pair,
    ring_of,
)
from langchain_agentrm.reward_agent.verifiers._factuality.request import asks_for_facts
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch

__all__ = ["FactualityVerifier"]

Steps = Generator[Effect, Any, Batch[Verdict]]


@dataclass(slots=True)
class _Group:
    """Distinct answers to one request, and where each was given."""

    request: str
    answers: list[str]
    positions: list[list[int]]
    pairs: list[Pair]


class FactualityVerifier:
    """Compares what candidates state about the world, two at a time, by evidence.

    For each pair a model is asked where the answers differ about facts, then for search
    queries; the evidence is searched; then the model grades both answers by what was
    found, 1 to 10, which is a score of 0.1 to 1.0. A candidate's value is the mean of
    its scores, so it says which of the group is better founded, not how true it is by
    itself. Calls per pair: three of the model, and one search of each query.

    Equal answers are compared once. Three and more are joined to a ring that the seed
    and the texts decide, so that each stands in two pairs and the order in which
    candidates come decides nothing. A pair that does not differ about facts is closed
    after the first question; its answers share the scores of their other pairs.

    A pair stays undecided if a model's answer cannot be read twice, if a search fails
    or finds nothing, or if the model says that the evidence settles nothing. A
    candidate without a decided pair abstains: also all of a group that differs in no
    fact, one without a rival, one without text, and one that calls tools and so answers
    nothing yet.

    Args:
        llm: A chat model, or a runnable that returns an AI message. Its own retries and
            time-outs apply.
        evidence: Where to search; by default what the model itself remembers.
        seed: Of the ring and of the order within pairs.
        both_orders: Grade each pair in both orders and take the mean, so that a model
            that prefers a place decides nothing; one more call a pair.
        every_request: Check requests too that seem to ask for nothing factual.
        max_queries: Queries for a pair.
        max_passages: Passages for a query that the model reads.
        max_passage_chars: Longest part of a passage that it reads, in characters.
        max_concurrency: Requests to the model in flight at once.
        cache_size: Pairs whose outcome is kept; what failed is never kept.

    Attributes:
        name: `"factuality"`.
        mode: `"group"`.
        purpose: What it checks.

    Raises:
        ConfigurationError: If an option has a value that cannot work.

    Example:
        ```python no-run: chat_model is yours
        verifier = FactualityVerifier(chat_model, BM25Evidence("docs"))
        ```
    """

    name: ClassVar[str] = "factuality"
    mode: ClassVar[VerifierMode] = "group"
    purpose: ClassVar[str] = (
        "Checks whether what the answer states about the world is true, by evidence."
    )

    def __init__(
        self,
        llm: Runnable[Any, Any],
        evidence: Evidence | None = None,
        *,
        seed: int = 0,
        both_orders: bool = False,
        every_request: bool = False,
        max_queries: int = 3,
        max_passages: int = 5,
        max_passage_chars: int = 1200,
        max_concurrency: int = 8,
        cache_size: int = 1024,
    ) -> None:
        """Check the options; nothing is asked."""
        _check_parts(llm, evidence)
        for name, value, least in (
            ("max_queries", max_queries, 1),
            ("max_passages", max_passages, 1),
            ("max_passage_chars", max_passage_chars, 1),
            ("max_concurrency", max_concurrency, 1),
            ("cache_size", cache_size, 0),
        ):
            if value < least:
                msg = f"{name}={value!r} is too small."
                raise ConfigurationError(
                    msg, remedy=f"Give {name} of at least {least}."
                )
        self.llm = llm
        self.evidence: Evidence = (
            ParametricEvidence(llm, max_concurrency=max_concurrency)
            if evidence is None
            else evidence
        )
        self.seed = seed
        self.both_orders = both_orders
        self.every_request = every_request
        self.cache_size = cache_size
        self._comparison = Comparison(
            llm=llm,
            evidence=self.evidence,
            both_orders=both_orders,
            max_queries=max_queries,
            max_passages=max_passages,
            max_passage_chars=max_passage_chars,
            max_concurrency=max_concurrency,
        )
        self._known: OrderedDict[bytes, Outcome] = OrderedDict()
        self._lock = threading.Lock()

    def applies(self, trajectory: Trajectory) -> bool:
        """Tell whether the request may have a factual answer.

        False where there is no request, where the candidates are actions of a list, and
        for requests that are plainly something else, as far as a few English patterns
        tell: a greeting, a poem, story or joke to be made up, a text to be translated
        or reworded, none of them with a word that asks for facts. In doubt it is True.
        `verify` abstains where this is False.

        Args:
            trajectory: Any candidate of the group.

        Returns:
            Whether there may be something to check.
        """
        request = request_of(trajectory)
        if not request.strip() or trajectory.admissible:
            return False
        return self.every_request or asks_for_facts(request)

    def verify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Compare the candidates of one group.

        Args:
            trajectories: What competes; those with another request form a group apart.

        Returns:
            One verdict each, in the order given, with citations, and what all of it
            cost, the evidence too.
        """
        return drive(self._steps(trajectories))

    async def averify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Async twin of `verify`, on the running loop."""
        return await adrive(self._steps(trajectories))

    def _steps(self, trajectories: Sequence[Trajectory]) -> Steps:
        verdicts, groups = self._grouped(trajectories)
        pairs = [pair for group in groups for pair in group.pairs]
        for pair in pairs:
            pair.outcome = self._recalled(pair)
        asked = [pair for pair in pairs if pair.outcome is None]
        usage = yield from self._comparison.steps(asked)
        for pair in asked:
            self._remember(pair)
        for group in groups:
            said = verdicts_of(group.answers, group.pairs)
            for positions, verdict in zip(group.positions, said, strict=True):
                for position in positions:
                    verdicts[position] = verdict
        return Batch(verdicts, usage)

    def _grouped(
        self, trajectories: Sequence[Trajectory]
    ) -> tuple[list[Verdict], list[_Group]]:
        """Part what can be compared from what abstains, with the reason."""
        verdicts: list[Verdict] = []
        found: dict[str, dict[str, list[int]]] = {}
        for position, trajectory in enumerate(trajectories):
            request, answer = request_of(trajectory), answer_of(trajectory).strip()
            if not self.applies(trajectory):
                reason = "The request asks for no facts."
            elif trajectory.calls:
                reason = "It calls tools and answers nothing yet."
            elif not answer:
                reason = "There is no answer to check."
            else:
                twins = found.setdefault(request, {})
                twins.setdefault(answer, []).append(position)
                reason = "There is no other answer to compare it with."
            verdicts.append(Verdict(reason=reason))
        groups = []
        for request, twins in found.items():
            answers = list(twins)
            pairs = [
                make_pair(request, answers, members, self.seed)
                for members in ring_of(request, answers, self.seed)
            ]
            if pairs:
                groups.append(_Group(request, answers, list(twins.values()), pairs))
        return verdicts, groups

    def _recalled(self, pair: Pair) -> Outcome | None:
        with self._lock:
            known = self._known.get(pair.key)
            if known is not None:
                self._known.move_to_end(pair.key)
            return known

    def _remember(self, pair: Pair) -> None:
        if pair.outcome is None or pair.outcome.error:
            return
        with self._lock:
            self._known[pair.key] = pair.outcome
            self._known.move_to_end(pair.key)
            while len(self._known) > self.cache_size:
                self._known.popitem(last=False)


def _check_parts(llm: object, evidence: object) -> None:
    if not isinstance(llm, Runnable):
        msg = f"llm is a {type(llm).__name__}, not a chat model."
        raise ConfigurationError(
            msg, remedy="Pass a chat model or a runnable that returns an AIMessage."
        )
    if evidence is not None and not isinstance(evidence, Evidence):
        msg = f"evidence is a {type(evidence).__name__}, which cannot be searched."
        raise ConfigurationError(
            msg, remedy="Pass an Evidence, such as RetrieverEvidence(retriever)."
        )
