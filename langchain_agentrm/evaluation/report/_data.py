"""The runs that a report is made of, read and held against each other."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from langchain_agentrm._files import MANIFEST, read_json, read_jsonl
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation._estimates import Estimate, estimate
from langchain_agentrm.evaluation.analysis import OFFLINE_FILE
from langchain_agentrm.evaluation.naming import Method, parse_method
from langchain_agentrm.evaluation.suite import EPISODES_FILE, POOLS_FILE, SETTINGS_FILE
from langchain_agentrm.evaluation.suite_config import (
    ASIDE,
    EnvironmentChoice,
    PolicyChoice,
    RewardModelChoice,
)

__all__ = ["ASIDE", "Row", "Runs", "load_runs"]

Row = Mapping[str, Any]
_ORDER = (
    *("greedy", "random", "vote", "likelihood", "finished-first", "random-beam"),
    *("best", "best-greedy", "beam", "oracle"),
)
_WORDS = ("policy", "env", "task_id", "type", "group")
_NEEDED: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys((*_WORDS, "method", "rm"), str),
    "seed": int,
    "score": (int, float),
}
_POOL: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_WORDS, str),
    "seed": int,
    "draws": list,
    "values": dict,
}


@dataclass(frozen=True)
class Runs:
    """All rows, and what their settings say of the names in them.

    Attributes:
        episodes: Rows of `episodes.jsonl`.
        pools: Rows of `pools.jsonl`.
        environments: Environments by label.
        policies: Policies by name.
        reward_models: Reward models by name.
        offline: Offline analyses.
        sources: Each folder with its manifest, None where the run is not finished.
    """

    episodes: Sequence[Row]
    pools: Sequence[Row]
    environments: Mapping[str, EnvironmentChoice] = field(default_factory=dict)
    policies: Mapping[str, PolicyChoice] = field(default_factory=dict)
    reward_models: Mapping[str, RewardModelChoice] = field(default_factory=dict)
    offline: Sequence[Mapping[str, Any]] = ()
    sources: Sequence[tuple[str, Mapping[str, Any] | None]] = ()

    @cached_property
    def methods(self) -> dict[str, Method]:
        """Methods by name: unguided ones first, then by what they cost."""
        names = {row["method"] for row in self.episodes}
        parsed = [parse_method(name) for name in names]
        parsed.sort(key=lambda m: (_ORDER.index(m.kind), m.n, m.w1 * m.w2, m.name))
        return {m.name: m for m in parsed}

    @cached_property
    def usual(self) -> list[str]:
        """Labels of environments whose action grammar is not perturbed."""
        return [
            label
            for label in dict.fromkeys(row["env"] for row in self.episodes)
            if not (self.environments[label].perturbation or 0)
        ]

    def select(self, **wanted: object) -> list[Row]:
        """Rows with these values; a set or list stands for any of its members."""
        tests: list[tuple[str, Callable[[Any], bool]]] = []
        for name, value in wanted.items():
            some = value if isinstance(value, set | frozenset | list) else {value}
            tests.append((name, some.__contains__))
        return [r for r in self.episodes if all(test(r[n]) for n, test in tests)]


Task = tuple[str, str]


def task_of(row: Row) -> Task:
    """Name a task across environments."""
    return row["env"], row["task_id"]


def mean_of(rows: Iterable[Row], stratum: str = "") -> Estimate | None:
    """Mean score of rows; with a stratum's field, the macro average over it."""
    strata: dict[Any, dict[Any, list[float]]] = {}
    for row in rows:
        at = row[stratum] if stratum else ""
        strata.setdefault(at, {}).setdefault(task_of(row), []).append(row["score"])
    return estimate(strata)


def difference(
    left: Iterable[Row], right: Iterable[Row], stratum: str = ""
) -> Estimate | None:
    """Mean difference of scores on the tasks, seeds and policies that both have.

    Several reward models under one method on the left each meet the same right row.

    Returns:
        The estimate; None where they have nothing in common.
    """
    other: dict[tuple[Any, ...], list[float]] = {}
    for row in right:
        at = (*task_of(row), row["seed"], row["policy"])
        other.setdefault(at, []).append(row["score"])
    strata: dict[Any, dict[Any, list[float]]] = {}
    for row in left:
        found = other.get((*task_of(row), row["seed"], row["policy"]))
        if found:
            name = row[stratum] if stratum else ""
            here = strata.setdefault(name, {}).setdefault(task_of(row), [])
            here.append(row["score"] - sum(found) / len(found))
    return estimate(strata)


def load_runs(folders: Sequence[Path]) -> Runs:
    """Read folders of `run_suite` and of `analyse_offline`.

    Args:
        folders: The folders.

    Returns:
        Everything in them.

    Raises:
        ConfigurationError: If a folder is neither, two runs use one name for two
            things, or an episode is there twice.
        CheckpointError: If a file holds no JSON.
    """
    episodes: list[Row] = []
    pools: list[Row] = []
    offline: list[Mapping[str, Any]] = []
    sources: list[tuple[str, Mapping[str, Any] | None]] = []
    known: dict[str, dict[str, Any]] = {k: {} for k in _KINDS}
    for folder in folders:
        manifest = folder / MANIFEST
        sources.append(
            (folder.name, read_json(manifest) if manifest.exists() else None)
        )
        if (folder / OFFLINE_FILE).exists():
            offline.append(read_json(folder / OFFLINE_FILE))
            continue
        if not (folder / EPISODES_FILE).exists():
            msg = f"{folder} holds neither {EPISODES_FILE} nor {OFFLINE_FILE}."
            raise ConfigurationError(
                msg, remedy="Give output folders of agentrm eval run or offline."
            )
        _learn(read_json(folder / SETTINGS_FILE), known, folder)
        episodes += _checked(folder / EPISODES_FILE, _NEEDED)
        if (folder / POOLS_FILE).exists():
            pools += _checked(folder / POOLS_FILE, _POOL)
    _refuse_twice(episodes)
    made: dict[str, Any] = {
        kind: {name: model.model_validate(v["settings"]) for name, v in some.items()}
        for (kind, model), some in zip(_KINDS.items(), known.values(), strict=True)
    }
    return Runs(episodes, pools, **made, offline=offline, sources=sources)


_KINDS: dict[str, Any] = {
    "environments": EnvironmentChoice,
    "policies": PolicyChoice,
    "reward_models": RewardModelChoice,
}


def _learn(
    settings: Mapping[str, Any], known: dict[str, dict[str, Any]], folder: Path
) -> None:
    digests = settings.get("models", {})
    environments = {
        EnvironmentChoice.model_validate(e).name: e for e in settings["environments"]
    }
    for kind in _KINDS:
        some = environments if kind == "environments" else settings[kind]
        for name, value in some.items():
            entry = {"settings": value, "digest": digests.get(name), "from": folder}
            old = known[kind].setdefault(name, entry)
            same = kind == "environments" or _same(old, entry)
            # How many tasks a run took does not make it another environment.
            if kind == "environments":
                keys = ("env", "options", "split")
                same = all(old["settings"].get(k) == value.get(k) for k in keys)
            if not same:
                msg = (
                    f"{kind} {name!r} is one thing in {old['from'].name} and another "
                    f"in {folder.name}."
                )
                raise ConfigurationError(
                    msg, remedy="Give the two different names in the suites' settings."
                )


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return bool(old["settings"] == new["settings"] and old["digest"] == new["digest"])


def _checked(
    path: Path, needed: Mapping[str, type | tuple[type, ...]]
) -> Iterable[Row]:
    """Read rows; none is left out, which would make another figure of the rest."""
    for number, row in enumerate(read_jsonl(path), 1):
        wrong = "" if isinstance(row, dict) else f"is a {type(row).__name__}"
        for name, kind in needed.items():
            if wrong:
                break
            if name not in row:
                wrong = f"has no {name!r}"
            elif not isinstance(row[name], kind) or not _finite(row[name]):
                wrong = f"has {name}={row[name]!r:.60}"
        if wrong:
            msg = f"Line {number} of {path} {wrong}."
            raise ConfigurationError(
                msg, remedy="Remove the line, or run the suite again in a new folder."
            )
        yield row


def _finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _refuse_twice(rows: Iterable[Row]) -> None:
    seen = set()
    for row in rows:
        at = tuple(row[k] for k in ("env", "task_id", "policy", "seed", "method", "rm"))
        if at in seen:
            msg = f"The episode {at} is in the runs twice."
            raise ConfigurationError(
                msg, remedy="Give each run once, or give its models other names."
            )
        seen.add(at)


def slug(text: str) -> str:
    """Make a file name of a label."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
