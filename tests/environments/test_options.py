from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from langchain_agentrm.environments._options import options_of, with_options
from langchain_agentrm.environments.base import EnvironmentSpec
from langchain_agentrm.errors import ConfigurationError

if TYPE_CHECKING:
    from nowhere import OnlyForTypeCheckers


class Factory:
    name = "of-this-test"
    spec = EnvironmentSpec()


class Annotated(Factory):
    def __init__(
        self,
        style: Literal["plain", "odd"] = "plain",
        *,
        limit: int | None = None,
        listed: bool = False,
        folder: Path | None = None,
        free=7,
    ):
        self.values = (style, limit, listed, folder, free)


@dataclass(frozen=True, slots=True)
class Settings:
    seed: int = 0
    words: list[str] = field(default_factory=list)
    made: str = field(default="", init=False)


class Bundled(Factory):
    def __init__(self, settings: Settings | None = None, **options: Any):
        self.settings = settings or Settings(**options)


class Bare(Factory):
    pass


class Hidden(Factory):
    def __init__(self, colour: OnlyForTypeCheckers = None, limit: int = 1):
        self.values = (colour, limit)


class Needy(Factory):
    def __init__(self, what, colour="red"):
        self.what = what


def test_texts_become_what_the_annotations_say():
    texts = {
        "style": "odd",
        "limit": "3",
        "listed": "true",
        "folder": "7",
        "free": "[1]",
    }
    made = with_options(Annotated(), texts)
    assert made.values == ("odd", 3, True, Path("7"), [1])
    assert with_options(Annotated(), {"free": "a word"}).values[-1] == "a word"


def test_the_others_keep_their_defaults_and_nothing_given_changes_nothing():
    factory = Annotated()
    assert with_options(factory, {"limit": "4"}).values == ("plain", 4, False, None, 7)
    assert with_options(factory, {}) is factory


def test_fields_of_a_settings_class_are_options():
    assert list(options_of(Bundled())) == ["seed", "words"]
    assert with_options(Bundled(), {"seed": "5"}).settings == Settings(seed=5)


def test_a_factory_without_options_has_none():
    assert options_of(Bare()) == {}
    with pytest.raises(ConfigurationError, match=r"no option 'x'\. Its options: none"):
        with_options(Bare(), {"x": "1"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limit": "many"}, r"limit='many' of .*'of-this-test'.*default is None"),
        ({"style": "square"}, r"'plain' or 'odd'.*default is 'plain'"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_option(given, said):
    with pytest.raises(ConfigurationError, match=said):
        with_options(Annotated(), given)


def test_an_annotation_that_cannot_be_read_here_leaves_json_or_a_word():
    assert with_options(Hidden(), {"colour": "blue", "limit": "3"}).values == (
        "blue",
        3,
    )


def test_a_class_that_needs_more_than_options_says_so():
    assert list(options_of(Needy(1))) == ["colour"]
    with pytest.raises(ConfigurationError, match=r"'what'.*a default for each"):
        with_options(Needy(1), {"colour": "blue"})
