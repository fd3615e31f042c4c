"""IFEval's 25 instruction ids as rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.rules import dsl

__all__ = ["IFEVAL_IDS", "from_ifeval"]

_Arguments = Mapping[str, Any]
_RELATIONS: Mapping[str, dsl.Relation] = {
    "at least": "at_least",
    "less than": "less_than",
}
_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def _relation(arguments: _Arguments, name: str) -> dsl.Relation:
    return _RELATIONS[arguments[name]]


def _each(
    kind: type[dsl.Keyword | dsl.Forbid], name: str
) -> Callable[[_Arguments], list[dsl.Rule]]:
    return lambda a: [kind(text=word) for word in sorted(set(a[name]))]


def _count(
    unit: dsl.Unit, n: str, relation: str | dsl.Relation
) -> Callable[[_Arguments], list[dsl.Rule]]:
    def rules(a: _Arguments) -> list[dsl.Rule]:
        how = _relation(a, relation) if relation in a else relation
        return [dsl.Count.model_validate({"unit": unit, "relation": how, "n": a[n]})]

    return rules


_RULES: Mapping[str, Callable[[_Arguments], list[dsl.Rule]]] = {
    "change_case:capital_word_frequency": _count(
        "capital_words", "capital_frequency", "capital_relation"
    ),
    "change_case:english_capital": lambda _: [dsl.Case(case="upper", english=True)],
    "change_case:english_lowercase": lambda _: [dsl.Case(case="lower", english=True)],
    "combination:repeat_prompt": lambda a: [dsl.Repeat(text=a["prompt_to_repeat"])],
    "combination:two_responses": lambda _: [dsl.Parts(n=2, separator="******")],
    "detectable_content:number_placeholders": _count(
        "placeholders", "num_placeholders", "at_least"
    ),
    "detectable_content:postscript": lambda a: [
        dsl.Postscript(text=a["postscript_marker"].strip())
    ],
    "detectable_format:constrained_response": lambda _: [dsl.Options(options=_ANSWERS)],
    "detectable_format:json_format": lambda _: [dsl.Format(format="json")],
    "detectable_format:multiple_sections": lambda a: [
        dsl.Count(
            unit="sections",
            relation="at_least",
            n=a["num_sections"],
            marker=a["section_spliter"].strip(),
        )
    ],
    "detectable_format:number_bullet_lists": _count(
        "bullets", "num_bullets", "exactly"
    ),
    "detectable_format:number_highlighted_sections": _count(
        "highlights", "num_highlights", "at_least"
    ),
    "detectable_format:title": lambda _: [dsl.Format(format="angle_title")],
    "keywords:existence": _each(dsl.Keyword, "keywords"),
    "keywords:forbidden_words": _each(dsl.Forbid, "forbidden_words"),
    "keywords:frequency": lambda a: [
        dsl.Frequency(
            text=a["keyword"].strip(),
            relation=_relation(a, "relation"),
            n=a["frequency"],
        )
    ],
    "keywords:letter_frequency": lambda a: [
        dsl.Letter(
            text=a["letter"].strip(),
            relation=_relation(a, "let_relation"),
            n=a["let_frequency"],
        )
    ],
    "language:response_language": lambda a: [dsl.Language(language=a["language"])],
    "length_constraints:nth_paragraph_first_word": lambda a: [
        dsl.FirstWord(
            text=a["first_word"],
            nth=a["nth_paragraph"],
            paragraphs=a["num_paragraphs"],
        )
    ],
    "length_constraints:number_paragraphs": lambda a: [
        dsl.Count(unit="paragraphs", n=a["num_paragraphs"], separator="***")
    ],
    "length_constraints:number_sentences": _count(
        "sentences", "num_sentences", "relation"
    ),
    "length_constraints:number_words": _count("words", "num_words", "relation"),
    "punctuation:no_comma": lambda _: [dsl.Without(text=",")],
    "startend:end_checker": lambda a: [dsl.End(text=a["end_phrase"].strip())],
    "startend:quotation": lambda _: [dsl.Quotation()],
}

IFEVAL_IDS: tuple[str, ...] = tuple(_RULES)
"""The instruction ids that can be told, which are all 25."""


def from_ifeval(instruction_id: str, arguments: _Arguments) -> list[dsl.Rule]:
    """Write one of IFEval's instructions as rules; it is followed if all of them hold.

    Source: Instruction-Following Evaluation for Large Language Models (Zhou et al.,
    2023), the columns `instruction_id_list` and `kwargs` of its prompts.

    Args:
        instruction_id: One of `IFEVAL_IDS`.
        arguments: Its arguments by name; those that are None are left out.

    Returns:
        One rule, or one for each keyword.

    Raises:
        ConfigurationError: If the id is unknown, or an argument is missing or of a
            value that cannot be.
    """
    make = _RULES.get(instruction_id)
    if make is None:
        msg = f"IFEval has no instruction id {instruction_id!r}."
        raise ConfigurationError(msg, remedy=f"Use one of {', '.join(IFEVAL_IDS)}.")
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return make(given)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"{instruction_id!r} cannot be told with the arguments {given!r}: {error}"
        raise ConfigurationError(
            msg, remedy="Give the arguments as IFEval's `kwargs` have them."
        ) from error
