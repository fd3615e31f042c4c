"""Generated goals that ask: weather, films, papers."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from itertools import combinations
from typing import Any

from langchain_agentrm_tools._label import Ask, Goal
from langchain_agentrm_tools._world import World

__all__ = ["ACADEMIA", "MOVIE", "WEATHER", "Config", "draw_config"]

Config = dict[str, str]
Draw = Callable[[random.Random, World, Config], Goal]


def draw_config(rng: random.Random, world: World) -> Config:
    """Draw where and when the user is."""
    today = date(2021, 1, 15) + timedelta(days=rng.randrange(900))
    return {
        "current_date": today.isoformat(),
        "current_location": rng.choice(world.places)["name"],
    }


def _shift(config: Config, days: int) -> str:
    today = date.fromisoformat(config["current_date"])
    return (today + timedelta(days=days)).isoformat()


def _locate(ask: Ask, city: str) -> dict[str, float]:
    found = ask("get_latitude_longitude", name=city)["results"][0]
    return {k: found[k] for k in ("latitude", "longitude")}


# Weather.


def _hottest(rng: random.Random, world: World, config: Config) -> Goal:
    city = rng.choice(world.places)["name"]
    first = -rng.randrange(10, 200)
    days = rng.randrange(2, 8)
    start, end = _shift(config, first), _shift(config, first + days)

    def solve(ask: Ask) -> Any:
        found = ask(
            "get_historical_temp",
            **_locate(ask, city),
            start_date=start,
            end_date=end,
        )
        return max(found["daily"]["temperature_2m_max"])

    text = (
        f"What was the highest temperature in {city} between {start} and {end}, both "
        "days included? Answer with the number in degrees Celsius."
    )
    return Goal(text, solve)


def _rainy(rng: random.Random, world: World, config: Config) -> Goal:
    del world
    days = rng.randrange(3, 10)
    ahead = rng.random() < 0.5  # noqa: PLR2004

    def solve(ask: Ask) -> Any:
        city = ask("get_user_current_location")
        ask("get_user_current_date")
        where = _locate(ask, city)
        start, end = (1, days) if ahead else (-days, -1)
        name = "get_rain_forecast" if ahead else "get_historical_rain"
        found = ask(
            name,
            **where,
            start_date=_shift(config, start),
            end_date=_shift(config, end),
        )
        return sum(x > 0 for x in found["daily"]["rain_sum"])

    when = f"the next {days} days" if ahead else f"the past {days} days"
    verb = "will it rain" if ahead else "did it rain"
    text = (
        f"On how many of {when} {verb} where I am? Today does not count. Answer with "
        "the number."
    )
    return Goal(text, solve, hard=True)


def _colder(rng: random.Random, world: World, config: Config) -> Goal:
    one, two = rng.sample(sorted({p["name"] for p in world.places}), 2)

    def solve(ask: Ask) -> Any:
        today = ask("get_user_current_date")
        means = {}
        for city in (one, two):
            found = ask("get_current_temp", **_locate(ask, city), current_date=today)
            means[city] = found["daily"]["temperature_2m_mean"][0]
        return min(means, key=lambda city: means[city])

    del config
    text = (
        f"Where is it colder on average today, in {one} or in {two}? Answer with the "
        "city's name."
    )
    return Goal(text, solve, hard=True)


def _far(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    one, two = rng.sample(sorted({p["name"] for p in world.places}), 2)

    def solve(ask: Ask) -> Any:
        a, b = _locate(ask, one), _locate(ask, two)
        points = {f"{k}{i}": v for i, p in ((1, a), (2, b)) for k, v in p.items()}
        return round(ask("get_distance", **points))

    text = (
        f"How far is it from {one} to {two}? Answer with the number of kilometres, "
        "rounded to a whole number."
    )
    return Goal(text, solve)


def _air(rng: random.Random, world: World, config: Config) -> Goal:
    city = rng.choice(world.places)["name"]
    day = _shift(config, -rng.randrange(1, 60))

    def solve(ask: Ask) -> Any:
        found = ask(
            "get_historical_air_quality_index",
            **_locate(ask, city),
            start_date=day,
            end_date=day,
        )
        index = found["daily"]["european_aqi_pm2_5"][0]
        return ask("get_air_quality_level", air_quality_index=index)

    text = f"How good was the air in {city} on {day}? Answer with the level's name."
    return Goal(text, solve)


def _snow(rng: random.Random, world: World, config: Config) -> Goal:
    city = rng.choice(world.places)["name"]

    def solve(ask: Ask) -> Any:
        ask("get_user_current_date")
        tomorrow = _shift(config, 1)
        found = ask(
            "get_snow_forecast",
            **_locate(ask, city),
            start_date=tomorrow,
            end_date=tomorrow,
        )
        return "yes" if found["daily"]["snowfall_sum"][0] > 0 else "no"

    return Goal(f"Will it snow in {city} tomorrow? Answer yes or no.", solve)


WEATHER: tuple[Draw, ...] = (_hottest, _rainy, _colder, _far, _air, _snow)


# Films.


def _film(ask: Ask, title: str) -> str:
    return str(ask("get_search_movie", movie_name=title)[0]["id"])


def _person(ask: Ask, name: str) -> str:
    return str(ask("get_search_person", person_name=name)[0]["id"])


def _title(rng: random.Random, world: World) -> str:
    return str(rng.choice(list(world.movies.values()))["title"])


def _made_by(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    title = _title(rng, world)
    job = rng.choice(("Director", "Writer", "Producer"))

    def solve(ask: Ask) -> Any:
        crew = ask("get_movie_crew", movie_id=_film(ask, title))["crew"]
        return next(p["name"] for p in crew if p["job"] == job)

    text = f'Who is the {job.lower()} of "{title}"? Answer with the name.'
    return Goal(text, solve)


def _born(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    title = _title(rng, world)

    def solve(ask: Ask) -> Any:
        crew = ask("get_movie_crew", movie_id=_film(ask, title))["crew"]
        ident = next(str(p["id"]) for p in crew if p["job"] == "Director")
        return ask("get_person_details", person_id=ident)["birthday"]

    text = f'When was the director of "{title}" born? Answer as YYYY-MM-DD.'
    return Goal(text, solve, hard=True)


def _richer(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    titles = rng.sample([m["title"] for m in world.movies.values()], 2)
    field = rng.choice(("revenue", "budget", "vote_average"))
    word = {"vote_average": "average vote"}.get(field, field)

    def solve(ask: Ask) -> Any:
        found = {
            t: ask("get_movie_details", movie_id=_film(ask, t))[field] for t in titles
        }
        return max(found, key=lambda t: found[t])

    text = (
        f'Which film has the higher {word}, "{titles[0]}" or "{titles[1]}"? Answer '
        "with the title."
    )
    return Goal(text, solve, hard=True)


def _both(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    casts = [(m, {p["id"] for p in m["cast"]}) for m in world.movies.values()]
    pairs = [(a[0], b[0]) for a, b in combinations(casts, 2) if a[1] & b[1]]
    one, two = rng.choice(pairs)

    def solve(ask: Ask) -> Any:
        casts = [
            {p["name"] for p in ask("get_movie_cast", movie_id=i)["cast"]}
            for i in [_film(ask, m["title"]) for m in (one, two)]
        ]
        return sorted(casts[0] & casts[1])

    text = (
        f'Who plays both in "{one["title"]}" and in "{two["title"]}"? Answer with a '
        "list of names."
    )
    return Goal(text, solve, hard=True)


def _roles(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    person = rng.choice([p for p in world.persons.values() if p["cast"]])

    def solve(ask: Ask) -> Any:
        cast = ask("get_person_cast", person_id=_person(ask, person["name"]))["cast"]
        return [m["title"] for m in cast]

    text = f"In which films does {person['name']} play? Answer with a list of titles."
    return Goal(text, solve)


def _companies(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    title = _title(rng, world)

    def solve(ask: Ask) -> Any:
        found = ask("get_movie_production_companies", movie_id=_film(ask, title))
        return [c["name"] for c in found["production_companies"]]

    text = f'Which companies produced "{title}"? Answer with a list of names.'
    return Goal(text, solve)


MOVIE: tuple[Draw, ...] = (_made_by, _born, _richer, _both, _roles, _companies)


# Papers.


def _paper(rng: random.Random, world: World) -> str:
    return rng.choice(list(world.papers.ids))


def _about_paper(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    title = _paper(rng, world)
    field, question, form = rng.choice(
        (
            ("year", "In which year was {0} published?", "number"),
            ("venue", "Where was {0} published?", "venue's name"),
            ("n_citation", "How often has {0} been cited?", "number"),
        )
    )

    def solve(ask: Ask) -> Any:
        ask("loadPaperNet")
        return ask("paperNodeCheck", node=title)[field]

    asked = question.format(f'the paper "{title}"')
    return Goal(f"{asked} Answer with the {form}.", solve)


def _colleagues(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    name = rng.choice(
        [n for n, i in world.authors.ids.items() if world.authors.edges[i]]
    )

    def solve(ask: Ask) -> Any:
        ask("loadAuthorNet")
        return len(ask("neighbourCheck", graph="AuthorNet", node=name))

    text = f"With how many authors has {name} written papers? Answer with the number."
    return Goal(text, solve)


def _together(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    net = world.authors
    names = net.names
    one = rng.choice([i for i in net.nodes if net.edges[i]])
    two = rng.choice(list(net.edges[one]))

    def solve(ask: Ask) -> Any:
        ask("loadPaperNet")
        ask("loadAuthorNet")
        edge = ask("authorEdgeCheck", node1=names[one], node2=names[two])
        years = {
            t: ask("paperNodeCheck", node=t)["year"]
            for t in edge["collaborative_papers"]
        }
        return max(years.values())

    text = (
        f"In which year did {names[one]} and {names[two]} last publish a paper "
        "together? Answer with the number."
    )
    return Goal(text, solve, hard=True)


def _cited(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    title = _paper(rng, world)

    def solve(ask: Ask) -> Any:
        ask("loadPaperNet")
        cited = ask("neighbourCheck", graph="PaperNet", node=title)
        counts = {t: ask("paperNodeCheck", node=t)["n_citation"] for t in cited}
        return max(sorted(counts), key=lambda t: counts[t])

    text = (
        f'Which of the papers that "{title}" cites has been cited most often? Answer '
        "with the title."
    )
    return Goal(text, solve, hard=True)


def _works_at(rng: random.Random, world: World, config: Config) -> Goal:
    del config
    name = rng.choice(list(world.authors.ids))

    def solve(ask: Ask) -> Any:
        ask("loadAuthorNet")
        return ask("authorNodeCheck", node=name)["org"]

    text = f"Which organisation does {name} belong to? Answer with its name."
    return Goal(text, solve)


ACADEMIA: tuple[Draw, ...] = (_about_paper, _colleagues, _together, _cited, _works_at)
