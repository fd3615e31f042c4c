"""From words on the command line to a `RewardAgent`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_agentrm.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langchain_agentrm.reward_agent import (
        Evidence,
        Judger,
        RewardAgent,
        Router,
        Verifier,
    )
    from langchain_agentrm.reward_models.base import RewardModel

__all__ = ["AgentWords", "build_agent", "pairs_of_words", "words_of"]

_LLM = "Name a chat model with --llm, such as --llm openai:MODEL."


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentWords:
    """What the command line says of the agent; each a word or a list of words.

    Attributes:
        verifiers: Names of verifiers, or `module:function` of one's own.
        judger: `lexicographic`, `weighted-sum`, `vote` or `llm`.
        weights: Weight by signal, for `weighted-sum` and `vote`.
        order: Signals, the most important first, for `lexicographic`.
        normalize: How `weighted-sum` scales the preference.
        router: `rules`, `llm` or `always`.
        force: Verifiers that run for every request, instead of a router.
        preference: A reward model's word, `longer`, `shorter`, or `embedded:ENV`.
        preference_url: Its server.
        evidence: `parametric`, `bm25:DIR` or `tool:MODULE:NAME`.
        llm: A chat model's word.
        llm_url: Its server.
        coder: A chat model's word for code and extracted rules; the llm if None.
        profile: How the `rules` verifier reads a request.
        upstream: Whether to go by the rules of the paper's public code.
        seed: Seed of pairs and orders.
        both_orders: Whether a model that compares two answers sees both orders.
    """

    verifiers: tuple[str, ...] = ("rules",)
    judger: str = "lexicographic"
    weights: tuple[tuple[str, float], ...] = ()
    order: tuple[str, ...] = ()
    normalize: str = "none"
    router: str = "rules"
    force: tuple[str, ...] = ()
    preference: str | None = None
    preference_url: str | None = None
    evidence: str = "parametric"
    llm: str | None = None
    llm_url: str | None = None
    coder: str | None = None
    profile: str = "natural"
    upstream: bool = False
    seed: int = 0
    both_orders: bool = False

    @property
    def runs_code(self) -> bool:
        """Whether model-written code would run, in a sandbox."""
        return self.upstream or "code" in self.verifiers

    def settings(self) -> dict[str, Any]:
        """What of it makes a score, as plain JSON: servers' addresses are left out."""
        some = asdict(self)
        del some["preference_url"], some["llm_url"]
        return {
            name: [list(v) if isinstance(v, tuple) else v for v in value]
            if isinstance(value, tuple)
            else value
            for name, value in some.items()
        }


def build_agent(words: AgentWords) -> RewardAgent:
    """Make the agent.

    Args:
        words: What the command line says.

    Returns:
        The agent.

    Raises:
        ConfigurationError: If a word is unknown, or a part lacks what it needs.
    """
    from langchain_agentrm.reward_agent import RewardAgent

    preference = _preference(words)
    if words.upstream:
        return RewardAgent.upstream(
            _chat_model(words, "--upstream"),
            None if words.coder is None else _coder(words, "--upstream"),
            preference,
            evidence=None if words.evidence == "parametric" else _evidence(words),
            judger=_one_of(_UPSTREAM_JUDGERS, words.judger, "--judger"),
            force=words.force or None,
            seed=words.seed,
        )
    return RewardAgent(
        preference,
        [_verifier(name, words) for name in words.verifiers],
        router=_router(words),
        judger=_judger(words),
    )


def words_of(text: str | None) -> tuple[str, ...]:
    """Split `a,b` into its words."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def pairs_of_words(text: str | None) -> tuple[tuple[str, float], ...]:
    """Read `rules=2,preference=0.5`.

    Raises:
        ConfigurationError: If a part is no name with a number.
    """
    out = []
    for word in words_of(text):
        name, _, value = word.partition("=")
        try:
            out.append((name.strip(), float(value)))
        except ValueError as error:
            msg = f"--weights has {word!r}, which is no NAME=NUMBER."
            raise ConfigurationError(
                msg, remedy="Write for instance rules=2,preference=0.5."
            ) from error
    return tuple(out)


def _one_of(table: Mapping[str, Any], word: str, option: str) -> Any:
    if word not in table:
        msg = f"{option} {word!r} is unknown."
        raise ConfigurationError(msg, remedy=f"Use one of {', '.join(table)}.")
    return table[word]


def _chat_model(words: AgentWords, what: str) -> BaseChatModel:
    return _model(words.llm, words, what)


def _coder(words: AgentWords, what: str) -> BaseChatModel:
    return _model(words.coder or words.llm, words, what)


def _model(word: str | None, words: AgentWords, what: str) -> BaseChatModel:
    if word is None:
        msg = f"{what} asks a chat model, and none is named."
        raise ConfigurationError(msg, remedy=_LLM)
    from langchain_agentrm.chat_models.factory import chat_model

    return chat_model(word, base_url=words.llm_url, temperature=0.0)


def _preference(words: AgentWords) -> RewardModel | None:
    word = words.preference
    if word is None:
        return None
    if word in _LENGTHS:
        from langchain_agentrm.reward_models.function import FunctionRewardModel

        sign = _LENGTHS[word]
        return FunctionRewardModel(
            lambda ts: [sign * len(t.turns[-1].action) for t in ts]
        )
    from langchain_agentrm.reward_models.factory import reward_model

    kind, _, environment = word.partition(":")
    if kind == "embedded":
        from langchain_agentrm.embedded import embedded_models

        return reward_model(str(embedded_models(environment).reward_model))
    return reward_model(word, base_url=words.preference_url)


def _judger(words: AgentWords) -> Judger:
    made: Judger = _one_of(_JUDGERS, words.judger, "--judger")(words)
    return made


def _lexicographic(words: AgentWords) -> Judger:
    from langchain_agentrm.reward_agent import Lexicographic

    return Lexicographic(words.order or None)


def _weighted_sum(words: AgentWords) -> Judger:
    from langchain_agentrm.reward_agent import WeightedSum

    weights = dict(words.weights)
    lambda_ = weights.pop("preference", 1.0)
    scale: Any = words.normalize
    return WeightedSum(weights, lambda_, scale)


def _vote(words: AgentWords) -> Judger:
    from langchain_agentrm.reward_agent import MajorityVote

    return MajorityVote(dict(words.weights))


def _llm_judge(words: AgentWords) -> Judger:
    from langchain_agentrm.reward_agent import LLMJudge

    return LLMJudge(_chat_model(words, "--judger llm"), seed=words.seed)


def _router(words: AgentWords) -> Router:
    from langchain_agentrm.reward_agent import (
        AlwaysRouter,
        LLMRouter,
        RuleRouter,
        force,
    )

    if words.force:
        return force(words.force)
    table: dict[str, Callable[[], Router]] = {
        "rules": RuleRouter,
        "llm": lambda: LLMRouter(_chat_model(words, "--router llm")),
        "always": AlwaysRouter,
    }
    made: Router = _one_of(table, words.router, "--router")()
    return made


def _evidence(words: AgentWords) -> Evidence:
    kind, _, rest = words.evidence.partition(":")
    if kind == "bm25" and rest:
        from langchain_agentrm.reward_agent import BM25Evidence

        return BM25Evidence(Path(rest))
    if kind == "tool" and rest:
        from langchain_agentrm.reward_agent import ToolEvidence

        tool = _named(rest, "--evidence tool")
        return ToolEvidence(tool() if isinstance(tool, type) else tool)
    if words.evidence == "parametric":
        from langchain_agentrm.reward_agent import ParametricEvidence

        return ParametricEvidence(_chat_model(words, "--evidence parametric"))
    msg = f"--evidence {words.evidence!r} is unknown."
    raise ConfigurationError(
        msg, remedy="Use parametric, bm25:DIR, or tool:MODULE:NAME."
    )


def _verifier(name: str, words: AgentWords) -> Verifier | Callable[..., Any]:
    if ":" in name:
        own: Verifier | Callable[..., Any] = _named(name, "--verifiers")
        return own
    made: Verifier = _one_of(_VERIFIERS, name, "--verifiers")(words)
    return made


def _rules(words: AgentWords) -> Verifier:
    from langchain_agentrm.reward_agent import RuleVerifier

    profile: Any = words.profile
    return RuleVerifier(profile=profile)


def _llm_rules(words: AgentWords) -> Verifier:
    from langchain_agentrm.reward_agent import LLMRuleVerifier

    return LLMRuleVerifier(_coder(words, "--verifiers llm-rules"))


def _code(words: AgentWords) -> Verifier:
    from langchain_agentrm.reward_agent import CodeVerifier

    return CodeVerifier(_coder(words, "--verifiers code"))


def _factuality(words: AgentWords) -> Verifier:
    from langchain_agentrm.reward_agent import FactualityVerifier

    return FactualityVerifier(
        _chat_model(words, "--verifiers factuality"),
        _evidence(words),
        seed=words.seed,
        both_orders=words.both_orders,
        # Who forces it does not want it to choose its requests.
        every_request="factuality" in words.force,
    )


def _tool_calls(words: AgentWords) -> Verifier:
    from langchain_agentrm.reward_agent import ToolCallVerifier

    del words
    return ToolCallVerifier()


def _named(word: str, option: str) -> Any:
    """Import what `module:name` names: the user's own code, run because it is named."""
    module, _, name = word.rpartition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"{option} {word!r} cannot be imported: {error}."
        raise ConfigurationError(
            msg, remedy="Give MODULE:NAME of something that can be imported from here."
        ) from error


_Make = Callable[[AgentWords], Any]

_VERIFIERS: dict[str, _Make] = {
    "rules": _rules,
    "llm-rules": _llm_rules,
    "code": _code,
    "factuality": _factuality,
    "tool-calls": _tool_calls,
}
_JUDGERS: dict[str, _Make] = {
    "lexicographic": _lexicographic,
    "weighted-sum": _weighted_sum,
    "vote": _vote,
    "llm": _llm_judge,
}
_UPSTREAM_JUDGERS = {
    "weighted-sum": "weighted_sum",
    "vote": "major_vote",
    "llm": "llm",
    # The default of the option, for which the public code has no counterpart.
    "lexicographic": "weighted_sum",
}
_LENGTHS = {"longer": 1.0, "shorter": -1.0}
