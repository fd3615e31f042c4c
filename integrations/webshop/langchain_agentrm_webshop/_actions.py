"""The action grammar."""

from __future__ import annotations

__all__ = ["click", "read_action", "search"]

_LONGEST = 1000


def read_action(text: str) -> tuple[str, str] | None:
    r"""Part an action into its verb and its argument, in small letters.

    This is the official engine's pattern, `(.+)\[(.+)\]` from the start and greedy, in
    steps that do not grow with the square of a hostile text. Of the first line, the
    argument goes from the last bracket that has one to the last closing bracket;
    whatever follows that is ignored.

    Args:
        text: What the agent sent.

    Returns:
        Verb and argument, or None if the text is no action.
    """
    line = text.partition("\n")[0]
    end = line.rfind("]")
    start = line.rfind("[", 1, max(end - 1, 0))
    if start < 1:
        return None
    return line[:start], line[start + 1 : end].lower()


def search(words: str) -> str | None:
    """Write a search for a text, less the signs that the grammar or engine reads.

    Args:
        words: Any text.

    Returns:
        The action, or None if no word is left.
    """
    plain = "".join(" " if sign in "[]<>" else sign for sign in words.lower())
    kept = " ".join(plain.split())[:_LONGEST].strip()
    return f"search[{kept}]" if kept else None


def click(name: str) -> str | None:
    """Write a click on something of a page.

    Args:
        name: Its text.

    Returns:
        The action, or None if the grammar cannot say it, as with some brackets.
    """
    action = f"click[{name}]"
    return (
        action if name != "search" and read_action(action) == ("click", name) else None
    )
