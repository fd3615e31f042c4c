"""The implicit reward of a step, beta * log(policy / reference), from two servers."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from langchain_agentrm._tokens import ChatTokens
from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models._implicit.client import (
    BLAMES_INPUT,
    Answers,
    CompletionsClient,
    Terms,
)
from langchain_agentrm.reward_models._implicit.completions import Row
from langchain_agentrm.reward_models._implicit.probe import check_template, probe
from langchain_agentrm.reward_models._implicit.steps import (
    Ask,
    Plan,
    ReadOut,
    StepRewards,
    comparable_of,
)
from langchain_agentrm.reward_models._remote.checks import Probes
from langchain_agentrm.reward_models._remote.edges import Edges
from langchain_agentrm.reward_models._remote.http import Conversation, Together, Work
from langchain_agentrm.reward_models._remote.replicas import Replicas
from langchain_agentrm.reward_models._remote.tokens import load_tokens
from langchain_agentrm.reward_models.base import Comparable, checked
from langchain_agentrm.trajectory import Trajectory, render
from langchain_agentrm.types import Batch, Score

__all__ = ["ServedImplicitRewardModel"]


class ServedImplicitRewardModel:
    """Reads an implicit reward from prompt log-probabilities of two served models.

    The reward is that of `ImplicitRewardModel`. Policy and reference stand behind
    OpenAI-compatible completions servers that take token ids and give prompt
    log-probabilities: vLLM's `prompt_logprobs`, or `echo` with `logprobs`. Which of
    them a server knows is tried once, before the first score. One server may hold both
    under two names; a LoRA adapter is better merged and served apart, since vLLM
    0.32's CPU build ends when it is asked this with LoRA on.

    Rewards of steps are remembered here, so that each call asks for new steps only. A
    vLLM server reads their whole texts all the same: prompt log-probabilities bypass
    its prefix cache.

    Example:
        ```python no-run: needs two servers
        with ServedImplicitRewardModel(
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8001",
            tokenizer="path/to/policy",
        ) as rm:
            batch = rm.score(trajectories)
        ```

    Calls from event loops open connections of their own, unless the model is entered
    with `async with` in that loop.

    Attributes:
        resolution: Differences below it are ties.
        comparable: `"global"` for `"mean"`, else `"depth"`.
        max_length: Longest text in tokens; None until the servers were asked.
    """

    def __init__(
        self,
        policy_url: str | Sequence[str],
        reference_url: str | Sequence[str],
        *,
        tokenizer: str | Path,
        policy_model: str | None = None,
        reference_model: str | None = None,
        beta: float = 0.05,
        read: ReadOut = "cumulative",
        max_length: int | None = None,
        api_key: SecretStr | str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        request_tokens: int = 32_000,
        max_concurrency: int = 16,
        resolution: float | None = None,
    ) -> None:
        """Read the tokenizer; no server is asked before the first score.

        Args:
            policy_url: The policy's server, such as `http://127.0.0.1:8000`, or
                several of the same model.
            reference_url: The reference's.
            tokenizer: Folder or hub name of the tokenizer and chat template that both
                models were trained with. No weights are read.
            policy_model: The policy's name there; needed where there are several.
            reference_model: The reference's.
            beta: Factor of the log-ratios, as in training.
            read: The read-out.
            max_length: Longest text in tokens, where it is to be shorter than what the
                servers take, or they do not say.
            api_key: The servers' key; else `AGENTRM_RM_API_KEY` from the environment.
            timeout: Seconds for one request; connecting takes 5 of them at most.
            retries: How often a request is repeated if that can help.
            request_tokens: Tokens of one request; one text may be longer.
            max_concurrency: Connections at once.
            resolution: Differences below it are ties; `beta * 1e-3` where None, for
                float32 servers. Use about `beta * 0.1` for bfloat16.

        Raises:
            CheckpointError: If the tokenizer is missing or its template writes earlier
                turns anew.
            ConfigurationError: If an option cannot work.
        """
        for name, value, least in (
            ("timeout", timeout, 1e-3),
            ("retries", retries, 0),
            ("request_tokens", request_tokens, 1),
            ("max_length", max_length, 1),
            ("max_concurrency", max_concurrency, 1),
            ("resolution", resolution, 0),
        ):
            if value is not None and not value >= least:
                msg = f"{name}={value!r} does not work."
                raise ConfigurationError(msg, remedy=f"Use at least {least}.")
        urls = [
            [url] if isinstance(url, str) else list(url)
            for url in (policy_url, reference_url)
        ]
        pools = [Replicas(each) for each in urls]
        one, other = ({replica.url for replica in pool.all} for pool in pools)
        if one & other and policy_model == reference_model:
            msg = f"Policy and reference are both {policy_model!r} at {urls[0][0]}."
            raise ConfigurationError(
                msg, remedy="Every reward would be 0: name two models."
            )
        self.tokens: ChatTokens = load_tokens(tokenizer)
        check_template(str(tokenizer), self.tokens)
        self._beta = beta
        self._read: ReadOut = read
        self._max_length = max_length
        self.max_length: int | None = None
        self.comparable: Comparable = comparable_of(read)
        self.resolution = beta * 1e-3 if resolution is None else resolution
        # Made now, so that a wrong option is found now; the limit comes with `meet`.
        self._steps = StepRewards(self.tokens, 0, beta=beta, read=read)
        probes = _probes(self.tokens)
        self._policy, self._reference = (
            CompletionsClient(
                side,
                pool,
                model=model,
                probes=probes,
                request_tokens=request_tokens,
                retries=retries,
            )
            for side, pool, model in (
                ("policy", pools[0], policy_model),
                ("reference", pools[1], reference_model),
            )
        )
        key = api_key or os.environ.get("AGENTRM_RM_API_KEY") or None
        self._edges = Edges(
            key=SecretStr(key) if isinstance(key, str) else key,
            seconds=timeout,
            connect_seconds=5.0,
            connections=max_concurrency,
        )
        self._lock = threading.Lock()

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories; a step that was read before is not asked for again.

        Args:
            trajectories: What competes.

        Returns:
            One score or error each; what failed of one candidate stays with it.

        Raises:
            CheckpointError: If servers of one model do not offer the same.
            ConfigurationError: If a server does not have the model or gives no prompt
                log-probabilities.
            RewardModelError: If servers fail and there is no score at all.
        """
        return self._edges.run(self._scored(trajectories))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`."""
        return await self._edges.arun(self._scored(trajectories))

    def forget(self) -> None:
        """Drop all remembered rewards."""
        with self._lock:
            self._steps.forget()

    def close(self) -> None:
        """Close the connections of threads; a later call opens them again."""
        self._edges.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self._edges.hold()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._edges.release()

    def _scored(self, trajectories: Sequence[Trajectory]) -> Conversation[Batch[Score]]:
        if not trajectories:
            return Batch([])
        terms: list[Terms] = yield Together(
            [self._policy.meet(), self._reference.meet()]
        )
        limit = self._limit(terms)
        plan: Plan = yield Work(lambda: self._plan(trajectories, limit))
        texts = list(dict.fromkeys(ask.ids for ask in plan.asks))
        both = [Answers(), Answers()]
        if texts:
            both = yield Together([self._policy.ask(texts), self._reference.ask(texts)])
        scores: list[Score] = yield Work(lambda: self._settle(plan, *both))
        # What a server refuses as input is the candidate's fault, not the server's.
        failures = [
            error
            for answers in both
            for error in answers.errors.values()
            if getattr(error, "status", None) not in BLAMES_INPUT
        ]
        if failures and not any(score.ok for score in scores):
            msg = f"No trajectory of {len(trajectories)} has a score: {failures[0]}"
            raise RewardModelError(
                msg, retryable=any(failure.retryable for failure in failures)
            )
        usage = both[0].usage + both[1].usage
        return checked(trajectories, Batch(scores, usage))

    def _plan(self, trajectories: Sequence[Trajectory], limit: int) -> Plan:
        with self._lock:
            self._steps.limit = self.max_length = limit
            return self._steps.plan(trajectories)

    def _settle(self, plan: Plan, policy: Answers, reference: Answers) -> list[Score]:
        ratios = [_ratios(ask, policy, reference) for ask in plan.asks]
        with self._lock:
            return self._steps.settle(plan, ratios)

    def _limit(self, terms: Sequence[Terms]) -> int:
        # In vLLM's form one token is generated, which needs room.
        limits = [
            t.limit - (t.form == "prompt_logprobs")
            for t in terms
            if t.limit is not None
        ]
        if self._max_length is not None:
            limits.append(self._max_length)
        elif len(limits) < len(terms):
            msg = "A server does not say how long a text may be."
            raise ConfigurationError(msg, remedy="Give max_length=.")
        return min(limits)


def _ratios(ask: Ask, policy: Answers, reference: Answers) -> list[float | str]:
    for name, answers in (("policy", policy), ("reference", reference)):
        if (error := answers.errors.get(ask.ids)) is not None:
            return [f"the {name} failed: {error}"] * len(ask.steps)
    rows = policy.rows[ask.ids], reference.rows[ask.ids]
    return [_sum(rows[0], *span) - _sum(rows[1], *span) for span in ask.spans]


def _sum(row: Row, start: int, end: int) -> float:
    values = row[start:end]
    return math.fsum(math.nan if value is None else value for value in values)


def _probes(tokens: ChatTokens) -> Probes:
    messages = render(probe(tokens))

    def name_of(token: int) -> str:
        return repr(tokens.tokenizer.convert_ids_to_tokens(token))

    ids = tokens.chat(messages, generation_prompt=False)
    return Probes(messages, ids, (), None, name_of)
