"""Evidence from any LangChain search tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.evidence._each import SearchEach
from langchain_agentrm.reward_agent.evidence._reading import of_result
from langchain_agentrm.reward_agent.types import Passage

__all__ = ["ToolEvidence"]


class ToolEvidence(SearchEach):
    """Passages from a search tool.

    The tool may return a text, documents, a mapping with a text or with a list of hits,
    a list of those, or any of it as JSON. Its artifact, if it has one with passages in
    it, goes before its content. A hit's source is its `source`, `url`, `link`, `href`
    or the like; what names none has the tool's name. A tool that answers "nothing was
    found" in words gives these words as a passage.

    Args:
        tool: Any LangChain tool that takes a query.
        argument: Which of its arguments that is; found where the tool has a `query`, or
            only one argument that must be given.
        arguments: Further arguments, the same for every query.
        timeout: Seconds a query may take; None for no limit. In a sync search the
            thread of a late one is left behind.
        max_concurrency: Queries under way at once.

    Raises:
        ConfigurationError: If it is no tool, its query argument is not to be found, or
            a limit cannot work.

    Example:
        ```python
        from langchain_core.tools import tool

        from langchain_agentrm.reward_agent.evidence import ToolEvidence


        @tool
        def search(query: str) -> list[dict[str, str]]:
            "Search the web."
            return [{"snippet": "It opened in 1932.", "link": "https://example.org"}]


        evidence = ToolEvidence(search)
        evidence.search(["When did it open?"]).items[0][0].text  # "It opened in 1932."
        ```
    """

    def __init__(
        self,
        tool: BaseTool,
        *,
        argument: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        timeout: float | None = 30.0,
        max_concurrency: int = 8,
    ) -> None:
        """Check the options; nothing is searched."""
        given: object = tool
        if not isinstance(given, BaseTool):
            msg = f"tool is a {type(given).__name__}, not a BaseTool."
            raise ConfigurationError(
                msg, remedy="Pass a LangChain tool; @tool makes one of a function."
            )
        super().__init__(timeout=timeout, max_concurrency=max_concurrency)
        self.tool = tool
        self.arguments = dict(arguments or {})
        self.argument = _query_argument(tool, argument, self.arguments)

    def _one(self, query: str) -> Sequence[Passage]:
        return self._read(self.tool.invoke(self._call(query), self._config))

    async def _aone(self, query: str) -> Sequence[Passage]:
        return self._read(await self.tool.ainvoke(self._call(query), self._config))

    def _call(self, query: str) -> dict[str, Any]:
        # As a tool call, for only then does a tool give its artifact.
        return {
            "type": "tool_call",
            "id": "agentrm-evidence",
            "name": self.tool.name,
            "args": {**self.arguments, self.argument: query},
        }

    def _read(self, result: object) -> Sequence[Passage]:
        name = self.tool.name
        if not isinstance(result, ToolMessage):
            return of_result(result, name)
        if result.status == "error":
            msg = f"the tool {name!r} failed: {result.text}"
            raise RuntimeError(msg)
        return of_result(result.artifact, name) or of_result(result.text, name)


def _query_argument(tool: BaseTool, asked: str | None, fixed: Mapping[str, Any]) -> str:
    """Find the argument that takes the query."""
    known = tool.args
    if asked is not None:
        if asked in known:
            return asked
        msg = f"Tool {tool.name!r} has no argument {asked!r}."
        raise ConfigurationError(msg, remedy=f"It has: {', '.join(known) or 'none'}.")
    if "query" in known:
        return "query"
    needed = [
        name
        for name, schema in known.items()
        if "default" not in schema and name not in fixed
    ]
    if len(needed) == 1:
        return needed[0]
    msg = f"Which argument of tool {tool.name!r} takes the query is not clear."
    raise ConfigurationError(
        msg, remedy=f"Name it: argument= one of {', '.join(known) or 'none'}."
    )
