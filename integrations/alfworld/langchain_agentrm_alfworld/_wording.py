"""What differs between generations of ALFWorld's text grammar, read from a game."""

from __future__ import annotations

import re
from dataclasses import dataclass

from langchain_agentrm.errors import ConfigurationError

__all__ = ["Wording", "read_wording", "tools"]

# Texts that both generations share and the engine has built in. A game that words one
# otherwise would be answered wrongly, so it is refused.
_SHARED = (
    r"-= Welcome to TextWorld, ALFRED! =-\n\n#look.feedback#\n\n#task#",
    "You open the {r.name}. #examineReceptacle.feedback#",
    "You close the {r.name}.",
    "You pick up the {o.name} from the {r.name}.",
    "You are carrying: [",
    "You are not carrying anything.",
    "The {r.name} is open. In it, you see [",
    "The {r.name} is closed.",
    "On the {r.name}, you see [",
    "This is a normal {o.name}. In it, you see [",
    "This is a hot and clean sliced {o.name}.",
    "This is a cold {o.name}.",
    "This {o.name} is on.",
    "There's nothing special about {o.name}.",
    "You turn on the {o.name}.",
    "You heat the {o.name} using the {r.name}.",
    "You clean the {o.name} using the {r.name}.",
    "You cool the {o.name} using the {r.name}.",
    "You sliced the {co.name} with the {ko.name}.",
    "#look-variations#. Next to it, you see #list_objects_on_the_floor#.",
    "You are in the middle of a room. Looking quickly around you, you see ",
    'template :: "take {o} from {r}";',
    'template :: "use {o}";',
    'template :: "heat {o} with {r}";',
    'template :: "slice {co} with {ko}";',
)
_TOOLS = {"clean": "cleanobject", "heat": "heatobject", "cool": "coolobject"}


@dataclass(frozen=True, slots=True)
class Wording:
    """The texts that a game file decides.

    Attributes:
        put: Command that puts an object down, with `{o}` and `{r}`.
        put_answer: What it says, with `{o.name}` and `{r.name}`.
        arrive: What `go to` says first, with `{r.name}` or `{lend.name}`.
        help: What `help` says; None where there is no such action.
        task: The sentence that states the task.
    """

    put: str
    put_answer: str
    arrive: str
    help: str | None
    task: str


def read_wording(grammar: str, domain: str, *, strict: bool = True) -> Wording:
    """Read the texts that differ between games.

    Args:
        grammar: The game's text grammar.
        domain: The game's PDDL domain, which says whether `help` is an action.
        strict: Whether all other texts must be those that the native engine knows.

    Returns:
        The texts.

    Raises:
        ConfigurationError: If the grammar is of a generation not known here.
    """
    for text in _SHARED:
        if strict and text not in grammar:
            raise _unknown(text)
    return Wording(
        put=_find(grammar, r'action PutObject \{\s*template :: "(.*?)";'),
        put_answer=_find(grammar, r'"PutObject\.feedback": \[\s*\{\s*"rhs": "(.*?)"'),
        arrive=_find(
            grammar,
            r'"GotoLocation\.feedback": \[\s*\{\s*'
            r'"rhs": "(.*?)#examineReceptacle\.feedback#"',
        ),
        help=_help(grammar) if "(:action help" in domain else None,
        task=_find(grammar, r'"rhs": "(Your task is to: .*?)"'),
    )


def tools(domain: str) -> dict[str, frozenset[str]]:
    """Receptacle types that clean, heat and cool, read from the domain.

    Raises:
        ConfigurationError: If the domain lacks one of these actions.
    """
    found = {}
    lowered = domain.lower()
    for verb, action in _TOOLS.items():
        _, _, rest = lowered.partition(f"(:action {action}")
        conditions = rest.partition(":effect")[0]
        types = re.findall(
            r"^\s*\(receptacletype \?r (\w+)\)", conditions, re.MULTILINE
        )
        if not types:
            raise _unknown(action)
        found[verb] = frozenset(types)
    return found


def _help(grammar: str) -> str:
    text = _find(grammar, r'"rhs": "(\\nAvailable commands:.*?)"')
    # The engine drops the line break that its text begins with.
    return text.replace("\\n", "\n").lstrip("\n")


def _find(grammar: str, pattern: str) -> str:
    match = re.search(pattern, grammar)
    if match is None:
        raise _unknown(pattern)
    return match[1]


def _unknown(text: str) -> ConfigurationError:
    msg = f"The native engine does not know this game's grammar: it lacks {text!r}."
    return ConfigurationError(msg, remedy='Play it with engine="textworld".')
