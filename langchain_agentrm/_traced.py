"""What the selector's own run records: a node's `TracePolicy` reaches no child run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.types import TracePolicy

__all__ = ["Recorded"]


class Recorded:
    """One call of a runnable whose trace shows less than what goes in and out.

    Args:
        policy: What the run records in place of input and output; None for both whole.
        given: The call's input.
    """

    def __init__(self, policy: TracePolicy | None, given: Any) -> None:
        self._given = given
        self._hide_in = policy.process_inputs if policy else None
        self._hide_out = policy.process_outputs if policy else None
        self.shown = self._hide_in(given) if self._hide_in else given
        self.result: Any = None

    def sync(self, function: Callable[[Any, RunnableConfig], Any]) -> Any:
        """Wrap a function: it gets the real input, the run the output to record."""

        def run(shown: Any, config: RunnableConfig) -> Any:
            del shown
            return self._keep(function(self._given, config))

        return run

    def asynchronous(
        self, function: Callable[[Any, RunnableConfig], Awaitable[Any]]
    ) -> Any:
        """Async twin of `sync`."""

        async def run(shown: Any, config: RunnableConfig) -> Any:
            del shown
            return self._keep(await function(self._given, config))

        return run

    def _keep(self, result: Any) -> Any:
        self.result = result
        return self._hide_out(result) if self._hide_out else result
