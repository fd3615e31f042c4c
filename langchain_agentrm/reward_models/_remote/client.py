"""Asking pooling servers: one request to its end, over retries and servers."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from langchain_agentrm.errors import (
    AgentRMError,
    BudgetExceededError,
    CheckpointError,
    ConfigurationError,
    is_retryable,
)
from langchain_agentrm.reward_models._remote.checks import (
    Probes,
    find_model,
    raw_switch,
    same_template,
)
from langchain_agentrm.reward_models._remote.http import (
    Call,
    Conversation,
    Reply,
    ServerFailureError,
    retried,
)
from langchain_agentrm.reward_models._remote.pooling import (
    Answer,
    Ids,
    Request,
    answer_of,
    pooling_body,
)
from langchain_agentrm.reward_models._remote.replicas import (
    AllDownError,
    Choice,
    Replica,
    Replicas,
)
from langchain_agentrm.types import Usage

__all__ = ["HEALTH_SECONDS", "Outcome", "PoolingClient", "Terms"]

T = TypeVar("T")

HEALTH_SECONDS = 5.0
"""How long a server that was down may take to say that it is well."""

FIRST_WAIT = 0.5
"""Seconds before the first retry on the same server, before jitter."""

LONGEST_WAIT = 30.0
"""Seconds that no wait goes beyond."""

_SERVER_ERROR = 500
# One text of a request can be to blame for these; the others deserve a score.
_BLAMES_INPUT = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class Terms:
    """How the servers are to be asked; the same for all of them.

    Attributes:
        model: The served model's name.
        limit: Longest text in tokens.
        switch: The option that turns the activation off.
    """

    model: str
    limit: int
    switch: str = "use_activation"


@dataclass(slots=True)
class Outcome:
    """What became of a request: a value or an error for each of its texts."""

    values: dict[Ids, float] = field(default_factory=dict)
    errors: dict[Ids, AgentRMError] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.values | other.values,
            self.errors | other.errors,
            self.usage + other.usage,
        )


class PoolingClient:
    """Servers of one model, met once each and asked for scores.

    Its conversations may be under way in several threads and loops at once.

    Attributes:
        terms: How to ask; None until a server was met.
        tokens_sent: Tokens sent so far, retries included.
    """

    def __init__(
        self,
        replicas: Replicas,
        probes: Probes | None,
        *,
        model: str | None,
        max_length: int | None,
        retries: int,
        token_budget: int | None,
    ) -> None:
        """Take the options.

        Args:
            replicas: The servers.
            probes: What to check a server with; None to believe it.
            model: The served model's name; the only one there where None.
            max_length: Longest text, where shorter than what the servers take.
            retries: How often a request is repeated.
            token_budget: Most tokens to send.
        """
        self.replicas = replicas
        self.terms: Terms | None = None
        self.tokens_sent = 0
        self._probes = probes
        self._model = model
        self._max_length = max_length
        self._retries = retries
        self._token_budget = token_budget
        self._lock = threading.Lock()
        if probes is None and model and max_length:
            self.terms = Terms(model, max_length)

    def meet(self, key: str) -> Conversation[Terms]:
        """Learn the terms from the first server that answers.

        Args:
            key: What the first request will be sent under.

        Returns:
            The terms.

        Raises:
            CheckpointError: If the server fails a check.
            ConfigurationError: If it does not have the model.
            RewardModelError: If no server answers.
        """
        if self.terms is not None:
            return self.terms
        tried: set[str] = set()

        def ask(choice: Choice) -> Conversation[Terms]:
            return self._check(choice.replica)

        def attempt() -> Conversation[Terms]:
            return self._on_a_replica(key, tried, ask)

        return (yield from retried(attempt, self._rules(tried)))

    def ask(self, request: Request) -> Conversation[Outcome]:
        """Have a request's texts scored.

        Args:
            request: Distinct texts that fit the terms.

        Returns:
            A value or an error for each. If a server finds fault with the input, the
            request is halved until the fault is with one text.

        Raises:
            CheckpointError: If the only server fails a check.
            ConfigurationError: If the only server does not have the model.
        """
        done = Outcome()
        tried: set[str] = set()

        def score(choice: Choice) -> Conversation[Answer]:
            return self._score(choice.replica, request, done)

        def attempt() -> Conversation[Answer]:
            return self._on_a_replica(request.key, tried, score)

        try:
            answer = yield from retried(attempt, self._rules(tried))
        except ServerFailureError as failure:
            if failure.status in _BLAMES_INPUT and len(request.texts) > 1:
                for half in request.halves():
                    done += yield from self.ask(half)
                return done
            done.errors = dict.fromkeys(request.texts, failure)
        except (AllDownError, BudgetExceededError) as failure:
            done.errors = dict.fromkeys(request.texts, failure)
        else:
            done.values = dict(zip(request.texts, answer.values, strict=True))
            read = answer.input_tokens
            done.usage += Usage(
                input_tokens=request.tokens if read is None else read,
                cached_tokens=answer.cached_tokens,
            )
        return done

    def _score(
        self, replica: Replica, request: Request, done: Outcome
    ) -> Conversation[Answer]:
        terms = self.terms
        if terms is None or (self._probes and not replica.ready):
            terms = yield from self._check(replica)
        self._spend(request.tokens)
        body = pooling_body(terms.model, request.texts, terms.switch)
        try:
            reply: Reply = yield Call(f"{replica.url}/pooling", replica.shown, body)
        except ServerFailureError as failure:
            if failure.unsent:
                self._spend(-request.tokens)
            else:
                done.usage += Usage(requests=1)
            raise
        done.usage += Usage(requests=1)
        return answer_of(reply, len(request.texts))

    def _on_a_replica(
        self, key: str, tried: set[str], ask: Callable[[Choice], Conversation[T]]
    ) -> Conversation[T]:
        choice = self.replicas.choose(key, tried)
        replica = choice.replica
        try:
            if choice.probe:
                yield from _health(replica)
            answer = yield from ask(choice)
        except ServerFailureError as failure:
            tried.add(replica.url)
            if failure.lost:
                gone = failure.status is None
                self.replicas.failed(choice, str(failure), gone=gone)
            elif failure.retry_after:
                self.replicas.spare(choice, failure.retry_after)
            raise
        except (CheckpointError, ConfigurationError) as error:
            # One server that came back with another model must not end a search that
            # the others can finish; alone, it must.
            if not self.replicas.others_ready(replica):
                raise
            warnings.warn(f"{replica.shown} is left out: {error}", stacklevel=2)
            tried.add(replica.url)
            self.replicas.failed(choice, str(error), gone=True)
            msg = f"{replica.shown} cannot be used: {error}"
            raise ServerFailureError(
                msg, remedy="", retryable=True, lost=True
            ) from error
        self.replicas.succeeded(choice)
        return answer

    def _check(self, replica: Replica) -> Conversation[Terms]:
        wanted = self.terms.model if self.terms else self._model
        served = yield from find_model(replica, wanted)
        limit = served.max_length or self._max_length
        if limit is None:
            msg = f"{replica.shown} does not say how long a text may be."
            raise ConfigurationError(msg, remedy="Give max_length=.")
        limit = min(limit, self._max_length or limit)
        found = Terms(served.model, limit)
        if self._probes:
            yield from same_template(replica, served.model, self._probes)
            switch = yield from raw_switch(replica, served.model, self._probes, limit)
            found = Terms(served.model, limit, switch)
        with self._lock:
            terms = self.terms = self.terms or found
        if (found.model, found.switch) != (terms.model, terms.switch) or (
            found.limit < terms.limit
        ):
            msg = f"{replica.shown} offers {found}, the servers before it {terms}."
            raise CheckpointError(
                msg,
                remedy="Serve one model alike everywhere; max_length= makes up for "
                "different limits.",
            )
        self.replicas.checked(replica)
        return terms

    def _spend(self, tokens: int) -> None:
        with self._lock:
            budget = self._token_budget
            if budget is not None and self.tokens_sent + tokens > budget:
                msg = (
                    f"A request of {tokens} tokens is beyond token_budget={budget}, of "
                    f"which {self.tokens_sent} are spent."
                )
                raise BudgetExceededError(msg, remedy="Raise token_budget=.")
            self.tokens_sent += tokens

    def _rules(self, tried: set[str]) -> Retrying:
        growing = wait_exponential(
            multiplier=FIRST_WAIT, max=LONGEST_WAIT
        ) + wait_random(0, FIRST_WAIT)

        def wait(state: RetryCallState) -> float:
            if self.replicas.elsewhere(tried):
                return 0.0
            failure = state.outcome.exception() if state.outcome else None
            asked = getattr(failure, "retry_after", None)
            pause = growing(state) if asked is None else asked
            return float(max(pause, self.replicas.next_try()))

        def again(error: BaseException) -> bool:
            # A circuit that was open before the first attempt is an answer; one that
            # this request's own failure opened is waited for.
            if isinstance(error, AllDownError) and not tried:
                return False
            return is_retryable(error)

        return Retrying(
            stop=stop_after_attempt(self._retries + 1),
            wait=wait,
            retry=retry_if_exception(again),
            reraise=True,
        )


def _health(replica: Replica) -> Conversation[None]:
    reply: Reply = yield Call(
        f"{replica.url}/health", replica.shown, seconds=HEALTH_SECONDS
    )
    # Any word below 500 is a sign of life: not every server has the path.
    if reply.status < _SERVER_ERROR:
        return
    msg = f"{replica.shown} says that it is not well: {reply.reason()}."
    raise ServerFailureError(
        msg,
        remedy="See the server's log.",
        retryable=True,
        status=reply.status,
        lost=True,
    )
