"""Candidates from a policy in process: every request of a step in one batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from uuid import uuid4

from langchain_core.messages import AIMessage

from langchain_agentrm._tokens import as_chat
from langchain_agentrm.chat_models._engine import Ask, LocalModel
from langchain_agentrm.errors import ConfigurationError, PolicyError
from langchain_agentrm.types import Batch, Candidate, ProposalRequest, Usage

__all__ = ["LocalProposer"]

_log = logging.getLogger(__name__)

CUT_OFF = "cut off at the token limit"


class LocalProposer:
    """Proposes with a `LocalModel`: one batch a step, shared prefixes encoded once."""

    def __init__(
        self, model: LocalModel, *, temperature: float = 1.0, max_tokens: int = 32
    ) -> None:
        """Wrap a model.

        Args:
            model: The policy.
            temperature: For requests that name none; above 0.
            max_tokens: Longest answer.

        Raises:
            ConfigurationError: If the temperature or the limit cannot work.
        """
        if not temperature > 0 or max_tokens < 1:
            msg = f"temperature={temperature} and max_tokens={max_tokens} do not work."
            raise ConfigurationError(
                msg,
                remedy="Use a temperature above 0 (greedy requests say so themselves) "
                "and at least one token.",
            )
        self.model = model
        self.temperature = temperature
        self.max_tokens = max_tokens

    def propose(self, requests: Sequence[ProposalRequest]) -> Batch[list[Candidate]]:
        """Answer requests.

        A greedy request gets one candidate, whatever its `n`. A request whose prompt
        does not fit the context gets none, with a warning in the log.

        Args:
            requests: All of a step.

        Returns:
            The candidates of each request, and what the whole cost.

        Raises:
            PolicyError: If no request got any.
        """
        if not requests:
            return Batch([])
        answers = self.model.generate(
            [self._ask(r) for r in requests], max_new_tokens=self.max_tokens
        )
        errors = [a.error for a in answers if a.error]
        if len(errors) == len(requests):
            msg = f"The policy answered none of {len(requests)} requests: {errors[0]}."
            raise PolicyError(
                msg, remedy="Shorten the history or use a model of longer context."
            )
        for error in errors:
            _log.warning("A request got no candidates: %s", error)
        items: list[list[Candidate]] = []
        for request, answer in zip(requests, answers, strict=True):
            items.append(
                [
                    Candidate(
                        AIMessage(
                            sample.text,
                            id=f"local-{uuid4()}",
                            response_metadata={
                                "finish_reason": sample.finish_reason,
                                "model_name": self.model.path,
                            },
                            usage_metadata={
                                "input_tokens": 0 if k else answer.prompt_tokens,
                                "output_tokens": sample.tokens,
                                "total_tokens": sample.tokens
                                + (0 if k else answer.prompt_tokens),
                            },
                        ),
                        parent=request.parent,
                        source="greedy" if request.greedy else "sampled",
                        logprob=sample.logprob,
                        error=CUT_OFF if sample.finish_reason == "length" else None,
                    )
                    for k, sample in enumerate(answer.samples)
                ]
            )
        usage = Usage(
            requests=len(requests),
            input_tokens=sum(a.prompt_tokens for a in answers if not a.error),
            output_tokens=sum(s.tokens for a in answers for s in a.samples),
        )
        return Batch(items, usage)

    async def apropose(
        self, requests: Sequence[ProposalRequest]
    ) -> Batch[list[Candidate]]:
        """Async twin of `propose`; the model runs in a thread."""
        return await asyncio.to_thread(self.propose, requests)

    def _ask(self, request: ProposalRequest) -> Ask:
        temperature = request.temperature
        return Ask(
            as_chat(request.messages),
            n=1 if request.greedy else request.n,
            seed=request.seed,
            temperature=self.temperature if temperature is None else temperature,
            greedy=request.greedy or temperature == 0,
        )
