"""From requests to checkers: list demands, sort them, write code, try and repair it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel

from langchain_agentrm._asking import (
    Ask,
    Effect,
    UnreadableAnswerError,
    answer_text,
    answer_usage,
)
from langchain_agentrm.reward_agent.sandbox.types import Outcome, Sandbox
from langchain_agentrm.reward_agent.verifiers._code.prompts import (
    PROMPT_VERSION,
    ask_code,
    ask_constraints,
    ask_kind,
    ask_repair,
)
from langchain_agentrm.reward_agent.verifiers._code.shape import (
    ShapeError,
    prepared,
    read_code,
    read_constraints,
    read_kind,
)
from langchain_agentrm.types import Usage

__all__ = ["Checker", "Execute", "Plan", "Writer"]

_LONG = (
    "# A title\n\nThe first paragraph has two sentences. It ends here!\n\n"
    "- **one** item\n- another item, with 3 numbers: 1, 2\n\n"
    "1. First step\n2. Second step\n\n```python\nprint('x')\n```\n\n"
    '{"key": "value"}\n\nDoes it end with a question?\n\nP.S. Yes, and *so* on.'
)
PROBES = ("", "This is one plain sentence that answers the question.", _LONG)
"""What every checker is tried on; none of it is known to meet or to break anything."""

_PROBE_NAMES = ("the empty answer", "an answer of one sentence", "a long answer")
_THREADS = 4


class Checker(BaseModel):
    """One demand of a request, and the code that checks it.

    Attributes:
        constraint: The demand, in the model's words.
        code: Python that defines `check_following`; empty where there is none.
        problem: Why there is none.
        checkable: Whether code can check it at all; None if that stayed open.
    """

    constraint: str
    checkable: bool | None = None
    code: str = ""
    problem: str = ""


class Plan(BaseModel):
    """All checkers of one request.

    Attributes:
        checkers: In the order in which the demands were listed.
        error: Why there is no list of demands.
        lasting: Whether it would come out alike if it were asked for again; not so
            where a request to the model failed.
    """

    checkers: list[Checker] = []
    error: str | None = None
    lasting: bool = True


@dataclass(frozen=True, slots=True)
class Execute:
    """Run checkers on answers; its answer is a list of outcomes a job.

    Attributes:
        sandbox: Where.
        jobs: Code, and the answers that it checks.
    """

    sandbox: Sandbox
    jobs: Sequence[tuple[str, Sequence[str]]]

    def run(self) -> list[list[Outcome]]:
        """Run them in a few threads."""
        if not self.jobs:
            return []
        with ThreadPoolExecutor(min(_THREADS, len(self.jobs))) as pool:
            return list(pool.map(self._one, self.jobs))

    async def arun(self) -> list[list[Outcome]]:
        """Run them off the running loop."""
        return await asyncio.to_thread(self.run)

    def _one(self, job: tuple[str, Sequence[str]]) -> list[Outcome]:
        code, answers = job
        try:
            return self.sandbox.check(code, answers)
        except Exception as error:  # noqa: BLE001 - without a verdict, never a made-up one
            text = f"the sandbox failed with {type(error).__name__}: {error}"
            return [Outcome(None, "crashed", text)] * len(answers)


@dataclass(slots=True)
class _Draft:
    """A checker on its way."""

    plan: Plan
    request: str
    checker: Checker
    failed: bool = False
    latest: str = ""
    error: str = ""
    verdicts: int = 0


@dataclass(slots=True)
class Writer:
    """Has a chat model write checkers, and tries each in the sandbox.

    Attributes:
        model: Who writes.
        sandbox: Where they are tried.
        max_checkers: Most demands of one request that are looked at.
        repairs: How often code with an error goes back to the model.
        max_concurrency: Requests in flight at once.
        usage: What was asked so far.
    """

    model: Runnable[Any, Any]
    sandbox: Sandbox
    max_checkers: int
    repairs: int
    max_concurrency: int
    usage: Usage = field(default_factory=Usage)

    def write(self, requests: Sequence[str]) -> Generator[Effect, Any, dict[str, Plan]]:
        """Write the checkers of several requests at once.

        Args:
            requests: Distinct requests.

        Returns:
            A plan each.
        """
        plans = yield from self._demands(requests)
        drafts = [
            _Draft(plan, request, checker)
            for request, plan in plans.items()
            for checker in plan.checkers
        ]
        yield from self._kinds(drafts)
        wanted = [d for d in drafts if d.checker.checkable]
        modules = sorted(self.sandbox.modules)
        yield from self._attempt(
            wanted, [ask_code(d.request, d.checker.constraint, modules) for d in wanted]
        )
        for _ in range(self.repairs):
            open_ = [d for d in wanted if d.error and not d.failed]
            yield from self._attempt(
                open_,
                [
                    ask_repair(
                        d.request, d.checker.constraint, modules, d.latest, d.error
                    )
                    for d in open_
                ],
            )
        for draft in wanted:
            if not draft.checker.code:
                draft.checker.problem = f"no code that works: {draft.error}"
            draft.plan.lasting &= not draft.failed
        return plans

    def _demands(
        self, requests: Sequence[str]
    ) -> Generator[Effect, Any, dict[str, Plan]]:
        plans = {request: Plan() for request in requests}
        open_ = list(requests)
        for remind in (False, True):
            answers = yield from self._ask(
                "agentrm.code.constraints",
                [ask_constraints(r, remind=remind) for r in open_],
            )
            again = []
            for request, answer in zip(open_, answers, strict=True):
                plan = plans[request]
                plan.error = None
                try:
                    found = read_constraints(_text_of(answer))
                except UnreadableAnswerError as error:
                    plan.error = f"the list of demands cannot be read: {error}"
                    again.append(request)
                except Exception as error:  # noqa: BLE001 - other requests go on
                    plan.error = _failure(error)
                    plan.lasting = False
                else:
                    plan.checkers = [
                        Checker(constraint=c) for c in found[: self.max_checkers]
                    ]
            open_ = again
        return plans

    def _kinds(self, drafts: Sequence[_Draft]) -> Generator[Effect, Any, None]:
        open_ = list(drafts)
        for remind in (False, True):
            answers = yield from self._ask(
                "agentrm.code.kind",
                [ask_kind(d.checker.constraint, remind=remind) for d in open_],
            )
            again = []
            for draft, answer in zip(open_, answers, strict=True):
                checker = draft.checker
                checker.problem = ""
                try:
                    checker.checkable = read_kind(_text_of(answer))
                except UnreadableAnswerError as error:
                    checker.problem = f"whether code can check it is open: {error}"
                    again.append(draft)
                except Exception as error:  # noqa: BLE001 - other demands go on
                    checker.problem = _failure(error)
                    draft.plan.lasting = False
                else:
                    if not checker.checkable:
                        checker.problem = "not something that code can check"
            open_ = again

    def _attempt(
        self, drafts: Sequence[_Draft], prompts: Sequence[Sequence[BaseMessage]]
    ) -> Generator[Effect, Any, None]:
        """Ask for code, look at it, and try what looks right."""
        answers = yield from self._ask("agentrm.code.write", prompts)
        tried: list[tuple[_Draft, str]] = []
        for draft, answer in zip(drafts, answers, strict=True):
            try:
                draft.latest = read_code(_text_of(answer))
                tried.append((draft, prepared(draft.latest, self.sandbox.modules)))
            except (ShapeError, UnreadableAnswerError) as error:
                draft.error = str(error)
            except Exception as error:  # noqa: BLE001 - other checkers go on
                draft.error = _failure(error)
                draft.failed = True
        if not tried:
            return
        results = yield Execute(self.sandbox, [(code, PROBES) for _, code in tried])
        for (draft, code), outcomes in zip(tried, results, strict=True):
            verdicts = sum(o.passed is not None for o in outcomes)
            draft.error = next(
                (
                    f"on {name}: {o.error}"
                    for name, o in zip(_PROBE_NAMES, outcomes, strict=True)
                    if o.passed is None
                ),
                "",
            )
            # A repair that made it worse is not taken.
            if verdicts > draft.verdicts:
                draft.verdicts, draft.checker.code = verdicts, code

    def _ask(
        self, name: str, prompts: Sequence[Sequence[BaseMessage]]
    ) -> Generator[Effect, Any, list[Any]]:
        if not prompts:
            return []
        answers: list[Any] = yield Ask(
            self.model,
            prompts,
            name,
            self.max_concurrency,
            {"agentrm_prompt": PROMPT_VERSION},
        )
        for answer in answers:
            self.usage += answer_usage(answer)
        return answers


def _text_of(answer: object) -> str:
    # Half a surrogate pair can be neither kept as JSON nor run.
    return answer_text(answer).encode("utf-8", "replace").decode()


def _failure(error: Exception) -> str:
    return f"the model failed with {type(error).__name__}: {error}"
