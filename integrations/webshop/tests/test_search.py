"""The index against a plain BM25 of our own, and the words against Lucene's rules."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest

from langchain_agentrm_webshop import factory
from langchain_agentrm_webshop.analysis import Analyser
from langchain_agentrm_webshop.search import MOST_HITS, SearchIndex, rounded_length

LUCENE = Path(__file__).parent / "fidelity" / "lucene.json.gz"


def numbered(*texts):
    return {f"D{i:03d}": text for i, text in enumerate(texts)}


def places(found):
    return tuple(int(name[1:]) for name in found)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The Running Shoes", ["run", "shoe"]),
        ("women's dress", ["women", "dress"]),
        ("WOMEN\u2019S", ["women"]),
        ("don't", ["don't"]),
        ("1,234.5 ft", ["1,234.5", "ft"]),
        ("u.s.a. e.g.", ["u.s.a", "e.g"]),
        ("6.5 wide, 5.x a.5", ["6.5", "wide", "5", "x", "5"]),
        ("x-large t-shirt", ["x", "larg", "t", "shirt"]),
        ("color: red | color:red", ["color", "red", "color:r"]),
        ("ponies caresses relational", ["poni", "caress", "relat"]),
        ("will it be not of such", []),
        ("", []),
        (" \t\n", []),
        ("\u6253\u5f00 1.8\u7c73", ["\u6253", "\u5f00", "1.8", "\u7c73"]),
        ("\u2122brand x\u00b2 \u00bd", ["\u2122", "brand", "x"]),
        ("soft\u00adhyphen e\u0301clair", ["soft\u00adhyphen", "e\u0301clair"]),
        ("us xs 6s buses", ["us", "xs", "6s", "buse"]),
        ("assembly assemblies incredibly fly", ["assembl", "assembl", "incred", "fly"]),
        ("technology dermatologys trekking", ["technolog", "dermatolog", "trek"]),
        ("z" * 300, ["z" * 255, "z" * 45]),
    ],
)
def test_terms(text, terms) -> None:
    assert Analyser().terms(text) == terms


def plain_bm25(documents, terms):
    """Rank by the formula itself, one document after another."""
    counts = [Counter(document) for document in documents]
    holders = Counter(term for count in counts for term in count)
    lengths = [len(document) for document in documents]
    mean = sum(lengths) / len(lengths)
    scores = []
    for count, length in zip(counts, lengths, strict=True):
        score = 0.0
        for term in terms:
            containing = holders[term]
            weight = math.log(
                1 + (len(documents) - containing + 0.5) / (containing + 0.5)
            )
            often = count[term]
            score += weight * often / (often + 0.9 * (1 - 0.4 + 0.4 * length / mean))
        scores.append(score)
    return scores


def test_ranking_is_that_of_plain_bm25() -> None:
    # Of short documents, Lucene keeps the exact length.
    shop = factory.shop
    terms = Analyser().terms
    short = [p for p in shop.catalogue.products if len(terms(p.document)) <= 40]
    texts = {p.asin: p.document for p in short[:200]}
    index = SearchIndex(texts)
    documents = [index.analyser.terms(text) for text in texts.values()]
    assert len(documents) == 200
    rng = random.Random(0)
    words = sorted({word for text in texts.values() for word in text.split()})
    queries = [g.instruction.lower() for g in rng.sample(shop.goals, 25)]
    queries += [" ".join(rng.choices(words, k=rng.randint(1, 5))) for _ in range(25)]
    for query in queries:
        scores = plain_bm25(documents, index.analyser.terms(query))
        by_id = dict(zip(texts, scores, strict=True))
        wanted = sorted((s for s in scores if s > 0), reverse=True)[:MOST_HITS]
        found = [by_id[asin] for asin in index.search(query)]
        assert found == pytest.approx(wanted, rel=1e-5)


def test_ranking_is_that_of_lucene() -> None:
    facts = json.loads(gzip.decompress(LUCENE.read_bytes()))
    index = SearchIndex(facts["documents"])
    assert max(len(text.split()) for text in facts["documents"].values()) > 200
    for query, hits in facts["searches"]:
        assert list(index.search(query)) == hits, query
    assert sum(len(hits) == 50 for _, hits in facts["searches"]) > 50
    assert len(facts["searches"]) > 200


@pytest.mark.parametrize(
    ("length", "kept"),
    [(0, 0), (24, 24), (39, 39), (40, 40), (41, 40), (55, 54), (57, 56), (300, 280)],
)
def test_lengths_are_rounded_down(length, kept) -> None:
    assert rounded_length(length) == kept
    assert rounded_length(kept) == kept


def test_words_that_nothing_holds_find_nothing() -> None:
    index = SearchIndex(numbered("red shoes", "blue shoes", "the of"))
    assert places(index.search("xyzzy")) == ()
    assert places(index.search("")) == ()
    assert places(index.search("the")) == ()
    assert places(index.search("xyzzy blue")) == (1,)
    assert places(index.search("shoe")) == (0, 1)
    assert places(index.search("shoe blue")) == (1, 0)


def test_a_word_asked_twice_counts_twice() -> None:
    index = SearchIndex(numbered("red apple", "blue pear", "green fig"))
    assert places(index.search("red blue")) == (0, 1)
    assert places(index.search("red blue blue")) == (1, 0)


def test_at_most_fifty_and_equal_ones_in_order() -> None:
    index = SearchIndex(numbered(*["same words"] * 70, "same words words"))
    assert places(index.search("words")) == (70, *range(49))


def test_documents_without_words() -> None:
    assert places(SearchIndex(numbered()).search("a red shoe")) == ()
    assert places(SearchIndex(numbered("", "the")).search("a red shoe")) == ()
    assert places(SearchIndex(numbered("", "red")).search("red")) == (1,)


def test_what_was_forgotten_is_found_again(monkeypatch) -> None:
    monkeypatch.setattr("langchain_agentrm_webshop.search._REMEMBERED", 1)
    index = SearchIndex(numbered("red shoes", "blue shoes"))
    assert places(index.search("red")) == (0,)
    assert places(index.search("blue")) == (1,)
    assert places(index.search("red")) == (0,)
    assert len(index._answers) == 1
