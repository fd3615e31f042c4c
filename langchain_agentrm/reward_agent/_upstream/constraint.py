"""The public code's constraint check: checkers that a model writes, in the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from typing import Any

from langchain_core.runnables import Runnable

from langchain_agentrm._asking import Effect
from langchain_agentrm.reward_agent._calls import Call
from langchain_agentrm.reward_agent._upstream.asking import Asker, Check
from langchain_agentrm.reward_agent._upstream.planner import CONSTRAINT
from langchain_agentrm.reward_agent.sandbox.types import Outcome, Sandbox
from langchain_agentrm.reward_agent.types import (
    Finding,
    Verdict,
    VerifierMode,
    answer_of,
    request_of,
)
from langchain_agentrm.trajectory import Trajectory

__all__ = ["Constraint"]

_SECONDS = 5.0
_CHECKERS = 8
_REPAIRS = 2
_PROBE = "This is for a test."
_NO_CHECKER = 0.5
_SHORT, _LONG, _WORD = 256, 1024, 1

_EXTRACT = """Step: constraints
List the constraints that a request states in so many words, such as a length, a \
format, or a word that is required or forbidden. Leave out the task itself, its \
quality, and what is merely implied.

One line for each constraint: a name that ends in Checker, a colon, the constraint in \
the request's own words.

Example request: Sum up the article in 300+ words. Use no commas and highlight at \
least 3 sections.
Example answer:
NumberOfWordsChecker: 300+ words
ForbiddenCommaChecker: no commas
HighlightChecker: highlight at least 3 sections

Request:
{request}"""
_VERIFIABLE = """Step: verifiable
Constraint:
{checker}

Can plain code decide it from the text alone, such as by counting or matching, with \
one clear answer? Write yes or no and nothing else."""
_CODE = """Step: code
Write a Python function check_following(response) that returns True if the text \
response keeps the constraint, and False otherwise.

[Request]
{request}

[Constraint]
{checker}

No input or output, no other parameter, and no special case for one answer. Write the \
code and nothing else."""
_REPAIR = """Step: repair
The code below fails with this error: {error}

{code}

Write the corrected code of check_following(response), and nothing else."""

# A value that is merely true counts as satisfied, and code without the function as
# violated: so do the rules that this module follows.
_TRUTH = """

try:
    _given = check_following
except NameError:
    def _given(response):
        return False


def check_following(response):
    return bool(_given(response))
"""


class Constraint(Check):
    """The mean of what up to eight checkers say; 0.5 for all if none is left.

    A checker that raises or takes too long counts as violated. The second repair of a
    checker is not tried, so that the checker is lost.
    """

    name = CONSTRAINT
    mode: VerifierMode = "pointwise"
    purpose = "Whether an answer keeps the constraints that the request states."

    def __init__(self, llm: Runnable[Any, Any], sandbox: Sandbox | None) -> None:
        """Keep the parts.

        Raises:
            ConfigurationError: If no sandbox works here.
        """
        from langchain_agentrm.reward_agent.sandbox.selftest import best_sandbox

        self.llm = llm
        self.sandbox = sandbox or best_sandbox()

    def _verdicts(
        self, asker: Asker, trajectories: Sequence[Trajectory]
    ) -> Generator[Effect, Any, list[Verdict]]:
        if not trajectories:
            return []
        checkers = yield from self._checkers(asker, request_of(trajectories[0]))
        if not checkers:
            why = "no checker is left; the public code counts that 0.5"
            return [Verdict(_NO_CHECKER, why)] * len(trajectories)
        answers = [answer_of(t) for t in trajectories]
        columns = []
        for _, code in checkers:
            columns.append((yield from self._run(code, answers)))
        names = [name for name, _ in checkers]
        rows = zip(*columns, strict=True)
        return [_verdict(names, row) for row in rows]

    def _checkers(
        self, asker: Asker, request: str
    ) -> Generator[Effect, Any, list[tuple[str, str]]]:
        """Name, filter, write and mend checkers."""
        (listed,) = yield from asker.ask(
            [_EXTRACT.format(request=request)], _SHORT, system=True
        )
        lines = [line for line in listed.split("\n") if "Checker" in line]
        lines = list(dict.fromkeys(lines))[:_CHECKERS]
        if not lines:
            return []
        told = yield from asker.ask(
            [_VERIFIABLE.format(checker=c) for c in lines], _WORD
        )
        lines = [c for c, t in zip(lines, told, strict=True) if t.lower() == "yes"]
        if not lines:
            return []
        codes = yield from asker.ask(
            [_CODE.format(request=request, checker=c) for c in lines], _SHORT
        )
        kept = []
        for line, code in zip(lines, codes, strict=True):
            mended = yield from self._mended(asker, _unfenced(code))
            if mended is not None:
                kept.append((line, mended))
        return kept

    def _mended(self, asker: Asker, code: str) -> Generator[Effect, Any, str | None]:
        for _ in range(_REPAIRS):
            (outcome,) = yield from self._run(code, [_PROBE])
            if outcome.passed is not None:
                return code
            prompt = _REPAIR.format(code=code, error=outcome.error or outcome.fault)
            (answer,) = yield from asker.ask([prompt], _LONG)
            code = _unfenced(answer)
        return None

    def _run(
        self, code: str, answers: Sequence[str]
    ) -> Generator[Effect, Any, list[Outcome]]:
        def check() -> list[Outcome]:
            return self.sandbox.check(code + _TRUTH, answers, seconds=_SECONDS)

        outcomes = yield Call(check, lambda: asyncio.to_thread(check))
        if isinstance(outcomes, Exception):
            raise outcomes
        return list(outcomes)


def _unfenced(code: str) -> str:
    return code.replace("```python\n", "").replace("```", "")


def _verdict(names: Sequence[str], outcomes: Sequence[Outcome]) -> Verdict:
    findings = tuple(
        Finding(
            name,
            bool(outcome.passed),
            f"{outcome.error or outcome.fault}; the public code counts that violated"
            if outcome.passed is None
            else "",
        )
        for name, outcome in zip(names, outcomes, strict=True)
    )
    kept = sum(finding.passed is True for finding in findings)
    return Verdict(
        kept / len(findings), f"{kept} of {len(findings)} checkers", findings
    )
