"""Model-written code as a verifier: each demand of a request becomes a small program.

Source: Agentic Reward Modeling (ACL 2025), the check of instructions: constraints are
read out of the request, code is generated for those that code can decide, repaired with
its error, and run. That it runs in a sandbox, that a repair is tried again, and that
what cannot be decided is left out instead of counted as violated, is ours.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Generator, MutableMapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableBinding
from pydantic import ValidationError

from langchain_agentrm._asking import Effect, adrive, drive
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.sandbox.selftest import best_sandbox, self_test
from langchain_agentrm.reward_agent.sandbox.types import Outcome, Sandbox
from langchain_agentrm.reward_agent.types import (
    Finding,
    Verdict,
    VerifierMode,
    answer_of,
    request_of,
)
from langchain_agentrm.reward_agent.verifiers._code.prompts import PROMPT_VERSION
from langchain_agentrm.reward_agent.verifiers._code.writer import (
    Checker,
    Execute,
    Plan,
    Writer,
)
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Usage

__all__ = ["Checker", "CodeVerifier"]

_KEPT = 1024


class CodeVerifier:
    """Has a chat model write a program for each demand of the request, and runs it.

    The model lists what the request demands of the form of an answer, says which of it
    a program can decide, and writes those programs. Each is looked at, tried in the
    sandbox on texts of ours, and sent back with its error up to `repairs` times; every
    repair is tried again. The value is the share of programs that say yes among those
    that say anything. A program that raises, runs too long or returns anything but a
    bool has decided nothing about that answer; if none has decided, the verdict
    abstains.

    Nothing that the model writes runs in this process. The sandbox is tried with
    harmless attacks when the verifier is made, and nothing is made if it fails.

    Args:
        llm: A chat model, or a runnable that returns an AI message; best at
            temperature 0. Its own retries and time-outs apply.
        sandbox: Where the programs run; `best_sandbox()` if None.
        max_checkers: Most demands of one request that are looked at.
        repairs: How often a program with an error goes back to the model.
        cache: Keeps the programs by a digest of request, model, prompts and sandbox;
            any mapping of texts, such as one on disk. In memory if None, for the last
            1024 requests. Whoever can write to it chooses what runs in the sandbox.
        max_concurrency: Requests in flight at once in one call.
        name: Name of its signal.

    Raises:
        ConfigurationError: If an option cannot work, or no sandbox passes its test.

    Example:
        ```python no-run: chat_model is yours
        verifier = CodeVerifier(chat_model)
        verifier.checkers("Answer in two paragraphs.")[0].code
        ```
    """

    mode: VerifierMode = "pointwise"
    purpose = (
        "Checks demands on the form of the answer, such as lengths, counts, words, "
        "layout and format, by programs written for this request."
    )

    def __init__(
        self,
        llm: Runnable[Any, Any],
        *,
        sandbox: Sandbox | None = None,
        max_checkers: int = 8,
        repairs: int = 2,
        cache: MutableMapping[str, str] | None = None,
        max_concurrency: int = 8,
        name: str = "code",
    ) -> None:
        given: object = llm
        if not isinstance(given, Runnable):
            msg = f"llm is a {type(given).__name__}, not a chat model."
            raise ConfigurationError(
                msg, remedy="Pass a chat model or a runnable that returns an AIMessage."
            )
        for option, value, least in (
            ("max_checkers", max_checkers, 1),
            ("repairs", repairs, 0),
            ("max_concurrency", max_concurrency, 1),
        ):
            if not isinstance(value, int) or value < least:
                msg = f"{option}={value!r} is too small or no whole number."
                raise ConfigurationError(
                    msg, remedy=f"Give {option} of at least {least}."
                )
        self.llm = llm
        self.sandbox = best_sandbox() if sandbox is None else _trusted(sandbox)
        self.max_checkers = max_checkers
        self.repairs = repairs
        self.max_concurrency = max_concurrency
        self.name = name
        self._cache: MutableMapping[str, str] = {} if cache is None else cache
        self._bounded = cache is None
        self._lock = threading.Lock()

    def applies(self, trajectory: Trajectory) -> bool:
        """Tell whether there is a request at all.

        Args:
            trajectory: Any candidate of the group.

        Returns:
            False if the request is empty.
        """
        return bool(request_of(trajectory).strip())

    def verify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Check candidates, of one request or several.

        Args:
            trajectories: What is checked.

        Returns:
            One verdict each, in order; each program is one of its findings.
        """
        return drive(self._waves(trajectories))

    async def averify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Async twin of `verify`; programs run off the loop."""
        return await adrive(self._waves(trajectories))

    def checkers(self, request: str) -> list[Checker]:
        """Show the programs for a request, written now if they are not kept yet.

        Args:
            request: The user's request.

        Returns:
            One for each demand found, those without code included.
        """
        plans, _ = drive(self._plans([request]))
        return plans[request].checkers

    async def acheckers(self, request: str) -> list[Checker]:
        """Async twin of `checkers`."""
        plans, _ = await adrive(self._plans([request]))
        return plans[request].checkers

    def _waves(
        self, trajectories: Sequence[Trajectory]
    ) -> Generator[Effect, Any, Batch[Verdict]]:
        requests = list(
            dict.fromkeys(request_of(t) for t in trajectories if self.applies(t))
        )
        plans, usage = yield from self._plans(requests)
        answers = {
            request: list(
                dict.fromkeys(
                    answer_of(t) for t in trajectories if request_of(t) == request
                )
            )
            for request in requests
        }
        jobs = [
            (request, checker)
            for request, plan in plans.items()
            for checker in plan.checkers
            if checker.code
        ]
        outcomes: dict[tuple[str, str, str], Outcome] = {}
        if jobs:
            results = yield Execute(
                self.sandbox, [(c.code, answers[request]) for request, c in jobs]
            )
            for (request, checker), row in zip(jobs, results, strict=True):
                for answer, outcome in zip(answers[request], row, strict=True):
                    outcomes[request, checker.code, answer] = outcome
        return Batch([_verdict(t, plans, outcomes) for t in trajectories], usage)

    def _plans(
        self, requests: Sequence[str]
    ) -> Generator[Effect, Any, tuple[dict[str, Plan], Usage]]:
        keys = {request: self._key(request) for request in requests}
        plans = {r: p for r, key in keys.items() if (p := self._kept(key)) is not None}
        missing = [r for r in requests if r not in plans]
        if not missing:
            return plans, Usage()
        writer = Writer(
            self.llm,
            self.sandbox,
            self.max_checkers,
            self.repairs,
            self.max_concurrency,
        )
        written = yield from writer.write(missing)
        for request, plan in written.items():
            plans[request] = plan
            if plan.lasting and plan.error is None:
                self._keep(keys[request], plan)
        return plans, writer.usage

    def _key(self, request: str) -> str:
        parts = [
            PROMPT_VERSION,
            _model_name(self.llm),
            sorted(self.sandbox.modules),
            self.max_checkers,
            self.repairs,
            request,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _kept(self, key: str) -> Plan | None:
        with self._lock:
            text = self._cache.get(key)
        if text is None:
            return None
        try:
            return Plan.model_validate_json(text)
        except ValidationError:
            # Written by another version: it is written anew.
            return None

    def _keep(self, key: str, plan: Plan) -> None:
        with self._lock:
            self._cache[key] = plan.model_dump_json()
            while self._bounded and len(self._cache) > _KEPT:
                del self._cache[next(iter(self._cache))]


def _verdict(
    trajectory: Trajectory,
    plans: dict[str, Plan],
    outcomes: dict[tuple[str, str, str], Outcome],
) -> Verdict:
    request, answer = request_of(trajectory), answer_of(trajectory)
    plan = plans.get(request)
    if plan is None:
        return Verdict(reason="there is no request to be checked against")
    if plan.error is not None:
        return Verdict(reason=plan.error, error=plan.error)
    findings, errors = [], []
    for checker in plan.checkers:
        outcome = outcomes.get((request, checker.code, answer))
        passed = None if outcome is None else outcome.passed
        detail = checker.problem if outcome is None else outcome.error
        findings.append(Finding(checker.constraint, passed, detail))
        if passed is None and checker.checkable is not False:
            errors.append(detail)
    decided = [f.passed for f in findings if f.passed is not None]
    if decided:
        met = sum(decided)
        return Verdict(
            met / len(decided),
            f"{met} of {len(decided)} checks passed",
            tuple(findings),
        )
    if not findings:
        return Verdict(reason="the request states no demand on form")
    reason = "no program could decide any of the request's demands"
    return Verdict(
        reason=reason,
        findings=tuple(findings),
        error=f"{reason}: {errors[0]}" if errors else None,
    )


def _trusted(sandbox: Sandbox) -> Sandbox:
    faults = self_test(sandbox)
    if faults:
        msg = f"The sandbox {sandbox.name} failed its self-test: {'; '.join(faults)}."
        raise ConfigurationError(
            msg, remedy="Use best_sandbox(), or another verifier than CodeVerifier."
        )
    return sandbox


def _model_name(llm: Runnable[Any, Any]) -> str:
    bound: Any = llm
    while isinstance(bound, RunnableBinding):
        bound = bound.bound
    name = getattr(bound, "model_name", None) or getattr(bound, "model", None)
    return f"{type(bound).__module__}.{type(bound).__qualname__}:{name}"
