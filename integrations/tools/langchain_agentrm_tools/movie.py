"""The movie tool: films, who made them, and people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from langchain_agentrm_tools._kit import (
    CHECK,
    FINISH,
    Function,
    Kit,
    Parameter,
    Result,
)

__all__ = ["Movies"]

_TEXT = {"type": "string"}
_MOVIE = (Parameter("movie_id", _TEXT, "the film's id"),)
_PERSON = (Parameter("person_id", _TEXT, "the person's id"),)
_MOST = 10
_FIRST_JOBS = ("Director", "Producer", "Writer")
_COUNTRIES = ("NL", "CN", "US", "DE")
_UNSCORED = (
    "overview",
    "biography",
    "vote_average",
    "genres",
    "revenue",
    "budget",
    "release_date",
)
_NOT_FOUND = json.dumps(
    {
        "success": False,
        "status_code": 34,
        "status_message": "The resource you requested could not be found.",
    }
)


class Movies(Kit):
    """A film database in memory.

    Args:
        movies: Films by id, each with `title`, `overview`, `budget`, `genres`,
            `revenue`, `vote_average`, `release_date`, `production_companies`,
            `production_countries`, `keywords`, `titles`, `translations`, and `cast`
            and `crew` as lists of `{id, name, character|job}`.
        persons: People by id, each with `name`, `biography`, `birthday`,
            `place_of_birth`, `external_ids`, and `cast` and `crew` as lists of `{id,
            title, character|job}`.
    """

    tool = "movie"
    functions: ClassVar = (
        Function(
            "get_search_movie",
            "find a film by its name",
            (Parameter("movie_name", _TEXT, "name of the film"),),
        ),
        Function(
            "get_movie_details", "budget, genres, revenue, vote and release", _MOVIE
        ),
        Function("get_movie_production_companies", "who produced a film", _MOVIE),
        Function("get_movie_production_countries", "where it was produced", _MOVIE),
        Function("get_movie_cast", "the first ten of a film's cast", _MOVIE),
        Function(
            "get_movie_crew", "a film's director, writers, producers, others", _MOVIE
        ),
        Function("get_movie_keywords", "a film's keywords", _MOVIE),
        Function(
            "get_search_person",
            "find a person by name",
            (Parameter("person_name", _TEXT, "name of the person"),),
        ),
        Function(
            "get_person_details", "biography, birthday and place of birth", _PERSON
        ),
        Function("get_person_cast", "films in which a person plays", _PERSON),
        Function("get_person_crew", "films on which a person works", _PERSON),
        Function("get_person_external_ids", "ids of a person on other sites", _PERSON),
        Function("get_movie_alternative_titles", "titles of a film elsewhere", _MOVIE),
        Function("get_movie_translation", "translations of a film's texts", _MOVIE),
        CHECK,
        FINISH,
    )

    def __init__(
        self,
        movies: Mapping[str, Mapping[str, Any]],
        persons: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self._movies = movies
        self._persons = persons

    def method(self, name: str) -> Callable[..., Result]:
        """Return the function of this name."""
        if name == "get_search_movie":
            return self._search_movie
        if name == "get_search_person":
            return self._search_person

        def about(movie_id: Any = None, person_id: Any = None) -> Result:
            table, key = (
                (self._persons, person_id)
                if name.startswith("get_person")
                else (self._movies, movie_id)
            )
            found = table.get(str(key))
            if found is None:
                return False, _NOT_FOUND
            return True, _VIEWS[name](found)

        return about

    def clean(self, result: Any) -> Any:
        """Leave out what changes with time."""
        for item in result if isinstance(result, list) else [result]:
            if isinstance(item, dict):
                for key in _UNSCORED:
                    item.pop(key, None)
        return result

    def _search_movie(self, movie_name: Any) -> Result:
        ident = _best(self._movies, "title", movie_name)[0]
        movie = self._movies[ident]
        return True, [
            {"id": movie["id"], "overview": movie["overview"], "title": movie["title"]}
        ]

    def _search_person(self, person_name: Any) -> Result:
        return True, [
            {"id": self._persons[i]["id"], "name": self._persons[i]["name"]}
            for i in _best(self._persons, "name", person_name)[:1]
        ]


def _best(
    table: Mapping[str, Mapping[str, Any]], field: str, wanted: Any
) -> Sequence[str]:
    """Ids of the rows with this name, else of those that hold all its words."""
    words = str(wanted).casefold().split()
    exact = [i for i, row in table.items() if row[field].casefold().split() == words]
    if exact or not words:
        return exact
    return [
        i
        for i, row in table.items()
        if set(words) <= set(row[field].casefold().split())
    ]


def _fields(*names: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: {name: row[name] for name in names}


def _crew(movie: Mapping[str, Any]) -> Any:
    crew = [p for p in movie["crew"] if p["job"] in _FIRST_JOBS]
    if len(crew) < _MOST:
        first = {p["id"] for p in crew}
        crew += [p for p in movie["crew"] if p["id"] not in first][: _MOST - len(crew)]
    return {"crew": crew}


def _translations(movie: Mapping[str, Any]) -> Any:
    return {
        "id": movie["id"],
        "translations": [
            t for t in movie["translations"] if t["iso_3166_1"] in _COUNTRIES
        ],
    }


_VIEWS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "get_movie_details": _fields(
        "title", "budget", "genres", "revenue", "vote_average", "release_date"
    ),
    "get_movie_production_companies": _fields("production_companies"),
    "get_movie_production_countries": _fields("production_countries"),
    "get_movie_cast": lambda m: {"cast": m["cast"][:_MOST]},
    "get_movie_crew": _crew,
    "get_movie_keywords": _fields("keywords"),
    "get_movie_alternative_titles": _fields("id", "titles"),
    "get_movie_translation": _translations,
    "get_person_details": _fields("name", "biography", "birthday", "place_of_birth"),
    "get_person_cast": lambda p: {"cast": p["cast"][:_MOST]},
    "get_person_crew": lambda p: {"crew": p["crew"][:_MOST]},
    "get_person_external_ids": lambda p: dict(p["external_ids"]),
}
