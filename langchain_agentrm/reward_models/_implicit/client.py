"""One side of a served implicit reward: a causal model behind one or more servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential, wait_random

from langchain_agentrm.errors import (
    CheckpointError,
    ConfigurationError,
    RewardModelError,
)
from langchain_agentrm.reward_models._implicit.completions import (
    FORMS,
    Form,
    PromptLogProbs,
    Row,
    completions_body,
    prompt_log_probs,
)
from langchain_agentrm.reward_models._implicit.steps import Ids
from langchain_agentrm.reward_models._remote.checks import (
    Probes,
    find_model,
    same_template,
)
from langchain_agentrm.reward_models._remote.http import (
    Call,
    Conversation,
    Reply,
    ServerFailureError,
    Together,
    retried,
)
from langchain_agentrm.reward_models._remote.replicas import (
    AllDownError,
    Replica,
    Replicas,
)
from langchain_agentrm.types import Usage

__all__ = ["BLAMES_INPUT", "Answers", "CompletionsClient", "Terms"]

T = TypeVar("T")

FIRST_WAIT = 0.5
"""Seconds before the first retry, before jitter."""

LONGEST_WAIT = 30.0
"""Seconds that no wait goes beyond."""

BLAMES_INPUT = frozenset({400, 413, 422})
"""Statuses that say that the server is well and a text is not."""

_OK = 200
_SERVER_ERROR = 500
_NO_FORM = frozenset({_OK, *BLAMES_INPUT, 404, 405, 501})


@dataclass(frozen=True, slots=True)
class Terms:
    """How a model is to be asked.

    Attributes:
        model: Its name.
        limit: Longest text in tokens; None where the server does not say.
        form: How to ask for prompt log-probabilities.
    """

    model: str
    limit: int | None
    form: Form


@dataclass(slots=True)
class Answers:
    """What became of some texts: a row of log-probabilities or an error each."""

    rows: dict[Ids, Row] = field(default_factory=dict)
    errors: dict[Ids, RewardModelError] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)

    def add(self, other: Answers) -> None:
        """Take in what became of other texts."""
        self.rows |= other.rows
        self.errors |= other.errors
        self.usage += other.usage


class CompletionsClient:
    """Servers of one causal model, each met before its first use.

    Attributes:
        side: What the model is, for messages.
        terms: How to ask; None until a server was met.
    """

    def __init__(
        self,
        side: str,
        replicas: Replicas,
        *,
        model: str | None,
        probes: Probes,
        request_tokens: int,
        retries: int,
    ) -> None:
        """Take the options.

        Args:
            side: `"policy"` or `"reference"`.
            replicas: The servers.
            model: The served model's name; the only one there where None.
            probes: A conversation to try the forms with.
            request_tokens: Tokens of one request; one text may be longer.
            retries: How often a request is repeated.
        """
        self.side = side
        self.terms: Terms | None = None
        self._replicas = replicas
        self._model = model
        self._probes = probes
        self._request_tokens = request_tokens
        self._retries = retries

    def meet(self) -> Conversation[Terms]:
        """Learn the terms from a server.

        Returns:
            The terms.

        Raises:
            ConfigurationError: If it does not have the model or gives no prompt
                log-probabilities.
            RewardModelError: If no server answers.
        """
        if self.terms is not None:
            return self.terms
        return (yield from self._persist("", self._check))

    def ask(self, texts: Sequence[Ids]) -> Conversation[Answers]:
        """Have texts read.

        Args:
            texts: Distinct token ids that fit the terms.

        Returns:
            A row or an error each. A request that fails for its input is halved until
            the fault is with one text.
        """
        parts = list(_parts(texts, self._request_tokens))
        each: list[Answers] = yield Together(
            [self._ask(part, str(i)) for i, part in enumerate(parts)]
        )
        done = Answers()
        for answers in each:
            done.add(answers)
        return done

    def _ask(self, texts: list[Ids], key: str) -> Conversation[Answers]:
        done = Answers()

        def read(replica: Replica) -> Conversation[PromptLogProbs]:
            return self._read(replica, texts, done)

        try:
            answer = yield from self._persist(key, read, alone=len(texts) == 1)
        except RewardModelError as failure:
            status = getattr(failure, "status", None)
            # A text whose values are not finite makes some servers fail with 500.
            if len(texts) > 1 and status in {*BLAMES_INPUT, _SERVER_ERROR}:
                half = len(texts) // 2
                both: list[Answers] = yield Together(
                    [self._ask(texts[:half], key), self._ask(texts[half:], key)]
                )
                for answers in both:
                    done.add(answers)
            else:
                done.errors = dict.fromkeys(texts, failure)
            return done
        done.rows = dict(zip(texts, answer.rows, strict=True))
        done.usage += answer.usage
        return done

    def _read(
        self, replica: Replica, texts: list[Ids], done: Answers
    ) -> Conversation[PromptLogProbs]:
        terms = self.terms
        if terms is None or not replica.ready:
            terms = yield from self._check(replica)
        reply = yield from _completions(replica, terms.model, texts, terms.form)
        done.usage += Usage(requests=1)
        return prompt_log_probs(reply, texts, terms.form)

    def _check(self, replica: Replica) -> Conversation[Terms]:
        try:
            served = yield from find_model(replica, self._model)
        except ConfigurationError as error:
            msg = f"{error} Here it is {self.side}_model=."
            raise ConfigurationError(msg) from error
        yield from same_template(replica, served.model, self._probes)
        reasons: list[str] = []
        for form in FORMS:
            texts = [self._probes.ids]
            reply = yield from _completions(replica, served.model, texts, form)
            try:
                prompt_log_probs(reply, texts, form)
            except ServerFailureError as failure:
                if reply.status not in _NO_FORM:
                    raise
                said = str(failure).removesuffix(failure.remedy).strip(" .")
                reasons.append(f"{form}: {said}")
                continue
            return self._agreed(replica, Terms(served.model, served.max_length, form))
        msg = (
            f"The {self.side}'s server {replica.shown} gives no prompt "
            f"log-probabilities ({'; '.join(reasons)})."
        )
        raise ConfigurationError(
            msg,
            remedy="An implicit reward needs them: serve the model with vLLM, or use "
            "ImplicitRewardModel in process.",
        )

    def _agreed(self, replica: Replica, found: Terms) -> Terms:
        if self.terms is not None and found != self.terms:
            msg = f"{replica.shown} offers {found}, the servers before {self.terms}."
            raise CheckpointError(msg, remedy="Serve one model alike everywhere.")
        self.terms = found
        self._replicas.checked(replica)
        return found

    def _persist(
        self,
        key: str,
        ask: Callable[[Replica], Conversation[T]],
        *,
        alone: bool = True,
    ) -> Conversation[T]:
        """Repeat a call, on another server where there is one."""
        tried: set[str] = set()

        def attempt() -> Conversation[T]:
            choice = self._replicas.choose(key, tried)
            try:
                answer = yield from ask(choice.replica)
            except ServerFailureError as failure:
                tried.add(choice.replica.url)
                if failure.lost:
                    gone = failure.status is None
                    self._replicas.failed(choice, str(failure), gone=gone)
                elif failure.retry_after:
                    self._replicas.spare(choice, failure.retry_after)
                raise
            self._replicas.succeeded(choice)
            return answer

        def again(error: BaseException) -> bool:
            if isinstance(error, AllDownError):
                return bool(tried)  # else it was down before this call
            by_halves = not alone and getattr(error, "status", None) == _SERVER_ERROR
            return getattr(error, "retryable", False) and not by_halves

        retrying = Retrying(
            stop=stop_after_attempt(self._retries + 1),
            wait=_Wait(self._replicas, tried),
            retry=retry_if_exception(again),
            reraise=True,
        )
        return (yield from retried(attempt, retrying))


class _Wait(wait_base):
    """None where another server is up; else growing, or what the server asked for."""

    def __init__(self, replicas: Replicas, tried: set[str]) -> None:
        self._replicas = replicas
        self._tried = tried
        self._growing = wait_exponential(
            multiplier=FIRST_WAIT, max=LONGEST_WAIT
        ) + wait_random(0, FIRST_WAIT)

    def __call__(self, retry_state: Any) -> float:
        if self._replicas.elsewhere(self._tried):
            return 0.0
        failure = retry_state.outcome.exception() if retry_state.outcome else None
        asked = getattr(failure, "retry_after", None)
        pause = self._growing(retry_state) if asked is None else float(asked)
        return max(pause, self._replicas.next_try())


def _completions(
    replica: Replica, model: str, texts: Sequence[Ids], form: Form
) -> Conversation[Reply]:
    reply: Reply = yield Call(
        f"{replica.url}/v1/completions",
        replica.shown,
        completions_body(model, texts, form),
    )
    return reply


def _parts(texts: Sequence[Ids], limit: int) -> Iterator[list[Ids]]:
    part: list[Ids] = []
    size = 0
    for ids in texts:
        if part and size + len(ids) > limit:
            yield part
            part, size = [], 0
        part.append(ids)
        size += len(ids)
    if part:
        yield part
