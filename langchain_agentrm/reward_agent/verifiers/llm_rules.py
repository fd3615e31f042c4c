"""Checks an answer's form by rules that a chat model reads out of the request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Sequence
from threading import Lock
from typing import Any

from langchain_core.runnables import Runnable

from langchain_agentrm._asking import (
    Ask,
    UnreadableAnswerError,
    adrive,
    answer_text,
    answer_usage,
    drive,
)
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.rules import Profile, Rule, Unknown
from langchain_agentrm.reward_agent.types import (
    Verdict,
    VerifierMode,
    answer_of,
    request_of,
)
from langchain_agentrm.reward_agent.verifiers._rule_prompts import (
    PROMPT_VERSION,
    ask_rules,
    read_rules,
)
from langchain_agentrm.reward_agent.verifiers.rules import checked_profile, verdict_of
from langchain_agentrm.trajectory import Trajectory
from langchain_agentrm.types import Batch, Usage

__all__ = ["LLMRuleVerifier"]

_Waves = Generator[Ask, list[Any], Batch[Verdict]]
_Read = tuple[Rule, ...] | str


class LLMRuleVerifier:
    """Holds answers to rules that a chat model wrote as JSON; none of it is run.

    One question a request, whatever the number of answers; its rules are kept. Items
    that are no rule are dropped, each with a finding. An answer that cannot be read is
    asked for once more; then the verifier abstains with the error.

    Source: Agentic Reward Modeling (Peng et al., ACL 2025), the check of instruction
    following; rules in place of programs are ours.

    Args:
        llm: A chat model, or a runnable that returns an AI message.
        profile: How rules are decided.
        name: Name of its signal.
        cache_size: Requests whose rules are kept.
        max_concurrency: Requests in flight at once.

    Raises:
        ConfigurationError: If an option has a value that cannot work.

    Example:
        ```python no-run: chat_model is yours
        verifier = LLMRuleVerifier(chat_model)
        ```
    """

    mode: VerifierMode = "pointwise"
    purpose = (
        "Checks what can be counted or searched in an answer, read out of the request "
        "by a model: its length, its words, its lists and sections, its format."
    )

    def __init__(
        self,
        llm: Runnable[Any, Any],
        *,
        profile: Profile = "natural",
        name: str = "llm_rules",
        cache_size: int = 1024,
        max_concurrency: int = 8,
    ) -> None:
        """Check the options; nothing is asked."""
        given: object = llm
        if not isinstance(given, Runnable):
            msg = f"llm is a {type(given).__name__}, not a chat model."
            raise ConfigurationError(
                msg, remedy="Pass a chat model or a runnable that returns an AIMessage."
            )
        checked_profile(profile)
        for option, value in (
            ("cache_size", cache_size),
            ("max_concurrency", max_concurrency),
        ):
            if value < 1:
                msg = f"{option}={value!r} is not a positive number."
                raise ConfigurationError(msg, remedy=f"Give {option} of at least 1.")
        self.llm = llm
        self.profile: Profile = profile
        self.name = name
        self.cache_size = cache_size
        self.max_concurrency = max_concurrency
        self._known: OrderedDict[str, tuple[Rule, ...]] = OrderedDict()
        self._lock = Lock()

    def applies(self, trajectory: Trajectory) -> bool:
        """Tell whether there is a request, and not one known to state no rule."""
        request = request_of(trajectory)
        return bool(request.strip()) and self._kept(request) != ()

    def verify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Check candidates, asking once for each request not seen before.

        Args:
            trajectories: What competes.

        Returns:
            One verdict each, in the order given, and what the questions cost.
        """
        return drive(self._waves(trajectories))

    async def averify(self, trajectories: Sequence[Trajectory]) -> Batch[Verdict]:
        """Async twin of `verify`."""
        return await adrive(self._waves(trajectories))

    def _waves(self, trajectories: Sequence[Trajectory]) -> _Waves:
        """Ask for what is not known, then once more what could not be read."""
        wanted = dict.fromkeys(request_of(t) for t in trajectories)
        # Read once: while this waits for a model, others may push rules out of the
        # cache.
        rules: dict[str, _Read] = {
            request: kept
            for request in wanted
            if (kept := self._kept(request)) is not None
        }
        open_ = [r for r in wanted if r not in rules and r.strip()]
        usage = Usage()
        for remind in (False, True):
            if not open_:
                break
            answers = yield Ask(
                self.llm,
                [ask_rules(request, remind=remind) for request in open_],
                "agentrm.llm_rules",
                self.max_concurrency,
                {"agentrm_prompt": PROMPT_VERSION},
            )
            again = []
            for request, answer in zip(open_, answers, strict=True):
                usage += answer_usage(answer)
                try:
                    read = read_rules(answer_text(answer))
                except UnreadableAnswerError as error:
                    rules[request] = f"the model's answer cannot be read: {error}"
                    again.append(request)
                except Exception as error:  # noqa: BLE001 - other requests go on
                    what = f"{type(error).__name__}: {error}"
                    rules[request] = f"the model failed: {what}"
                else:
                    rules[request] = read
                    self._keep(request, read)
            open_ = again
        verdicts = [
            self._verdict(rules.get(request_of(t), ()), answer_of(t))
            for t in trajectories
        ]
        return Batch(verdicts, usage)

    def _verdict(self, rules: _Read, answer: str) -> Verdict:
        if isinstance(rules, str):
            return Verdict(reason=rules, error=rules)
        if not rules:
            return Verdict(reason="the request states no rule that can be checked")
        verdict = verdict_of(rules, answer, self.profile)
        if all(isinstance(rule, Unknown) for rule in rules):
            why = "the model wrote nothing that is a rule"
            return Verdict(reason=why, findings=verdict.findings, error=why)
        return verdict

    def _kept(self, request: str) -> tuple[Rule, ...] | None:
        with self._lock:
            if request in self._known:
                self._known.move_to_end(request)
            return self._known.get(request)

    def _keep(self, request: str, rules: tuple[Rule, ...]) -> None:
        with self._lock:
            self._known[request] = rules
            while len(self._known) > self.cache_size:
                self._known.popitem(last=False)
