"""Record what the official engine answers, as facts for `test_fidelity.py`.

    python record.py CHECKOUT OUT.json.gz --spacy MODEL

CHECKOUT is a clone of WebShop's repository. Needed beside this package: flask, gym,
beautifulsoup4, rich, tqdm and spaCy with a model. Lucene, torch and the browser are
replaced: search answers from this package's index, and each query's hits are recorded,
so that the check needs no index. The catalogue is a generated one, made worse on
purpose, so that nothing of the official data is in the record.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import hashlib
import importlib
import json
import random
import sys
import tempfile
import types
from pathlib import Path

from langchain_agentrm_webshop.catalogue import Files, read_products
from langchain_agentrm_webshop.generate import generate
from langchain_agentrm_webshop.search import SearchIndex

ODD_VALUES = (
    ["next >", "< prev"],
    ["buy now", "description"],
    ["attributes", "search", "back to search"],
    ["Washed Black/Grey", "x-large / tall"],
    ['6" x 8"', "men's <b>bold</b> & co", "caf\u00e9 cr\u00e8me"],
    ["[small]", "a[b]c", "\u00bd inch"],
    ["small", "small"],
    ["item_page", "search_results"],
)


def short(text):
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def worsen(files, rng, count):
    """Take some products, and make many of them odd in ways that occur."""
    products = copy.deepcopy([dict(p) for p in files.products[:count]])
    asins = [p["asin"] for p in products]
    attributes = {a: copy.deepcopy(files.attributes[a]) for a in asins}
    human = {a: copy.deepcopy(files.human[a]) for a in asins if a in files.human}
    changes = (
        lambda p: p.update(full_description=""),
        lambda p: p.update(full_description=" "),
        lambda p: p.update(full_description="\n  \n"),
        lambda p: p.update(
            full_description="  It's <b>bold</b> &amp; \u201cnew\u201d\n"
        ),
        lambda p: p.update(small_description="just one line"),
        lambda p: p.update(small_description=["", " ", "\n", "Ends here. ", "\t"]),
        lambda p: p.update(small_description=['Soft & "warm"', "<i>light</i>"]),
        lambda p: p.update(pricing="$1,234.50"),
        lambda p: p.update(pricing="$5.5$20.1"),
        lambda p: p.update(pricing="$5.50 - $20.10 - $30"),
        lambda p: p.update(pricing=None),
        lambda p: p.update(pricing="$975.00"),
        lambda p: p.update(pricing="$985.00"),
        lambda p: p.update(customization_options=None),
        lambda p: p.update(customization_options={}),
        lambda p: p["customization_options"].update(Style=None),
        lambda p: p["customization_options"].update(
            {"Odd Name's": [{"value": v} for v in rng.choice(ODD_VALUES)]}
        ),
        lambda p: p["customization_options"].update(
            {"Style": [{"value": v, "image": "x"} for v in rng.choice(ODD_VALUES)]}
        ),
        lambda p: p.update(name="  " + p["name"].upper() + "  "),
        lambda p: p.update(name="For the of and"),
        lambda p: p.update(
            name=f"{p['name']} with Mug Spoon Plate Fork Knife Bowl Glass Jar Lid Tray"
        ),
        lambda p: p.update(name='A&B\'s "best" <new> Caf\u00e9 mug \u2014 2 pcs.'),
        lambda p: p.update(query="  " + p["query"].title() + " "),
        lambda p: p.update(product_category="Home \u203a Home \u203a Things"),
        lambda p: attributes[p["asin"]].pop("attributes"),
        lambda p: attributes[p["asin"]].update(attributes=["machine washable", "red"]),
        lambda p: attributes[p["asin"]].update(instruction=None),
        lambda p: human.pop(p["asin"]),
        lambda p: human[p["asin"]][0].update(instruction_attributes=[]),
        lambda p: human[p["asin"]][0].update(instruction_options=[]),
        lambda p: human[p["asin"]][1].update(
            instruction_options=["dark wash", "washed blue", "large", "men's"]
        ),
        lambda p: human[p["asin"]][1].update(instruction="...i'd like <it> & more.."),
    )
    for i, product in enumerate(products):
        if i % 2:
            for change in rng.sample(changes, 2):
                try:
                    change(product)
                except (KeyError, AttributeError):
                    continue
    products.insert(9, {**products[3], "name": "seen before"})
    products.insert(20, {**products[5], "asin": "nan"})
    products.insert(30, {**products[6], "asin": "B000LONGERTHANTEN"})
    return Files(products, attributes, human)


def stand_in(name, **content):
    module = types.ModuleType(name)
    module.__dict__.update(content)
    module.__path__ = []
    sys.modules[name] = module
    return module


class Lucene:
    """Search by this package's index; remembers what it was asked."""

    index = None
    asked: dict = {}  # noqa: RUF012 - one record for the whole run

    def __init__(self, path):
        del path

    def search(self, words, k):
        found = self.index.search(words)[:k]
        self.asked[words] = found
        return [types.SimpleNamespace(docid=asin) for asin in found]

    def doc(self, asin):
        return types.SimpleNamespace(raw=lambda: json.dumps({"id": asin}))


def official(checkout, folder, model):
    """Import the official engine with stand-ins for what it does not need here."""
    sys.path.insert(0, str(checkout))
    for name in ("torch", "cleantext", "pyserini", "pyserini.search"):
        stand_in(name)
    stand_in("rank_bm25", BM25Okapi=None)
    stand_in("pyserini.search.lucene", LuceneSearcher=Lucene)
    stand_in("gym", Env=object)
    spacy = importlib.import_module("spacy")
    parse = spacy.load(model)
    known = {}

    def remembered(text):
        if text not in known:
            known[text] = parse(text)
        return known[text]

    spacy.load = lambda name: remembered
    # The package of environments imports a browser; only its text module is wanted.
    envs = stand_in("web_agent_site.envs")
    envs.__path__ = [str(checkout / "web_agent_site" / "envs")]
    utils = importlib.import_module("web_agent_site.utils")
    utils.DEFAULT_FILE_PATH = str(folder / "items_shuffle_1000.json")
    utils.DEFAULT_ATTR_PATH = str(folder / "items_ins_v2_1000.json")
    utils.HUMAN_ATTR_PATH = str(folder / "items_human_ins.json")
    text = importlib.import_module("web_agent_site.envs.web_agent_text_env")
    judge = importlib.import_module("web_agent_site.engine.goal").get_reward
    meta = f"spaCy {spacy.__version__}, {parse.meta['name']} {parse.meta['version']}"
    return text, judge, remembered, meta


def purchase(rng, products, goals, judge, prices):
    place = rng.randrange(len(goals))
    goal = goals[place]
    alike = [p for p in products if p["query"] == goal["query"]]
    product = rng.choice(alike if rng.random() < 0.7 else products)
    wanted = goal["goal_options"]
    wanted = list(wanted.values()) if isinstance(wanted, dict) else list(wanted)
    options = {}
    for name, values in product["options"].items():
        pool = [v for v in values if v in wanted] or values
        if pool and rng.random() < 0.8:
            options[name] = rng.choice(pool if rng.random() < 0.7 else values)
    if wanted and rng.random() < 0.1:
        options["other"] = rng.choice(wanted) + rng.choice(["", " pack", "s"])
    price = rng.choice([prices[product["asin"]], round(rng.uniform(1, 200), 2)])
    value, parts = judge(product, goal, price=price, options=options, verbose=True)
    facts = [parts["r_type"], parts["title_score"], parts["r_price"]]
    facts += [parts["query_match"], parts["category_match"]]
    return [place, product["asin"], price, options, value, *facts]


def choose(rng, clickables, words):
    chance = rng.random()
    if chance < 0.62 and clickables:
        name = rng.choice(clickables)
        if name == "buy now" and rng.random() < 0.7:
            name = rng.choice(clickables)
        return f"click[{rng.choice([name, name, name.upper()])}]"
    if chance < 0.84:
        return f"search[{' '.join(rng.sample(words, rng.randint(1, 4)))}]"
    return rng.choice(
        [
            "", "search", "search[]", "search[ ]", "click[]", "click[search]",
            "Search[shoes]", " click[next >]", "click[ next >]", "click[next >] ok",
            "click[buy now]", "click[Back to Search]", "click[< Prev]",
            "search[red]shoes] and [blue]", "think[what now]", "click[B000000000]",
            "search[<q> area rug]", "search[<c> fashion]", "search[<q>]",
            "search[search_results face]", "search[item_page shoes]", "search[done]",
            "{{{}}}", "search[\u6253\u5f00]", "click[description]\nclick[buy now]",
            "search[a\nb]", "search[it's 3.5 o'clock]", "x" * 300,
        ]
    )  # fmt: skip


def walk(rng, env, place, words, steps):
    env.reset(session=place)
    out = [[None, short(env.observation)]]
    for _ in range(steps):
        clickables = env.get_available_actions()["clickables"]
        action = choose(rng, clickables, words)
        text, reward, done, _ = env.step(action)
        names = "|".join(env.get_available_actions()["clickables"])
        out.append([action, short(text), short(names), reward, done])
    return [place, out]


def describe(goals):
    return [
        [short(g["instruction_text"]), g["price_upper"], g["asin"], g["weight"]]
        for g in goals
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--spacy", default="en_core_web_sm")
    parser.add_argument("--products", type=int, default=150)
    parser.add_argument("--pairs", type=int, default=1200, help="of each goal kind")
    parser.add_argument("--walks", type=int, default=100, help="of each goal kind")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    files = worsen(generate(given.seed), rng, given.products)
    folder = Path(tempfile.mkdtemp())
    files.write(folder)
    text, judge, parse, tagger = official(given.checkout, folder, given.spacy)
    documents = {p.asin: p.document for p in read_products(files)}
    Lucene.index = SearchIndex(documents)
    words = sorted({w for document in documents.values() for w in document.split()})
    record = {"tagger": tagger, "seed": given.seed, "files": vars_of(files)}
    for kind in ("human", "synthetic"):
        random.seed(given.seed)
        env = text.WebAgentTextEnv(
            observation_mode="text",
            human_goals=kind == "human",
            show_attrs=kind == "synthetic",
            file_path=str(folder / "items_shuffle_1000.json"),
        )
        server = env.server
        server.user_sessions.clear()
        places = rng.choices(range(len(server.goals)), k=given.walks)
        record[kind] = {
            "prices": server.product_prices,
            "goals": describe(server.goals),
            "rewards": [
                purchase(
                    rng, server.all_products, server.goals, judge, server.product_prices
                )
                for _ in range(given.pairs)
            ],
            "walks": [walk(rng, env, place, words, given.steps) for place in places],
        }
        titles = sorted({p["name"] for p in server.all_products})
        record["nouns"] = {
            title: [t.text.lower() for t in parse(title) if t.pos_ in {"NOUN", "PROPN"}]
            for title in titles
        }
    record["hits"] = Lucene.asked
    plain = json.dumps(record, separators=(",", ":")).encode()
    given.out.write_bytes(gzip.compress(plain, mtime=0))
    print(f"{given.out}: {given.out.stat().st_size} bytes, nouns by {tagger}")


def vars_of(files):
    return [files.products, files.attributes, files.human]


if __name__ == "__main__":
    main()
