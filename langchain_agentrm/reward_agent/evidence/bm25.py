"""Evidence from files on disk, ranked by BM25."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.reward_agent.evidence._files import read_passages
from langchain_agentrm.reward_agent.types import Passage
from langchain_agentrm.types import Batch

__all__ = ["BM25Evidence"]

# One letter and one digit are words too: facts are full of figures.
_WORD = r"(?u)\b\w+\b"


class BM25Evidence:
    """Passages from a folder of texts or a `.jsonl` file, found by their words.

    Texts are read and indexed once, when this is made, and stay in memory. A folder's
    `.txt`, `.md`, `.rst` and `.jsonl` files are read at any depth. A `.jsonl` row is an
    object with a `text` (or `content`, `contents`, `page_content`, `body`) and perhaps
    a `source` (or `url`, `link`, `id`, `title`). All else has `file:line` as its
    source. Needs the extra `bm25`.

    Words are what stands between blanks and punctuation, in lower case, common English
    ones left out and the others cut to their stems; equal scores come in the order of
    the files. Languages written without blanks need a retriever of their own.

    Args:
        path: The folder or file.
        k: Passages for a query, at most; those that share no word with it never come.
        passage_chars: Longest passage, in characters; a text is split at paragraphs,
            then lines, then sentences, then words.
        language: Stemmer and stop words: a Snowball name, such as `"english"` or
            `"german"`; None for whole words and no stop words.

    Raises:
        ConfigurationError: If the extra is missing, an option cannot work, or a file
            cannot be read.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory

        from langchain_agentrm.reward_agent.evidence import BM25Evidence

        with TemporaryDirectory() as folder:
            Path(folder, "bridge.txt").write_text("The bridge opened in 1932.")
            Path(folder, "tower.txt").write_text("The tower is 324 m high.")
            evidence = BM25Evidence(folder)
        evidence.search(["opening of the bridge"]).items[0][0].source  # "bridge.txt:1"
        ```
    """

    def __init__(
        self,
        path: str | Path,
        *,
        k: int = 5,
        passage_chars: int = 800,
        language: str | None = "english",
    ) -> None:
        """Read the files and index them."""
        for name, value in (("k", k), ("passage_chars", passage_chars)):
            if value < 1:
                msg = f"{name}={value!r} is not a positive number."
                raise ConfigurationError(msg, remedy=f"Give {name} of at least 1.")
        self.path = Path(path)
        self.k = k
        self.passage_chars = passage_chars
        self.language = language
        self._bm25s, self._stemmers = _libraries()
        self._stop_words = self._check_language()
        self._passages = read_passages(self.path, _splitter(passage_chars))
        words = self._words([p.text for p in self._passages])
        numbers: dict[str, int] = {}
        corpus = [[numbers.setdefault(w, len(numbers)) for w in row] for row in words]
        self._numbers = numbers
        self._index: Any = None
        if numbers:
            self._index = self._bm25s.BM25(backend="numpy", csc_backend="numpy")
            self._index.index((corpus, dict(numbers)), show_progress=False)

    def __len__(self) -> int:
        """How many passages are indexed."""
        return len(self._passages)

    def search(self, queries: Sequence[str]) -> Batch[Sequence[Passage] | Exception]:
        """Search.

        Args:
            queries: What is to be found.

        Returns:
            For each query its passages, best first.
        """
        return Batch([self._one(query) for query in queries])

    async def asearch(
        self, queries: Sequence[str]
    ) -> Batch[Sequence[Passage] | Exception]:
        """Async twin of `search`, in a thread."""
        return await asyncio.to_thread(self.search, queries)

    def _one(self, query: str) -> Sequence[Passage]:
        import numpy as np

        known = [
            self._numbers[w] for w in self._words([query])[0] if w in self._numbers
        ]
        if not known:
            return []
        scores = self._index.get_scores(known)
        best = np.argsort(-scores, kind="stable")[: self.k]
        return [self._passages[i] for i in best.tolist() if scores[i] > 0]

    def _check_language(self) -> Sequence[str]:
        """Look up the stop words; a language without a list has none."""
        known = self._stemmers.algorithms()
        if self.language is not None and self.language not in known:
            msg = f"There is no stemmer for language={self.language!r}."
            raise ConfigurationError(
                msg, remedy=f"Use one of {', '.join(known)}, or None."
            )
        name = "EN_PLUS" if self.language == "english" else str(self.language).upper()
        words: Sequence[str] = getattr(self._bm25s.stopwords, f"STOPWORDS_{name}", ())
        return words

    def _words(self, texts: list[str]) -> list[list[str]]:
        found: list[list[str]] = self._bm25s.tokenize(
            texts,
            token_pattern=_WORD,
            stopwords=self._stop_words,
            # One a call: a stemmer must not be shared between threads.
            stemmer=self._stemmers.Stemmer(self.language) if self.language else None,
            return_ids=False,
            show_progress=False,
        )
        return found


def _libraries() -> tuple[Any, Any]:
    """Load what ranks and what stems."""
    try:
        import bm25s  # type: ignore[import-untyped]
        import langchain_text_splitters  # noqa: F401
        import Stemmer  # type: ignore[import-not-found]
    except ImportError as error:
        msg = f"BM25Evidence needs {error.name}, which is not installed."
        raise ConfigurationError(
            msg, remedy="Run: pip install 'langchain-agentrm[bm25]'"
        ) from error
    return bm25s, Stemmer


def _splitter(passage_chars: int) -> Any:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        ["\n\n", "\n", ". ", " ", ""],
        keep_separator="end",
        chunk_size=passage_chars,
        chunk_overlap=0,
        add_start_index=True,
    )

    def split(text: str) -> Iterator[tuple[str, int]]:
        for part in splitter.create_documents([text]):
            yield part.page_content, part.metadata["start_index"]

    return split
