"""Evidence from any LangChain retriever."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.evidence._each import SearchEach
from langchain_agentrm.reward_agent.evidence._reading import of_document
from langchain_agentrm.reward_agent.types import Passage

__all__ = ["RetrieverEvidence"]


class RetrieverEvidence(SearchEach):
    """Passages from a retriever, one for each document that it returns.

    A passage's source is the document's `source`, `url`, `link`, `file_path`, `path`,
    `id` or `title`, whichever its metadata has first; else the document's id, else the
    retriever's name.

    Args:
        retriever: Any LangChain retriever; how many documents it returns is its affair.
        timeout: Seconds a query may take; None for no limit. In a sync search the
            thread of a late one is left behind.
        max_concurrency: Queries under way at once.

    Raises:
        ConfigurationError: If it is no retriever, or a limit cannot work.

    Example:
        ```python
        from langchain_core.documents import Document
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_core.vectorstores import InMemoryVectorStore

        from langchain_agentrm.reward_agent.evidence import RetrieverEvidence

        store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
        store.add_documents([Document("It opened in 1932.", metadata={"source": "a"})])
        evidence = RetrieverEvidence(store.as_retriever())
        evidence.search(["When did it open?"]).items[0][0].source  # "a"
        ```
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        *,
        timeout: float | None = 30.0,
        max_concurrency: int = 8,
    ) -> None:
        """Check the options; nothing is searched."""
        given: object = retriever
        if not isinstance(given, BaseRetriever):
            msg = f"retriever is a {type(given).__name__}, not a BaseRetriever."
            raise ConfigurationError(
                msg, remedy="Pass a retriever, such as vector_store.as_retriever()."
            )
        super().__init__(timeout=timeout, max_concurrency=max_concurrency)
        self.retriever = retriever

    def _one(self, query: str) -> Sequence[Passage]:
        return self._read(self.retriever.invoke(query, self._config))

    async def _aone(self, query: str) -> Sequence[Passage]:
        return self._read(await self.retriever.ainvoke(query, self._config))

    def _read(self, documents: Sequence[Document]) -> Sequence[Passage]:
        name = self.retriever.get_name()
        return [p for d in documents for p in of_document(d, name)]
