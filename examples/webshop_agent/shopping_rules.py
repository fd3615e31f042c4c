"""A reward model of rules for WebShop; it reads what a shopper can read.

It follows the pages of a trajectory, keeps book of the product that is open and of what
was chosen, supposes that the last action works, and estimates what the purchase will be
worth. What was not looked up yet counts by part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from langchain_agentrm import Trajectory

__all__ = ["rate"]

LIMIT = 10
NAMES = {"color", "size", "style"}
FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a am an and buy can color find for get has have i in is it like looking me "
        "need of should size style that the to want with would you",
    )
)
SEARCH = re.compile(r"search\[(.*)\]", re.IGNORECASE)
CLICK = re.compile(r"click\[(.*)\]", re.IGNORECASE)
CODE = re.compile(r"b[0-9a-z]{9}")
MONEY = re.compile(r"\$([\d.,]+)")
LIMITED = re.compile(r"(?:and )?price lower than ([\d.]+) dollars")
CHOICES = re.compile(r"in ([\w -]+) color|(?:size|style) ([^,]+)")
KIND = re.compile(r"(.+?)(?: with | that has |, |$)")
UNSEEN, UNCHOSEN = 0.4, 0.7


@dataclass
class Product:
    """What is known of a product; `options` are the values to choose from."""

    title: str
    price: str
    options: list[str] = field(default_factory=list)
    text: str = ""
    detailed: bool = False


@dataclass
class Visit:
    """What was seen and done."""

    wish: str
    products: dict[str, Product] = field(default_factory=dict)
    query: str = ""
    code: str = ""
    asked: bool = False
    aside: bool = False
    chosen: set[str] = field(default_factory=set)
    wrong: int = 0
    bought: bool = False


def rate(trajectories: list[Trajectory]) -> list[float]:
    """Score trajectories: about what a purchase on this way will earn, 0 to 1."""
    return [_rate(t) for t in trajectories]


def _rate(trajectory: Trajectory) -> float:
    first = f"{trajectory.goal}\n{trajectory.turns[0].observation}"
    visit = Visit(wish=first.partition("\n")[0].lower())
    turns = trajectory.turns
    for turn, after in pairwise(turns):
        suppose(visit, _plain(turn.action))
        read(visit, after.observation)
    did = suppose(visit, _plain(turns[-1].action))
    if len(turns) >= LIMIT and not visit.bought:
        return 0.0
    return value(visit) - (0.0 if did else 0.02)


def _plain(action: str) -> str:
    return action.rpartition("Action:")[2].strip().partition("\n")[0].lower()


def read(visit: Visit, observation: str) -> None:
    """Take in a page."""
    page = observation.partition("\n\nPossible actions")[0]
    parts = [part.strip() for part in page.split("[SEP]")]
    for code, title, price in zip(parts, parts[1:], parts[2:], strict=False):
        if CODE.fullmatch(code.lower()) and price.startswith("$"):
            visit.products.setdefault(code.lower(), Product(title, price))
    product = visit.products.get(visit.code)
    if product is None:
        return
    if "Buy Now" in parts:
        prices = [i for i, part in enumerate(parts) if part.startswith("Price:")]
        begin = parts.index("< Prev") + 1
        options = parts[begin : prices[0] - 1] if prices else []
        product.options = [o.lower() for o in options if o.lower() not in NAMES]
        visit.aside = False
    elif visit.asked and "< Prev" in parts:
        product.text = " ".join(parts[parts.index("< Prev") + 1 :])
        product.detailed, visit.aside = True, True


def suppose(visit: Visit, action: str) -> bool:
    """Carry out an action in mind; whether it helps."""
    visit.asked = False
    if search := SEARCH.fullmatch(action):
        again, visit.query = bool(visit.query), search[1]
        leave(visit, "")
        return not again
    clicked = CLICK.fullmatch(action)
    what = clicked[1].strip() if clicked else ""
    product = visit.products.get(visit.code)
    if CODE.fullmatch(what):
        leave(visit, what)
        return True
    if what == "back to search" or (what == "< prev" and not visit.aside):
        leave(visit, "")
        return False
    return product is not None and press(visit, product, what)


def leave(visit: Visit, code: str) -> None:
    """Go to another product, or to none; choices are lost."""
    visit.code, visit.chosen, visit.aside, visit.wrong = code, set(), False, 0


def press(visit: Visit, product: Product, what: str) -> bool:
    """Press a button of a product's page; whether it helps."""
    helps = True
    if what == "< prev":
        visit.aside = False
    elif what == "buy now":
        visit.bought = True
    elif what == "features":
        helps = visit.asked = not product.detailed
        visit.aside = product.detailed
    elif what in product.options and _wished(visit.wish, what):
        helps = what not in visit.chosen
        visit.chosen.add(what)
    else:
        visit.wrong += what in product.options
        helps = False
    return helps


def value(visit: Visit) -> float:
    """Estimate what a purchase on this way will be worth."""
    product = visit.products.get(visit.code)
    choices = [a or b for a, b in CHOICES.findall(visit.wish)]
    wanted = _wanted(visit.wish, choices)
    kind = _kind(visit.wish)
    if product is None:
        asked = set(_words(visit.query))
        named = len(asked & set(wanted)) / max(1, len(wanted))
        of_kind = len(asked & set(kind)) / max(1, len(kind))
        return 0.1 * named + 0.2 * of_kind - 0.01 * len(asked - set(wanted))
    if product.options:
        # Free wording: whatever is offered and stands in the wish.
        choices += [o for o in product.options if _wished(visit.wish, o)]
    choices = list(dict.fromkeys(choices))
    known = set(_words(product.title + " " + product.text))
    missing = 0.0 if product.detailed or visit.bought else UNSEEN
    points = sum(1.0 if w in known else missing for w in wanted)
    for choice in choices:
        offered = not product.options or choice in product.options
        hope = UNCHOSEN if offered and not visit.bought else 0.0
        points += 2.0 if choice in visit.chosen else 2.0 * hope
    points += 2.0 * _affordable(visit.wish, product.price)
    # What a thing is stands in its title; pages about it change nothing.
    points += sum(2.0 for word in kind if word in _words(product.title))
    share = points / (len(wanted) + 2 * len(choices) + 2 + 2 * len(kind))
    bonus = 0.01 * visit.bought + 0.1 * visit.asked - 0.005 * visit.aside
    return share + bonus - 0.1 * visit.wrong


def _wanted(wish: str, choices: list[str]) -> list[str]:
    """Words of the wish that tell kind and qualities, not options or price."""
    rest = LIMITED.sub(" ", wish)
    for choice in sorted(choices, key=len, reverse=True):
        rest = rest.replace(choice, " ")
    return [word for word in _words(rest) if word not in FILLERS]


def _kind(wish: str) -> list[str]:
    """Words for what is wished for: the last two before its qualities or options."""
    found = KIND.match(wish)
    return [w for w in _words(found[1])[-2:] if w not in FILLERS] if found else []


def _affordable(wish: str, price: str) -> bool:
    limit, prices = LIMITED.search(wish), MONEY.findall(price)
    if limit is None or not prices:
        return True
    return float(prices[-1].replace(",", "")) <= float(limit[1])


def _wished(wish: str, option: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", wish) is not None


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())
