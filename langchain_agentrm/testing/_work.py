"""Work counted in calls: what code costs, told alike by a busy and an idle machine."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Given = ParamSpec("Given")
Result = TypeVar("Result")


def counted(
    work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> tuple[Result, int]:
    """Runs some work and counts the calls it makes, of Python and of C functions.

    A stopwatch in a test fails where the machine is busy. The number of calls does not
    depend on it, and still grows when a copy or a search is made for each object.

    Args:
        work: What is counted. Calls in other threads are not.
        *args: What it is called with.
        **kwargs: What it is called with, by name.

    Returns:
        What the work returned, and the number of calls.

    Raises:
        Exception: Whatever the work raises; the profiler before it is set again.
    """
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        del frame, arg
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        result = work(*args, **kwargs)
    finally:
        sys.setprofile(before)
    return result, calls
