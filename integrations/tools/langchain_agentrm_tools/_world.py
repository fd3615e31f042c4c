"""Generated tables in the benchmark's formats: places, films, people, papers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

from langchain_agentrm_tools._words import (
    ADJECTIVES,
    COMPANIES,
    COUNTRIES,
    ENDS,
    FIRST,
    GENRES,
    KEYWORDS,
    LAST,
    MEANS,
    NOUNS,
    OBJECTS,
    ONSETS,
    TOPICS,
    VENUES,
    VOWELS,
)
from langchain_agentrm_tools.academia import Net

__all__ = ["World", "get_world"]

_JOBS = ("Director", "Producer", "Writer", "Editor", "Composer")
_ORGANISATIONS = (
    "University of {0}",
    "{0} Institute of Technology",
    "{0} Research Laboratory",
)


@dataclass(frozen=True, slots=True)
class World:
    """Tables that some tasks share.

    Attributes:
        number: Which world, also the seed of its weather.
        places: As `Weather` takes them.
        movies: As `Movies` takes them.
        persons: The same.
        papers: As `Academia` takes them.
        authors: The same.
    """

    number: int
    places: tuple[Mapping[str, Any], ...]
    movies: Mapping[str, Mapping[str, Any]]
    persons: Mapping[str, Mapping[str, Any]]
    papers: Net
    authors: Net


@lru_cache(maxsize=16)
def get_world(number: int) -> World:
    """Generate a world; the same number always gives the same one."""
    rng = random.Random(f"world {number}")  # noqa: S311 - a game's tables
    places = _places(rng)
    movies, persons = _films(rng, [p["name"] for p in places])
    papers, authors = _nets(rng, [p["name"] for p in places])
    return World(number, places, movies, persons, papers, authors)


def _places(rng: random.Random) -> tuple[dict[str, Any], ...]:
    names: dict[str, None] = {}
    while len(names) < 24:  # noqa: PLR2004
        names[rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(ENDS)] = None
    # Some names stand for more than one place, the likeliest first.
    several = [name for name in names for _ in range(rng.choice((1, 1, 2, 3)))]
    return tuple(
        {
            "name": name,
            "latitude": round(rng.uniform(-55, 68), 5),
            "longitude": round(rng.uniform(-170, 170), 5),
            "country_code": rng.choice(COUNTRIES),
            "elevation": rng.randrange(2, 2400),
        }
        for name in several
    )


def _people(rng: random.Random, count: int) -> list[str]:
    every = [f"{first} {last}" for first in FIRST for last in LAST]
    return rng.sample(every, count)


def _films(
    rng: random.Random, places: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    persons = {
        str(ident): {
            "id": ident,
            "name": name,
            "biography": f"{name} grew up in {rng.choice(places)}.",
            "birthday": _day(rng, 1935, 1999),
            "place_of_birth": f"{rng.choice(places)}, {rng.choice(COUNTRIES)}",
            "external_ids": {
                "imdb_id": f"nm{rng.randrange(10**7):07}",
                "facebook_id": None,
                "instagram_id": name.replace(" ", "").lower(),
                "twitter_id": None,
            },
            "cast": [],
            "crew": [],
        }
        for ident, name in zip(
            rng.sample(range(1_000, 90_000), 60), _people(rng, 60), strict=True
        )
    }
    titles = rng.sample(
        [f"The {a} {n}" for a in ADJECTIVES for n in NOUNS],
        40,
    )
    movies = {}
    for ident, title in zip(rng.sample(range(100, 99_999), 40), titles, strict=True):
        movies[str(ident)] = _film(rng, ident, title, places, list(persons.values()))
    return movies, persons


def _film(
    rng: random.Random,
    ident: int,
    title: str,
    places: list[str],
    persons: list[dict[str, Any]],
) -> dict[str, Any]:
    people = rng.sample(persons, 11)
    cast = []
    for person, character in zip(people[:6], _people(rng, 6), strict=True):
        cast.append(
            {"id": person["id"], "name": person["name"], "character": character}
        )
        person["cast"].append({"id": ident, "title": title, "character": character})
    crew = []
    for person, job in zip(people[6:], _JOBS, strict=True):
        crew.append({"id": person["id"], "name": person["name"], "job": job})
        person["crew"].append({"id": ident, "title": title, "job": job})
    rng.shuffle(crew)
    return {
        "id": ident,
        "title": title,
        "cast": cast,
        "crew": crew,
        "overview": f"What happened in {rng.choice(places)} changed everything.",
        "budget": rng.randrange(2, 180) * 1_000_000,
        "genres": [
            {"id": GENRES.index(g) + 10, "name": g} for g in rng.sample(GENRES, 2)
        ],
        "revenue": rng.randrange(1, 900) * 1_234_567,
        "vote_average": round(rng.uniform(3, 9), 3),
        "release_date": _day(rng, 1972, 2023),
        "production_companies": [
            {"id": 100 + COMPANIES.index(c), "name": f"{c} Pictures"}
            for c in rng.sample(COMPANIES, 2)
        ],
        "production_countries": [{"iso_3166_1": rng.choice(COUNTRIES)}],
        "keywords": rng.sample(KEYWORDS, 4),
        "titles": [
            {"iso_3166_1": country, "title": f"{title} ({country})", "type": ""}
            for country in rng.sample(COUNTRIES, 3)
        ],
        "translations": [
            {
                "iso_3166_1": country,
                "iso_639_1": language,
                "data": {"tagline": f"{rng.choice(KEYWORDS)} ({language})"},
            }
            for country, language in (("DE", "de"), ("FR", "fr"), ("NL", "nl"))
        ],
    }


def _nets(rng: random.Random, places: list[str]) -> tuple[Net, Net]:
    names = _people(rng, 36)
    titles = rng.sample(
        [f"{m} {t} for {o}." for m in MEANS for t in TOPICS for o in OBJECTS], 48
    )
    title_ids = {title: f"p{i:03}" for i, title in enumerate(titles)}
    author_ids = {name: f"a{i:03}" for i, name in enumerate(names)}
    papers = {
        ident: {
            "year": rng.randrange(2004, 2023),
            "venue": rng.choice(VENUES),
            "n_citation": rng.randrange(0, 400),
            "keywords": sorted(rng.sample(TOPICS, 3)),
            "doc_type": rng.choice(("Conference", "Journal")),
        }
        for ident in title_ids.values()
    }
    cites: dict[str, dict[str, dict[str, Any]]] = {i: {} for i in papers}
    for ident in papers:
        others = [i for i in papers if i != ident]
        cites[ident] = {i: {} for i in rng.sample(others, rng.randrange(1, 5))}
    writers: dict[str, dict[str, dict[str, Any]]] = {i: {} for i in author_ids.values()}
    for ident in papers:
        team = rng.sample(sorted(writers), rng.randrange(2, 5))
        for one, two in combinations(team, 2):
            edge = writers[one].setdefault(
                two, {"weight": 0, "collaborative_papers": []}
            )
            writers[two][one] = edge
            edge["weight"] += 1
            edge["collaborative_papers"].append(ident)
    authors = {
        ident: {
            "name": name,
            "org": rng.choice(_ORGANISATIONS).format(rng.choice(places)),
        }
        for name, ident in author_ids.items()
    }
    return Net(papers, cites, title_ids), Net(authors, writers, author_ids)


def _day(rng: random.Random, first: int, last: int) -> str:
    return (
        f"{rng.randrange(first, last + 1)}-{rng.randrange(1, 13):02}-"
        f"{rng.randrange(1, 29):02}"
    )
