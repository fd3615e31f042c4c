"""Our shop beside what the official engine answered, as `fidelity/record.py` kept it.

    python integrations/webshop/tests/parity.py --out parity.json

The official engine wants Lucene, a tagger and old packages, so its answers are a
record: rewards of random purchases, and pages, buttons, rewards and ends of random
walks, over one catalogue with human and with synthetic goals. Another record is named
by WEBSHOP_RECORD.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import sys
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from langchain_agentrm.testing._parity import Parity, options
from langchain_agentrm_webshop._session import Session, Visit
from langchain_agentrm_webshop.catalogue import Catalogue, Files, read_products
from langchain_agentrm_webshop.goals import make_goals
from langchain_agentrm_webshop.reward import reward
from langchain_agentrm_webshop.settings import Settings
from langchain_agentrm_webshop.shop import Shop

KINDS = ("human", "synthetic")
RECORD = Path(__file__).parent / "fidelity" / "record.json.gz"


def short(text: str) -> str:
    """Digest a text as the record does."""
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


@lru_cache(maxsize=1)
def record() -> dict[str, Any]:
    """Read the record."""
    path = Path(os.environ.get("WEBSHOP_RECORD", RECORD))
    return json.loads(gzip.decompress(path.read_bytes()))


class RecordedShop(Shop):
    """A shop whose search finds what was found when the record was made."""

    def __init__(self, kind: str) -> None:
        facts = record()
        human = kind == "human"
        self.settings = Settings(human=human, show_attributes=not human)
        rng = random.Random(facts["seed"])
        self.catalogue = Catalogue(read_products(Files(*facts["files"])), rng)
        self.goals = make_goals(self.catalogue, rng, human=human)
        self._nouns = lambda title: tuple(facts["nouns"][title])

    @property
    def index(self) -> Any:
        """The recorded hits."""
        return SimpleNamespace(search=lambda words: record()["hits"][words])


@lru_cache(maxsize=2)
def shop(kind: str) -> RecordedShop:
    """The shop with one kind of goals."""
    return RecordedShop(kind)


def compare_rewards(report: Parity, kind: str) -> set[tuple[float, float]]:
    """Judge each recorded purchase; return the rewards and type factors that occur."""
    facts, ours = record(), shop(kind)
    values = set()
    for i, (place, asin, price, chosen, value, *parts) in enumerate(
        facts[kind]["rewards"]
    ):
        product, goal = ours.catalogue.by_asin[asin], ours.goals[place]
        nouns = (facts["nouns"][product.name], facts["nouns"][goal.name])
        judged = reward(product, goal, price, chosen, nouns)
        shown = [
            judged.value,
            judged.type,
            judged.title,
            judged.price,
            judged.query,
            judged.category,
        ]
        report.check(f"{kind} purchase {i}", shown, [value, *parts])
        report.details["purchases"] = report.details.get("purchases", 0) + 1
        values.add((value, judged.type))
    return values


def compare_walks(report: Parity, kind: str) -> set[str]:
    """Take each recorded walk; return the kinds of pages that were seen."""
    places = set()
    for place, steps in record()[kind]["walks"]:
        session, visit = Session(shop(kind), shop(kind).goals[place]), Visit()
        where = f"{kind} goal {place}"
        report.check(f"{where} start", short(session.page(visit).text), steps[0][1])
        report.episodes += 1
        for step, (action, *shown) in enumerate(steps[1:]):
            bought = visit.reward
            visit, _ = session.act(visit, action)
            page = session.page(visit)
            ended = visit.reward is not None and visit.reward is not bought
            ours = [
                short(page.text),
                short("|".join(page.clickables)),
                visit.reward.value if ended else 0,
                ended,
            ]
            report.check(f"{where} step {step} {action[:60]!r}", ours, shown)
            report.steps += 1
            places.add(visit.place)
    return places


def new_report() -> Parity:
    """An empty record of this comparison."""
    return Parity(
        "webshop",
        "answers of the official engine, kept as a record",
        "reward and its parts of each purchase; page text, buttons, reward and end of "
        "each step of a walk",
        record()["seed"],
        {"official_tagger": record()["tagger"], "goals": list(KINDS)},
        ("thefuzz", "RapidFuzz", "bm25s"),
    )


def main() -> int:
    """Compare, and report the differences."""
    given = options()
    report = new_report()
    for kind in KINDS:
        compare_rewards(report, kind)
        compare_walks(report, kind)
    return report.finish(given.out)


if __name__ == "__main__":
    sys.exit(main())
