"""Telling, without a model, that a request has no factual answer."""

from __future__ import annotations

import re

__all__ = ["asks_for_facts"]

_POLITE = (
    r"(?:(?:hi|hello|hey|please|kindly|now|ok(?:ay)?|(?:can|could|would|will) you|"
    r"i (?:want|need|would like|'d like) you to|help me(?: to)?|let'?s)[\s,.!]+)*"
    r"(?:please\s+)?"
)

_INVENTED = (
    r"poems?|haikus?|limericks?|sonnets?|odes?|ballads?|verses?|songs?|lyrics|raps?|"
    r"lullab(?:y|ies)|(?:short |bedtime |love |ghost )?stor(?:y|ies)|fairy ?tales?|"
    r"fables?|jokes?|puns?|riddles?|tongue twisters?|slogans?|taglines?|jingles?|"
    r"pickup lines?|love letters?|birthday (?:cards?|wishes|messages?)"
)

_INVENT = re.compile(
    rf"{_POLITE}"
    r"(?:write|compose|create|make up|invent|generate|tell|give|sing|craft)\s+"
    rf"(?:(?:me|us)\s+)?(?:(?:an?|some|two|three|[0-9]+|the|another)\s+)?"
    rf"(?:[\w'-]+\s+){{0,3}}?(?:{_INVENTED})\b(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)

_REWORD = re.compile(
    rf"{_POLITE}(?:translate|proofread|paraphrase|rephrase|reword|reformat|capitali[sz]e|"
    r"correct the (?:grammar|spelling)|fix the (?:grammar|spelling))\b(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)

_GREETING = re.compile(
    r"(?:hi|hello|hey|thanks?(?: you)?(?: (?:so|very) much)?|good (?:morning|evening|"
    r"night|day)|bye|goodbye|how are you|there|again|[\s,.!?])+",
    re.IGNORECASE,
)

# Words that ask for facts beside the poem or the translation.
_FACTS = re.compile(
    r"\b(?:facts?|factual|accura\w*|true|correct|real|histor\w*|explain\w*|who|when|"
    r"where|why|which|how (?:many|much|old|far|long)|what (?:is|are|was|were)|sources?|"
    r"cit(?:e|es|ing|ation|ations)|biograph\w*|scien\w*|dates?|evidence|answer|"
    r"top [0-9]+|how [\w ]{1,40} works?|code|script|program|function)\b",
    re.IGNORECASE,
)


def asks_for_facts(request: str) -> bool:
    """Tell whether a request may have an answer that is right or wrong about the world.

    Reads English only, and only how the request begins: a greeting, a poem, story, joke
    or the like to be made up, a text to be translated or reworded. Each of these counts
    only if nothing in the rest asks for facts. All else may have a factual answer.

    Args:
        request: The user's request.

    Returns:
        False only for those; True when in doubt.
    """
    text = request.strip()
    if not text or _GREETING.fullmatch(text):
        return False
    begun = _INVENT.match(text) or _REWORD.match(text)
    return begun is None or bool(_FACTS.search(begun["rest"]))
