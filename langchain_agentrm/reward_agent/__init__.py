"""RewardAgent: a preference model joined with signals that can be verified.

`RewardAgent` is a reward model: it asks a preference model and verifiers about the
candidates of a group, and a judger joins what they say. Verifiers may abstain. Each
part loads when first asked for.

- Verifiers: `RuleVerifier`, `LLMRuleVerifier`, `CodeVerifier`, `FactualityVerifier`;
  for agents `ToolCallVerifier`, `AdmissibleActionVerifier`, `ActionFormatVerifier`,
  `RepeatedActionVerifier`, `NoProgressVerifier`; `FunctionVerifier` for your own.
- Routers: `RuleRouter`, `LLMRouter`, `AlwaysRouter`, `force`.
- Judgers: `Lexicographic`, `WeightedSum`, `MajorityVote`, `LLMJudge`.
- Evidence: `ParametricEvidence`, `RetrieverEvidence`, `ToolEvidence`, `BM25Evidence`.
- Sandboxes for code that a model wrote: `best_sandbox` chooses among `MontySandbox`,
  `BubblewrapSandbox` and `LayeredSandbox`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_agentrm.reward_agent.types import (
    Evidence,
    Finding,
    Passage,
    Verdict,
    Verifier,
    VerifierMode,
)

if TYPE_CHECKING:
    from langchain_agentrm.reward_agent.agent import RewardAgent
    from langchain_agentrm.reward_agent.evidence.bm25 import BM25Evidence
    from langchain_agentrm.reward_agent.evidence.parametric import ParametricEvidence
    from langchain_agentrm.reward_agent.evidence.retriever import RetrieverEvidence
    from langchain_agentrm.reward_agent.evidence.tool import ToolEvidence
    from langchain_agentrm.reward_agent.explanation import Explanation
    from langchain_agentrm.reward_agent.judgers import (
        Judger,
        Lexicographic,
        LLMJudge,
        MajorityVote,
        Signal,
        WeightedSum,
    )
    from langchain_agentrm.reward_agent.router import (
        AlwaysRouter,
        ForcedRouter,
        LLMRouter,
        Route,
        Router,
        RuleRouter,
        force,
    )
    from langchain_agentrm.reward_agent.rules import Rule
    from langchain_agentrm.reward_agent.sandbox import (
        BubblewrapSandbox,
        LayeredSandbox,
        MontySandbox,
        Sandbox,
        best_sandbox,
        self_test,
    )
    from langchain_agentrm.reward_agent.verifiers.actions import (
        ActionFormatVerifier,
        AdmissibleActionVerifier,
    )
    from langchain_agentrm.reward_agent.verifiers.code import Checker, CodeVerifier
    from langchain_agentrm.reward_agent.verifiers.factuality import FactualityVerifier
    from langchain_agentrm.reward_agent.verifiers.function import FunctionVerifier
    from langchain_agentrm.reward_agent.verifiers.llm_rules import LLMRuleVerifier
    from langchain_agentrm.reward_agent.verifiers.progress import (
        NoProgressVerifier,
        RepeatedActionVerifier,
    )
    from langchain_agentrm.reward_agent.verifiers.rules import RuleVerifier
    from langchain_agentrm.reward_agent.verifiers.tool_calls import ToolCallVerifier

__all__ = [
    "ActionFormatVerifier",
    "AdmissibleActionVerifier",
    "AlwaysRouter",
    "BM25Evidence",
    "BubblewrapSandbox",
    "Checker",
    "CodeVerifier",
    "Evidence",
    "Explanation",
    "FactualityVerifier",
    "Finding",
    "ForcedRouter",
    "FunctionVerifier",
    "Judger",
    "LLMJudge",
    "LLMRouter",
    "LLMRuleVerifier",
    "LayeredSandbox",
    "Lexicographic",
    "MajorityVote",
    "MontySandbox",
    "NoProgressVerifier",
    "ParametricEvidence",
    "Passage",
    "RepeatedActionVerifier",
    "RetrieverEvidence",
    "RewardAgent",
    "Route",
    "Router",
    "Rule",
    "RuleRouter",
    "RuleVerifier",
    "Sandbox",
    "Signal",
    "ToolCallVerifier",
    "ToolEvidence",
    "Verdict",
    "Verifier",
    "VerifierMode",
    "WeightedSum",
    "best_sandbox",
    "force",
    "self_test",
]

_MODULES = {
    "ActionFormatVerifier": "verifiers.actions",
    "AdmissibleActionVerifier": "verifiers.actions",
    "AlwaysRouter": "router",
    "BM25Evidence": "evidence.bm25",
    "BubblewrapSandbox": "sandbox",
    "Checker": "verifiers.code",
    "CodeVerifier": "verifiers.code",
    "Explanation": "explanation",
    "FactualityVerifier": "verifiers.factuality",
    "ForcedRouter": "router",
    "FunctionVerifier": "verifiers.function",
    "Judger": "judgers",
    "LLMJudge": "judgers",
    "LLMRouter": "router",
    "LLMRuleVerifier": "verifiers.llm_rules",
    "LayeredSandbox": "sandbox",
    "Lexicographic": "judgers",
    "MajorityVote": "judgers",
    "MontySandbox": "sandbox",
    "NoProgressVerifier": "verifiers.progress",
    "ParametricEvidence": "evidence.parametric",
    "RepeatedActionVerifier": "verifiers.progress",
    "RetrieverEvidence": "evidence.retriever",
    "RewardAgent": "agent",
    "Route": "router",
    "Router": "router",
    "Rule": "rules",
    "RuleRouter": "router",
    "RuleVerifier": "verifiers.rules",
    "Sandbox": "sandbox",
    "Signal": "judgers",
    "ToolCallVerifier": "verifiers.tool_calls",
    "ToolEvidence": "evidence.tool",
    "WeightedSum": "judgers",
    "best_sandbox": "sandbox",
    "force": "router",
    "self_test": "sandbox",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
