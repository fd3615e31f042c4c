"""What may be typed: one clean line, and no command that works on files or time."""

from __future__ import annotations

import re
import unicodedata

from langchain_agentrm.types import Action

__all__ = ["allowed", "clean"]

_LONGEST = 198
_WORDS = 20
# Stories know the first six or nine letters of a word. Any place in a line counts: some
# parsers skip what comes before the verb, or take it from a correction.
_REFUSED = re.compile(
    r"\b(?:noscri\w*|quit|recording\w*|replay|restar\w*|restor(?:e|ed|ing)?|save|script"
    r"|scriptin\w*|transc\w*|undo|unscri\w*)\b"
)


def clean(action: Action, *, commas: bool) -> str:
    """Make one line of printable ASCII, at most 20 words and 198 characters.

    A NUL byte ends the process; a backslash begins a command to the interpreter itself,
    some of which never return; and what follows a line break or the first period is
    another move, at once or at the next step.

    Args:
        action: What the agent sent; what is no text becomes an empty line.
        commas: Whether what follows a comma stays, as in `robot, go north`.

    Returns:
        The line to type.
    """
    if not isinstance(action, str):
        return ""
    plain = unicodedata.normalize("NFKD", action[:4096])
    plain = plain.encode("ascii", "ignore").decode("ascii")
    lines = [line for line in re.split(r"[\r\n]", plain) if line.strip()]
    line = "".join(c if c.isprintable() else " " for c in lines[0]) if lines else ""
    line = line.replace("\\", " ").partition(".")[0]
    if not commas:
        line = line.partition(",")[0]
    return " ".join(line.split()[:_WORDS])[:_LONGEST].rstrip()


def allowed(line: str) -> bool:
    """Whether a line leaves files, other branches and the interpreter's run alone.

    Args:
        line: A clean line.

    Returns:
        False for saving, restoring, transcripts, undoing, restarting and quitting,
        and for debugging commands, which have a sign in them.
    """
    low = line.casefold()
    return low != "q" and _REFUSED.search(low) is None and not {"#", "$"} & set(low)
