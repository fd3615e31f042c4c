"""Full-text search over a catalogue: BM25 with Lucene's English analysis.

The official engine uses Lucene through Java. Here `bm25s` sums the scores, over words
cut and stemmed as Lucene's English analyser does, with weights that are Lucene's to the
bit: it rounds the length of a document to one byte, and calculates in single precision.
The README says how far the two agree.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from langchain_agentrm_webshop.analysis import Analyser

__all__ = ["MOST_HITS", "SearchIndex", "rounded_length"]

MOST_HITS = 50
"""Hits of a search, at most."""

# BM25's parameters, as Anserini sets them.
_K1, _B = 0.9, 0.4

_EXACT, _DIGITS = 24, 16
_REMEMBERED = 4096


class SearchIndex:
    """An index over documents, searched by words.

    Args:
        documents: The texts, by id.
    """

    def __init__(self, documents: Mapping[str, str]) -> None:
        import bm25s  # type: ignore[import-untyped]

        self.analyser = Analyser()
        # Equal documents come in the order of their ids, as with Anserini.
        self._ids = sorted(documents)
        self._words: dict[str, int] = {}
        corpus = [
            [self._words.setdefault(term, len(self._words)) for term in terms]
            for terms in (self.analyser.terms(documents[i]) for i in self._ids)
        ]
        self._index: Any = None
        if self._words:
            self._index = bm25s.BM25(
                k1=_K1,
                b=_B,
                method="lucene",
                dtype="float64",
                backend="numpy",
                csc_backend="numpy",
            )
            self._index.index((corpus, self._words), show_progress=False)
            _weigh_as_lucene(self._index.scores, corpus)
        self._answers: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def search(self, words: str) -> tuple[str, ...]:
        """Return the ids of at most 50 documents, best first, equal ones by id.

        Args:
            words: What is looked for; a word asked for twice counts twice.

        Returns:
            Ids of documents that hold at least one of the words.
        """
        with self._lock:
            known = self._answers.get(words)
            if known is not None:
                self._answers.move_to_end(words)
                return known
        found = self._rank(self.analyser.terms(words))
        with self._lock:
            self._answers[words] = found
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return found

    def _rank(self, terms: Sequence[str]) -> tuple[str, ...]:
        import numpy as np

        known = [self._words[term] for term in terms if term in self._words]
        if not known:
            return ()
        scores = self._index.get_scores(known).astype(np.float32)
        hits = np.flatnonzero(scores)
        if len(hits) > MOST_HITS:
            # Only what reaches the fiftieth score is sorted.
            least = np.partition(scores, -MOST_HITS)[-MOST_HITS]
            hits = np.flatnonzero(scores >= least)
        best = hits[np.argsort(-scores[hits], kind="stable")][:MOST_HITS]
        return tuple(self._ids[place] for place in best.tolist())


def rounded_length(length: int) -> int:
    """Round a document's length down as Lucene does to keep it in one byte.

    Up to 40 it is exact; what is above 24 keeps four binary digits.
    """
    above = length - _EXACT
    if above < _DIGITS:
        return length
    shift = above.bit_length() - _DIGITS.bit_length() + 1
    return _EXACT + (above >> shift << shift)


def _weigh_as_lucene(scores: Any, corpus: Sequence[Sequence[int]]) -> None:
    """Replace the weight of each word in each document by Lucene's.

    Args:
        scores: The index's matrix, by word: weights, documents, and where each word's
            entries start.
        corpus: The words of each document.
    """
    import numpy as np

    size = len(corpus)
    lengths = np.array([len(words) for words in corpus])
    total = int(lengths.sum())
    filled = int((lengths > 0).sum())
    every = np.fromiter(chain.from_iterable(corpus), np.int64, total)
    entries, often = np.unique(
        every * size + np.repeat(np.arange(size), lengths), return_counts=True
    )
    words, places = entries // size, entries % size
    starts = np.searchsorted(words, np.arange(len(scores["indptr"])))
    holders = np.diff(starts)
    # From here on in single precision, and in Lucene's order of operations.
    one, k1, b = np.float32(1.0), np.float32(_K1), np.float32(_B)
    rounded = np.array([rounded_length(n) for n in lengths.tolist()], np.float32)
    inverse = one / (k1 * ((one - b) + b * rounded / np.float32(total / filled)))
    rarity = np.log(1 + (filled - holders + 0.5) / (holders + 0.5)).astype(np.float32)
    weight = rarity[words]
    data = weight - weight / (one + often.astype(np.float32) * inverse[places])
    for name, values in (("data", data), ("indices", places), ("indptr", starts)):
        scores[name] = values.astype(scores[name].dtype)
