"""Calls of parts that may fail, as effects: a failure is an answer too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from langchain_agentrm._asking import Effect, adrive, drive
from langchain_agentrm.errors import ConfigurationError

__all__ = ["Call", "Steps", "told"]


@dataclass(frozen=True, slots=True)
class Call:
    """Call a part; the answer is what it returns, or the exception that it raised.

    Attributes:
        sync: The call.
        twin: The same call, to be awaited.
        gate: Limits how many are awaited at once.
    """

    sync: Callable[[], Any]
    twin: Callable[[], Awaitable[Any]]
    gate: AbstractAsyncContextManager[Any] = field(default_factory=nullcontext)

    def run(self) -> Any:
        """Call now."""
        try:
            return self.sync()
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - other signals go on
            return error

    async def arun(self) -> Any:
        """Call on the running loop."""
        try:
            async with self.gate:
                return await self.twin()
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - other signals go on
            return error


@dataclass(frozen=True, slots=True)
class Steps:
    """Several effects, one after the other, as one; its answer is what they return."""

    make: Callable[[], Generator[Effect, Any, Any]]

    def run(self) -> Any:
        """Drive them now."""
        return drive(self.make())

    async def arun(self) -> Any:
        """Drive them on the running loop."""
        return await adrive(self.make())


def told(error: BaseException) -> str:
    """Write an exception in one line, its type first."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
