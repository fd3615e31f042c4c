"""What a suite evaluates: environments, policies, reward models, methods, seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from langchain_agentrm.embedded import embedded_models
from langchain_agentrm.environments.base import EnvironmentFactory
from langchain_agentrm.errors import ConfigurationError
from langchain_agentrm.evaluation.naming import Method, parse_method
from langchain_agentrm.evaluation.records import MethodSettings
from langchain_agentrm.training._config import StageConfig
from langchain_agentrm.types import TaskRef

__all__ = [
    "EMBEDDED",
    "EnvironmentChoice",
    "EvalConfig",
    "PolicyChoice",
    "RewardModelChoice",
    "read_config",
    "tasks_of",
]

EMBEDDED = "embedded"
"""Stands for the models that ship for an environment."""

ASIDE = "aside"
"""Group of the task types that get rows of their own."""

USUAL = (
    "greedy",
    "random-of-32",
    "vote-of-5",
    "likelihood-of-5",
    "random-beam-5x2",
    "best-of-1",
    "best-of-2",
    "best-of-4",
    "best-of-5",
    "best-of-8",
    "best-of-16",
    "best-of-32",
    "beam-1x5",
    "beam-2x2",
    "beam-5x2",
    "oracle-of-5",
)
"""Methods by default: the paper's, the controls, and what the scaling curve needs."""


class _Choice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EnvironmentChoice(_Choice):
    """One environment with its options, under a label of its own."""

    env: str = Field(description="Registry name.")
    label: str = Field(default="", description="Name in rows; by default the env.")
    options: dict[str, str] = Field(
        default_factory=dict, description="Of the environment, such as perturbation."
    )
    split: Literal["train", "dev", "test"] = Field(
        default="test", description="Which tasks."
    )
    groups: tuple[Literal["held_in", "held_out", "dev"], ...] = Field(
        default=("held_in", "held_out"), description="Groups of task types."
    )
    types: tuple[str, ...] = Field(
        default=(), description="Task types; empty: all of the groups."
    )
    episodes: int = Field(default=100, ge=1, description="Tasks a group.")
    aside: tuple[str, ...] = Field(
        default=("OneRoomS8",),
        description="Types that get a group of their own, with a fifth of the tasks: "
        "greedy loops in BabyAI's OneRoomS8, which flatters every other method.",
    )

    @property
    def name(self) -> str:
        """The label, else the registry name with its options."""
        if self.label or not self.options:
            return self.label or self.env
        return self.env + "".join(f"+{k}={v}" for k, v in self.options.items())

    @property
    def perturbation(self) -> int | None:
        """Number of the perturbation of its action grammar, where it is an option."""
        text = self.options.get("perturbation", "")
        return int(text) if text.isdecimal() else None


class PolicyChoice(_Choice):
    """A policy, and what the report may say of it."""

    model: str = Field(
        default=EMBEDDED, description="Folder, openai:MODEL, or `embedded`."
    )
    base_url: str | None = Field(default=None, description="Endpoint of openai:.")
    environments: tuple[str, ...] = Field(
        default=(), description="Labels it is run in; empty: all."
    )
    trained_on: tuple[str, ...] = Field(
        default=(), description="Environments or task types it was fine-tuned on."
    )
    size: float | None = Field(default=None, gt=0, description="Parameters.")


class RewardModelChoice(_Choice):
    """A reward model, and what the report may say of it."""

    model: str = Field(
        default=EMBEDDED,
        description="Folder, hub id, implicit:, vllm:, judge:, or `embedded`.",
    )
    base_url: str | None = Field(default=None, description="Its server.")
    environments: tuple[str, ...] = Field(
        default=(), description="Labels it is run in; empty: all."
    )
    kind: Literal["explicit", "implicit", "judge", "other"] = Field(
        default="explicit", description="How it judges."
    )
    trained_on: tuple[str, ...] = Field(
        default=(), description="Environments or task types it was trained on."
    )
    trees_from: str = Field(
        default="", description="Name of the policy whose trees it learnt from."
    )
    states: int | None = Field(default=None, gt=0, description="Training states.")
    keep: Literal["", "all", "full", "action", "observation"] = Field(
        default="",
        description="What of a state it was trained on, and is shown; `all` says that "
        "it is the whole one of a comparison.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_word(cls, data: Any) -> Any:
        """Take `implicit:FOLDER` for the folder and the kind."""
        word = data.get("model") if isinstance(data, dict) else None
        kind, colon, folder = str(word or "").partition(":")
        if kind != "implicit" or not colon:
            return data
        if data.get("kind", kind) != kind:
            msg = f"{word!r} is of kind 'implicit'"
            raise ValueError(msg)
        return {**data, "model": folder, "kind": kind}


class EvalConfig(StageConfig):
    """Settings of `run_suite`; all of them decide the rows."""

    environments: tuple[EnvironmentChoice, ...] = Field(min_length=1)
    policies: dict[str, PolicyChoice] = Field(
        default_factory=lambda: {"policy": PolicyChoice()}
    )
    reward_models: dict[str, RewardModelChoice] = Field(
        default_factory=lambda: {"rm": RewardModelChoice()}
    )
    methods: tuple[str, ...] = Field(default=USUAL, min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    pool_temperature: float = Field(default=0.7, ge=0, description="Of samples.")
    vote_temperature: float = Field(default=0.7, ge=0, description="Of votes.")
    beam_temperature: float = Field(default=1.0, ge=0, description="Of beams.")
    finished: Literal["compete", "aside"] = Field(
        default="compete", description="What finished beams do."
    )

    @field_validator("methods")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            parse_method(name)
        return tuple(dict.fromkeys(names))

    @field_validator("reward_models")
    @classmethod
    def _named_apart(
        cls, models: dict[str, RewardModelChoice], info: ValidationInfo
    ) -> dict[str, RewardModelChoice]:
        both = {*models} & {*info.data.get("policies", {}), "-"}
        if both:
            msg = f"the name {min(both)!r} is taken; give the reward model another"
            raise ValueError(msg)
        return models

    @field_validator("environments")
    @classmethod
    def _apart(
        cls, choices: tuple[EnvironmentChoice, ...]
    ) -> tuple[EnvironmentChoice, ...]:
        names = [choice.name for choice in choices]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            msg = f"two environments are called {min(twice)!r}; give labels"
            raise ValueError(msg)
        return choices

    @property
    def parsed(self) -> list[Method]:
        """The methods."""
        return [parse_method(name) for name in self.methods]

    def method_settings(self, seed: int) -> MethodSettings:
        """Temperatures and seed of one run."""
        return MethodSettings(
            self.pool_temperature,
            self.vote_temperature,
            self.beam_temperature,
            self.finished,
            seed,
        )

    def resolved(self) -> EvalConfig:
        """The same settings with absolute folders, also in place of `embedded`.

        Raises:
            UnknownTaskError: If no models ship for an environment.
            ConfigurationError: If two environments would need different ones.
        """
        return self.model_copy(
            update={
                "policies": {
                    name: choice.model_copy(update={"model": self._folder(choice, 0)})
                    for name, choice in self.policies.items()
                },
                "reward_models": {
                    name: choice.model_copy(update={"model": self._folder(choice, 1)})
                    for name, choice in self.reward_models.items()
                },
            }
        )

    def _folder(self, choice: PolicyChoice | RewardModelChoice, part: int) -> str:
        if choice.model != EMBEDDED:
            # Absolute, because a worker may run in another folder.
            folder = Path(choice.model.removeprefix("local:"))
            return str(folder.resolve()) if folder.is_dir() else choice.model
        envs = {e.env for e in self.environments if fits(choice, e)}
        found = {str(embedded_models(env)[part]) for env in sorted(envs)}
        if len(found) != 1:
            msg = f"`embedded` means {len(found)} models for environments {envs}."
            raise ConfigurationError(
                msg, remedy="Name one model for each, with `environments`."
            )
        return found.pop()


def fits(choice: PolicyChoice | RewardModelChoice, env: EnvironmentChoice) -> bool:
    """Tell whether a model is to be run in an environment."""
    return not choice.environments or env.name in choice.environments


def tasks_of(
    choice: EnvironmentChoice, factory: EnvironmentFactory
) -> dict[str, list[TaskRef]]:
    """List the tasks that a choice asks for, by group.

    Args:
        choice: Which tasks.
        factory: The environment.

    Returns:
        Tasks by group, those of types set aside last.

    Raises:
        ConfigurationError: If there are none.
    """
    wanted = set(choice.types)
    out: dict[str, list[TaskRef]] = {}
    apart: list[str] = []
    left = set(wanted)
    for group in choice.groups:
        types = [t for t in factory.types(group) if not wanted or t in wanted]
        left -= set(types)
        apart += [t for t in types if t in choice.aside and t not in wanted]
        types = [t for t in types if t not in apart]
        if types:
            out[group] = factory.tasks(choice.split, types, choice.episodes)
    if left:
        out["other"] = factory.tasks(choice.split, sorted(left), choice.episodes)
    if apart:
        out[ASIDE] = factory.tasks(choice.split, apart, max(1, choice.episodes // 5))
    if not any(out.values()):
        msg = f"Environment {choice.name!r} has no tasks in {choice.groups}."
        raise ConfigurationError(msg, remedy="Give `groups` or `types` it has.")
    return {group: tasks for group, tasks in out.items() if tasks}


def read_config(path: Path, **given: Any) -> EvalConfig:
    """Read settings from a YAML or JSON file.

    Args:
        path: The file.
        **given: Settings that win over those of the file.

    Returns:
        The settings.

    Raises:
        ConfigurationError: If the file cannot be read or a setting cannot work; names
            the setting.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        msg = f"{path} cannot be read: {error}."
        raise ConfigurationError(msg, remedy="Give a YAML or JSON file.") from error
    if not isinstance(data, dict):
        msg = f"{path} holds a {type(data).__name__}."
        raise ConfigurationError(msg, remedy="Write settings by name.")
    return make_config({**data, **given}, where=str(path))


def make_config(data: dict[str, Any], *, where: str) -> EvalConfig:
    """Make settings of plain data, and name what cannot work.

    Raises:
        ConfigurationError: If a setting cannot work.
    """
    try:
        return EvalConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        msg = f"{where}: setting {name}={first['input']!r:.80}: {first['msg']}."
        raise ConfigurationError(msg, remedy=_remedy(first["loc"])) from error


def _remedy(place: Sequence[int | str]) -> str:
    kinds: dict[object, type[BaseModel]] = {
        "environments": EnvironmentChoice,
        "policies": PolicyChoice,
        "reward_models": RewardModelChoice,
    }
    kind = kinds.get(place[0], EvalConfig) if len(place) > 1 else EvalConfig
    return f"Settings there are {', '.join(kind.model_fields)}."
