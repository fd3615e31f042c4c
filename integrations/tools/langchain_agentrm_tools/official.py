"""AgentBoard's labels and data, from a folder of the user's; nothing is unpickled."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm_tools._kit import Kit, Result
from langchain_agentrm_tools._label import Label
from langchain_agentrm_tools.academia import Academia, Net
from langchain_agentrm_tools.movie import Movies
from langchain_agentrm_tools.sheet import Sheets
from langchain_agentrm_tools.todo import Todo
from langchain_agentrm_tools.weather import Weather

__all__ = ["Official", "load_official"]

_FILES = ("tool-query/test.jsonl", "tool-operation/test.jsonl")
_GRAPHS = "tool-query/academia/raw"
_README = "See the README of langchain-agentrm-tools for the files that it reads."
_SHEET = re.compile(r'"(Sheet\d{1,2})"')
_NO_RECORD = "There is no recorded answer to this call."

Recorded = Mapping[str, Any]


@dataclass(frozen=True)
class Official:
    """AgentBoard's tasks by tool, and what their tools need.

    Attributes:
        folder: Where they are.
        labels: Labels by tool, in the files' order.
    """

    folder: Path
    labels: Mapping[str, tuple[Label, ...]]

    def kit(self, label: Label) -> Kit:
        """Make the tool of a task, in its first state.

        Raises:
            ConfigurationError: If a data file that it needs is missing or broken.
        """
        config = label.config
        if label.tool == "weather":
            return _RecordedWeather(self._responses("weather"), config)
        if label.tool == "movie":
            return _RecordedMovies(self._responses("movie"))
        if label.tool == "academia":
            return Academia(*_nets(self.folder / _GRAPHS))
        if label.tool == "todo":
            return Todo(_json(self.folder / "todo/projects.json"), config)
        kit = Sheets(_tables(self.folder / "sheet"))
        named = _SHEET.search(label.goal)
        kit.open(named[1] if named else None)
        return kit

    def _responses(self, tool: str) -> Recorded:
        return _responses(self.folder / f"responses/{tool}.jsonl")


@lru_cache(maxsize=4)
def load_official(folder: str) -> Official:
    """Read the label files of a folder; those that are not there are left out.

    Raises:
        ConfigurationError: If there is none, or a line is no label.
    """
    root = Path(folder)
    labels: dict[str, list[Label]] = {}
    for name in _FILES:
        path = root / name
        if path.is_file():
            for label in _labels(path):
                labels.setdefault(label.tool, []).append(label)
    if not labels:
        msg = f"{root} holds none of {', '.join(_FILES)}."
        raise ConfigurationError(
            msg, remedy="Set TOOLS_DATA to AgentBoard's data folder, or leave it unset."
        )
    return Official(root, {tool: tuple(found) for tool, found in labels.items()})


def _labels(path: Path) -> list[Label]:
    out = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            more = row["additional_info"]
            subgoals = row.get("subgoals") or []
            label = Label(
                tool=more["tool"],
                goal=row["goal"],
                subgoals=tuple(subgoals if isinstance(subgoals, list) else [subgoals]),
                answer=more["answer"],
                config=more.get("init_config") or {},
                goal_type=more.get("goal_type") or 0,
                difficulty=row.get("difficulty", "easy"),
            )
            if label.tool not in {"weather", "movie", "academia", "todo", "sheet"}:
                raise ValueError(label.tool)  # noqa: TRY301
            if label.tool == "sheet":
                json.loads(label.answer)
            elif not label.subgoals:
                raise ValueError("no subgoals")  # noqa: EM101, TRY003, TRY301
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"{path}, line {number}, is no label of AgentBoard's: {error!r}."
            raise ConfigurationError(msg, remedy=_README) from error
        out.append(label)
    return out


class _RecordedWeather(Weather):
    """What the weather service answered, recorded."""

    def __init__(self, responses: Recorded, config: Mapping[str, str]) -> None:
        super().__init__((), config)
        self._responses = responses

    def method(self, name: str) -> Callable[..., Result]:
        local = name.startswith("get_user") or name in {
            "get_distance",
            "get_air_quality_level",
        }
        return super().method(name) if local else _recorded(self._responses, name)


class _RecordedMovies(Movies):
    """What the film database answered, recorded."""

    def __init__(self, responses: Recorded) -> None:
        super().__init__({}, {})
        self._responses = responses

    def method(self, name: str) -> Callable[..., Result]:
        return _recorded(self._responses, name)


def _recorded(responses: Recorded, name: str) -> Callable[..., Result]:
    def answer(**arguments: Any) -> Result:
        found = responses.get(_call_key(name, arguments))
        return (False, _NO_RECORD) if found is None else (True, found)

    return answer


def _call_key(name: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps([name, sorted((k, _scalar(v)) for k, v in arguments.items())])


def _scalar(value: Any) -> str:
    # Services are sent texts, so that 1, 1.0 and "1" are the same to them.
    try:
        return f"{float(value):.4f}"
    except (TypeError, ValueError, OverflowError):
        return str(value)


@lru_cache(maxsize=4)
def _responses(path: Path) -> Recorded:
    out = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            out[_call_key(row["name"], row["arguments"])] = row["result"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"{path}, line {number}, is no recorded call: {error!r}."
            raise ConfigurationError(msg, remedy=_README) from error
    return out


@lru_cache(maxsize=2)
def _nets(folder: Path) -> tuple[Net, Net]:
    nets = []
    for net, ids in (("paper_net", "title2id_dict"), ("author_net", "author2id_dict")):
        if not (folder / f"{net}.json").is_file() and (folder / f"{net}.pkl").exists():
            msg = f"{folder} has {net}.pkl but no {net}.json."
            raise ConfigurationError(
                msg,
                remedy="A pickle can run any code when it is opened, so none is. "
                "Write the graphs as JSON where you trust their source: the README "
                "says in which form.",
            )
        graph, names = _json(folder / f"{net}.json"), _json(folder / f"{ids}.json")
        try:
            nodes = {str(k): dict(v) for k, v in graph["nodes"].items()}
            edges = {
                str(k): {str(i): dict(a) for i, a in v.items()}
                for k, v in graph["adjacency"].items()
            }
            # The dictionaries name more than the graph holds.
            known = {n: str(i) for n, i in names.items() if str(i) in nodes}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"{folder / net}.json is no graph: {error!r}."
            raise ConfigurationError(msg, remedy=_README) from error
        nets.append(Net(nodes, edges, known))
    return nets[0], nets[1]


@lru_cache(maxsize=2)
def _tables(folder: Path) -> Mapping[str, list[list[str]]]:
    tables = {
        path.stem: [list(row) for row in csv.reader(_text(path).splitlines())]
        for path in sorted(folder.glob("*.csv"))
    }
    if not tables:
        msg = f"{folder} holds no sheets as CSV files."
        raise ConfigurationError(msg, remedy=_README)
    return tables


@lru_cache(maxsize=8)
def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        msg = f"{path} is no JSON file: {error}."
        raise ConfigurationError(msg, remedy=_README) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}."
        raise ConfigurationError(msg, remedy=_README) from error
