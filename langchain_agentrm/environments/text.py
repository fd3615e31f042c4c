"""Text that passes between a policy and an engine: cleaned, and read for its action."""

from __future__ import annotations

import re

__all__ = ["LONGEST", "clean", "read_action"]

LONGEST = 4096
"""The longest action that an engine is shown, in characters; as UTF-8 when read."""

# A NUL byte ends or crashes engines in C, and a lone surrogate cannot be encoded.
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_ACTION = re.compile(r"\s*action\s*:(.*)", re.IGNORECASE)


def clean(text: str, longest: int | None = LONGEST) -> str:
    """Replace what no engine can take, and cut off what is too long.

    Args:
        text: Any text.
        longest: Characters kept; None keeps all.

    Returns:
        The text with a replacement character for NUL and for lone surrogates.
    """
    return _UNFIT.sub("\ufffd", text[:longest])


def read_action(text: str, longest: int = LONGEST) -> str | None:
    """Read a text action: the last `Action:` line, else the last line.

    Some models put the action itself on the line below its mark; that is read too. How
    much thought stands before it does not matter.

    Args:
        text: The policy's message.
        longest: Bytes that an action can have.

    Returns:
        The action without blanks around it; None if there is none or it is too long.
    """
    lines = [line for line in clean(text, None).splitlines() if line.strip()]
    said = lines[-1] if lines else ""
    for i in range(len(lines) - 1, -1, -1):
        match = _ACTION.fullmatch(lines[i])
        if match is not None:
            said = match[1] if match[1].strip() else "".join(lines[i + 1 : i + 2])
            break
    said = said.strip()
    return said if 0 < len(said.encode()) <= longest else None
