"""A reward model served by vLLM (`vllm serve PATH --runner pooling`), over HTTP."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from langchain_agentrm.errors import ConfigurationError, RewardModelError
from langchain_agentrm.reward_models._remote.checks import probes_of
from langchain_agentrm.reward_models._remote.client import (
    HEALTH_SECONDS,
    Outcome,
    PoolingClient,
)
from langchain_agentrm.reward_models._remote.edges import Edges
from langchain_agentrm.reward_models._remote.http import Conversation, Together, Work
from langchain_agentrm.reward_models._remote.pooling import Text, packed
from langchain_agentrm.reward_models._remote.replicas import AllDownError, Replicas
from langchain_agentrm.reward_models._remote.tokens import is_regression, load_tokens
from langchain_agentrm.reward_models._texts import Fitted, fitted
from langchain_agentrm.reward_models.base import Comparable, checked
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Score

__all__ = ["VLLMRewardModel"]

API_KEY = "AGENTRM_RM_API_KEY"
"""Environment variable of the servers' key."""


class VLLMRewardModel:
    """Scores trajectories on one or several vLLM pooling servers.

    Trajectories are rendered to token ids here, by the same serialiser as in training,
    and go to `/pooling` as ids. What competes in one call travels in one request, so
    that a server's prefix cache reads the shared history once. With several servers a
    search stays on the one that has its prefix; if it fails, the next one takes over.

    Example:
        ```python no-run: needs a server
        with VLLMRewardModel("http://127.0.0.1:8000", tokenizer="path/to/rm") as rm:
            batch = rm.score(trajectories)
        ```

    Calls from threads share connections until `close`. Calls from event loops open
    connections of their own, unless the model is entered with `async with` in that
    loop; then they are kept until it is left.

    `Usage.requests` counts requests that reached a server, failed ones included;
    `Usage.input_tokens` counts what was answered, as the server says. The few small
    requests of the first check are in neither.

    Attributes:
        resolution: Differences below it are ties.
        comparable: Its values mean the same everywhere.
        max_length: Longest text in tokens; None until a server was asked.
        tokens_sent: Tokens sent so far, retries included; `token_budget` bounds it.
    """

    comparable: Comparable = "global"

    def __init__(
        self,
        base_url: str | None = None,
        *,
        tokenizer: str | Path,
        base_urls: Sequence[str] | None = None,
        model: str | None = None,
        max_length: int | None = None,
        api_key: SecretStr | str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        request_tokens: int = 32_000,
        token_budget: int | None = None,
        max_concurrency: int = 16,
        resolution: float = 1e-3,
        verify: bool = True,
    ) -> None:
        """Read the tokenizer; no server is asked before the first score.

        Args:
            base_url: The server, such as `http://127.0.0.1:8000`.
            tokenizer: Folder or hub name of the served model; its chat template
                renders the trajectories. Its weights are not read.
            base_urls: Several servers of the same model, instead of `base_url`.
            model: Name of the served model; needed only where there are several.
            max_length: Longest text in tokens, where it is to be shorter than what the
                servers take. Older turns are dropped beyond it.
            api_key: The servers' key; else `AGENTRM_RM_API_KEY` from the environment.
                vLLM itself does not guard `/pooling` with it: a proxy must.
            timeout: Seconds for one request; connecting takes 5 of them at most.
            retries: How often a request is repeated if that can help (connection
                refused, reset or timed out, 408, 429, 500, 502 to 504), elsewhere
                first. Waits grow from half a second; `retry-after` is honoured up to
                30 seconds.
            request_tokens: Tokens of one request. Candidates of one group are parted
                only if they alone are beyond it.
            token_budget: Tokens that this object may send in its life, retries
                included. What would go beyond gets a score error instead.
            max_concurrency: Requests under way at once, in one call.
            resolution: Differences below it are ties. A float32 server repeats a score
                to 4e-5 whether cached or not; a bfloat16 server only to about 0.3.
            verify: Check each server before its scores are believed: the same token
                ids for a conversation, raw and finite scores, tokens counted alike.

        Raises:
            CheckpointError: If the tokenizer is missing or reads another rendering.
            ConfigurationError: If an option cannot work.
        """
        replicas = Replicas(_addresses(base_url, base_urls))
        for name, value, least in (
            ("timeout", timeout, 1e-3),
            ("retries", retries, 0),
            ("request_tokens", request_tokens, 1),
            ("max_length", max_length, 1),
            ("token_budget", token_budget, 1),
            ("max_concurrency", max_concurrency, 1),
            ("resolution", resolution, 0),
        ):
            if value is not None and not value >= least:
                msg = f"{name}={value!r} does not work."
                raise ConfigurationError(msg, remedy=f"Use at least {least}.")
        self.resolution = resolution
        self._tokens = load_tokens(tokenizer)
        self._reading = threading.Lock()
        self._model = model
        self._max_length = max_length
        self._request_tokens = request_tokens
        self._client = PoolingClient(
            replicas,
            probes_of(self._tokens, is_regression(tokenizer)) if verify else None,
            model=model,
            max_length=max_length,
            retries=retries,
            token_budget=token_budget,
        )
        self._edges = Edges(
            key=_key(api_key),
            seconds=timeout,
            connect_seconds=HEALTH_SECONDS,
            connections=max_concurrency,
        )

    def __repr__(self) -> str:
        """Name servers and model, never the key."""
        urls = ", ".join(r.shown for r in self._client.replicas.all)
        return f"{type(self).__name__}({urls}, model={self._model!r})"

    @property
    def max_length(self) -> int | None:
        """Longest text in tokens; None until a server was asked."""
        terms = self._client.terms
        return terms.limit if terms else self._max_length

    @property
    def tokens_sent(self) -> int:
        """Tokens sent so far, retries included; `token_budget` bounds it."""
        return self._client.tokens_sent

    def score(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Score trajectories, equal texts once.

        Args:
            trajectories: What competes.

        Returns:
            One score each, in the order given; an error where a text does not fit, its
            value is not finite, the budget is spent, or its request failed for good.

        Raises:
            CheckpointError: If a server has another model than the tokenizer's.
            ConfigurationError: If the servers do not have the model named.
            RewardModelError: If no score came back at all, or at once if all servers
                are down; `retryable` says whether a later call may succeed.
        """
        return self._edges.run(self._score(trajectories))

    async def ascore(self, trajectories: Sequence[Trajectory]) -> Batch[Score]:
        """Async twin of `score`."""
        return await self._edges.arun(self._score(trajectories))

    def close(self) -> None:
        """Close the connections that threads used; a later call opens new ones."""
        self._edges.close()

    async def aclose(self) -> None:
        """Close what `async with` opened in this event loop, and what `close` does."""
        await self._edges.release()
        self._edges.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self._edges.hold()
        return self

    async def __aexit__(self, *_: object) -> None:
        # Threads and other loops may be at work: only what was entered here is left.
        await self._edges.release()

    def _score(self, trajectories: Sequence[Trajectory]) -> Conversation[Batch[Score]]:
        if not trajectories:
            return Batch([])
        terms = yield from self._client.meet(_affinity(trajectories[0]))
        limit = terms.limit
        texts: list[Fitted] = yield Work(lambda: self._fitted(trajectories, limit))
        asked = [
            Text(text.ids, _affinity(t), t.group)
            for t, text in zip(trajectories, texts, strict=True)
            if 0 < len(text.ids) <= limit
        ]
        whole = yield from self._ask(asked)
        self._raise_if_nothing_came(whole)
        # A text whose value is not finite can spoil the next one on a server whose
        # kernels read blocks that it left behind; asked apart, that one is right.
        spoilt = [t for t in asked if not math.isfinite(whole.values.get(t.ids, 0.0))]
        if spoilt:
            whole += yield from self._ask(spoilt)
        scores = [
            self._one(t, text, whole, limit)
            for t, text in zip(trajectories, texts, strict=True)
        ]
        return checked(trajectories, Batch(scores, whole.usage))

    def _ask(self, texts: Sequence[Text]) -> Conversation[Outcome]:
        home = self._client.replicas.home
        requests = packed(texts, self._request_tokens, home)
        outcomes: list[Outcome] = yield Together(
            [self._client.ask(r) for r in requests]
        )
        return sum(outcomes, Outcome())

    def _fitted(self, trajectories: Sequence[Trajectory], limit: int) -> list[Fitted]:
        with self._reading:
            return [fitted(self._tokens, t, limit) for t in trajectories]

    def _one(
        self, trajectory: Trajectory, text: Fitted, whole: Outcome, limit: int
    ) -> Score:
        if text.ids in whole.values:
            return Score.of(whole.values[text.ids], **text.signals)
        if text.ids in whole.errors:
            return Score(error=str(whole.errors[text.ids]))
        if not text.ids:
            return Score(error="the trajectory renders to an empty text")
        return Score(
            error=f"the trajectory of {len(trajectory.turns)} turns has "
            f"{len(text.ids)} tokens with its oldest turns dropped; the limit is "
            f"{limit}"
        )

    def _raise_if_nothing_came(self, whole: Outcome) -> None:
        failures = [e for e in whole.errors.values() if isinstance(e, RewardModelError)]
        if whole.values or not failures:
            return
        # What can be cured by waiting is the better news of several.
        worst = next((f for f in failures if f.retryable), failures[0])
        if isinstance(worst, AllDownError):
            raise worst
        msg = f"No score came back for {len(whole.errors)} texts. {worst}"
        raise RewardModelError(msg, retryable=worst.retryable) from worst


def _affinity(trajectory: Trajectory) -> str:
    if trajectory.search_id:
        return trajectory.search_id
    if trajectory.task is not None:
        return json.dumps(trajectory.task, sort_keys=True)
    return trajectory.goal


def _addresses(base_url: str | None, base_urls: Sequence[str] | None) -> list[str]:
    if (base_url is None) == (base_urls is None):
        msg = "Exactly one of base_url and base_urls is needed."
        raise ConfigurationError(msg, remedy="Give base_url='http://host:port'.")
    if isinstance(base_urls, str):
        msg = f"base_urls={base_urls!r} is one text."
        raise ConfigurationError(msg, remedy="Give a list, or base_url= for one.")
    return [base_url] if base_url is not None else list(base_urls or ())


def _key(given: SecretStr | str | None) -> SecretStr | None:
    value = given if given is not None else os.environ.get(API_KEY)
    key = value.get_secret_value() if isinstance(value, SecretStr) else value
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        msg = "The reward servers' key holds characters that no header may carry."
        raise ConfigurationError(msg, remedy=f"Check api_key= or {API_KEY}.")
    return SecretStr(key) if key else None
