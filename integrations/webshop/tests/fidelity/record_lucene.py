"""Record what Lucene finds, through Anserini's commands, for `test_search.py`.

    python record_lucene.py ANSERINI.jar OUT.json.gz

The jar is the one inside the `pyserini` package (1.6.0 needs Java 21 or newer). The
documents are those of the generated catalogue, joined to others so that many are long,
with odd words among them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

from langchain_agentrm_webshop.catalogue import read_products
from langchain_agentrm_webshop.generate import generate

ODD_WORDS = """
don't men's L'Or\u00e9al 3.5mm 1,000 t-shirt e.g. U.S.A. a:b x_y O'Neil's caf\u00e9
5'10 \u00bd 100% C++ AT&T 12v/24v size:large foo.bar 3.a a.3 1;2 it\u2019s \u6253\u5f00
\u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 Stra\u00dfe \ufb01ne x\u00b2 \u2122brand #tag
soft\u00adhyphen e\u0301clair cats\u2019 generously flies dying sky assembly incredibly
technologies trekking us news buses xs 6s
"""
ODD = ODD_WORDS.split()


def write_documents(rng, folder):
    texts = [p.document for p in read_products(generate(0))]
    documents = {}
    for i in range(500):
        parts = " ".join(rng.sample(texts, rng.choice((1, 1, 1, 2, 3, 5, 8)))).split()
        words = parts[: rng.randint(10, len(parts))]
        for _ in range(rng.randint(0, 5)):
            words.insert(rng.randint(0, len(words)), rng.choice(ODD))
        documents[f"D{rng.randrange(10**6):06d}{i:03d}"] = " ".join(words).lower()
    folder.mkdir()
    lines = [json.dumps({"id": k, "contents": v}) for k, v in documents.items()]
    (folder / "documents.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return documents


def make_queries(rng, documents):
    words = sorted({word for text in documents.values() for word in text.split()})
    out = [" ".join(rng.choices(words, k=rng.randint(1, 6))) for _ in range(100)]
    texts = list(documents.values())
    out += [
        " ".join(rng.choice(texts).split()[: rng.randint(3, 20)]) for _ in range(60)
    ]
    return [*out, *(word.lower() for word in ODD)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("jar", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--java", default="java")
    given = parser.parse_args()
    rng = random.Random(0)
    work = Path(tempfile.mkdtemp())
    documents = write_documents(rng, work / "documents")
    queries = make_queries(rng, documents)
    lines = [f"{i}\t{query}\n" for i, query in enumerate(queries)]
    (work / "queries.tsv").write_text("".join(lines), encoding="utf-8")
    java = [given.java, "-cp", str(given.jar), "--add-modules", "jdk.incubator.vector"]
    subprocess.run(
        [
            *java, "io.anserini.index.IndexCollection", "-collection", "JsonCollection",
            "-input", work / "documents", "-index", work / "index", "-generator",
            "DefaultLuceneDocumentGenerator", "-threads", "1",
        ],
        check=True,
    )  # fmt: skip
    subprocess.run(
        [
            *java, "io.anserini.search.SearchCollection", "-index", work / "index",
            "-topics", work / "queries.tsv", "-topicReader", "TsvString", "-bm25",
            "-bm25.k1", "0.9", "-bm25.b", "0.4", "-hits", "50", "-output", work / "run",
            "-threads", "1",
        ],
        check=True,
    )  # fmt: skip
    hits = defaultdict(list)
    for line in (work / "run").read_text(encoding="utf-8").splitlines():
        query, _, document, *_ = line.split()
        hits[int(query)].append(document)
    record = {
        "documents": documents,
        "searches": [[query, hits[i]] for i, query in enumerate(queries)],
    }
    plain = json.dumps(record, separators=(",", ":")).encode()
    given.out.write_bytes(gzip.compress(plain, mtime=0))
    print(f"{given.out}: {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
